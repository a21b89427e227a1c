//! Products of dense matrices in f32 and f64 on one core, behind views whose bounds are checked.
//!
//! Compression solves layers with blocked algebra; it decides itself which blocks run side by side.

use gemm::Parallelism;

/// A number that [`set_product`] and [`add_product`] multiply: f32 and f64.
pub trait ProductFloat: Copy + Send + Sync + sealed::Sealed + 'static {
    /// 1
    const ONE: Self;
}

impl ProductFloat for f32 {
    const ONE: Self = 1.0;
}

impl ProductFloat for f64 {
    const ONE: Self = 1.0;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A matrix that lies in a slice.
#[derive(Clone, Copy, Debug)]
pub struct MatrixRef<'a, T> {
    values: &'a [T],
    n_rows: usize,
    n_columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> MatrixRef<'a, T> {
    /// A row-major matrix `[n_rows, n_columns]` whose rows begin `row_stride` values apart.
    ///
    /// # Panics
    ///
    /// If it does not fit into `values`.
    pub fn new(values: &'a [T], n_rows: usize, n_columns: usize, row_stride: usize) -> Self {
        assert_fits(values.len(), n_rows, n_columns, row_stride);
        Self {
            values,
            n_rows,
            n_columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The same values with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            n_rows: self.n_columns,
            n_columns: self.n_rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// A row-major matrix that lies in a slice and is written.
#[derive(Debug)]
pub struct MatrixMut<'a, T> {
    values: &'a mut [T],
    n_rows: usize,
    n_columns: usize,
    row_stride: usize,
}

impl<'a, T> MatrixMut<'a, T> {
    /// A row-major matrix `[n_rows, n_columns]` whose rows begin `row_stride` values apart.
    ///
    /// # Panics
    ///
    /// If it does not fit into `values`.
    pub fn new(values: &'a mut [T], n_rows: usize, n_columns: usize, row_stride: usize) -> Self {
        assert_fits(values.len(), n_rows, n_columns, row_stride);
        Self {
            values,
            n_rows,
            n_columns,
            row_stride,
        }
    }
}

fn assert_fits(len: usize, n_rows: usize, n_columns: usize, row_stride: usize) {
    let is_empty = n_rows == 0 || n_columns == 0;
    let needed = n_rows
        .saturating_sub(1)
        .checked_mul(row_stride)
        .and_then(|start| start.checked_add(n_columns));
    let fits = needed.is_some_and(|needed| needed <= len) && row_stride >= n_columns;
    assert!(
        is_empty || fits,
        "{n_rows} × {n_columns} with rows {row_stride} apart in {len} values"
    );
}

/// `out = left · right`
///
/// # Shapes
///
/// - `out`: `[m, n]`
/// - `left`: `[m, k]`
/// - `right`: `[k, n]`
///
/// # Panics
///
/// If the shapes differ.
pub fn set_product<T: ProductFloat>(
    out: MatrixMut<'_, T>,
    left: MatrixRef<'_, T>,
    right: MatrixRef<'_, T>,
) {
    product(out, None, left, right);
}

/// `out += factor · left · right`; shapes as for [`set_product`].
///
/// # Panics
///
/// If the shapes differ.
pub fn add_product<T: ProductFloat>(
    out: MatrixMut<'_, T>,
    factor: T,
    left: MatrixRef<'_, T>,
    right: MatrixRef<'_, T>,
) {
    product(out, Some(factor), left, right);
}

/// `out = left · right`, or with a factor `out += factor · left · right`.
fn product<T: ProductFloat>(
    out: MatrixMut<'_, T>,
    factor: Option<T>,
    left: MatrixRef<'_, T>,
    right: MatrixRef<'_, T>,
) {
    let (m, n, k) = (out.n_rows, out.n_columns, left.n_columns);
    assert_eq!((left.n_rows, right.n_columns), (m, n), "outer sizes");
    assert_eq!(right.n_rows, k, "inner sizes");
    if m == 0 || n == 0 {
        return;
    }
    // SAFETY: the constructors checked that every element of the three matrices lies in its slice
    // (k = 0 reads none); `out` is borrowed mutably, so it overlaps neither of the others, and its
    // rows do not overlap each other since they are at least `n_columns` apart.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.values.as_mut_ptr(),
            1,
            out.row_stride as isize,
            factor.is_some(),
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            T::ONE,
            factor.unwrap_or(T::ONE),
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

    fn values(n: usize, seed: f64) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * 0.731 + seed).sin()).collect()
    }

    fn product_reference(left: &[f64], right: &[f64], [m, n, k]: [usize; 3]) -> Vec<f64> {
        let dot = |i: usize, j: usize| (0..k).map(|l| left[i * k + l] * right[l * n + j]).sum();
        (0..m)
            .flat_map(|i| (0..n).map(move |j| (i, j)))
            .map(|(i, j)| dot(i, j))
            .collect()
    }

    /// Sums of at most 130 products of numbers below 1, in another order.
    const TOLERANCE: f64 = 1e-12;

    #[track_caller]
    fn assert_close(got: &[f64], want: &[f64]) {
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            assert!((got - want).abs() <= TOLERANCE, "{i}: {got}, not {want}");
        }
    }

    #[test]
    fn products_of_every_shape_are_those_of_the_reference() {
        for [m, n, k] in [[1, 1, 1], [3, 5, 2], [17, 1, 9], [1, 33, 64], [65, 31, 130]] {
            let (left, right) = (values(m * k, 0.1), values(k * n, 0.7));
            let want = product_reference(&left, &right, [m, n, k]);
            let mut got = vec![f64::NAN; m * n];
            let left = MatrixRef::new(&left, m, k, k);
            let right = MatrixRef::new(&right, k, n, n);
            set_product(MatrixMut::new(&mut got, m, n, n), left, right);
            assert_close(&got, &want);
            add_product(MatrixMut::new(&mut got, m, n, n), -1.0, left, right);
            assert_close(&got, &vec![0.0; m * n]);
        }
    }

    #[test]
    fn views_of_a_part_leave_the_rest_alone() {
        let (left, right) = (values(6, 0.1), values(10, 0.7));
        let mut got = [9.0; 12];
        let out = MatrixMut::new(&mut got[1..], 3, 2, 4);
        let transposed = MatrixRef::new(&left, 2, 3, 3).transposed();
        set_product(out, transposed, MatrixRef::new(&right, 2, 2, 5));
        for row in 0..3 {
            assert_eq!((got[4 * row], got[4 * row + 3]), (9.0, 9.0));
            for column in 0..2 {
                let want = left[row] * right[column] + left[3 + row] * right[5 + column];
                assert_close(&[got[4 * row + 1 + column]], &[want]);
            }
        }
    }

    #[test]
    fn no_inner_columns_give_zeros() {
        let mut got = vec![5.0_f32; 4];
        let (left, right) = (MatrixRef::new(&[], 2, 0, 0), MatrixRef::new(&[], 0, 2, 2));
        set_product(MatrixMut::new(&mut got, 2, 2, 2), left, right);
        assert_eq!(got, [0.0; 4]);
    }

    #[test]
    #[should_panic(expected = "3 × 2 with rows 2 apart in 5 values")]
    fn a_view_beyond_its_slice_is_refused() {
        MatrixRef::new(&[0.0; 5], 3, 2, 2);
    }

    #[test]
    #[should_panic(expected = "inner sizes")]
    fn shapes_that_differ_are_refused() {
        let mut out = [0.0; 1];
        let (left, right) = ([0.0; 2], [0.0; 3]);
        set_product(
            MatrixMut::new(&mut out, 1, 1, 1),
            MatrixRef::new(&left, 1, 2, 2),
            MatrixRef::new(&right, 3, 1, 1),
        );
    }
}
