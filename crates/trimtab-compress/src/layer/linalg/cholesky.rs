//! The Cholesky factor of a symmetric positive definite matrix.
//!
//! Source: Golub and Van Loan, "Matrix Computations", 4th edition, section 4.2, on block Cholesky.

use super::{BLOCK, triangular_inverse::invert_lower_reference};
use crate::layer::LayerError;
use rayon::prelude::*;
use trimtab_kernels::matrix_product::{MatrixMut, MatrixRef, add_product, set_product};

/// Replaces a symmetric matrix by its lower Cholesky factor: `A = L·Lᵀ`.
///
/// # Shapes
///
/// - `matrix`: `[n, n]`, row-major; only the lower triangle is read, the upper one becomes 0
///
/// # Errors
///
/// [`LayerError::NotPositiveDefinite`] for a pivot that is not above 0, NaN included; `matrix` is
/// then in between.
///
/// # Cost
///
/// `n³ / 3` operations on all cores; extra memory `128 · n`.
pub fn cholesky(matrix: &mut [f64], n: usize) -> Result<(), LayerError> {
    assert_eq!(matrix.len(), n * n, "a square matrix");
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        let (above, below) = matrix.split_at_mut(end * n);
        let inverse = factor_diagonal_block(above, n, start)?;
        if end < n {
            let panel = solve_panel(below, &inverse, n, start);
            update_trailing(below, &panel, n, end);
        }
    }
    matrix
        .par_chunks_mut(n)
        .enumerate()
        .for_each(|(row_idx, row)| row[row_idx + 1..].fill(0.0));
    Ok(())
}

/// Factors the block on the diagonal at `start` in place; returns the inverse of its factor.
fn factor_diagonal_block(
    rows_to_end: &mut [f64],
    n: usize,
    start: usize,
) -> Result<Vec<f64>, LayerError> {
    let width = rows_to_end.len() / n - start;
    let rows = &mut rows_to_end[start * n..];
    let mut block: Vec<f64> = rows
        .chunks_exact(n)
        .flat_map(|row| row[start..start + width].iter().copied())
        .collect();
    cholesky_reference(&mut block, width).map_err(|error| match error {
        LayerError::NotPositiveDefinite { column } => LayerError::NotPositiveDefinite {
            column: start + column,
        },
        other => other,
    })?;
    for (row, factor) in rows.chunks_exact_mut(n).zip(block.chunks_exact(width)) {
        row[start..start + width].copy_from_slice(factor);
    }
    invert_lower_reference(&mut block, width);
    Ok(block)
}

/// The rows below a diagonal block times the transposed `inverse` of its factor, written to their
/// place and returned as a matrix of its own.
fn solve_panel(below: &mut [f64], inverse: &[f64], n: usize, start: usize) -> Vec<f64> {
    let width = inverse.len().isqrt();
    let mut panel = vec![0.0; below.len() / n * width];
    below
        .par_chunks_mut(BLOCK * n)
        .zip(panel.par_chunks_mut(BLOCK * width))
        .for_each(|(rows, panel)| {
            let n_rows = rows.len() / n;
            set_product(
                MatrixMut::new(panel, n_rows, width, width),
                MatrixRef::new(&rows[start..], n_rows, width, n),
                MatrixRef::new(inverse, width, width, width).transposed(),
            );
            for (row, solved) in rows.chunks_exact_mut(n).zip(panel.chunks_exact(width)) {
                row[start..start + width].copy_from_slice(solved);
            }
        });
    panel
}

/// Takes `panel · panelᵀ` away from the lower triangle that starts at column `end`.
fn update_trailing(below: &mut [f64], panel: &[f64], n: usize, end: usize) {
    let width = panel.len() / (below.len() / n);
    below
        .par_chunks_mut(BLOCK * n)
        .enumerate()
        // The last rows are the longest: started first, they leave no core waiting at the end.
        .rev()
        .for_each(|(chunk_idx, rows)| {
            let (first, n_rows) = (chunk_idx * BLOCK, rows.len() / n);
            let n_columns = first + n_rows;
            let left = MatrixRef::new(&panel[first * width..], n_rows, width, width);
            let right = MatrixRef::new(panel, n_columns, width, width).transposed();
            let out = MatrixMut::new(&mut rows[end..], n_rows, n_columns, n);
            add_product(out, -1.0, left, right);
        });
}

/// [`cholesky`] column by column.
///
/// # Errors
///
/// As [`cholesky`].
pub fn cholesky_reference(matrix: &mut [f64], n: usize) -> Result<(), LayerError> {
    assert_eq!(matrix.len(), n * n, "a square matrix");
    for row in 0..n {
        for column in 0..=row {
            let (left, right) = (
                &matrix[row * n..][..column],
                &matrix[column * n..][..column],
            );
            let dot: f64 = left.iter().zip(right).map(|(a, b)| a * b).sum();
            let rest = matrix[row * n + column] - dot;
            matrix[row * n + column] = if row == column {
                if !(rest > 0.0 && rest.is_finite()) {
                    return Err(LayerError::NotPositiveDefinite { column });
                }
                rest.sqrt()
            } else {
                rest / matrix[column * n + column]
            };
        }
        matrix[row * n + row + 1..(row + 1) * n].fill(0.0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::test_matrices::{SIZES, assert_close, positive_definite};
    use super::*;

    /// Entries are sums of at most 300 products; the matrices' condition is below 1e4.
    const TOLERANCE: f64 = 1e-11;

    #[test]
    fn the_factor_is_that_of_the_reference() {
        for n in SIZES {
            let mut got = positive_definite(n);
            let mut want = got.clone();
            cholesky(&mut got, n).unwrap();
            cholesky_reference(&mut want, n).unwrap();
            assert_close(&got, &want, TOLERANCE);
        }
    }

    #[test]
    fn the_factor_of_a_small_matrix_is_known() {
        let mut matrix = vec![4.0, f64::NAN, 2.0, 10.0];
        cholesky(&mut matrix, 2).unwrap();
        assert_eq!(matrix, [2.0, 0.0, 1.0, 3.0]);
    }

    #[test]
    fn matrices_without_a_factor_are_refused() {
        for (at, value) in [(5, 0.0), (131, -1.0), (299, f64::NAN), (0, f64::INFINITY)] {
            let n = 300;
            let mut matrix: Vec<f64> = (0..n * n)
                .map(|idx| if idx / n == idx % n { 2.0 } else { 0.0 })
                .collect();
            matrix[at * n + at] = value;
            let error = LayerError::NotPositiveDefinite { column: at };
            assert_eq!(cholesky(&mut matrix.clone(), n), Err(error.clone()));
            assert_eq!(cholesky_reference(&mut matrix, n), Err(error));
        }
    }
}
