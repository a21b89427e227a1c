//! The test behind the verdict on quality: does a variant keep at least the asked share?
//!
//! It is the score test of [`paired_ratio`](crate::paired_ratio) asked at one ratio, so that
//! verdict and interval cannot disagree: `p_meets` ≤ 2.5 % exactly when the 95 % interval lies
//! above the asked ratio, `p_fails` < 2.5 % exactly when it lies below.
//!
//! Source: Nam & Blackwelder 2002, "Analysis of the ratio of marginal probabilities in a
//! matched-pair setting", Statistics in Medicine 21.

use crate::{PairedCounts, normal::upper_tail, paired_ratio::score};

/// A claim counts as proven when its p-value, corrected for other claims, is at most this:
/// what one end of a 95 % interval leaves out.
pub const ONE_SIDED_LEVEL: f64 = 0.025;

/// Both one-sided questions on one asked ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetentionTest {
    /// The chance of data that speak at least as well for the variant, if it just missed the ratio.
    pub p_meets: f64,
    /// The chance of data that speak at least as badly for it, if it just reached the ratio.
    pub p_fails: f64,
}

/// Tests variant ≥ `min_retention` · base in both directions.
///
/// Returns `None` when the base passes nothing, or `min_retention` is not a positive number:
/// there is nothing to keep then.
///
/// ```
/// use trimtab_metrics::{PairedCounts, retention_test};
/// let counts = PairedCounts { n_both: 400.0, n_lost: 0.0, n_won: 0.0, n_neither: 100.0 };
/// let test = retention_test(counts, 0.95).expect("the base passes 400");
/// assert!(test.p_meets < 1e-5 && test.p_fails > 0.999);
/// ```
pub fn retention_test(counts: PairedCounts, min_retention: f64) -> Option<RetentionTest> {
    let has_something_to_keep = counts.n_both + counts.n_lost > 0.0;
    let is_a_ratio = min_retention > 0.0 && min_retention.is_finite();
    if !has_something_to_keep || !is_a_ratio {
        return None;
    }
    let z = score(counts, min_retention);
    Some(RetentionTest {
        p_meets: upper_tail(z),
        p_fails: upper_tail(-z),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paired_ratio;

    #[test]
    fn is_undefined_without_a_base_or_a_ratio() {
        let counts = |n_both| PairedCounts {
            n_both,
            n_lost: 0.0,
            n_won: 2.0,
            n_neither: 3.0,
        };
        assert_eq!(retention_test(counts(0.0), 0.95), None);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(retention_test(counts(5.0), wrong), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn says_the_same_as_the_interval(
            both in 1u32..400, lost in 0u32..40, won in 0u32..40, neither in 0u32..100
        ) {
            let counts = PairedCounts {
                n_both: both.into(),
                n_lost: lost.into(),
                n_won: won.into(),
                n_neither: neither.into(),
            };
            let interval = paired_ratio(counts).unwrap();
            for asked in [0.5, 0.9, 0.95, 1.0] {
                let test = retention_test(counts, asked).unwrap();
                // Neither may be asked within rounding of the border.
                if (interval.low - asked).abs() > 1e-9 {
                    proptest::prop_assert_eq!(test.p_meets <= ONE_SIDED_LEVEL, interval.low >= asked);
                }
                if (interval.high - asked).abs() > 1e-9 {
                    proptest::prop_assert_eq!(test.p_fails < ONE_SIDED_LEVEL, interval.high < asked);
                }
            }
        }
    }
}
