//! SparseGPT: removes weights column by column and lets the columns to come make up for them.
//!
//! Source: Frantar and Alistarh 2023, <https://arxiv.org/abs/2301.00774>, algorithm 1 and section
//! 3.3 (masks chosen block by block) and 3.4 (n:m masks).

use super::{
    KeepMask, Pattern, Sparsity,
    mask::{remove_lowest, share_of},
};
use crate::layer::{
    ColumnOrder, InverseFactor, LayerError, WeightFloat, WeightView,
    column_sweep::{
        BLOCK, ColumnBlock, ROWS_PER_TASK, blocks, sweep_block, undamped_error, weights_in_order,
    },
};
use rayon::prelude::*;
use std::ops::Range;

/// A pruned layer, with weights that make up for those that went.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseLayer {
    /// `[d_out, d_in]`, row-major; removed weights are 0.
    pub weight: Vec<f64>,
    /// Which weights stayed.
    pub mask: KeepMask,
    /// `tr((W − Q)·H·(W − Q)ᵀ)` with the Hessian as it was, undamped.
    pub error: f64,
}

/// Prunes a layer with the factor of its inputs' inverse Hessian.
///
/// A share is taken from each block of 128 columns, over all rows: the weights go whose score is at
/// most the one at that share, as in the code published with the paper, so one more than the share
/// rounded down, and all that are equal.
///
/// # Errors
///
/// [`LayerError`] for a factor of another size or in activation order, or a sparsity that makes no
/// sense or does not fit.
///
/// # Numerics
///
/// In f64. The result does not depend on the number of cores.
///
/// # Cost
///
/// `d_out · d_in · (d_in + 128)` operations on all cores; extra memory 8 bytes a weight.
pub fn sparsegpt<T: WeightFloat>(
    weight: WeightView<'_, T>,
    factor: &InverseFactor,
    sparsity: Sparsity,
) -> Result<SparseLayer, LayerError> {
    let d_in = weight.d_in();
    weight.check_d_in("the Hessian's channels", factor.d_in())?;
    sparsity.check(d_in)?;
    if factor.order() != ColumnOrder::Stored {
        return Err(LayerError::SortedColumns);
    }
    let mut values = weights_in_order(weight, factor);
    let mut mask = KeepMask::all(weight.d_out(), d_in);
    let width = match sparsity {
        Sparsity::Share(_) => BLOCK,
        // Groups of a pattern lie within a block.
        Sparsity::Pattern(Pattern { of, .. }) => (BLOCK / of).max(1) * of,
    };
    let mut damped = 0.0;
    for steps in blocks(d_in, width) {
        if let Sparsity::Share(share) = sparsity {
            remove_share(&values, &steps, factor, share, mask.keeps_mut());
        }
        let of_rows: Vec<f64> = values
            .par_chunks_mut(ROWS_PER_TASK * d_in)
            .zip(mask.keeps_mut().par_chunks_mut(ROWS_PER_TASK * d_in))
            .map(|(rows, keeps)| prune_rows(rows, keeps, steps.clone(), factor, sparsity))
            .collect();
        damped += of_rows.iter().sum::<f64>();
    }
    Ok(SparseLayer {
        error: undamped_error(weight, &values, factor, damped),
        weight: values,
        mask,
    })
}

/// Removes a share of a block's weights: those of the lowest w² / u² over all rows.
///
/// # Shapes
///
/// - `values`, `keeps`: `[d_out, d_in]`
fn remove_share(
    values: &[f64],
    steps: &Range<usize>,
    factor: &InverseFactor,
    share: f64,
    keeps: &mut [bool],
) {
    let d_in = factor.d_in();
    let pivots: Vec<f64> = steps
        .clone()
        .map(|step| squared_pivot(factor, step))
        .collect();
    let scores = |row: &[f64]| -> Vec<f64> {
        let row = row[steps.clone()].iter().zip(&pivots);
        row.map(|(w, pivot)| w * w / pivot).collect()
    };
    let mut all: Vec<f64> = values
        .par_chunks_exact(d_in)
        .flat_map_iter(scores)
        .collect();
    let n_removed = share_of(all.len(), share);
    let (_, threshold, _) = all.select_nth_unstable_by(n_removed, f64::total_cmp);
    let threshold = *threshold;
    let rows = values
        .par_chunks_exact(d_in)
        .zip(keeps.par_chunks_exact_mut(d_in));
    rows.for_each(|(row, keeps)| {
        for (keep, score) in keeps[steps.clone()].iter_mut().zip(scores(row)) {
            *keep = score > threshold;
        }
    });
}

/// Removes what a mask, or the pattern that it is to have, removes from a block of some rows.
fn prune_rows(
    rows: &mut [f64],
    keeps: &mut [bool],
    steps: Range<usize>,
    factor: &InverseFactor,
    sparsity: Sparsity,
) -> f64 {
    let d_in = factor.d_in();
    sweep_block(rows, steps, factor, |block, _, step, chosen| {
        if let Sparsity::Pattern(pattern) = sparsity
            && step.is_multiple_of(pattern.of)
        {
            remove_from_group(block, step, factor, pattern, keeps);
        }
        let keeps = keeps.iter().skip(step).step_by(d_in);
        for ((q, w), keep) in chosen.iter_mut().zip(block.column(step)).zip(keeps) {
            *q = if *keep { *w } else { 0.0 };
        }
    })
}

/// Removes the lowest w² / u² of the group that begins at `step`, judged by the present weights.
fn remove_from_group(
    block: &ColumnBlock,
    step: usize,
    factor: &InverseFactor,
    pattern: Pattern,
    keeps: &mut [bool],
) {
    let steps = step..step + pattern.of;
    let pivots: Vec<f64> = steps
        .clone()
        .map(|step| squared_pivot(factor, step))
        .collect();
    for (row_idx, keeps) in keeps.chunks_exact_mut(factor.d_in()).enumerate() {
        let present = steps.clone().map(|step| block.column(step)[row_idx]);
        let scores: Vec<f64> = present
            .zip(&pivots)
            .map(|(w, pivot)| w * w / pivot)
            .collect();
        remove_lowest(
            &scores,
            pattern.of - pattern.kept,
            &mut keeps[steps.clone()],
        );
    }
}

fn squared_pivot(factor: &InverseFactor, step: usize) -> f64 {
    factor.row_from_diagonal(step)[0].powi(2)
}
