//! The innermost loop of products of many rows with many columns: a tile of sums kept in registers.
//!
//! One factor is read number by number and broadcast, the other vector by vector; so neither needs
//! to be transposed, and one loop serves linear layers, attention scores and mixed values.

use crate::isa::Isa;

/// A factor of which single numbers are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowFactor<'a> {
    pub values: &'a [f32],
    /// Rows of the product.
    pub n_rows: usize,
    /// From a row to the next.
    pub row_stride: usize,
    /// From a summand to the next.
    pub step: usize,
}

/// A factor of which neighbours are read at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColumnFactor<'a> {
    pub values: &'a [f32],
    /// Summands.
    pub depth: usize,
    /// From a summand to the next.
    pub step: usize,
}

/// Where the product goes.
#[derive(Debug)]
pub(crate) struct Sums<'a> {
    pub values: &'a mut [f32],
    /// From a row to the next.
    pub row_stride: usize,
    /// Whether the product is added to what is there.
    pub accumulate: bool,
}

/// `sums[r][c] (+)= Σ_k rows[r][k] · columns[k][c]` for `W` vectors of columns, one or two.
///
/// # Panics
///
/// If a slice is too short for its strides.
#[inline(always)]
pub(crate) fn multiply<S: Isa, const W: usize>(
    isa: S,
    rows: RowFactor<'_>,
    columns: ColumnFactor<'_>,
    sums: Sums<'_>,
) {
    if rows.n_rows == 0 || columns.depth == 0 {
        return;
    }
    let (last_row, last_step) = (rows.n_rows - 1, columns.depth - 1);
    assert!(last_row * rows.row_stride + last_step * rows.step < rows.values.len());
    assert!(last_step * columns.step + W * S::LANES <= columns.values.len());
    assert!(last_row * sums.row_stride + W * S::LANES <= sums.values.len());
    let mut row = 0;
    while row < rows.n_rows {
        let n_left = rows.n_rows - row;
        // SAFETY: the assertions above hold for every row, step and column.
        unsafe {
            let at = Corner {
                rows: rows.values.as_ptr().add(row * rows.row_stride),
                columns: columns.values.as_ptr(),
                sums: sums.values.as_mut_ptr().add(row * sums.row_stride),
            };
            let strides = Strides {
                rows: rows.row_stride,
                rows_step: rows.step,
                columns_step: columns.step,
                sums: sums.row_stride,
            };
            let (depth, add) = (columns.depth, sums.accumulate);
            row += match n_left {
                8.. if S::HAS_MANY_REGISTERS => tile::<S, 8, W>(isa, at, strides, depth, add),
                6.. => tile::<S, 6, W>(isa, at, strides, depth, add),
                4.. => tile::<S, 4, W>(isa, at, strides, depth, add),
                2.. => tile::<S, 2, W>(isa, at, strides, depth, add),
                _ => tile::<S, 1, W>(isa, at, strides, depth, add),
            };
        }
    }
}

/// Where a tile begins.
#[derive(Clone, Copy)]
struct Corner {
    rows: *const f32,
    columns: *const f32,
    sums: *mut f32,
}

#[derive(Clone, Copy)]
struct Strides {
    rows: usize,
    rows_step: usize,
    columns_step: usize,
    sums: usize,
}

/// One tile; returns its rows.
///
/// # Safety
///
/// All of `ROWS` rows, `depth` steps and `W` vectors of columns lie inside the slices of `at`.
#[inline(always)]
unsafe fn tile<S: Isa, const ROWS: usize, const W: usize>(
    isa: S,
    at: Corner,
    strides: Strides,
    depth: usize,
    accumulate: bool,
) -> usize {
    let mut sums = [[isa.splat(0.0); W]; ROWS];
    for k in 0..depth {
        // SAFETY: `k < depth`; the caller vouches for the rest.
        unsafe {
            let columns = at.columns.add(k * strides.columns_step);
            let mut loaded = [isa.splat(0.0); W];
            for (w, loaded) in loaded.iter_mut().enumerate() {
                *loaded = isa.load(columns.add(w * S::LANES));
            }
            let rows = at.rows.add(k * strides.rows_step);
            for (row, sums) in sums.iter_mut().enumerate() {
                let factor = isa.splat(*rows.add(row * strides.rows));
                for (sum, columns) in sums.iter_mut().zip(loaded) {
                    *sum = isa.fma(factor, columns, *sum);
                }
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (w, sum) in sums.iter().enumerate() {
            // SAFETY: the caller vouches for rows and columns of the sums.
            unsafe {
                let to = at.sums.add(row * strides.sums + w * S::LANES);
                let sum = match accumulate {
                    true => isa.add(*sum, isa.load(to)),
                    false => *sum,
                };
                isa.store(to, sum);
            }
        }
    }
    ROWS
}
