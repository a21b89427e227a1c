//! The normal and Student's t distribution: chances of tails, and the points that cut them off.
//!
//! Sources: Abramowitz & Stegun 1964, 26.2.11 (series), 26.2.14 (continued fraction) and
//! 26.2.23 (first guess of the quantile); 26.7.1 for Student's t.

use crate::{bisect::bisect, special::incomplete_beta};

/// Two-sided 95 % point of the standard normal distribution.
pub(crate) const Z_95: f64 = 1.959_963_984_540_054;

/// Where the continued fraction takes over from the series.
const TAIL_FROM: f64 = 3.0;

/// Enough for rounding at [`TAIL_FROM`]; further out fewer would do.
const N_TAIL_TERMS: u32 = 200;

/// The chance that a standard normal variable is at most `z`.
pub fn normal_cdf(z: f64) -> f64 {
    upper_tail(-z)
}

/// The chance that a standard normal variable is above `z`, exact also far out.
pub(crate) fn upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    if z < TAIL_FROM {
        // All terms are positive: nothing cancels until the end.
        let (mut term, mut sum, mut odd) = (z, z, 1.0);
        while term > f64::EPSILON * sum * 0.1 {
            odd += 2.0;
            term *= z * z / odd;
            sum += term;
        }
        return 0.5 - density(z) * sum;
    }
    let fraction = (1..=N_TAIL_TERMS)
        .rev()
        .fold(z, |below, k| z + f64::from(k) / below);
    density(z) / fraction
}

/// The point that a standard normal variable exceeds with chance `tail`; `None` unless 0 < `tail` < 1.
///
/// ```
/// let z = trimtab_metrics::normal_upper_quantile(0.025).expect("a chance");
/// assert!((z - 1.959963984540054).abs() < 1e-12);
/// ```
pub fn normal_upper_quantile(tail: f64) -> Option<f64> {
    if !(tail > 0.0 && tail < 1.0) {
        return None;
    }
    if tail > 0.5 {
        return normal_upper_quantile(1.0 - tail).map(|z| -z);
    }
    let t = (-2.0 * tail.ln()).sqrt();
    let mut z = t
        - (2.515_517 + t * (0.802_853 + t * 0.010_328))
            / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    // The guess is good to 4.5e-4; each step of Halley's method triples the digits.
    for _ in 0..3 {
        let error = (upper_tail(z) - tail) / density(z);
        z += error / (1.0 - 0.5 * z * error);
    }
    Some(z)
}

fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt()
}

/// The point that |t| with `degrees` degrees of freedom (at least 1) exceeds with chance 5 %.
pub(crate) fn student_t_95(degrees: f64) -> f64 {
    let beyond = |t: f64| incomplete_beta(degrees / (degrees + t * t), 0.5 * degrees, 0.5);
    // With one degree of freedom it is 12.7; it falls towards the normal point.
    bisect(1.0, 16.0, |t| beyond(t) > 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_continuous_where_the_method_changes() {
        let (below, above) = (upper_tail(TAIL_FROM - 1e-9), upper_tail(TAIL_FROM));
        assert!((below - above - 1e-9 * density(TAIL_FROM)).abs() < 1e-15);
    }

    #[test]
    fn quantiles_undo_tails() {
        for tail in [1e-12, 1e-4, 0.025, 0.05, 0.3, 0.5, 0.7, 0.999] {
            let z = normal_upper_quantile(tail).unwrap();
            assert!((upper_tail(z) / tail - 1.0).abs() < 1e-12, "{tail}");
        }
        assert!((normal_upper_quantile(0.025).unwrap() - Z_95).abs() < 1e-14);
    }

    #[test]
    fn only_chances_have_a_quantile() {
        for wrong in [0.0, 1.0, -0.1, f64::NAN] {
            assert_eq!(normal_upper_quantile(wrong), None);
        }
    }
}
