//! Score interval for the difference of two paired shares.
//!
//! The interval holds every difference δ that a score test at 5 % does not reject, with the share
//! of differing problems re-estimated under variant − base = δ for each δ.
//!
//! Source: Tango 1998, "Equivalence test and confidence interval for the difference in
//! proportions for the paired-sample design", Statistics in Medicine 17.

use crate::{PairedCounts, bisect::bisect, normal::Z_95};
use trimtab_domain::Estimate;

/// Variant's pass rate − base's pass rate with its 95 % score interval, as shares from −1 to 1.
///
/// Returns `None` without problems.
///
/// ```
/// use trimtab_metrics::{PairedCounts, paired_difference};
/// let counts = PairedCounts { n_both: 40.0, n_lost: 4.0, n_won: 2.0, n_neither: 14.0 };
/// let difference = paired_difference(counts).expect("there are problems");
/// assert!((difference.value + 2.0 / 60.0).abs() < 1e-12);
/// assert!(difference.low < -0.1 && difference.high > 0.0);
/// ```
pub fn paired_difference(counts: PairedCounts) -> Option<Estimate> {
    let n = counts.n();
    if n <= 0.0 {
        return None;
    }
    let value = (counts.n_won - counts.n_lost) / n;
    // The statistic falls from plus infinity at −1 to minus infinity at 1.
    let low = bisect(-1.0, value, |difference| score(counts, difference) > Z_95);
    let high = bisect(value, 1.0, |difference| score(counts, difference) > -Z_95);
    Some(Estimate {
        value,
        low: low.min(value),
        high: high.max(value),
        n: n.round() as u32,
    })
}

/// The score statistic of the hypothesis variant − base = `difference`; standard normal under it.
fn score(counts: PairedCounts, difference: f64) -> f64 {
    let n = counts.n();
    let distance = counts.n_won - counts.n_lost - n * difference;
    let p_lost = constrained_lost(counts, difference);
    let variance = n * (2.0 * p_lost + difference * (1.0 - difference));
    if variance > 0.0 {
        distance / variance.sqrt()
    } else if distance.abs() < 1e-12 {
        0.0
    } else {
        distance.signum() * f64::INFINITY
    }
}

/// The likeliest share of lost problems if won − lost = `difference`: with q that share,
/// `n_won·ln(q + δ) + n_lost·ln q + n_same·ln(1 − 2q − δ)` is largest at the larger root of a
/// quadratic.
fn constrained_lost(counts: PairedCounts, difference: f64) -> f64 {
    let (n, won, lost) = (counts.n(), counts.n_won, counts.n_lost);
    let a = 2.0 * n;
    let b = -won - lost + (2.0 * n - won + lost) * difference;
    let c = -lost * difference * (1.0 - difference);
    let root = (-b + (b * b - 4.0 * a * c).max(0.0).sqrt()) / (2.0 * a);
    root.max(-difference).max(0.0)
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

    #[test]
    fn without_a_differing_problem_it_has_its_closed_form() {
        // Solving (nδ)² = z² n δ (1 − δ) by hand: z²/(n + z²) on both sides.
        let z2 = Z_95 * Z_95;
        for n in [1_u32, 20, 164] {
            let got = paired_difference(counts(n, 0, 0, 0)).unwrap();
            let end = z2 / (f64::from(n) + z2);
            assert!((got.high - end).abs() < 1e-9 && (got.low + end).abs() < 1e-9);
        }
    }

    #[test]
    fn no_problems_have_no_difference() {
        assert!(paired_difference(counts(0, 0, 0, 0)).is_none());
    }

    #[test]
    fn every_problem_lost_is_told_without_overstepping() {
        let got = paired_difference(counts(0, 12, 0, 0)).unwrap();
        assert!((got.value + 1.0).abs() < 1e-15 && got.low >= -1.0);
        assert!(got.high > -1.0 && got.high < -0.5, "{}", got.high);
    }

    proptest::proptest! {
        #[test]
        fn swapping_the_sides_mirrors_the_interval(
            both in 0u32..80, lost in 0u32..30, won in 0u32..30, neither in 1u32..80
        ) {
            let forth = paired_difference(counts(both, lost, won, neither)).unwrap();
            let back = paired_difference(counts(both, won, lost, neither)).unwrap();
            proptest::prop_assert!((forth.low + back.high).abs() < 1e-9);
            proptest::prop_assert!(-1.0 <= forth.low && forth.low <= forth.value);
            proptest::prop_assert!(forth.value <= forth.high && forth.high <= 1.0);
        }
    }
}
