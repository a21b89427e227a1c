//! The exact interval of a share: Clopper and Pearson's.
//!
//! Source: Clopper & Pearson 1934, "The use of confidence or fiducial limits illustrated in the
//! case of the binomial", Biometrika 26. It never covers the truth less often than it says, at the
//! price of being wider than [`wilson_interval`](crate::wilson_interval): use it where a promise
//! has to hold for certain.

use crate::{bisect::bisect, special::incomplete_beta};
use trimtab_domain::Estimate;

/// What each end of a 95 % interval leaves out.
const TAIL: f64 = 0.025;

/// The share `n_passed / n` with its exact 95 % interval.
///
/// The lower end is the share at which `n_passed` or more would be seen with chance 2.5 %,
/// the upper end the one at which `n_passed` or fewer would be.
/// Nothing observed (`n` = 0) says nothing: the value is 0 and the interval 0 to 1.
/// `n_passed` above `n` counts as `n`.
///
/// ```
/// let none = trimtab_metrics::clopper_pearson_interval(0, 10);
/// assert!((none.high - (1.0 - 0.025_f64.powf(0.1))).abs() < 1e-12);
/// ```
pub fn clopper_pearson_interval(n_passed: u32, n: u32) -> Estimate {
    if n == 0 {
        return Estimate {
            value: 0.0,
            low: 0.0,
            high: 1.0,
            n,
        };
    }
    let n_passed = n_passed.min(n);
    let (passed, failed) = (f64::from(n_passed), f64::from(n - n_passed));
    let low = if n_passed == 0 {
        0.0
    } else {
        let at_least = |share: f64| incomplete_beta(share, passed, failed + 1.0);
        bisect(0.0, 1.0, |share| at_least(share) < TAIL)
    };
    let high = if n_passed == n {
        1.0
    } else {
        // P(X ≤ k) as its own fraction: 1 − P(X > k) would lose digits.
        let at_most = |share: f64| incomplete_beta(1.0 - share, failed, passed + 1.0);
        bisect(0.0, 1.0, |share| at_most(share) > TAIL)
    };
    Estimate {
        value: passed / f64::from(n),
        low,
        high,
        n,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wilson_interval;

    #[test]
    fn has_the_closed_form_at_the_ends() {
        for n in [1_u32, 7, 164] {
            let end = TAIL.powf(1.0 / f64::from(n));
            let none = clopper_pearson_interval(0, n);
            assert!((none.high - (1.0 - end)).abs() < 1e-12 && none.low == 0.0);
            let all = clopper_pearson_interval(n, n);
            assert!((all.low - end).abs() < 1e-12 && all.high >= 1.0);
        }
    }

    #[test]
    fn nothing_observed_leaves_everything_open() {
        let open = clopper_pearson_interval(0, 0);
        assert_eq!((open.low, open.high, open.n), (0.0, 1.0, 0));
    }

    proptest::proptest! {
        #[test]
        fn holds_the_share_and_is_seldom_narrower_than_wilson(n in 5u32..1000, passed in 0u32..1000) {
            let e = clopper_pearson_interval(passed.min(n), n);
            proptest::prop_assert!(0.0 <= e.low && e.low <= e.value);
            proptest::prop_assert!(e.value <= e.high && e.high <= 1.0);
            let wilson = wilson_interval(passed.min(n), n);
            proptest::prop_assert!(e.high - e.low > wilson.high - wilson.low - 0.03);
        }
    }
}
