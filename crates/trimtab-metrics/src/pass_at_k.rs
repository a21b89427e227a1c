//! pass@k: the chance that at least one of `k` answers to a problem passes.
//!
//! Source: Chen et al. 2021, <https://arxiv.org/abs/2107.03374>, section 2.1.

/// Unbiased estimate of pass@k from `n` answers of which `n_correct` passed:
/// 1 − C(n − c, k) / C(n, k), as the product 1 − ∏ (1 − k/i) over i in n − c + 1 ..= n,
/// which neither overflows nor cancels.
///
/// Returns `None` when `k` is 0 or above `n`, or `n_correct` is above `n`:
/// the estimator is undefined there.
///
/// ```
/// // One of two answers is right; drawing one of them passes half of the time.
/// assert_eq!(trimtab_metrics::pass_at_k(2, 1, 1), Some(0.5));
/// ```
pub fn pass_at_k(n: u32, n_correct: u32, k: u32) -> Option<f64> {
    let is_defined = (1..=n).contains(&k) && n_correct <= n;
    if !is_defined {
        return None;
    }
    // Fewer than `k` wrong answers: every draw of `k` holds a right one.
    if n - n_correct < k {
        return Some(1.0);
    }
    let all_wrong: f64 = (n - n_correct + 1..=n)
        .map(|i| 1.0 - f64::from(k) / f64::from(i))
        .product();
    Some(1.0 - all_wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_counting_by_hand() {
        // 4 answers, 2 right, draw 2: only 1 of the 6 pairs has no right one.
        assert!((pass_at_k(4, 2, 2).unwrap() - 5.0 / 6.0).abs() < 1e-15);
        assert_eq!(pass_at_k(5, 0, 3), Some(0.0));
        assert_eq!(pass_at_k(5, 3, 3), Some(1.0));
        assert_eq!(pass_at_k(1, 1, 1), Some(1.0));
    }

    #[test]
    fn is_undefined_outside_its_domain() {
        assert_eq!(pass_at_k(3, 1, 4), None);
        assert_eq!(pass_at_k(3, 4, 1), None);
        assert_eq!(pass_at_k(3, 1, 0), None);
        assert_eq!(pass_at_k(0, 0, 0), None);
    }

    proptest::proptest! {
        #[test]
        fn lies_between_zero_and_one_and_rises_with_k(n in 1u32..60, c in 0u32..60, k in 1u32..60) {
            let c = c.min(n);
            if let (Some(one), Some(next)) = (pass_at_k(n, c, k), pass_at_k(n, c, k + 1)) {
                proptest::prop_assert!((0.0..=1.0).contains(&one));
                proptest::prop_assert!(next >= one - 1e-12);
            }
        }
    }
}
