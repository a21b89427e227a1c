//! Median, tails and range of a set of measurements.
//!
//! Source: Hyndman & Fan 1996, "Sample quantiles in statistical packages", definition 7
//! (linear interpolation; the default of numpy and R).

use trimtab_domain::{Quantiles, Spread};

/// Median, 90th and 99th percentile; `None` without values or with one that is not finite.
///
/// ```
/// let q = trimtab_metrics::quantiles(&[4.0, 1.0, 3.0, 2.0]).expect("finite values");
/// assert_eq!((q.p50, q.n), (2.5, 4));
/// ```
pub fn quantiles(values: &[f64]) -> Option<Quantiles> {
    let sorted = sorted_finite(values)?;
    Some(Quantiles {
        p50: interpolate(&sorted, 0.5),
        p90: interpolate(&sorted, 0.9),
        p95: interpolate(&sorted, 0.95),
        p99: interpolate(&sorted, 0.99),
        n: sorted.len() as u32,
    })
}

/// Median, smallest and largest; `None` without values or with one that is not finite.
pub fn spread(values: &[f64]) -> Option<Spread> {
    let sorted = sorted_finite(values)?;
    Some(Spread {
        median: interpolate(&sorted, 0.5),
        min: sorted[0],
        max: sorted[sorted.len() - 1],
        n: sorted.len() as u32,
    })
}

fn sorted_finite(values: &[f64]) -> Option<Vec<f64>> {
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

/// The value at `share` of the way through `sorted`, which is not empty.
pub(crate) fn interpolate(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + (above - below) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolates_between_neighbours() {
        let values: Vec<f64> = (1..=11).rev().map(f64::from).collect();
        let q = quantiles(&values).unwrap();
        assert!((q.p50 - 6.0).abs() < 1e-12);
        assert!((q.p90 - 10.0).abs() < 1e-12);
        assert!((q.p95 - 10.5).abs() < 1e-12);
        assert!((q.p99 - 10.9).abs() < 1e-12);
        assert_eq!(q.n, 11);
    }

    #[test]
    fn one_value_is_all_its_quantiles() {
        let q = quantiles(&[7.0]).unwrap();
        assert_eq!((q.p50, q.p90, q.p95, q.p99), (7.0, 7.0, 7.0, 7.0));
        assert_eq!(q.n, 1);
    }

    #[test]
    fn spread_orders_its_repeats() {
        let s = spread(&[3.0, 1.0, 10.0]).unwrap();
        assert_eq!((s.median, s.min, s.max, s.n), (3.0, 1.0, 10.0, 3));
    }

    #[test]
    fn nothing_and_not_a_number_have_no_quantiles() {
        assert!(quantiles(&[]).is_none());
        assert!(spread(&[]).is_none());
        assert!(quantiles(&[1.0, f64::NAN]).is_none());
        assert!(spread(&[f64::INFINITY]).is_none());
    }
}
