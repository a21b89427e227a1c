//! One weight through the steps of a recipe: pruned, rounded, packed and reported.

use crate::{
    CompressError,
    format::{WeightFormat, WeightKind, weight_format},
    inputs::Inputs,
    keep::kept_codes,
    layer::{
        FactorReport, GptqOptions, GridSpec, LayerCodes, LayerError, WeightView, gptq,
        prune::{KeepMask, MaskScope, magnitude, sparsegpt, wanda},
        round_to_nearest,
    },
    pack::{pack_codes, pack_floats},
    plan::Plan,
    state::Finished,
};
use rayon::prelude::*;
use std::time::Instant;
use trimtab_domain::{LayerReport, PruneBy, Recipe, ScaleRange, Step};
use trimtab_kernels::{PackedShape, PackedView};
use trimtab_models::{StoredFormat, WeightRole, WeightSpec};

/// A weight that is done.
pub(crate) struct Made {
    /// As kernels read it.
    pub(crate) packed: Vec<u8>,
    /// Its shape.
    pub(crate) shape: PackedShape,
    /// The format in the artifact.
    stored: StoredFormat,
    /// What became of it.
    pub(crate) report: LayerReport,
}

impl Made {
    /// The weight as the engine computes with it, `[d_out, d_in]`.
    pub(crate) fn values(&self) -> Vec<f32> {
        let shape = self.shape;
        let view = PackedView::new(shape, &self.packed);
        let view = view.expect("the bytes were packed with this shape");
        let mut values = vec![0.0; shape.d_out * shape.d_in];
        values
            .par_chunks_exact_mut(shape.d_in)
            .enumerate()
            .for_each(|(row_idx, row)| view.dequantize_row_reference(row_idx, row));
        values
    }

    /// As it is stored, with its report.
    pub(crate) fn into_stored(self) -> Finished {
        Finished {
            bytes: self.stored.narrow(&self.shape, self.packed),
            report: self.report,
        }
    }
}

/// A weight on its way through the steps.
struct Work<'a> {
    spec: &'a WeightSpec,
    weight: Vec<f32>,
    inputs: Option<&'a Inputs>,
    output_error: Option<f64>,
    notes: Vec<String>,
}

impl Plan<'_> {
    /// Takes a weight through the steps. `inputs` are there where the recipe is calibrated, and
    /// tokens reached the layer.
    ///
    /// # Errors
    ///
    /// [`CompressError`] names the weight.
    pub(crate) fn make(
        &self,
        spec: &WeightSpec,
        original: Vec<f32>,
        inputs: Option<&Inputs>,
    ) -> Result<Made, CompressError> {
        let clock = Instant::now();
        let format = self.formats[&spec.name];
        let shape = PackedShape {
            d_out: spec.d_out,
            d_in: spec.d_in,
            format: format.packed,
        };
        let mut work = Work {
            spec,
            weight: original.clone(),
            inputs,
            output_error: None,
            notes: Vec::new(),
        };
        if spec.role == WeightRole::Linear {
            self.prune(&mut work)
                .map_err(|source| CompressError::layer(&spec.name, source))?;
        }
        let packed = self.store(&mut work, shape, format)?;
        let (error, sparsity) = compared(&original, shape, &packed);
        let n_bytes = format.stored.n_bytes(&shape);
        let report = LayerReport {
            name: spec.name.clone(),
            error,
            bits_per_weight: 8.0 * n_bytes as f64 / original.len() as f64,
            duration_ms: clock.elapsed().as_secs_f64() * 1e3,
            output_error: work.output_error,
            scales: scale_range(shape, &packed),
            channel_scales: None,
            bit_losses: self.bit_losses.get(&spec.name).cloned().unwrap_or_default(),
            sparsity,
            notes: work.notes,
        };
        Ok(Made {
            packed,
            shape,
            stored: format.stored,
            report,
        })
    }

    fn prune(&self, work: &mut Work<'_>) -> Result<(), LayerError> {
        let (Some(prune), Some(sparsity)) = (self.recipe.pruning(), self.sparsity) else {
            return Ok(());
        };
        let (d_out, d_in) = (work.spec.d_out, work.spec.d_in);
        let view = WeightView::new(d_out, d_in, &work.weight)?;
        let factor = work.inputs.and_then(|inputs| inputs.factor.as_ref());
        let mask: KeepMask = match (prune.by, work.inputs, factor) {
            (PruneBy::Magnitude, _, _) => magnitude(view, sparsity, MaskScope::Layer)?,
            (PruneBy::Wanda, Some(inputs), _) => wanda(view, &inputs.stats.norms(), sparsity)?,
            (PruneBy::SparseGpt, _, Some(factor)) => {
                let sparse = sparsegpt(view, factor, sparsity)?;
                note_factor(&mut work.notes, factor.report());
                work.output_error = Some(sparse.error);
                work.weight = sparse.weight.iter().map(|w| *w as f32).collect();
                return Ok(());
            }
            (by, _, _) => {
                work.notes.push(unreached(&format!(
                    "pruned by magnitude, not by {}",
                    by.as_str()
                )));
                magnitude(view, sparsity, MaskScope::Row)?
            }
        };
        mask.apply(&mut work.weight)
    }

    /// Rounds and packs.
    fn store(
        &self,
        work: &mut Work<'_>,
        shape: PackedShape,
        format: WeightFormat,
    ) -> Result<Vec<u8>, CompressError> {
        let unfit = |reason: String| CompressError::Weight {
            name: work.spec.name.clone(),
            reason,
        };
        let Some(grid) = format.grid else {
            let kept = kept_codes(&self.base, self.recipe, work.spec, shape);
            return match kept.map_err(unfit)? {
                Some(bytes) => Ok(bytes),
                None => pack_floats(shape.format, &work.weight).map_err(unfit),
            };
        };
        let codes = self
            .round(work, &grid)
            .map_err(|source| CompressError::layer(&work.spec.name, source))?;
        pack_codes(shape, &codes).map_err(|reason| CompressError::Weight {
            name: work.spec.name.clone(),
            reason,
        })
    }

    fn round(&self, work: &mut Work<'_>, grid: &GridSpec) -> Result<LayerCodes, LayerError> {
        let view = WeightView::new(work.spec.d_out, work.spec.d_in, &work.weight)?;
        let Some(Step::Gptq(step)) = self.recipe.steps.last() else {
            return round_to_nearest(view, grid);
        };
        if work.spec.role != WeightRole::Linear {
            return round_to_nearest(view, grid);
        }
        let factor = work.inputs.and_then(|inputs| inputs.factor.as_ref());
        let Some(factor) = factor else {
            work.notes
                .push(unreached("rounded to nearest, not by gptq"));
            return round_to_nearest(view, grid);
        };
        let options = GptqOptions {
            grid: *grid,
            static_groups: step.act_order,
        };
        let made = gptq(view, factor, &options)?;
        note_factor(&mut work.notes, factor.report());
        work.output_error = Some(made.error);
        Ok(made.codes)
    }
}

/// A weight `[d_out, d_in]` rounded to nearest on the grid that `recipe` gives it.
pub(crate) fn rounded(
    recipe: &Recipe,
    spec: &WeightSpec,
    weight: &[f32],
) -> Result<Vec<f32>, CompressError> {
    let kind = WeightKind {
        role: spec.role,
        name: &spec.name,
        d_in: spec.d_in,
    };
    let Some(grid) = weight_format(recipe, kind).and_then(|format| format.grid) else {
        return Ok(weight.to_vec());
    };
    let view = WeightView::new(spec.d_out, spec.d_in, weight);
    let codes = view.and_then(|view| round_to_nearest(view, &grid));
    let codes = codes.map_err(|source| CompressError::layer(&spec.name, source))?;
    Ok(codes.dequantize().iter().map(|w| *w as f32).collect())
}

fn unreached(what: &str) -> String {
    format!("no calibration token reached this layer: {what}")
}

fn note_factor(notes: &mut Vec<String>, report: FactorReport) {
    if report.n_retries > 0 {
        notes.push(format!(
            "the Hessian was not positive definite: damping raised {} times to {}",
            report.n_retries, report.damping_ratio
        ));
    }
    if report.n_dead > 0 {
        notes.push(format!(
            "{} input channels were zero on the whole calibration text",
            report.n_dead
        ));
    }
}

/// ‖W − Q‖² / ‖W‖², 0 for a weight of zeros; and the share of zeros in Q.
fn compared(weight: &[f32], shape: PackedShape, bytes: &[u8]) -> (f64, f64) {
    let view = PackedView::new(shape, bytes).expect("the bytes were packed with this shape");
    let sums = |(row_idx, row): (usize, &[f32])| {
        let mut rounded = vec![0.0; shape.d_in];
        view.dequantize_row_reference(row_idx, &mut rounded);
        let error: f64 = row
            .iter()
            .zip(&rounded)
            .map(|(w, r)| f64::from(w - r).powi(2))
            .sum();
        let norm: f64 = row.iter().map(|w| f64::from(*w).powi(2)).sum();
        let n_zeros = rounded.iter().filter(|r| **r == 0.0).count();
        [error, norm, n_zeros as f64]
    };
    // Summed in the order of the rows, so that the report is the same every time.
    let rows: Vec<[f64; 3]> = weight
        .par_chunks_exact(shape.d_in)
        .enumerate()
        .map(sums)
        .collect();
    let total = |idx: usize| rows.iter().map(|row| row[idx]).sum::<f64>();
    let (error, norm) = (total(0), total(1));
    let error = if norm == 0.0 { 0.0 } else { error / norm };
    (error, total(2) / weight.len() as f64)
}

/// The smallest and the largest scale; `None` for floats.
fn scale_range(shape: PackedShape, bytes: &[u8]) -> Option<ScaleRange> {
    let view = PackedView::new(shape, bytes).expect("the bytes were packed with this shape");
    let scales = (0..shape.d_out).flat_map(|row| {
        (0..shape.n_groups()).filter_map(move |group| Some(view.group(row, group)?.0))
    });
    scales.fold(None, |range: Option<ScaleRange>, scale| {
        let range = range.unwrap_or(ScaleRange {
            min: scale,
            max: scale,
        });
        Some(ScaleRange {
            min: range.min.min(scale),
            max: range.max.max(scale),
        })
    })
}
