//! What the input channels that stay do in the place of those that go: least squares on the
//! calibration text.
//!
//! With `S` the channels that stay and `R` those that go, `‖(W_S + Δ)·x_S − W·x‖²` is least for
//! `Δ = W_R·H_RS·(H_SS + λI)⁻¹`, where λ keeps Δ small in directions that the text does not show.
//! Source: Frantar & Alistarh 2023, "SparseGPT", <https://arxiv.org/abs/2301.00774>, section 3.1, on
//! the exact reconstruction of a row; here all rows lose the same channels and share one inverse.

use crate::layer::{
    Hessian, LayerError,
    linalg::{cholesky, invert_lower},
};
use rayon::prelude::*;
use trimtab_kernels::matrix_product::{MatrixMut, MatrixRef, set_product};

/// λ as a share of the mean diagonal, as GPTQ and SparseGPT take it; tenfold where that is not
/// enough to solve with.
const DAMPING: f64 = 0.01;
const DAMPING_STEP: f64 = 10.0;
const MAX_DAMPING: f64 = 1.0;

/// Rows of a product that one task computes.
const TILE: usize = 64;

/// Sets the columns `removed` of `weight` to zero, and changes the columns `kept` so that the
/// outputs move least.
///
/// # Shapes
///
/// - `weight`: `[d_out, d_in]`; `kept` and `removed` are all numbers below `d_in`
///
/// # Errors
///
/// [`LayerError::Undampable`]
///
/// # Cost
///
/// With s channels that stay and r that go, `2/3·s³ + 2·d_out·s·(s + r)` operations on all cores.
pub(super) fn stand_in(
    weight: &mut [f32],
    hessian: &Hessian,
    kept: &[usize],
    removed: &[usize],
) -> Result<(), LayerError> {
    let d_in = hessian.d_in();
    let gone = gathered(weight, d_in, removed);
    for row in weight.chunks_exact_mut(d_in) {
        for column in removed {
            row[*column] = 0.0;
        }
    }
    let mean = mean_diagonal(hessian, kept);
    if mean == 0.0 || gone.iter().all(|value| *value == 0.0) {
        return Ok(());
    }
    let inverse = inverse_lower(hessian, kept, mean)?;
    let (n_kept, n_removed) = (kept.len(), removed.len());
    let cross = moments(hessian, removed, kept);
    let square = MatrixRef::new(&inverse, n_kept, n_kept, n_kept);
    let cross = MatrixRef::new(&cross, n_removed, n_kept, n_kept);
    let lacking = product(&gone, cross, (n_removed, n_kept));
    let half = product(&lacking, square.transposed(), (n_kept, n_kept));
    let change = product(&half, square, (n_kept, n_kept));
    for (row, change) in weight
        .chunks_exact_mut(d_in)
        .zip(change.chunks_exact(n_kept))
    {
        for (column, change) in kept.iter().zip(change) {
            row[*column] = (f64::from(row[*column]) + change) as f32;
        }
    }
    Ok(())
}

/// The columns of a weight, `[d_out, n]`.
fn gathered(weight: &[f32], d_in: usize, columns: &[usize]) -> Vec<f64> {
    let row = |row: &[f32]| -> Vec<f64> {
        let values = columns.iter().map(|column| f64::from(row[*column]));
        values.collect()
    };
    weight.chunks_exact(d_in).flat_map(row).collect()
}

/// Rows and columns of a Hessian, `[rows, columns]`.
fn moments(hessian: &Hessian, rows: &[usize], columns: &[usize]) -> Vec<f64> {
    let d_in = hessian.d_in();
    let row = |row: &usize| -> Vec<f64> {
        let values = &hessian.values()[row * d_in..][..d_in];
        columns.iter().map(|column| values[*column]).collect()
    };
    rows.iter().flat_map(row).collect()
}

fn mean_diagonal(hessian: &Hessian, channels: &[usize]) -> f64 {
    let diagonal: Vec<f64> = hessian.diagonal().collect();
    let sum: f64 = channels.iter().map(|channel| diagonal[*channel]).sum();
    sum / channels.len() as f64
}

/// `L⁻¹` of `H_SS + λI = L·Lᵀ`, so that the inverse is `L⁻ᵀ·L⁻¹`.
fn inverse_lower(hessian: &Hessian, kept: &[usize], mean: f64) -> Result<Vec<f64>, LayerError> {
    let n = kept.len();
    let mut damping_ratio = DAMPING;
    loop {
        let mut matrix = moments(hessian, kept, kept);
        for channel in 0..n {
            matrix[channel * (n + 1)] += damping_ratio * mean;
        }
        if cholesky(&mut matrix, n).is_ok() {
            invert_lower(&mut matrix, n);
            return Ok(matrix);
        }
        if damping_ratio >= MAX_DAMPING {
            return Err(LayerError::Undampable { damping_ratio });
        }
        damping_ratio = (DAMPING_STEP * damping_ratio).min(MAX_DAMPING);
    }
}

/// `left · right` on all cores, `right` being `[n_inner, n_columns]`.
fn product(
    left: &[f64],
    right: MatrixRef<'_, f64>,
    (n_inner, n_columns): (usize, usize),
) -> Vec<f64> {
    let mut out = vec![0.0; left.len() / n_inner * n_columns];
    out.par_chunks_mut(TILE * n_columns)
        .zip(left.par_chunks(TILE * n_inner))
        .for_each(|(out, left)| {
            let n_rows = left.len() / n_inner;
            set_product(
                MatrixMut::new(out, n_rows, n_columns, n_columns),
                MatrixRef::new(left, n_rows, n_inner, n_inner),
                right,
            );
        });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::HessianSum;

    fn hessian(d_in: usize) -> Hessian {
        let inputs: Vec<f32> = (0..d_in * 3 * d_in)
            .map(|i| (i as f32 * 0.731).sin() + (i as f32 * 0.013).cos())
            .collect();
        let mut sum = HessianSum::new(d_in).unwrap();
        sum.add(&inputs).unwrap();
        sum.finish().unwrap().0
    }

    /// Products of f64 of sizes up to 200, and a weight in f32.
    const TOLERANCE: f64 = 1e-4;

    #[test]
    fn the_change_solves_the_damped_normal_equations() {
        for d_in in [5, 70, 200] {
            let hessian = hessian(d_in);
            let d_out = 67;
            let weight: Vec<f32> = (0..d_out * d_in).map(|i| (i as f32 * 0.37).sin()).collect();
            let removed: Vec<usize> = (0..d_in).filter(|i| i % 3 == 1).collect();
            let kept: Vec<usize> = (0..d_in).filter(|i| i % 3 != 1).collect();
            let mut changed = weight.clone();
            stand_in(&mut changed, &hessian, &kept, &removed).unwrap();
            let lambda = DAMPING * mean_diagonal(&hessian, &kept);
            let at = |i: usize, j: usize| hessian.values()[i * d_in + j];
            let mut largest = 0.0_f64;
            let mut worst = 0.0_f64;
            for (row, changed) in weight.chunks_exact(d_in).zip(changed.chunks_exact(d_in)) {
                assert!(removed.iter().all(|column| changed[*column] == 0.0));
                for column in &kept {
                    let change = |i: &usize| f64::from(changed[*i]) - f64::from(row[*i]);
                    let got: f64 = kept.iter().map(|i| change(i) * at(*i, *column)).sum();
                    let want = removed.iter().map(|i| f64::from(row[*i]) * at(*i, *column));
                    let want: f64 = want.sum();
                    largest = largest.max(want.abs());
                    worst = worst.max((got + lambda * change(column) - want).abs());
                }
            }
            assert!(worst < TOLERANCE * largest, "{d_in}: {worst} of {largest}");
        }
    }

    #[test]
    fn inputs_that_were_never_seen_change_nothing() {
        let hessian = Hessian::new(3, vec![0.0; 9]).unwrap();
        let mut weight = vec![1.0, 2.0, 3.0];
        stand_in(&mut weight, &hessian, &[0, 2], &[1]).unwrap();
        assert_eq!(weight, [1.0, 0.0, 3.0]);
    }
}
