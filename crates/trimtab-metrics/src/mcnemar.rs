//! McNemar's test: did base and variant differ on more problems one way than the other?
//!
//! Under "no difference" each problem on which they differ is a fair coin, so the smaller side
//! follows a binomial distribution with chance ½. A large p-value does not prove that nothing
//! was lost: that takes the test of retention.
//!
//! Sources: McNemar 1947, Psychometrika 12; Fagerland, Lydersen & Laake 2013, "The McNemar test
//! for binary matched-pairs data", BMC Medical Research Methodology 13:91 (mid-p).

use crate::special::{incomplete_beta, ln_choose};

/// Both forms of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct McNemar {
    /// Two-sided exact p-value: never too small.
    pub p_exact: f64,
    /// Two-sided mid-p value: counts the observed outcome half, so it is less cautious.
    pub p_mid: f64,
}

/// Tests whether `n_lost` problems (base alone passed) and `n_won` (variant alone) differ by chance.
///
/// Both p-values are 1 when no problem differs.
///
/// ```
/// // 5 heads in a row: 2 · (1/2)⁵.
/// assert!((trimtab_metrics::mcnemar(5, 0).p_exact - 0.0625).abs() < 1e-12);
/// ```
pub fn mcnemar(n_lost: u32, n_won: u32) -> McNemar {
    let n_differing = f64::from(n_lost) + f64::from(n_won);
    if n_differing == 0.0 {
        return McNemar {
            p_exact: 1.0,
            p_mid: 1.0,
        };
    }
    let smaller = f64::from(n_lost.min(n_won));
    let at_most = incomplete_beta(0.5, n_differing - smaller, smaller + 1.0);
    let exactly = (ln_choose(n_differing, smaller) - n_differing * std::f64::consts::LN_2).exp();
    McNemar {
        p_exact: (2.0 * at_most).min(1.0),
        p_mid: (2.0 * at_most - exactly).clamp(0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sides_and_no_difference_have_a_p_value_of_one() {
        for (n_lost, n_won) in [(0, 0), (1, 1), (40, 40)] {
            let got = mcnemar(n_lost, n_won);
            assert!((got.p_exact - 1.0).abs() < 1e-12, "{n_lost} {n_won}");
            assert!((got.p_mid - 1.0).abs() < 1e-12, "{n_lost} {n_won}");
        }
    }

    #[test]
    fn agrees_with_counting_coins() {
        // Of 8 coins at most 1 is heads in 9 of 256 cases, exactly 1 in 8.
        let got = mcnemar(7, 1);
        assert!((got.p_exact - 18.0 / 256.0).abs() < 1e-14);
        assert!((got.p_mid - 10.0 / 256.0).abs() < 1e-14);
        assert_eq!(mcnemar(1, 7), got);
    }

    proptest::proptest! {
        #[test]
        fn the_mid_p_value_is_never_larger(n_lost in 0u32..3000, n_won in 0u32..3000) {
            let got = mcnemar(n_lost, n_won);
            proptest::prop_assert!(0.0 <= got.p_mid && got.p_mid <= got.p_exact);
            proptest::prop_assert!(got.p_exact <= 1.0);
        }
    }
}
