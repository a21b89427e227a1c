//! Carries out a recipe: reads every weight, changes its format, writes the artifact, reports.

use crate::{
    CompressError,
    inputs::Evidence,
    layerwise::Layerwise,
    passes::{Calibrated, CompressEvent, OnEvent},
    plan::Plan,
    state::{Finished, State},
};
use std::path::Path;
use trimtab_domain::{LayerReport, Recipe};
use trimtab_kernels::pack_f32;
use trimtab_models::{WeightRole, WeightSpec, write_artifact};

/// What [`compress`] made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// Weights in all, a tied head counted once.
    pub n_parameters: u64,
    /// Size of the artifact.
    pub n_bytes: u64,
}

/// What to make of which model.
#[derive(Clone, Copy, Debug)]
pub struct Compression<'a> {
    /// The model's file or folder, or the file that a step before has made of it.
    pub model_file: &'a Path,
    /// Folder of the adapter that the recipe merges.
    pub adapter: Option<&'a Path>,
    /// What to do.
    pub recipe: &'a Recipe,
    /// Where the artifact goes.
    pub out_file: &'a Path,
}

/// Makes the variant of `model_file` that `recipe` describes and writes it to `out_file`. A recipe
/// that merges an adapter takes it from the folder `adapter`.
///
/// `on_layer` hears of every weight that changed its format: report, how many are done, how many in all.
/// Weights are read, changed and written one at a time.
///
/// # Errors
///
/// [`CompressError`]; `out_file` may then exist in part and is to be removed. A recipe that has to be
/// calibrated is refused: [`compress_calibrated`] carries it out. So is one whose steps make another
/// model: its links are carried out one by one.
pub fn compress(
    model_file: &Path,
    adapter: Option<&Path>,
    recipe: &Recipe,
    out_file: &Path,
    on_layer: &mut dyn FnMut(LayerReport, usize, usize),
) -> Result<Compressed, CompressError> {
    recipe.validate()?;
    let plan = Plan::new(model_file, adapter, recipe)?;
    if recipe.calibration().is_some() {
        return Err(CompressError::NoCalibration(recipe.name.clone()));
    }
    let (mut n_done, n_total) = (0, plan.formats.len());
    write(&plan, out_file, &mut |spec| {
        let Finished { bytes, report } = make_plainly(&plan, spec)?;
        n_done += 1;
        on_layer(report, n_done, n_total);
        Ok(bytes)
    })
}

/// Makes a variant with a recipe that is calibrated. What is finished is kept block by block in
/// `calibrated.state`: a compression that was killed goes on there, with the same result, and the
/// folder is removed at the end.
///
/// # Errors
///
/// [`CompressError`]; `out_file` may then exist in part and is to be removed.
pub fn compress_calibrated(
    request: Compression<'_>,
    calibrated: Calibrated<'_>,
    on_event: &mut OnEvent<'_>,
) -> Result<Compressed, CompressError> {
    request.recipe.validate()?;
    let plan = Plan::new(request.model_file, request.adapter, request.recipe)?;
    let evidence = Evidence::of(request.recipe);
    let evidence =
        evidence.ok_or_else(|| CompressError::UnusedCalibration(request.recipe.name.clone()))?;
    let state = State::open(calibrated.state)?;
    let read = |spec: &WeightSpec| plan.base.read(spec);
    Layerwise::new(&plan, calibrated, evidence, &read).run(&state, on_event)?;
    let compressed = write(&plan, request.out_file, &mut |spec| {
        if let (WeightRole::Linear, Some(layer_idx)) = (spec.role, spec.place.layer) {
            return state.weight(layer_idx, &spec.name);
        }
        let Finished { bytes, report } = make_plainly(&plan, spec)?;
        on_event(CompressEvent::Layer(report));
        Ok(bytes)
    })?;
    state.remove();
    Ok(compressed)
}

/// A weight made without a look at its inputs.
fn make_plainly(plan: &Plan<'_>, spec: &WeightSpec) -> Result<Finished, CompressError> {
    let weight = plan
        .base
        .read(spec)
        .map_err(|reason| CompressError::Weight {
            name: spec.name.clone(),
            reason,
        })?;
    Ok(plan.make(spec, weight, None)?.into_stored())
}

/// Writes the artifact; `make` hears of the weights that are no vectors.
fn write(
    plan: &Plan<'_>,
    out_file: &Path,
    make: &mut dyn FnMut(&WeightSpec) -> Result<Vec<u8>, CompressError>,
) -> Result<Compressed, CompressError> {
    let header = plan.header();
    let mut failure = None;
    let written = write_artifact(out_file, &header, &mut |spec| {
        if !plan.formats.contains_key(&spec.name) {
            return plan.base.read(spec).map(|vector| pack_f32(&vector));
        }
        make(spec).map_err(|error| {
            let reason = error.to_string();
            failure = Some(error);
            reason
        })
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    written?;
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
