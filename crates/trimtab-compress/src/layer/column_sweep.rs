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

/// `tr(D·H·Dᵀ)` for the changes `D = W − Q`, H without its damping λ.
///
/// The sum of `(w − q)²/u²` over all steps, `damped`, is `tr(D·(H + λ·I)·Dᵀ)` exactly, since these
/// quotients are the entries of `D·U⁻¹`: the error costs nothing, where a product with H costs as
/// much as the sweep.
///
/// # Shapes
///
/// - `chosen`: `[d_out, d_in]`, columns in the order of treatment
pub(super) fn undamped_error<T: WeightFloat>(
    weight: WeightView<'_, T>,
    chosen: &[f64],
    factor: &InverseFactor,
    damped: f64,
) -> f64 {
    let d_in = weight.d_in();
    let of_rows: Vec<f64> = chosen
        .par_chunks_exact(d_in)
        .enumerate()
        .map(|(row_idx, chosen)| {
            let row = weight.row(row_idx);
            let columns = factor.column_from_step().iter().zip(chosen);
            let alive = columns.filter(|(column, _)| !factor.is_dead(**column));
            alive
                .map(|(column, q)| (row[*column].into() - q).powi(2))
                .sum()
        })
        .collect();
    let squared: f64 = of_rows.iter().sum();
    (damped - factor.damping() * squared).max(0.0)
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
/// `rows`. Returns the sum of `(w − q)²/u²`.
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
) -> f64 {
    let d_in = factor.d_in();
    let Range { start, end } = steps;
    let mut block = ColumnBlock::load(rows, d_in, steps);
    let n_rows = block.n_rows;
    let mut errors = vec![0.0; block.values.len()];
    let mut chosen = vec![0.0; n_rows];
    let mut damped = 0.0;
    for step in start..end {
        choose(&block, rows, step, &mut chosen);
        let factors = factor.row_from_diagonal(step);
        let (done, later) = block.values.split_at_mut((step - start + 1) * n_rows);
        let column = &mut done[(step - start) * n_rows..];
        let errors = &mut errors[(step - start) * n_rows..][..n_rows];
        for ((error, w), q) in errors.iter_mut().zip(column).zip(&chosen) {
            *error = (*w - q) / factors[0];
            damped += *error * *error;
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
    damped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{ColumnOrder, FactorOptions, Hessian, HessianSum};

    const D_OUT: usize = 70;

    /// A sweep with the inverse Hessian itself, from which every treated column is eliminated.
    ///
    /// Source: Frantar et al. 2022, <https://arxiv.org/abs/2210.17323>, section 3, equations 2 and 3.
    fn sweep_reference(rows: &mut [f64], inverse: &mut [f64], choose: impl Fn(f64) -> f64) {
        let d_in = inverse.len().isqrt();
        for step in 0..d_in {
            let pivot_row = inverse[step * d_in..][..d_in].to_vec();
            for row in rows.chunks_exact_mut(d_in) {
                let chosen = choose(row[step]);
                let error = (row[step] - chosen) / pivot_row[step];
                for column in step + 1..d_in {
                    row[column] -= error * pivot_row[column];
                }
                row[step] = chosen;
            }
            for other in inverse.chunks_exact_mut(d_in) {
                let factor = other[step] / pivot_row[step];
                for (value, pivot) in other.iter_mut().zip(&pivot_row) {
                    *value -= factor * pivot;
                }
            }
        }
    }

    fn hessian(d_in: usize) -> Hessian {
        let inputs: Vec<f32> = (0..2 * d_in * d_in)
            .map(|i| (i as f32 * 1.618).sin() + (i as f32 * 0.01).cos())
            .collect();
        let mut sum = HessianSum::new(d_in).unwrap();
        sum.add(&inputs).unwrap();
        sum.finish().unwrap().0
    }

    /// The inverse of the damped Hessian, from its factor.
    fn inverse(factor: &InverseFactor) -> Vec<f64> {
        let d_in = factor.d_in();
        let u = |row: usize, column: usize| factor.values()[row * d_in + column];
        let entry = |i: usize, j: usize| (0..=i.min(j)).map(|k| u(k, i) * u(k, j)).sum();
        (0..d_in * d_in)
            .map(|idx| entry(idx / d_in, idx % d_in))
            .collect()
    }

    /// Three hundred eliminations of a matrix whose condition is some thousands.
    const TOLERANCE: f64 = 1e-7;

    #[test]
    fn blocks_change_nothing_beyond_rounding() {
        for d_in in [5, 128, 130, 300] {
            let options = FactorOptions {
                order: ColumnOrder::Stored,
                damping_ratio: 0.01,
            };
            let factor = InverseFactor::new(&hessian(d_in), options).unwrap();
            // Halving is smooth: a difference in the last digit changes no code.
            let choose = |w: f64| w / 2.0;
            let weight: Vec<f64> = (0..D_OUT * d_in)
                .map(|i| (i as f64 * 0.731).sin())
                .collect();
            let view = WeightView::new(D_OUT, d_in, &weight).unwrap();
            let mut got = weights_in_order(view, &factor);
            assert_eq!(got, weight);
            let damped: f64 = blocks(d_in, BLOCK)
                .map(|steps| {
                    sweep_block(&mut got, steps, &factor, |block, _, step, chosen| {
                        for (q, w) in chosen.iter_mut().zip(block.column(step)) {
                            *q = choose(*w);
                        }
                    })
                })
                .sum();
            let mut want = weight.clone();
            sweep_reference(&mut want, &mut inverse(&factor), choose);
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() < TOLERANCE, "{d_in}: {got}, not {want}");
            }
            let error = undamped_error(view, &got, &factor, damped);
            let changed = WeightView::new(D_OUT, d_in, &got).unwrap();
            let want = crate::layer::output_error(view, changed, &hessian(d_in)).unwrap();
            assert!(
                (error - want).abs() <= TOLERANCE * want,
                "{error}, not {want}"
            );
        }
    }
}
