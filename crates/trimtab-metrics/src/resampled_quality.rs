//! Quality that is no share of solved problems, compared with the base by drawing problems anew:
//! CodeBLEU of a corpus, or the mean over problems of the share of answers that pass.
//!
//! Interval and test are read off the same draws, so that they cannot disagree.
//!
//! Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", §13.3 (percentile interval)
//! and §15.4 (its use as a test).

use crate::{
    ONE_SIDED_LEVEL, RetentionTest, normal_cdf, normal_upper_quantile, percentile_interval,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trimtab_domain::{Estimate, QualityMeasure};

/// With fewer problems the draws know too little of the tails to carry a verdict.
pub(crate) const MIN_PROBLEMS: u32 = 30;

/// The smallest p-value is 1 in so many: below what a hundred compared variants need.
const N_RESAMPLES: usize = 4000;

/// Beyond this, "more problems" is no advice that anyone can follow.
const MAX_PROJECTED_PROBLEMS: f64 = 100_000.0;

/// Quality of base and variant on the same problems.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResampledQuality {
    /// What is measured.
    pub measure: QualityMeasure,
    /// Of the base.
    pub base: f64,
    /// Of the variant.
    pub variant: f64,
    /// Problems.
    pub n: u32,
    /// Variant / base; absent where a draw leaves the base nothing, or nothing varies.
    pub retention: Option<Estimate>,
    /// Variant − base; absent where nothing varies.
    pub difference: Option<Estimate>,
    /// Whether the asked share is kept; absent below 30 problems and without a retention.
    pub test: Option<RetentionTest>,
}

/// Compares both sides on `units`, one a problem. `both` gives the quality of base and variant on
/// the units of a draw.
///
/// Returns `None` where that is undefined on the data.
pub fn resampled_quality<T: Clone>(
    measure: QualityMeasure,
    units: &[T],
    both: impl Fn(&[T]) -> Option<(f64, f64)>,
    min_retention: f64,
    seed: u64,
) -> Option<ResampledQuality> {
    let (base, variant) = both(units)?;
    let n = units.len() as u32;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = units.to_vec();
    let (mut ratios, mut differences) = (Vec::new(), Vec::new());
    for _ in 0..N_RESAMPLES {
        for unit in &mut drawn {
            unit.clone_from(&units[rng.random_range(0..units.len())]);
        }
        let Some((base, variant)) = both(&drawn) else {
            continue;
        };
        differences.push(variant - base);
        if base > 0.0 {
            ratios.push(variant / base);
        }
    }
    let interval = |value: f64, draws: &mut Vec<f64>| {
        // A draw on which the value is undefined would be missing from one of the tails.
        let is_whole = draws.len() == N_RESAMPLES && n > 1;
        let [low, high] = is_whole
            .then(|| percentile_interval(value, draws).ok())
            .flatten()?;
        Some(Estimate {
            value,
            low,
            high,
            n,
        })
    };
    let retention = (base > 0.0)
        .then(|| interval(variant / base, &mut ratios))
        .flatten();
    Some(ResampledQuality {
        measure,
        base,
        variant,
        n,
        retention,
        difference: interval(variant - base, &mut differences),
        test: retention
            .filter(|_| MIN_PROBLEMS <= n)
            .map(|_| test(&ratios, min_retention)),
    })
}

/// The draws on the other side of the asked ratio are the chance of a false claim.
fn test(ratios: &[f64], min_retention: f64) -> RetentionTest {
    let n_below = ratios
        .iter()
        .filter(|ratio| **ratio < min_retention)
        .count();
    // One draw more than was seen: none of 4,000 does not mean never.
    let p = |n_against: usize| (n_against + 1) as f64 / (ratios.len() + 1) as f64;
    RetentionTest {
        p_meets: p(n_below),
        p_fails: p(ratios.len() - n_below),
    }
}

impl ResampledQuality {
    /// The standard error of the retention, from the width of its interval.
    fn standard_error(&self) -> Option<f64> {
        let retention = self.retention?;
        let z = normal_upper_quantile(ONE_SIDED_LEVEL)?;
        let error = (retention.high - retention.low) / (2.0 * z);
        (error > 0.0).then_some(error)
    }

    /// The chance that such problems prove a variant that is exactly as good as the base, when each
    /// claim is tested at `level`: a normal approximation.
    pub(crate) fn power_if_equal(&self, min_retention: f64, level: f64) -> Option<f64> {
        let error = self.standard_error()?;
        let z = normal_upper_quantile(level)?;
        Some(normal_cdf((1.0 - min_retention) / error - z))
    }

    /// About how many more problems would decide, if the retention stayed as it is and its error
    /// fell with the root of the number of problems; `None` where even very many would not.
    pub(crate) fn problems_to_decide(&self, min_retention: f64, level: f64) -> Option<u32> {
        let z = normal_upper_quantile(level)?;
        let gap = (self.retention?.value - min_retention).abs();
        let n = f64::from(self.n);
        let needed = n * (z * self.standard_error()? / gap).powi(2);
        let more = (needed.max(f64::from(MIN_PROBLEMS)) - n).ceil().max(1.0);
        (more <= MAX_PROJECTED_PROBLEMS).then_some(more as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PairedValues;

    #[expect(
        clippy::unnecessary_wraps,
        reason = "what is compared may be undefined"
    )]
    fn means(pairs: &[PairedValues]) -> Option<(f64, f64)> {
        let n = pairs.len() as f64;
        let base = pairs.iter().map(|pair| pair.base).sum::<f64>() / n;
        let variant = pairs.iter().map(|pair| pair.variant).sum::<f64>() / n;
        Some((base, variant))
    }

    fn compared(pairs: &[PairedValues]) -> ResampledQuality {
        resampled_quality(QualityMeasure::MeanPassAt1, pairs, means, 0.95, 7).unwrap()
    }

    fn pairs(n: u32, kept: f64) -> Vec<PairedValues> {
        (0..n)
            .map(|i| {
                let base = 0.2 + 0.1 * f64::from(i % 7);
                let noise = 0.02 * f64::from(i * 5 % 11) - 0.1;
                PairedValues {
                    base,
                    variant: kept * base + 0.3 * noise,
                }
            })
            .collect()
    }

    #[test]
    fn interval_and_test_agree() {
        for (kept, n) in [(1.0, 200), (0.97, 200), (0.95, 200), (0.8, 200), (1.0, 40)] {
            let got = compared(&pairs(n, kept));
            let (retention, test) = (got.retention.unwrap(), got.test.unwrap());
            assert_eq!(
                retention.low > 0.95,
                test.p_meets < 0.025,
                "{kept} {retention:?} {test:?}"
            );
            assert_eq!(retention.high < 0.95, test.p_fails < 0.025, "{kept}");
            assert!(test.p_meets + test.p_fails >= 1.0);
        }
    }

    #[test]
    fn few_problems_carry_no_verdict() {
        let got = compared(&pairs(29, 1.0));
        assert!(got.retention.is_some() && got.test.is_none());
        assert_eq!(got.problems_to_decide(0.95, ONE_SIDED_LEVEL), Some(1));
    }

    #[test]
    fn the_projected_number_of_problems_is_about_enough() {
        let few = compared(&pairs(40, 0.98));
        let more = few.problems_to_decide(0.95, ONE_SIDED_LEVEL).unwrap();
        let many = compared(&pairs(40 + 2 * more, 0.98));
        assert!(many.test.unwrap().p_meets < 0.025, "{more}");
        let power = |q: &ResampledQuality| q.power_if_equal(0.95, ONE_SIDED_LEVEL).unwrap();
        assert!(power(&few) < power(&many));
    }

    #[test]
    fn a_base_of_nothing_has_no_retention() {
        let mut units = pairs(40, 1.0);
        for pair in &mut units {
            pair.base = 0.0;
        }
        let got = compared(&units);
        assert_eq!((got.retention, got.test), (None, None));
        assert!(got.difference.is_some());
        let undefined = resampled_quality(QualityMeasure::CodeBleu, &units, |_| None, 0.95, 7);
        assert_eq!(undefined, None);
    }
}
