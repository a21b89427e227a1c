//! Power: the chance that an experiment of a given size proves what is true.
//!
//! Exact for the score test of retention: the chances of all outcomes that the test would call
//! proven are added up. An outcome is how many problems were lost, won and kept; for each number
//! of lost and won ones the verdict changes once as more are kept, so that only the border has to
//! be found and a binomial tail taken.

use crate::{
    PairedCounts,
    normal::normal_upper_quantile,
    paired_ratio::score,
    special::{incomplete_beta, ln_gamma},
};

/// Outcomes grow with the number of problems; this many take about half a second.
const MAX_PROBLEMS: u32 = 20_000;

/// Outcomes less likely than this are left out: all of them together stay below 1e-5.
const NEGLIGIBLE: f64 = 1e-10;

/// What is true of base and variant on a kind of problem.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedDesign {
    lost: f64,
    won: f64,
    /// Solved by the base.
    base: f64,
}

/// Why a design or a question on it makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ImpossibleDesign {
    /// Not a share.
    #[error("{what} has to be a share between 0 and 1, got {value}")]
    NotAShare {
        /// Which number.
        what: &'static str,
        /// What was given.
        value: f64,
    },
    /// The three numbers contradict each other.
    #[error(
        "no variant keeps {retention} of a base that solves {base_rate} and differs on {disagreement} of the problems"
    )]
    Contradiction {
        /// Share that the base solves.
        base_rate: f64,
        /// Share on which both differ.
        disagreement: f64,
        /// Variant's share / base's share.
        retention: f64,
    },
    /// More than can be added up.
    #[error("power is computed for up to {most} problems, got {0}", most = MAX_PROBLEMS)]
    TooManyProblems(u32),
    /// The test is used for ratios up to 1.
    #[error("the asked retention has to be above 0 and at most 1, got {0}")]
    NotARetention(f64),
    /// A level that proves nothing or everything.
    #[error("a one-sided level has to lie between 0 and 0.5, got {0}")]
    NotALevel(f64),
}

impl PairedDesign {
    /// A base that solves `base_rate` of the problems, and a variant that solves `retention` times
    /// as many and differs from the base on `disagreement` of the problems.
    ///
    /// # Errors
    ///
    /// [`ImpossibleDesign`] when a number is no share or the three contradict each other.
    pub fn new(
        base_rate: f64,
        disagreement: f64,
        retention: f64,
    ) -> Result<Self, ImpossibleDesign> {
        for (what, value) in [
            ("the base rate", base_rate),
            ("the disagreement", disagreement),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(ImpossibleDesign::NotAShare { what, value });
            }
        }
        let gain = (retention - 1.0) * base_rate;
        let (lost, won) = (0.5 * (disagreement - gain), 0.5 * (disagreement + gain));
        // A hair of rounding must not forbid the border cases.
        let within = |share: f64, most: f64| (-1e-12..=most + 1e-12).contains(&share);
        if !within(lost, base_rate) || !within(won, 1.0 - base_rate) {
            return Err(ImpossibleDesign::Contradiction {
                base_rate,
                disagreement,
                retention,
            });
        }
        Ok(Self {
            lost: lost.max(0.0),
            won: won.max(0.0),
            base: base_rate,
        })
    }

    /// Of the problems on which both agree, the share that both solve.
    fn kept_of_agreed(self) -> f64 {
        let both = (self.base - self.lost).max(0.0);
        let neither = (1.0 - self.base - self.won).max(0.0);
        if both + neither > 0.0 {
            both / (both + neither)
        } else {
            0.0
        }
    }
}

/// Chances of the two claims that the test of retention can make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecisionChances {
    /// That it claims "keeps at least the asked share": power if that is true.
    pub to_prove: f64,
    /// That it claims "keeps less than the asked share": power if that is true.
    pub to_detect: f64,
}

/// Chances of both claims on `n_problems` problems when `design` is true.
///
/// `level` is the one-sided level of each claim: [`ONE_SIDED_LEVEL`](crate::ONE_SIDED_LEVEL)
/// belongs to a 95 % interval.
///
/// # Errors
///
/// [`ImpossibleDesign`] when a number lies outside of its range.
///
/// # Cost
///
/// Time grows with `n_problems` · disagreement; 1,000 problems take some 20 ms.
pub fn decision_chances(
    design: PairedDesign,
    n_problems: u32,
    min_retention: f64,
    level: f64,
) -> Result<DecisionChances, ImpossibleDesign> {
    if n_problems > MAX_PROBLEMS {
        return Err(ImpossibleDesign::TooManyProblems(n_problems));
    }
    if !(min_retention > 0.0 && min_retention <= 1.0) {
        return Err(ImpossibleDesign::NotARetention(min_retention));
    }
    let critical = normal_upper_quantile(level)
        .filter(|_| level < 0.5)
        .ok_or(ImpossibleDesign::NotALevel(level))?;
    let kept = design.kept_of_agreed();
    let mut chances = DecisionChances {
        to_prove: 0.0,
        to_detect: 0.0,
    };
    for (n_lost, n_won, weight) in likely_differences(design, n_problems) {
        let n_agreed = n_problems - n_lost - n_won;
        let z = |n_both: u32| {
            let counts = PairedCounts {
                n_both: n_both.into(),
                n_lost: n_lost.into(),
                n_won: n_won.into(),
                n_neither: f64::from(n_agreed - n_both),
            };
            score(counts, min_retention)
        };
        // A base that solves nothing has no retention: neither claim is made.
        let fewest = u32::from(n_lost == 0);
        let proven_from = first(fewest, n_agreed, |n_both| z(n_both) >= critical);
        let not_failed_from = first(fewest, n_agreed, |n_both| z(n_both) > -critical);
        chances.to_prove += weight * at_least(proven_from, n_agreed, kept);
        chances.to_detect +=
            weight * (at_least(fewest, n_agreed, kept) - at_least(not_failed_from, n_agreed, kept));
    }
    Ok(chances)
}

/// The smallest number from `low` up to `high` that satisfies `holds`, or `high` + 1.
///
/// `holds` changes once: each kept problem speaks for the variant, as it adds 1 − θ to the score.
fn first(low: u32, high: u32, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (low, high + 1);
    while low < high {
        let middle = u32::midpoint(low, high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The chance of at least `k` successes in `n` trials.
fn at_least(k: u32, n: u32, chance: f64) -> f64 {
    if k == 0 {
        1.0
    } else if k > n {
        0.0
    } else {
        incomplete_beta(chance, k.into(), f64::from(n - k) + 1.0)
    }
}

/// Numbers of lost and won problems with the chance of each pair.
fn likely_differences(design: PairedDesign, n_problems: u32) -> Vec<(u32, u32, f64)> {
    let n = f64::from(n_problems);
    let ln_n_factorial = ln_gamma(n + 1.0);
    let agreed = (1.0 - design.lost - design.won).max(0.0);
    let (lost_range, won_range) = (
        likely_range(n_problems, design.lost),
        likely_range(n_problems, design.won),
    );
    let mut pairs = Vec::new();
    for n_lost in lost_range {
        for n_won in won_range.clone() {
            let Some(n_agreed) = (n_problems - n_lost).checked_sub(n_won) else {
                break;
            };
            let parts = [
                (n_lost, design.lost),
                (n_won, design.won),
                (n_agreed, agreed),
            ];
            let ln_chance: f64 = ln_n_factorial
                + parts
                    .iter()
                    .map(|&(count, share)| power_of_share(count, share))
                    .sum::<f64>();
            let chance = ln_chance.exp();
            if chance > NEGLIGIBLE {
                pairs.push((n_lost, n_won, chance));
            }
        }
    }
    pairs
}

/// ln(share^count / count!), where nothing of nothing counts as certain.
fn power_of_share(count: u32, share: f64) -> f64 {
    if count == 0 {
        return 0.0;
    }
    let count = f64::from(count);
    count * share.ln() - ln_gamma(count + 1.0)
}

/// Eight standard deviations around the mean, and room for what is rare.
fn likely_range(n_problems: u32, share: f64) -> std::ops::RangeInclusive<u32> {
    let mean = f64::from(n_problems) * share;
    let reach = 8.0 * (mean * (1.0 - share)).sqrt() + 25.0;
    let low = (mean - reach).floor().max(0.0) as u32;
    let high = ((mean + reach).ceil() as u32).min(n_problems);
    low..=if share > 0.0 { high } else { 0 }
}

/// About how many problems give a chance of `target` to prove that `design`, which is true, keeps
/// at least `min_retention`; `None` when more than 20,000 would be needed, or no number suffices.
///
/// Starts from the normal approximation and corrects it by exact values: the answer's power is
/// within half a point of the target, which is as close as whole problems come.
///
/// # Errors
///
/// [`ImpossibleDesign`] as for [`decision_chances`], and when `target` is not between 0 and 1.
pub fn problems_needed(
    design: PairedDesign,
    min_retention: f64,
    level: f64,
    target: f64,
) -> Result<Option<u32>, ImpossibleDesign> {
    let wanted = normal_upper_quantile(target).ok_or(ImpossibleDesign::NotAShare {
        what: "the target",
        value: target,
    })?;
    // Refuses what makes no sense, whatever the number of problems.
    decision_chances(design, 1, min_retention, level)?;
    let critical = normal_upper_quantile(level).ok_or(ImpossibleDesign::NotALevel(level))?;
    let variant = design.base - design.lost + design.won;
    let effect = variant - min_retention * design.base;
    if effect <= 0.0 {
        return Ok(None);
    }
    let spread = (min_retention * (design.lost + design.won).max(0.001)).sqrt();
    let mut n = (spread * (critical - wanted).max(0.0) / effect).powi(2);
    for _ in 0..8 {
        if n > f64::from(MAX_PROBLEMS) {
            return Ok(None);
        }
        let whole = n.ceil().max(1.0) as u32;
        let reached = decision_chances(design, whole, min_retention, level)?.to_prove;
        if (reached - target).abs() < 0.005 {
            return Ok(Some(whole));
        }
        // What the exact value lacks, in units in which power grows with √n.
        let reached = normal_upper_quantile(reached.clamp(1e-6, 1.0 - 1e-6)).unwrap_or(wanted);
        let factor = (critical - wanted) / (critical - reached).max(0.2);
        n = f64::from(whole) * factor.powi(2).clamp(0.25, 4.0);
    }
    Ok(Some(n.ceil() as u32).filter(|n| *n <= MAX_PROBLEMS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ONE_SIDED_LEVEL, normal::upper_tail, retention_test};

    fn design(base_rate: f64, disagreement: f64, retention: f64) -> PairedDesign {
        PairedDesign::new(base_rate, disagreement, retention).unwrap()
    }

    /// Adds up every possible outcome; for few problems only.
    fn decision_chances_reference(design: PairedDesign, n: u32, asked: f64) -> DecisionChances {
        let mut chances = DecisionChances {
            to_prove: 0.0,
            to_detect: 0.0,
        };
        let (both, neither) = (design.base - design.lost, 1.0 - design.base - design.won);
        for n_lost in 0..=n {
            for n_won in 0..=n - n_lost {
                for n_both in 0..=n - n_lost - n_won {
                    let n_neither = n - n_lost - n_won - n_both;
                    let counts = PairedCounts {
                        n_both: n_both.into(),
                        n_lost: n_lost.into(),
                        n_won: n_won.into(),
                        n_neither: n_neither.into(),
                    };
                    let factorials: f64 = [n_both, n_lost, n_won, n_neither]
                        .iter()
                        .map(|&k| ln_gamma(f64::from(k) + 1.0))
                        .sum();
                    let chance = (ln_gamma(f64::from(n) + 1.0) - factorials).exp()
                        * both.powi(n_both as i32)
                        * design.lost.powi(n_lost as i32)
                        * design.won.powi(n_won as i32)
                        * neither.powi(n_neither as i32);
                    if let Some(test) = retention_test(counts, asked) {
                        let is = |p: f64| f64::from(u8::from(p <= ONE_SIDED_LEVEL));
                        chances.to_prove += chance * is(test.p_meets);
                        chances.to_detect += chance * is(test.p_fails);
                    }
                }
            }
        }
        chances
    }

    #[test]
    fn agrees_with_adding_up_every_outcome() {
        for (design, asked) in [
            (design(0.6, 0.2, 1.0), 0.5),
            (design(0.9, 0.1, 1.0), 0.8),
            (design(0.5, 0.4, 0.5), 0.95),
            (design(0.3, 0.3, 0.2), 0.95),
            (design(1.0, 0.0, 1.0), 0.95),
            (design(0.7, 0.5, 0.6), 1.0),
        ] {
            for n in [1, 2, 5, 24] {
                let want = decision_chances_reference(design, n, asked);
                let got = decision_chances(design, n, asked, ONE_SIDED_LEVEL).unwrap();
                let what = format!("{design:?} {n} {asked}: {got:?} {want:?}");
                assert!((got.to_prove - want.to_prove).abs() < 1e-7, "{what}");
                assert!((got.to_detect - want.to_detect).abs() < 1e-7, "{what}");
            }
        }
    }

    /// Φ(√n · (variant − θ · base) / √(lost + won) − z), the textbook's approximation.
    fn approximate_power(design: PairedDesign, n: u32, asked: f64, level: f64) -> f64 {
        let effect = design.base - design.lost + design.won - asked * design.base;
        let critical = normal_upper_quantile(level).unwrap();
        let spread = (design.lost + design.won).sqrt();
        upper_tail(critical - f64::from(n).sqrt() * effect / spread)
    }

    #[test]
    fn agrees_with_the_table_that_suites_are_planned_by() {
        // A base that solves 67 %, 10 % of the problems differ, margin 5 %, one-sided level 5 %.
        // 39, 79 and 95 % are the approximation's; the exact test is a little stronger or weaker.
        let equal = design(0.67, 0.1, 1.0);
        for (n, planned) in [(164, 0.39), (542, 0.79), (974, 0.95)] {
            let rough = approximate_power(equal, n, 0.95, 0.05);
            assert!((rough - planned).abs() < 0.006, "{n}: {rough}");
            let exact = decision_chances(equal, n, 0.95, 0.05).unwrap().to_prove;
            assert!((exact - planned).abs() < 0.03, "{n}: {exact}");
        }
    }

    #[test]
    fn the_number_needed_reaches_the_target_and_little_more() {
        for (base_rate, disagreement) in [(0.67, 0.1), (0.5, 0.05), (0.9, 0.02)] {
            let equal = design(base_rate, disagreement, 1.0);
            let n = problems_needed(equal, 0.95, ONE_SIDED_LEVEL, 0.8)
                .unwrap()
                .unwrap();
            let reached = decision_chances(equal, n, 0.95, ONE_SIDED_LEVEL)
                .unwrap()
                .to_prove;
            assert!(
                (reached - 0.8).abs() < 0.05,
                "{base_rate}: {n} gives {reached}"
            );
        }
        let worse = design(0.67, 0.1, 0.94);
        assert_eq!(problems_needed(worse, 0.95, ONE_SIDED_LEVEL, 0.8), Ok(None));
        let close = design(0.67, 0.3, 0.952);
        assert_eq!(problems_needed(close, 0.95, ONE_SIDED_LEVEL, 0.8), Ok(None));
    }

    #[test]
    fn designs_that_cannot_be_are_refused() {
        assert!(matches!(
            PairedDesign::new(1.2, 0.1, 1.0),
            Err(ImpossibleDesign::NotAShare { .. })
        ));
        assert!(matches!(
            PairedDesign::new(0.5, f64::NAN, 1.0),
            Err(ImpossibleDesign::NotAShare { .. })
        ));
        // A fifth less solved, but only a tenth of the problems differ.
        assert!(matches!(
            PairedDesign::new(0.9, 0.1, 0.8),
            Err(ImpossibleDesign::Contradiction { .. })
        ));
        assert!(PairedDesign::new(0.5, 0.1, f64::NAN).is_err());
        let fine = design(0.5, 0.1, 1.0);
        assert!(decision_chances(fine, MAX_PROBLEMS + 1, 0.95, 0.025).is_err());
        assert!(decision_chances(fine, 10, 1.1, 0.025).is_err());
        assert!(decision_chances(fine, 10, 0.95, 0.5).is_err());
        assert!(problems_needed(fine, 0.95, 0.025, 1.0).is_err());
    }

    #[test]
    fn no_problems_decide_nothing() {
        let got = decision_chances(design(0.5, 0.1, 1.0), 0, 0.95, 0.025).unwrap();
        assert_eq!((got.to_prove, got.to_detect), (0.0, 0.0));
    }
}
