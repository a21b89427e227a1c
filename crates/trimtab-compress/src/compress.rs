//! Carries out a recipe: reads every weight, changes its format, writes the artifact, reports.

use crate::{
    CompressError,
    format::{is_symmetric, weight_format},
    keep::{kept_codes, kept_formats},
    rtn::round_to_nearest,
};
use rayon::prelude::*;
use std::{collections::BTreeMap, path::Path};
use trimtab_domain::{LayerReport, Recipe, Step};
use trimtab_kernels::{PackedFormat, PackedShape, PackedView, pack_f32};
use trimtab_models::{
    ArtifactHeader, Checkpoint, WeightRole, WeightSpec,
    peft::{PeftAdapter, adaptable_linears},
    weight_specs, write_artifact,
};

/// What [`compress`] made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// Weights in all, a tied head counted once.
    pub n_parameters: u64,
    /// Size of the artifact.
    pub n_bytes: u64,
}

/// Makes the variant of `model_file` that `recipe` describes and writes it to `out_file`. A recipe
/// that merges an adapter takes it from the folder `adapter`.
///
/// `on_layer` hears of every weight that changed its format: report, how many are done, how many in all.
/// Weights are read, changed and written one at a time.
///
/// # Errors
///
/// [`CompressError`]; `out_file` may then exist in part and is to be removed.
pub fn compress(
    model_file: &Path,
    adapter: Option<&Path>,
    recipe: &Recipe,
    out_file: &Path,
    on_layer: &mut dyn FnMut(LayerReport, usize, usize),
) -> Result<Compressed, CompressError> {
    recipe.validate()?;
    let plan = Plan::new(model_file, adapter, recipe)?;
    let header = plan.header();
    let (mut n_done, n_total) = (0, header.formats.len());
    write_artifact(out_file, &header, &mut |spec| {
        let weight = plan.read(spec)?;
        let Some(format) = plan.formats.get(&spec.name).copied() else {
            return Ok(pack_f32(&weight));
        };
        let (bytes, report) = plan.pack(spec, &weight, format)?;
        n_done += 1;
        on_layer(report, n_done, n_total);
        Ok(bytes)
    })?;
    let n_bytes =
        std::fs::metadata(out_file).map_err(|source| trimtab_models::ArtifactError::Io {
            path: out_file.to_owned(),
            source,
        })?;
    Ok(Compressed {
        n_parameters: header.config.n_parameters(),
        n_bytes: n_bytes.len(),
    })
}

/// What is made of which weights.
struct Plan<'a> {
    checkpoint: Checkpoint,
    adapter: Option<PeftAdapter>,
    recipe: &'a Recipe,
    /// The format of every weight that is not a vector.
    formats: BTreeMap<String, PackedFormat>,
}

impl<'a> Plan<'a> {
    fn new(
        model_file: &Path,
        adapter: Option<&Path>,
        recipe: &'a Recipe,
    ) -> Result<Self, CompressError> {
        let checkpoint = Checkpoint::open(model_file)?;
        let adapter = match (recipe.adapter(), adapter) {
            (None, _) => None,
            (Some(digest), None) => return Err(CompressError::AdapterMissing(digest.clone())),
            (Some(_), Some(folder)) => {
                let linears = adaptable_linears(checkpoint.config());
                Some(PeftAdapter::open(folder, &linears)?)
            }
        };
        let specs = weight_specs(checkpoint.config());
        let formats = match recipe.steps.last() {
            Some(Step::Keep) => kept_formats(&checkpoint, &specs)?,
            _ => specs
                .iter()
                .filter_map(|spec| Some((spec.name.clone(), weight_format(recipe, spec.role)?)))
                .collect(),
        };
        Ok(Self {
            checkpoint,
            adapter,
            recipe,
            formats,
        })
    }

    fn header(&self) -> ArtifactHeader {
        ArtifactHeader {
            format_version: ArtifactHeader::FORMAT_VERSION,
            config: self.checkpoint.config().clone(),
            recipe: self.recipe.clone(),
            formats: self
                .formats
                .iter()
                .map(|(name, format)| (name.clone(), (*format).into()))
                .collect(),
        }
    }

    /// A weight as floats, with what an adapter adds to it.
    fn read(&self, spec: &WeightSpec) -> Result<Vec<f32>, String> {
        let weight = self.checkpoint.read(spec);
        let mut weight = weight.map_err(|error| error.to_string())?;
        if let Some(adapter) = &self.adapter {
            let merged = adapter.merge(&spec.name, &mut weight);
            merged.map_err(|error| error.to_string())?;
        }
        Ok(weight)
    }

    fn pack(
        &self,
        spec: &WeightSpec,
        weight: &[f32],
        format: PackedFormat,
    ) -> Result<(Vec<u8>, LayerReport), String> {
        let clock = std::time::Instant::now();
        let shape = PackedShape {
            d_out: spec.d_out,
            d_in: spec.d_in,
            format,
        };
        let kept = kept_codes(&self.checkpoint, self.recipe, spec, shape)?;
        let bytes = if let Some(bytes) = kept {
            bytes
        } else {
            // Only linear layers have the choice; 8-bit embeddings are always symmetric.
            let symmetric = is_symmetric(self.recipe) || spec.role != WeightRole::Linear;
            round_to_nearest(weight, shape, symmetric)?
        };
        let report = LayerReport {
            name: spec.name.clone(),
            error: relative_error(weight, shape, &bytes),
            bits_per_weight: 8.0 * bytes.len() as f64 / weight.len() as f64,
            duration_ms: clock.elapsed().as_secs_f64() * 1e3,
        };
        Ok((bytes, report))
    }
}

/// ‖W − Q‖² / ‖W‖², 0 for a weight of zeros.
fn relative_error(weight: &[f32], shape: PackedShape, bytes: &[u8]) -> f64 {
    let view = PackedView::new(shape, bytes).expect("the bytes were packed with this shape");
    let sums = |(row_idx, row): (usize, &[f32])| {
        let mut rounded = vec![0.0; shape.d_in];
        view.dequantize_row_reference(row_idx, &mut rounded);
        let error: f64 = row
            .iter()
            .zip(&rounded)
            .map(|(w, r)| f64::from(w - r).powi(2))
            .sum();
        (
            error,
            row.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>(),
        )
    };
    let (error, norm) = weight
        .par_chunks_exact(shape.d_in)
        .enumerate()
        .map(sums)
        .reduce(|| (0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    if norm == 0.0 { 0.0 } else { error / norm }
}
