//! Shrinking: whole layers, heads and neurons that matter least on the calibration text go, and a
//! smaller dense model is left, which is an ordinary checkpoint and runs faster.
//!
//! Layers are chosen first, on the whole model; heads and neurons then in what is left, block by
//! block. Muralidharan et al. 2024 (Minitron, <https://arxiv.org/abs/2407.14679>) compare these
//! axes; the sources of each measure are named where it is.

mod choice;
mod cut;
mod error;
mod influence;
mod sizes;
mod stand_in;
mod width;

pub use error::ShrinkError;
pub(crate) use sizes::Sizes;

use crate::{
    Base, CompressError, StageFolder,
    passes::{Calibrated, OnEvent, Passes, Ticker},
    state::State,
};
use cut::LayerCut;
use influence::{block_influence, layers_kept};
use std::{collections::HashMap, path::PathBuf, time::Instant};
use trimtab_domain::{Recipe, Removed, Shrink, StageReport, Step};
use trimtab_models::{ModelConfig, Part, Place, WeightSpec, weight_specs};
use width::{CutRecord, Width, module_of};

/// The influence of every layer, as it is kept.
const INFLUENCE_FILE: &str = "influence.json";

/// Where blocks are kept.
const BLOCKS: &str = "blocks";

/// Makes the smaller model that the step at the end of `link` describes of `base`, in the folder
/// `calibrated.state`. Where that was done before, it is not done again, and one that was killed
/// goes on after the last finished block, with the same result.
///
/// # Errors
///
/// [`CompressError`]; a link that does not end with `shrink` is refused.
pub fn shrink(
    base: &Base,
    link: &Recipe,
    calibrated: Calibrated<'_>,
    on_event: &mut OnEvent<'_>,
) -> Result<StageReport, CompressError> {
    let Some(Step::Shrink(wish)) = link.steps.last() else {
        return Err(CompressError::NoShrink(link.name.clone()));
    };
    let folder = StageFolder::open(calibrated.state)?;
    if let Some(report) = folder.finished() {
        return Ok(report);
    }
    let clock = Instant::now();
    let work = Work {
        base,
        sizes: Sizes::after(wish, base.config())?,
        folder,
        blocks: calibrated.state.join(BLOCKS),
    };
    let read = |spec: &WeightSpec| base.read(spec);
    let passes = Passes::new(base.config(), &read, calibrated);
    let (cuts, removed) = work.cut(&passes, on_event)?;
    let layers: Vec<usize> = cuts.iter().map(|cut| cut.source).collect();
    let config = work.sizes.shrunk(base.config(), &layers);
    let report = StageReport {
        method: "shrink".to_owned(),
        summary: summary(wish, base.config(), &config),
        removed,
        notes: Vec::new(),
        agreement: None,
        n_parameters: config.n_parameters(),
        duration_ms: clock.elapsed().as_secs_f64() * 1e3,
    };
    work.write(link, &cuts, config, &report)?;
    Ok(report)
}

/// A shrinking while it is done.
struct Work<'a> {
    base: &'a Base,
    sizes: Sizes,
    folder: StageFolder<'a>,
    blocks: PathBuf,
}

impl Work<'_> {
    fn is_narrower(&self) -> bool {
        let config = self.base.config();
        self.sizes.n_kv_heads < config.n_kv_heads || self.sizes.d_ff < config.d_ff
    }

    /// What stays of the layers that stay, and what went.
    fn cut(
        &self,
        passes: &Passes<'_>,
        on_event: &mut OnEvent<'_>,
    ) -> Result<(Vec<LayerCut>, Vec<Removed>), CompressError> {
        let config = self.base.config();
        let is_shorter = self.sizes.n_layers < config.n_layers;
        let n_batches = passes.n_batches();
        let mut n_passes = 0;
        if is_shorter {
            n_passes += config.n_layers;
        }
        if self.is_narrower() {
            n_passes += self.sizes.n_layers * Width::n_passes(self.base, self.sizes);
        }
        let mut ticker = Ticker {
            on_event,
            n_done: 0,
            n_total: (n_passes * n_batches) as u64,
        };
        let (mut layers, mut removed): (Vec<usize>, _) =
            ((0..config.n_layers).collect(), Vec::new());
        if is_shorter {
            let influence = self.influence(passes, &mut ticker)?;
            layers = layers_kept(&influence, self.sizes.n_layers);
            removed = removed_layers(config, &influence, &layers);
        }
        if !self.is_narrower() {
            let whole = |layer: &usize| LayerCut::whole(config, *layer);
            return Ok((layers.iter().map(whole).collect(), removed));
        }
        let state = State::open(&self.blocks)?;
        Width::new(self.base, self.sizes, &layers, passes).run(&state, &mut ticker)?;
        let mut cuts = Vec::with_capacity(layers.len());
        for idx in 0..layers.len() {
            let record: CutRecord = state
                .record(idx)
                .ok_or_else(|| CompressError::ForeignState(self.blocks.clone()))?;
            removed.extend(record.removed);
            cuts.push(record.cut);
        }
        Ok((cuts, removed))
    }

    /// The influence of every layer, which is measured once.
    fn influence(
        &self,
        passes: &Passes<'_>,
        ticker: &mut Ticker<'_, '_>,
    ) -> Result<Vec<f64>, CompressError> {
        let n_layers = self.base.config().n_layers;
        if let Some(influence) = self.folder.load::<Vec<f64>>(INFLUENCE_FILE)
            && influence.len() == n_layers
        {
            ticker.n_done += (n_layers * passes.n_batches()) as u64;
            return Ok(influence);
        }
        let influence = block_influence(passes, n_layers, ticker)?;
        self.folder.keep(INFLUENCE_FILE, &influence)?;
        Ok(influence)
    }

    /// Writes the model that is left.
    fn write(
        &self,
        link: &Recipe,
        cuts: &[LayerCut],
        config: ModelConfig,
        report: &StageReport,
    ) -> Result<(), CompressError> {
        let source = self.base.config();
        let specs: HashMap<Place, WeightSpec> = weight_specs(source)
            .into_iter()
            .map(|spec| (spec.place, spec))
            .collect();
        let state = State::open(&self.blocks)?;
        let has_fewer_heads = self.sizes.n_kv_heads < source.n_kv_heads;
        let has_fewer_neurons = self.sizes.d_ff < source.d_ff;
        let read = |spec: &WeightSpec| {
            let Some(layer_idx) = spec.place.layer else {
                return self.base.read(spec);
            };
            let cut = &cuts[layer_idx];
            let place = Place {
                layer: Some(cut.source),
                ..spec.place
            };
            let spec = &specs[&place];
            let is_changed = match spec.place.part {
                Part::Output => has_fewer_heads && !spec.place.is_bias,
                Part::Down => has_fewer_neurons && !spec.place.is_bias,
                _ => false,
            };
            if is_changed {
                let bytes = state.weight(layer_idx, &spec.name);
                let bytes = bytes.map_err(|error| error.to_string())?;
                let values = bytes.as_chunks::<4>().0.iter();
                return Ok(values.map(|bytes| f32::from_le_bytes(*bytes)).collect());
            }
            Ok(cut.applied(source, spec, self.base.read(spec)?))
        };
        self.folder.finish(self.base, link, config, &read, report)?;
        state.remove();
        Ok(())
    }
}

/// The layers that go, with their influence.
fn removed_layers(config: &ModelConfig, influence: &[f64], kept: &[usize]) -> Vec<Removed> {
    let mut removed = Vec::new();
    for spec in weight_specs(config) {
        let place = spec.place;
        let (Part::InputNorm, Some(layer_idx), false) = (place.part, place.layer, place.is_bias)
        else {
            continue;
        };
        if !kept.contains(&layer_idx) {
            removed.push(Removed {
                name: module_of(&spec.name).to_owned(),
                score: influence[layer_idx],
            });
        }
    }
    removed
}

/// What became of the sizes, in words.
fn summary(wish: &Shrink, before: &ModelConfig, after: &ModelConfig) -> String {
    let mut parts = Vec::new();
    let mut tell = |is_asked: bool, what: &str, n: usize, n_left: usize| {
        if is_asked {
            parts.push(format!("{n_left} of {n} {what}"));
        }
    };
    tell(
        wish.layers.is_some(),
        "layers",
        before.n_layers,
        after.n_layers,
    );
    tell(
        wish.heads.is_some(),
        "heads a layer",
        before.n_heads,
        after.n_heads,
    );
    tell(
        wish.neurons.is_some(),
        "neurons a layer",
        before.d_ff,
        after.d_ff,
    );
    let share = 100.0 * after.n_parameters() as f64 / before.n_parameters() as f64;
    format!("{} left, {share:.1} % of the weights", parts.join(", "))
}
