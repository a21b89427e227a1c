//! Products of small matrices with strides, on one thread.

use gemm::{Parallelism, gemm};

/// A matrix that is read: rows of neighbours, or columns of neighbours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) n_rows: usize,
    pub(super) n_columns: usize,
    /// From a row to the next.
    pub(super) row_stride: usize,
    /// From a column to the next.
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `n_columns` neighbours, `stride` apart.
    pub(super) fn rows(values: &'a [f32], n_rows: usize, n_columns: usize, stride: usize) -> Self {
        Self {
            values,
            n_rows,
            n_columns,
            row_stride: stride,
            column_stride: 1,
        }
    }

    /// Rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self {
            n_rows: self.n_columns,
            n_columns: self.n_rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn check(&self) {
        if self.n_rows > 0 && self.n_columns > 0 {
            let last =
                (self.n_rows - 1) * self.row_stride + (self.n_columns - 1) * self.column_stride;
            assert!(last < self.values.len(), "a matrix beyond its values");
        }
    }
}

/// `out = factor · a · b`, or that added to `out`.
///
/// # Shapes
///
/// - `a`: `[m, k]`; `b`: `[k, n]`; `out`: `[m, n]`, rows `stride` apart
///
/// # Panics
///
/// If the shapes do not fit.
pub(super) fn multiply(
    a: Matrix<'_>,
    b: Matrix<'_>,
    factor: f32,
    (out, stride): (&mut [f32], usize),
    accumulate: bool,
) {
    let (m, k, n) = (a.n_rows, a.n_columns, b.n_columns);
    assert_eq!(k, b.n_rows, "factors that do not fit");
    a.check();
    b.check();
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        (m - 1) * stride + n <= out.len(),
        "a product beyond its values"
    );
    assert!(m == 1 || n <= stride, "rows of a product overlap");
    // SAFETY: the assertions keep every element of the three matrices inside its slice.
    unsafe {
        gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            accumulate,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            factor,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "whole numbers are exact")]
    fn strided_and_transposed_factors_multiply_and_add() {
        // Two rows of three in rows of four.
        let a = [1.0, 2.0, 3.0, 9.0, 4.0, 5.0, 6.0];
        let a = Matrix::rows(&a, 2, 3, 4);
        let mut out = [100.0, 100.0, 7.0, 100.0, 100.0];
        multiply(a, a.transposed(), 2.0, (&mut out, 3), true);
        assert_eq!(out, [128.0, 164.0, 7.0, 164.0, 254.0]);
        multiply(a, a.transposed(), 1.0, (&mut out, 3), false);
        assert_eq!(out, [14.0, 32.0, 7.0, 32.0, 77.0]);
    }
}
