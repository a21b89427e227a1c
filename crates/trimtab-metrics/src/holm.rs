//! Holm's correction: several variants are compared, and the chance of any false claim stays bounded.
//!
//! Source: Holm 1979, "A simple sequentially rejective multiple test procedure",
//! Scandinavian Journal of Statistics 6. It needs no independence, which variants of one model
//! on the same problems do not have.

/// p-values adjusted for being looked at together, in the order given.
///
/// The smallest of m is multiplied by m, the next by m − 1, and so on; none may fall below one
/// that was smaller before, and none exceeds 1. Claiming what is adjusted to at most α makes any
/// false claim with a chance of at most α.
///
/// Returns `None` when a value is not between 0 and 1.
///
/// ```
/// let adjusted = trimtab_metrics::holm(&[0.04, 0.01]).expect("chances");
/// assert!((adjusted[0] - 0.04).abs() < 1e-15 && (adjusted[1] - 0.02).abs() < 1e-15);
/// ```
pub fn holm(p_values: &[f64]) -> Option<Vec<f64>> {
    if p_values.iter().any(|p| !(0.0..=1.0).contains(p)) {
        return None;
    }
    let mut adjusted = vec![0.0; p_values.len()];
    let mut so_far = 0.0_f64;
    for (idx, factor) in holm_factors(p_values) {
        so_far = so_far.max(p_values[idx] * factor).min(1.0);
        adjusted[idx] = so_far;
    }
    Some(adjusted)
}

/// Each value's place in `p_values`, smallest first, with the factor it is multiplied by.
pub(crate) fn holm_factors(p_values: &[f64]) -> Vec<(usize, f64)> {
    let mut by_size: Vec<usize> = (0..p_values.len()).collect();
    by_size.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    by_size
        .into_iter()
        .enumerate()
        .map(|(rank, idx)| (idx, (p_values.len() - rank) as f64))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_stays_as_it_is() {
        assert_eq!(holm(&[0.03]), Some(vec![0.03]));
        assert_eq!(holm(&[]), Some(vec![]));
    }

    #[test]
    fn refuses_what_is_no_chance() {
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert_eq!(holm(&[0.5, wrong]), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn lies_between_no_correction_and_bonferroni(
            p_values in proptest::collection::vec(0.0f64..=1.0, 1..12)
        ) {
            let adjusted = holm(&p_values).unwrap();
            let m = p_values.len() as f64;
            for (p, adjusted) in p_values.iter().zip(&adjusted) {
                proptest::prop_assert!(p <= adjusted);
                proptest::prop_assert!(*adjusted <= (m * p).min(1.0) + 1e-15);
            }
            for a in 0..p_values.len() {
                for b in 0..p_values.len() {
                    proptest::prop_assert!(p_values[a] > p_values[b] || adjusted[a] <= adjusted[b]);
                }
            }
        }
    }
}
