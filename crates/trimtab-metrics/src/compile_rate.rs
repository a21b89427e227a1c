//! Compile rate: the share of answers that a compiler takes.

use crate::wilson_interval;
use trimtab_domain::Estimate;

/// The share of `n` answers that compile, with its 95 % Wilson interval.
///
/// Answers whose language has no compiler here are not among the `n`: they are not failures.
/// `None` if nothing was compiled, or more compiled than were tried.
pub fn compile_rate(n_compiled: u32, n: u32) -> Option<Estimate> {
    (n > 0 && n_compiled <= n).then(|| wilson_interval(n_compiled, n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_share_with_its_interval() {
        let rate = compile_rate(3, 4).unwrap();
        assert!((rate.value - 0.75).abs() < 1e-15 && rate.low < 0.75 && rate.high > 0.75);
        assert_eq!(compile_rate(0, 0), None);
        assert_eq!(compile_rate(5, 4), None);
    }
}
