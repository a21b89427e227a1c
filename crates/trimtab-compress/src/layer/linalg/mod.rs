//! Linear algebra on positive definite matrices in f64: what second-order compression needs.
//!
//! Matrices are square, row-major, in one slice. Everything is blocked, so that nearly all work is
//! matrix products, and runs on all cores.

mod cholesky;
mod inverse_factor;
mod triangular_inverse;

pub use cholesky::{cholesky, cholesky_reference};
pub use inverse_factor::{inverse_factor, inverse_factor_reference};
pub use triangular_inverse::{invert_lower, invert_lower_reference};

/// Columns that are eliminated together, and rows that one task updates.
const BLOCK: usize = 128;

#[cfg(test)]
mod test_matrices {
    /// A positive definite matrix whose entries look random.
    pub(super) fn positive_definite(n: usize) -> Vec<f64> {
        let factor: Vec<f64> = (0..n * n).map(|i| (i as f64 * 1.618).sin()).collect();
        let entry = |i: usize, j: usize| {
            let dot: f64 = (0..n).map(|k| factor[i * n + k] * factor[j * n + k]).sum();
            dot + if i == j { 0.5 } else { 0.0 }
        };
        (0..n * n).map(|idx| entry(idx / n, idx % n)).collect()
    }

    /// Sizes around the edges of blocks and tiles.
    pub(super) const SIZES: [usize; 7] = [1, 2, 31, 127, 128, 129, 300];

    /// Compares relative to the largest value: sums in another order.
    #[track_caller]
    pub(super) fn assert_close(got: &[f64], want: &[f64], tolerance: f64) {
        assert_eq!(got.len(), want.len());
        let largest = want.iter().fold(1.0_f64, |max, v| max.max(v.abs()));
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let is_close = (got - want).abs() <= tolerance * largest;
            assert!(is_close, "{i}: {got}, not {want}");
        }
    }
}
