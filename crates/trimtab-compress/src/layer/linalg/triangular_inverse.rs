//! The inverse of a lower triangular matrix.
//!
//! Source: Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, section 14.2, on
//! inverting triangular matrices by blocks.

use super::BLOCK;
use rayon::prelude::*;
use trimtab_kernels::matrix_product::{MatrixMut, MatrixRef, set_product};

/// Columns of a product that one task computes.
const TILE: usize = 256;

/// Replaces a lower triangular matrix by its inverse.
///
/// # Shapes
///
/// - `matrix`: `[n, n]`, row-major; 0 above the diagonal, and other than 0 on it
///
/// # Cost
///
/// `n³ / 3` operations on all cores; extra memory `256 · n`.
pub fn invert_lower(matrix: &mut [f64], n: usize) {
    assert_eq!(matrix.len(), n * n, "a square matrix");
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        let width = end - start;
        let (done, rows) = matrix.split_at_mut(start * n);
        let rows = &mut rows[..width * n];
        let mut diagonal: Vec<f64> = rows
            .chunks_exact(n)
            .flat_map(|row| row[start..end].iter().copied())
            .collect();
        invert_lower_reference(&mut diagonal, width);
        if start > 0 {
            invert_left_part(rows, done, &diagonal, n);
        }
        for (row, inverse) in rows.chunks_exact_mut(n).zip(diagonal.chunks_exact(width)) {
            row[start..end].copy_from_slice(inverse);
        }
    }
}

/// The rows of a block left of the diagonal become `−D⁻¹ · rows · done`, where `done` are the rows of
/// the inverse above them and `D⁻¹` is `diagonal`.
fn invert_left_part(rows: &mut [f64], done: &[f64], diagonal: &[f64], n: usize) {
    let (start, width) = (done.len() / n, rows.len() / n);
    let mut left = vec![0.0; width * start];
    set_product(
        MatrixMut::new(&mut left, width, start, start),
        MatrixRef::new(diagonal, width, width, width),
        MatrixRef::new(rows, width, start, n),
    );
    let tiles: Vec<(usize, Vec<f64>)> = (0..start)
        .into_par_iter()
        .step_by(TILE)
        .map(|first| {
            // The inverse is 0 above its diagonal: rows before `first` add nothing to these columns.
            let (n_columns, n_inner) = (TILE.min(start - first), start - first);
            let mut tile = vec![0.0; width * n_columns];
            set_product(
                MatrixMut::new(&mut tile, width, n_columns, n_columns),
                MatrixRef::new(&left[first..], width, n_inner, start),
                MatrixRef::new(&done[first * n + first..], n_inner, n_columns, n),
            );
            (first, tile)
        })
        .collect();
    for (first, tile) in tiles {
        let n_columns = tile.len() / width;
        for (row, product) in rows.chunks_exact_mut(n).zip(tile.chunks_exact(n_columns)) {
            for (out, value) in row[first..].iter_mut().zip(product) {
                *out = -value;
            }
        }
    }
}

/// [`invert_lower`] entry by entry.
pub fn invert_lower_reference(matrix: &mut [f64], n: usize) {
    assert_eq!(matrix.len(), n * n, "a square matrix");
    for row in 0..n {
        let pivot = matrix[row * n + row];
        for column in 0..row {
            let dot: f64 = (column..row)
                .map(|k| matrix[row * n + k] * matrix[k * n + column])
                .sum();
            matrix[row * n + column] = -dot / pivot;
        }
        matrix[row * n + row] = pivot.recip();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        cholesky_reference,
        test_matrices::{SIZES, assert_close, positive_definite},
    };
    use super::*;

    /// Entries are sums of at most 300 products; the factors' condition is below 100.
    const TOLERANCE: f64 = 1e-11;

    #[test]
    fn the_inverse_is_that_of_the_reference_and_inverts() {
        for n in SIZES {
            let mut lower = positive_definite(n);
            cholesky_reference(&mut lower, n).unwrap();
            let (mut got, mut want) = (lower.clone(), lower.clone());
            invert_lower(&mut got, n);
            invert_lower_reference(&mut want, n);
            assert_close(&got, &want, TOLERANCE);
            let product = |i: usize, j: usize| -> f64 {
                (0..n).map(|k| lower[i * n + k] * got[k * n + j]).sum()
            };
            for i in 0..n {
                let unit = if i == n / 2 { 1.0 } else { 0.0 };
                assert!((product(i, n / 2) - unit).abs() < TOLERANCE);
            }
        }
    }
}
