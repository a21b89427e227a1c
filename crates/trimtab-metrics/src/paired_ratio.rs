//! Score interval for the ratio of two paired shares.
//!
//! Base and variant answer the same problems, so their results are not independent:
//! what counts is on how many problems they *differ*. The interval holds every ratio θ
//! that a score test at 5 % does not reject, with the probabilities re-estimated under
//! variant = θ · base for each θ. It is sound with few problems and when no problem
//! differs at all, where intervals built on the observed variance shrink to a point.
//!
//! Source: Nam & Blackwelder 2002, "Analysis of the ratio of marginal probabilities in a
//! matched-pair setting", Statistics in Medicine 21; Tang, Tang & Carey 2003, same journal 22.

use crate::{PairedOutcome, bisect::bisect, normal::Z_95};
use trimtab_domain::Estimate;

/// Problems by how both sides did on them.
///
/// Real-valued, so that a larger experiment with the same shares can be projected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedCounts {
    /// Passed on both sides.
    pub n_both: f64,
    /// Passed by the base alone.
    pub n_lost: f64,
    /// Passed by the variant alone.
    pub n_won: f64,
    /// Passed by neither.
    pub n_neither: f64,
}

impl PairedCounts {
    /// Counts the four kinds of outcome.
    pub fn of(outcomes: &[PairedOutcome]) -> Self {
        let count = |base, variant| {
            let matching = PairedOutcome {
                base_passed: base,
                variant_passed: variant,
            };
            outcomes
                .iter()
                .filter(|outcome| **outcome == matching)
                .count() as f64
        };
        Self {
            n_both: count(true, true),
            n_lost: count(true, false),
            n_won: count(false, true),
            n_neither: count(false, false),
        }
    }

    /// Problems in all.
    pub fn n(&self) -> f64 {
        self.n_both + self.n_lost + self.n_won + self.n_neither
    }

    /// The same shares in `factor` times as many problems.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self {
            n_both: self.n_both * factor,
            n_lost: self.n_lost * factor,
            n_won: self.n_won * factor,
            n_neither: self.n_neither * factor,
        }
    }
}

/// Variant's pass rate / base's pass rate with its 95 % score interval.
///
/// Returns `None` when the base passes nothing: there is no ratio then.
///
/// ```
/// use trimtab_metrics::{PairedCounts, paired_ratio};
/// let counts = PairedCounts { n_both: 40.0, n_lost: 4.0, n_won: 2.0, n_neither: 14.0 };
/// let ratio = paired_ratio(counts).expect("the base passes 44");
/// assert!((ratio.value - 42.0 / 44.0).abs() < 1e-12);
/// assert!(ratio.low < 0.9 && ratio.high > 1.0);
/// ```
pub fn paired_ratio(counts: PairedCounts) -> Option<Estimate> {
    let n_base = counts.n_both + counts.n_lost;
    let n_variant = counts.n_both + counts.n_won;
    if n_base <= 0.0 {
        return None;
    }
    let value = n_variant / n_base;
    // The statistic falls from plus infinity at 0 to minus infinity: one root on each side.
    let low = if n_variant > 0.0 {
        bisect(0.0, value, |ratio| score(counts, ratio) > Z_95)
    } else {
        0.0
    };
    let mut beyond = value.max(1.0) * 2.0;
    while score(counts, beyond) > -Z_95 {
        beyond *= 2.0;
    }
    let high = bisect(value, beyond, |ratio| score(counts, ratio) > -Z_95);
    Some(Estimate {
        value,
        low,
        high,
        n: counts.n().round() as u32,
    })
}

/// The score statistic of the hypothesis variant = `ratio` · base; standard normal under it.
///
/// Z = (variant − ratio · base) / √(n · ratio · d), with d the constrained share of differing problems.
pub(crate) fn score(counts: PairedCounts, ratio: f64) -> f64 {
    let n_base = counts.n_both + counts.n_lost;
    let n_variant = counts.n_both + counts.n_won;
    let difference = n_variant - ratio * n_base;
    let variance = counts.n() * ratio * constrained_discordance(counts, ratio);
    // Only where the counts fit the hypothesis perfectly, or the ratio is 0, is there no variance.
    if variance > 0.0 {
        difference / variance.sqrt()
    } else if difference.abs() < 1e-12 {
        0.0
    } else {
        difference.signum() * f64::INFINITY
    }
}

/// The estimates `p_lost + p_won`: the likeliest share of differing problems if variant = `ratio` · base.
///
/// The share of problems that somebody passes, s, is free of the constraint. With q = `p_won`,
/// `p_lost = (1 − ratio) s + ratio · q` and `p_both = ratio · s − (1 + ratio) q`, so the likelihood
/// has one unknown, is concave in it, and its derivative is zero at the larger root of a quadratic.
fn constrained_discordance(counts: PairedCounts, ratio: f64) -> f64 {
    let PairedCounts {
        n_both,
        n_lost,
        n_won,
        ..
    } = counts;
    let n_anyone = n_both + n_lost + n_won;
    let s = n_anyone / counts.n();
    let a = ratio * (1.0 + ratio) * n_anyone;
    let ratio2 = ratio * ratio;
    let b = s * ((1.0 - ratio2) * n_both - ratio2 * n_lost - (2.0 * ratio2 - 1.0) * n_won);
    let c = -n_won * s * s * ratio * (1.0 - ratio);
    if a <= 0.0 {
        return 0.0;
    }
    let root = (-b + (b * b - 4.0 * a * c).max(0.0).sqrt()) / (2.0 * a);
    // Bounds where p_won, p_lost or p_both reach zero; rounding may overstep them.
    let smallest = (s * (ratio - 1.0) / ratio).max(0.0);
    let p_won = root.clamp(smallest, (ratio * s / (1.0 + ratio)).max(smallest));
    let p_lost = ((1.0 - ratio) * s + ratio * p_won).max(0.0);
    p_lost + p_won
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(both: u32, lost: u32, won: u32, neither: u32) -> PairedCounts {
        PairedCounts {
            n_both: both.into(),
            n_lost: lost.into(),
            n_won: won.into(),
            n_neither: neither.into(),
        }
    }

    #[track_caller]
    fn check(got: Estimate, low: f64, high: f64, tolerance: f64) {
        assert!(
            (got.low - low).abs() < tolerance,
            "low {} instead of {low}",
            got.low
        );
        assert!(
            (got.high - high).abs() < tolerance,
            "high {} instead of {high}",
            got.high
        );
    }

    #[test]
    fn without_a_differing_problem_it_has_its_closed_form() {
        // Solving Z(θ) = ±z by hand with k problems passed by both: k/(k + z²) and 1 + z²/k.
        let z2 = Z_95 * Z_95;
        for k in [1_u32, 20, 100] {
            let got = paired_ratio(counts(k, 0, 0, 7)).unwrap();
            let k = f64::from(k);
            check(got, k / (k + z2), 1.0 + z2 / k, 1e-9);
            assert!((got.value - 1.0).abs() < 1e-15);
        }
    }

    #[test]
    fn a_variant_that_passes_nothing_has_a_lower_end_of_zero() {
        let got = paired_ratio(counts(0, 10, 0, 10)).unwrap();
        assert_eq!((got.value, got.low), (0.0, 0.0));
        assert!(got.high > 0.1 && got.high < 0.6, "{}", got.high);
    }

    #[test]
    fn a_base_that_passes_nothing_has_no_ratio() {
        assert!(paired_ratio(counts(0, 0, 5, 5)).is_none());
        assert!(paired_ratio(counts(0, 0, 0, 0)).is_none());
    }

    #[test]
    fn swapping_the_sides_inverts_the_interval() {
        let forth = paired_ratio(counts(30, 6, 2, 12)).unwrap();
        let back = paired_ratio(counts(30, 2, 6, 12)).unwrap();
        check(forth, 1.0 / back.high, 1.0 / back.low, 1e-9);
    }

    #[test]
    fn problems_that_nobody_passes_change_nothing() {
        let few = paired_ratio(counts(30, 6, 2, 0)).unwrap();
        let many = paired_ratio(counts(30, 6, 2, 500)).unwrap();
        check(few, many.low, many.high, 1e-9);
    }

    proptest::proptest! {
        #[test]
        fn the_interval_holds_the_ratio(
            both in 0u32..80, lost in 0u32..30, won in 0u32..30, neither in 0u32..80
        ) {
            match paired_ratio(counts(both, lost, won, neither)) {
                None => proptest::prop_assert_eq!(both + lost, 0),
                Some(e) => {
                    proptest::prop_assert!(0.0 <= e.low && e.low <= e.value && e.value <= e.high);
                    proptest::prop_assert!(e.high.is_finite());
                }
            }
        }
    }
}
