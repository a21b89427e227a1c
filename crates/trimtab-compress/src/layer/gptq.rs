//! GPTQ: rounds a layer one column at a time and spreads each column's error over the columns still
//! to come, so that the layer's outputs stay where they were.
//!
//! Source: Frantar et al. 2022, <https://arxiv.org/abs/2210.17323>, section 4 and algorithm 1.
//! Activation order and groups that are fixed beforehand come from the code published with it.

use super::{
    ColumnOrder, GridSpec, GroupGrid, Grouping, InverseFactor, LayerCodes, LayerError, WeightFloat,
    WeightView,
    column_sweep::{
        BLOCK, ColumnBlock, ROWS_PER_TASK, blocks, sweep_block, undamped_error, weights_in_order,
    },
    round::grids_of,
};
use rayon::prelude::*;

/// How a layer is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GptqOptions {
    /// The grids.
    pub grid: GridSpec,
    /// Whether the grid of a group comes from the weights as they were, and groups are of consecutive
    /// channels in activation order too. Otherwise a grid is found when its first column is reached,
    /// from weights that already make up for earlier errors, and activation order puts channels into
    /// groups in the order of treatment.
    pub static_groups: bool,
}

/// A rounded layer.
#[derive(Clone, Debug, PartialEq)]
pub struct GptqLayer {
    /// The layer as codes.
    pub codes: LayerCodes,
    /// `tr((W − Q)·H·(W − Q)ᵀ)` with the Hessian as it was, undamped.
    pub error: f64,
}

/// Rounds a layer with the factor of its inputs' inverse Hessian.
///
/// # Errors
///
/// [`LayerError`] for a grid that is not offered, a factor of another size, or a scale that its
/// format cannot hold.
///
/// # Numerics
///
/// In f64. The result does not depend on the number of cores.
///
/// # Cost
///
/// `d_out · d_in · (d_in + 128)` operations on all cores; extra memory 8 bytes a weight.
pub fn gptq<T: WeightFloat>(
    weight: WeightView<'_, T>,
    factor: &InverseFactor,
    options: &GptqOptions,
) -> Result<GptqLayer, LayerError> {
    let spec = &options.grid;
    spec.check()?;
    weight.check_d_in("the Hessian's channels", factor.d_in())?;
    let d_in = weight.d_in();
    let groups = Groups::new(weight, factor, options);
    let mut values = weights_in_order(weight, factor);
    let mut codes = vec![0; values.len()];
    let mut grids = groups.fixed.clone().unwrap_or_else(|| {
        let none = GroupGrid::of(&[], spec);
        vec![none; weight.d_out() * groups.n_a_row]
    });
    let errors: Vec<f64> = values
        .par_chunks_mut(ROWS_PER_TASK * d_in)
        .zip(codes.par_chunks_mut(ROWS_PER_TASK * d_in))
        .zip(grids.par_chunks_mut(ROWS_PER_TASK * groups.n_a_row))
        .map(|((rows, codes), grids)| groups.round_rows(rows, codes, grids))
        .collect();
    let layer = LayerCodes {
        d_out: weight.d_out(),
        d_in,
        bits: spec.bits,
        group_size: groups.group_size,
        codes,
        scales: Vec::new(),
        zero_points: Vec::new(),
        group_idx: groups.group_idx(),
    };
    Ok(GptqLayer {
        codes: layer.with_grids(&grids)?,
        error: undamped_error(weight, &values, factor, errors.iter().sum()),
    })
}

/// Which grid rounds which column, and where grids come from.
struct Groups<'a> {
    factor: &'a InverseFactor,
    spec: &'a GridSpec,
    group_size: usize,
    /// Groups of a row.
    n_a_row: usize,
    /// The group of every step, `[d_in]`.
    group_from_step: Vec<usize>,
    /// Grids that were found beforehand, `[d_out, n_groups]`.
    fixed: Option<Vec<GroupGrid>>,
}

impl<'a> Groups<'a> {
    fn new<T: WeightFloat>(
        weight: WeightView<'_, T>,
        factor: &'a InverseFactor,
        options: &'a GptqOptions,
    ) -> Self {
        let (spec, d_in) = (&options.grid, weight.d_in());
        let group_size = spec.group_size(d_in);
        // One grid for all rows has to be known before the first column is rounded.
        let is_fixed = options.static_groups || spec.grouping == Grouping::Tensor;
        let group_of =
            |(step, column): (usize, &usize)| (if is_fixed { *column } else { step }) / group_size;
        Self {
            factor,
            spec,
            group_size,
            n_a_row: d_in.div_ceil(group_size),
            group_from_step: factor
                .column_from_step()
                .iter()
                .enumerate()
                .map(group_of)
                .collect(),
            fixed: is_fixed.then(|| grids_of(weight, spec, |column| factor.is_dead(column))),
        }
    }

    /// The group of every channel, where groups are not of consecutive channels.
    fn group_idx(&self) -> Option<Vec<u32>> {
        let is_sorted = self.factor.order() == ColumnOrder::Activation;
        if self.fixed.is_some() || !is_sorted || self.n_a_row == 1 {
            return None;
        }
        let mut group_idx = vec![0; self.group_from_step.len()];
        let columns = self.factor.column_from_step();
        for (&column, &group) in columns.iter().zip(&self.group_from_step) {
            group_idx[column] = group as u32;
        }
        Some(group_idx)
    }

    /// Rounds some rows.
    ///
    /// # Shapes
    ///
    /// - `rows`: `[n_rows, d_in]`, columns in the order of treatment
    /// - `codes`: `[n_rows, d_in]`, columns as they are stored
    /// - `grids`: `[n_rows, n_groups]`
    fn round_rows(&self, rows: &mut [f64], codes: &mut [u8], grids: &mut [GroupGrid]) -> f64 {
        let d_in = self.factor.d_in();
        let mut choose = |block: &ColumnBlock, rows: &[f64], step: usize, chosen: &mut [f64]| {
            let group = self.group_from_step[step];
            if self.fixed.is_none() && step.is_multiple_of(self.group_size) {
                self.find_grids(block, rows, step, grids);
            }
            let column = self.factor.column_from_step()[step];
            let grids = grids.iter().skip(group).step_by(self.n_a_row);
            let codes = codes.iter_mut().skip(column).step_by(d_in);
            let values = block.column(step).iter().zip(chosen);
            for (((w, chosen), code), grid) in values.zip(codes).zip(grids) {
                let nearest = grid.code(*w);
                *code = nearest as u8;
                *chosen = grid.value(nearest);
            }
        };
        let errors =
            blocks(d_in, BLOCK).map(|steps| sweep_block(rows, steps, self.factor, &mut choose));
        errors.sum()
    }

    /// Finds the grids of the group that begins at `step`, from the present weights. Columns beyond
    /// the block do not yet know of this block's errors, which reach them at the block's end.
    fn find_grids(&self, block: &ColumnBlock, rows: &[f64], step: usize, grids: &mut [GroupGrid]) {
        let d_in = self.factor.d_in();
        let end = (step + self.group_size).min(d_in);
        let mut group = Vec::with_capacity(end - step);
        for (row_idx, row) in rows.chunks_exact(d_in).enumerate() {
            group.clear();
            group.extend((step..end.min(block.end)).map(|step| block.column(step)[row_idx]));
            group.extend_from_slice(&row[end.min(block.end)..end]);
            let group_idx = self.group_from_step[step];
            grids[row_idx * self.n_a_row + group_idx] = GroupGrid::of(&group, self.spec);
        }
    }
}
