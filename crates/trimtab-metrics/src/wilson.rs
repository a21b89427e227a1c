//! The interval of a share: Wilson's score interval.
//!
//! Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
//! Chosen over the normal ("Wald") interval because it stays within 0..1 and
//! keeps its coverage with few problems and with shares near 0 or 1.

use crate::normal::Z_95;
use trimtab_domain::Estimate;

/// The share `n_passed / n` with its 95 % Wilson interval.
///
/// Nothing observed (`n` = 0) says nothing: the value is 0 and the interval 0 to 1.
/// `n_passed` above `n` counts as `n`.
///
/// ```
/// let half = trimtab_metrics::wilson_interval(5, 10);
/// assert!((half.low - 0.2366).abs() < 1e-4 && (half.high - 0.7634).abs() < 1e-4);
/// ```
pub fn wilson_interval(n_passed: u32, n: u32) -> Estimate {
    if n == 0 {
        return Estimate {
            value: 0.0,
            low: 0.0,
            high: 1.0,
            n,
        };
    }
    let share = f64::from(n_passed.min(n)) / f64::from(n);
    let [low, high] = wilson_ends(share, f64::from(n), Z_95);
    Estimate {
        value: share,
        low,
        high,
        n,
    }
}

/// Both ends of Wilson's interval around `share` of `n` observations, at the two-sided point `z`.
pub(crate) fn wilson_ends(share: f64, n: f64, z: f64) -> [f64; 2] {
    let z2 = z * z;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half_width = z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    // Rounding may leave the end a hair inside at shares of exactly 0 and 1.
    [
        (centre - half_width).clamp(0.0, share),
        (centre + half_width).clamp(share, 1.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_closed_form_at_the_ends() {
        // At a share of 0 the upper end is z² / (n + z²).
        let none = wilson_interval(0, 20);
        let z2 = Z_95 * Z_95;
        assert!((none.high - z2 / (20.0 + z2)).abs() < 1e-12);
        assert!(none.low.abs() < 1e-12);
        let all = wilson_interval(20, 20);
        assert!((all.low - 20.0 / (20.0 + z2)).abs() < 1e-12);
        assert!((all.high - 1.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_observed_leaves_everything_open() {
        let open = wilson_interval(0, 0);
        assert_eq!((open.low, open.high, open.n), (0.0, 1.0, 0));
    }

    proptest::proptest! {
        #[test]
        fn holds_the_share_and_stays_within_zero_and_one(n in 1u32..2000, passed in 0u32..2000) {
            let e = wilson_interval(passed.min(n), n);
            proptest::prop_assert!(0.0 <= e.low && e.low <= e.value);
            proptest::prop_assert!(e.value <= e.high && e.high <= 1.0);
        }
    }
}
