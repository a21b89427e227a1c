//! The claims "meets" and "fails" on quality, corrected for all variants that are compared.
//!
//! The p-values of each claim form a family of their own, corrected by Holm's method: any false
//! "meets" has a chance of at most 2.5 %, and so has any false "fails".

use crate::{
    ONE_SIDED_LEVEL, PairedCounts, PairedDesign, RetentionTest, compare::Side, decision_chances,
    holm, holm::holm_factors, retention_test,
};
use trimtab_domain::{Criterion, QualityTest};

/// Beyond this, "more problems" is no advice that anyone can follow.
const MAX_PROJECTED_PROBLEMS: u32 = 100_000;

/// A test together with what the other variants make of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CorrectedClaims {
    test: RetentionTest,
    meets: Claim,
    fails: Claim,
    n_compared: u32,
}

/// One of the two claims after Holm's correction.
#[derive(Clone, Copy, Debug)]
struct Claim {
    p_adjusted: f64,
    /// What the p-value is multiplied by; more where a smaller one holds it back.
    factor: f64,
}

impl CorrectedClaims {
    /// Which of the claims is proven.
    pub(crate) fn side(self) -> Side {
        if self.meets.p_adjusted <= ONE_SIDED_LEVEL {
            Side::Reached
        } else if self.fails.p_adjusted <= ONE_SIDED_LEVEL {
            Side::Below
        } else {
            Side::Open
        }
    }

    /// How many variants are compared.
    pub(crate) fn n_compared(self) -> u32 {
        self.n_compared
    }

    /// How many more problems would decide on quality, if the shares and the other variants' p-values
    /// stayed as they are; `None` when even very many would not.
    pub(crate) fn problems_to_decide(
        self,
        counts: PairedCounts,
        criterion: Criterion,
    ) -> Option<u32> {
        let n = counts.n();
        let is_decided = |n_more: u32| {
            let more = counts.scaled(1.0 + f64::from(n_more) / n);
            retention_test(more, criterion.min_retention).is_some_and(|test| {
                test.p_meets * self.meets.factor <= ONE_SIDED_LEVEL
                    || test.p_fails * self.fails.factor <= ONE_SIDED_LEVEL
            })
        };
        if n <= 0.0 || !is_decided(MAX_PROJECTED_PROBLEMS) {
            return None;
        }
        let (mut open, mut decided) = (0, MAX_PROJECTED_PROBLEMS);
        while decided - open > 1 {
            let middle = u32::midpoint(open, decided);
            if is_decided(middle) {
                decided = middle;
            } else {
                open = middle;
            }
        }
        Some(decided)
    }

    /// The same for readers, with the power of such an experiment.
    pub(crate) fn told(self, counts: PairedCounts, criterion: Criterion) -> QualityTest {
        QualityTest {
            p_meets: self.test.p_meets,
            p_meets_adjusted: self.meets.p_adjusted,
            p_fails: self.test.p_fails,
            p_fails_adjusted: self.fails.p_adjusted,
            level: ONE_SIDED_LEVEL,
            n_compared: self.n_compared,
            power: power_if_equal(counts, criterion, self.n_compared),
        }
    }
}

/// Corrects both families of claims; a variant without a test is in neither.
pub(crate) fn correct(tests: &[Option<RetentionTest>]) -> Vec<Option<CorrectedClaims>> {
    let known: Vec<RetentionTest> = tests.iter().copied().flatten().collect();
    let meets = claims(&known.iter().map(|test| test.p_meets).collect::<Vec<_>>());
    let fails = claims(&known.iter().map(|test| test.p_fails).collect::<Vec<_>>());
    let mut corrected = known
        .iter()
        .zip(meets)
        .zip(fails)
        .map(|((&test, meets), fails)| CorrectedClaims {
            test,
            meets,
            fails,
            n_compared: known.len() as u32,
        });
    tests
        .iter()
        .map(|test| test.and_then(|_| corrected.next()))
        .collect()
}

fn claims(p_values: &[f64]) -> Vec<Claim> {
    let adjusted = holm(p_values).expect("tails of a normal distribution are chances");
    let mut claims: Vec<Claim> = adjusted
        .into_iter()
        .map(|p_adjusted| Claim {
            p_adjusted,
            factor: 1.0,
        })
        .collect();
    for (idx, factor) in holm_factors(p_values) {
        let held_back = claims[idx].p_adjusted / p_values[idx].max(f64::MIN_POSITIVE);
        claims[idx].factor = factor.max(held_back);
    }
    claims
}

/// The chance to prove a variant that is as good as the base, by these counts.
///
/// One problem more of each kind is assumed than was seen, as no problem that differs does not
/// mean that none ever would.
fn power_if_equal(counts: PairedCounts, criterion: Criterion, n_compared: u32) -> Option<f64> {
    let one_more = |n_seen: f64| (n_seen + 1.0) / (counts.n() + 2.0);
    let design = PairedDesign::new(
        one_more(counts.n_both + counts.n_lost),
        one_more(counts.n_lost + counts.n_won),
        1.0,
    )
    .ok()?;
    let level = ONE_SIDED_LEVEL / f64::from(n_compared);
    decision_chances(
        design,
        counts.n().round() as u32,
        criterion.min_retention,
        level,
    )
    .ok()
    .map(|chances| chances.to_prove)
}
