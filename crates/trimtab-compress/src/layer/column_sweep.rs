//! The sweep that GPTQ and SparseGPT have in common: column by column, a value is chosen for each
//! weight, and the error is spread over the columns to come.
//!
//! Source: Frantar et al. 2022, <https://arxiv.org/abs/2210.17323>, algorithm 1 and section 4, step 2
//! (errors within a block at once, those of later columns as one product a block).
//! Rows do not depend on each other; callers give them out to cores in parts of a fixed size, so
//! that results do not depend on the number of cores.

use super::{InverseFactor, WeightFloat, WeightView};
use rayon::prelude::*;
use std::ops::Range;
use trimtab_kernels::matrix_product::{MatrixMut, MatrixRef, add_product};

/// Columns of a block: more make fewer but larger products, without changing what is computed
/// beyond rounding.
pub(super) const BLOCK: usize = 128;

/// Rows that one task takes.
pub(super) const ROWS_PER_TASK: usize = 64;

/// Columns of some rows, still to be chosen or chosen already.
#[derive(Debug)]
pub(super) struct ColumnBlock {
    /// The step of the first column.
    start: usize,
    /// The step behind the last column.
    pub(super) end: usize,
    n_rows: usize,
    /// `[end − start, n_rows]`: column by column.
    values: Vec<f64>,
}

impl ColumnBlock {
    /// Copies columns out of rows.
    ///
    /// # Shapes
    ///
    /// - `rows`: `[n_rows, d_in]`
    fn load(rows: &[f64], d_in: usize, Range { start, end }: Range<usize>) -> Self {
        let n_rows = rows.len() / d_in;
        let mut values = vec![0.0; (end - start) * n_rows];
        for (row_idx, row) in rows.chunks_exact(d_in).enumerate() {
            for (column, value) in row[start..end].iter().enumerate() {
                values[column * n_rows + row_idx] = *value;
            }
        }
        Self {
            start,
            end,
            n_rows,
            values,
        }
    }

    /// The present values of the column of a step, `[n_rows]`.
    pub(super) fn column(&self, step: usize) -> &[f64] {
        &self.values[(step - self.start) * self.n_rows..][..self.n_rows]
    }
}

/// What choosing values cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SweepError {
    /// `tr(D·(H + λ·I)·Dᵀ)` for the changes D.
    damped: f64,
    /// `tr(D·Dᵀ)`
    squared: f64,
}

impl SweepError {
    /// `tr(D·H·Dᵀ)`, H without its damping λ.
    ///
    /// The sum of `(w − q)²/u²` over all steps is the damped error exactly, since `D·U⁻¹` has these
    /// quotients as its entries; it costs nothing, where a product with H costs as much as the sweep.
    pub(super) fn undamped(self, factor: &InverseFactor) -> f64 {
        (self.damped - factor.damping() * self.squared).max(0.0)
    }

    /// Adds up in order.
    pub(super) fn total(errors: impl IntoIterator<Item = Self>) -> Self {
        errors.into_iter().fold(Self::default(), |sum, error| Self {
            damped: sum.damped + error.damped,
            squared: sum.squared + error.squared,
        })
    }
}

/// The weight with its columns in the order of treatment, dead ones 0, `[d_out, d_in]`.
pub(super) fn weights_in_order<T: WeightFloat>(
    weight: WeightView<'_, T>,
    factor: &InverseFactor,
) -> Vec<f64> {
    let mut values = vec![0.0; weight.values().len()];
    values
        .par_chunks_exact_mut(weight.d_in())
        .enumerate()
        .for_each(|(row_idx, values)| {
            let row = weight.row(row_idx);
            for (value, &column) in values.iter_mut().zip(factor.column_from_step()) {
                if !factor.is_dead(column) {
                    *value = row[column].into();
                }
            }
        });
    values
}

/// Blocks of columns in the order of treatment.
pub(super) fn blocks(d_in: usize, width: usize) -> impl Iterator<Item = Range<usize>> {
    (0..d_in)
        .step_by(width)
        .map(move |start| start..(start + width).min(d_in))
}

/// Chooses the values of a block's columns, and spreads the errors over all columns to come.
///
/// `choose(block, rows, step, chosen)` writes the values that the column of `step` is to have; it
/// sees the present values of this block's later columns in `block`, and those of later blocks in
/// `rows`.
///
/// # Shapes
///
/// - `rows`: `[n_rows, d_in]`; columns of this block become their chosen values
/// - `chosen`: `[n_rows]`
pub(super) fn sweep_block(
    rows: &mut [f64],
    steps: Range<usize>,
    factor: &InverseFactor,
    mut choose: impl FnMut(&ColumnBlock, &[f64], usize, &mut [f64]),
) -> SweepError {
    let d_in = factor.d_in();
    let Range { start, end } = steps;
    let mut block = ColumnBlock::load(rows, d_in, steps);
    let n_rows = block.n_rows;
    let mut errors = vec![0.0; block.values.len()];
    let mut chosen = vec![0.0; n_rows];
    let mut sum = SweepError::default();
    for step in start..end {
        choose(&block, rows, step, &mut chosen);
        let factors = factor.row_from_diagonal(step);
        let (done, later) = block.values.split_at_mut((step - start + 1) * n_rows);
        let column = &mut done[(step - start) * n_rows..];
        let errors = &mut errors[(step - start) * n_rows..][..n_rows];
        for ((error, w), q) in errors.iter_mut().zip(column).zip(&chosen) {
            let change = *w - q;
            *error = change / factors[0];
            sum.damped += *error * *error;
            sum.squared += change * change;
            *w = *q;
        }
        for (column, u) in later.chunks_exact_mut(n_rows).zip(&factors[1..]) {
            for (w, error) in column.iter_mut().zip(&*errors) {
                *w -= error * u;
            }
        }
    }
    for (row_idx, row) in rows.chunks_exact_mut(d_in).enumerate() {
        for (column, value) in row[start..end].iter_mut().enumerate() {
            *value = block.values[column * n_rows + row_idx];
        }
    }
    if end < d_in {
        let (width, n_later) = (end - start, d_in - end);
        add_product(
            MatrixMut::new(&mut rows[end..], n_rows, n_later, d_in),
            -1.0,
            MatrixRef::new(&errors, width, n_rows, n_rows).transposed(),
            MatrixRef::new(&factor.values()[start * d_in + end..], width, n_later, d_in),
        );
    }
    sum
}
