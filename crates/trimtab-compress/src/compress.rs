//! Carries out a recipe: reads every weight, changes its format, writes the artifact, reports.

use crate::{
    CompressError,
    choice::{Choice, Choosing},
    inputs::Evidence,
    layerwise::Layerwise,
    passes::{Calibrated, CompressEvent, OnEvent},
    plan::Plan,
    scaling::Folded,
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
    write(&plan, out_file, None, &mut |report| {
        n_done += 1;
        on_layer(report, n_done, n_total);
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
    if request.recipe.calibration().is_none() {
        let name = request.recipe.name.clone();
        return Err(CompressError::UnusedCalibration(name));
    }
    let state = State::open(calibrated.state)?;
    let choice = choice(request, calibrated, &state, on_event)?;
    let applied = choice.as_ref().map(|choice| choice.applied(request.recipe));
    let recipe = applied.as_ref().unwrap_or(request.recipe);
    let mut plan = Plan::new(request.model_file, request.adapter, recipe)?;
    plan.bit_losses = choice.map(|choice| choice.losses).unwrap_or_default();
    // A choice of bits alone leaves nothing to be measured.
    let is_layerwise = recipe.awq().is_some() || Evidence::of(recipe).is_some();
    if is_layerwise {
        let folded = Folded::default();
        let read = |spec: &WeightSpec| folded.read(&plan, spec);
        Layerwise::new(&plan, calibrated, &folded, &read).run(&state, on_event)?;
    }
    let finished = is_layerwise.then_some(&state);
    let compressed = write(&plan, request.out_file, finished, &mut |report| {
        on_event(CompressEvent::Layer(report));
    })?;
    state.remove();
    Ok(compressed)
}

/// The bits of each module, where the recipe has them chosen.
fn choice(
    request: Compression<'_>,
    calibrated: Calibrated<'_>,
    state: &State<'_>,
    on_event: &mut OnEvent<'_>,
) -> Result<Option<Choice>, CompressError> {
    let Some(asked) = request.recipe.bit_choice() else {
        return Ok(None);
    };
    let plan = Plan::new(request.model_file, request.adapter, request.recipe)?;
    let read = |spec: &WeightSpec| plan.base.read(spec);
    let choosing = Choosing::new(&plan, calibrated, asked, &read);
    choosing.run(state, on_event).map(Some)
}

/// A weight as it is stored, made without a look at its inputs where it is not among what is
/// `finished`; `on_layer` hears of the matrices that are made.
fn stored(
    plan: &Plan<'_>,
    finished: Option<&State<'_>>,
    spec: &WeightSpec,
    on_layer: &mut dyn FnMut(LayerReport),
) -> Result<Vec<u8>, CompressError> {
    let kept = match (finished, spec.place.layer, spec.role) {
        (Some(state), Some(layer_idx), WeightRole::Linear) => {
            Some(state.weight(layer_idx, &spec.name)?)
        }
        (Some(state), Some(layer_idx), WeightRole::Vector) => {
            state.vector(layer_idx, &spec.name)?
        }
        _ => None,
    };
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let weight = plan
        .base
        .read(spec)
        .map_err(|reason| CompressError::Weight {
            name: spec.name.clone(),
            reason,
        })?;
    if spec.role == WeightRole::Vector {
        return Ok(pack_f32(&weight));
    }
    let Finished { bytes, report } = plan.make(spec, weight, None)?.into_stored();
    on_layer(report);
    Ok(bytes)
}

/// Writes the artifact.
fn write(
    plan: &Plan<'_>,
    out_file: &Path,
    finished: Option<&State<'_>>,
    on_layer: &mut dyn FnMut(LayerReport),
) -> Result<Compressed, CompressError> {
    let header = plan.header();
    let mut failure = None;
    let written = write_artifact(out_file, &header, &mut |spec| {
        stored(plan, finished, spec, on_layer).map_err(|error| {
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
