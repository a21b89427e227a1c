//! A compression as it is asked for, foreseen, watched and listed: what page, HTTP and command
//! line share.

use crate::{
    Bytes, Fit, JobSummary, LayerReport, MemoryNeed, MemoryPlace, ModelName, Pace, Recipe, RunId,
    RunState, StageReport, Timestamp, VariantName, VariantView,
};
use serde::{Deserialize, Serialize};

/// What is to be made of which model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompressionRequest {
    /// The model; fetched first if it is in the catalog and not here.
    pub model: ModelName,
    /// Name of a preset, or a recipe in TOML or JSON.
    pub recipe: String,
    /// Name of the variant [default: `MODEL:RECIPE`].
    #[serde(default)]
    pub name: Option<VariantName>,
}

/// The answer to a request that is to be made, before it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CompressionPreview {
    /// It can be made.
    Ready {
        /// What it will be.
        forecast: Box<CompressionForecast>,
    },
    /// It cannot.
    Refused {
        /// Why.
        problem: RecipeProblem,
    },
}

/// What is wrong with a recipe, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipeProblem {
    /// What is wrong, as one lower-case line.
    pub message: String,
    /// What the reader can do about it.
    pub hint: Option<String>,
    /// The key that is wrong, if it is one.
    pub key: Option<String>,
    /// Its line in the text, from 1.
    pub line: Option<u32>,
}

/// What a variant will be, computed before anything is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompressionForecast {
    /// Name of the variant.
    pub variant: VariantName,
    /// What was understood.
    pub recipe: Recipe,
    /// The same as TOML.
    pub toml: String,
    /// Size of the variant's file, which is all that is deployed.
    pub file: Bytes,
    /// Size of the same model in 16-bit floats.
    pub f16_file: Bytes,
    /// Storage per weight, everything included.
    pub bits_per_weight: f64,
    /// Length of the text that memory is told for, in tokens.
    pub n_tokens: u32,
    /// What it needs in memory, part by part.
    pub memory: MemoryNeed,
    /// The sum.
    pub total_memory: Bytes,
    /// The memories that it can be held in, and whether it fits.
    pub places: Vec<(MemoryPlace, Fit)>,
    /// Free space where the file goes.
    pub disk_free: Bytes,
    /// Whether the file fits there.
    pub fits_disk: bool,
    /// What has to be fetched before work begins; absent for a model that is here.
    pub to_fetch: Option<Bytes>,
    /// Sequences and tokens of each that the model will read; absent without a calibration.
    pub calibration: Option<(u32, u32)>,
    /// What the reader should know before starting.
    pub notes: Vec<String>,
}

/// A compression in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompressionSummary {
    /// Its number among all runs.
    pub run_id: RunId,
    /// The variant that it makes.
    pub variant: VariantName,
    /// The model it is made of.
    pub model: ModelName,
    /// How.
    pub recipe: Recipe,
    /// Short label of its number formats.
    pub scheme: String,
    /// Where it stands.
    pub state: RunState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// What to do about the failure.
    pub hint: Option<String>,
}

/// One compression with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompressionView {
    /// The summary.
    pub summary: CompressionSummary,
    /// Its jobs in order.
    pub jobs: Vec<JobSummary>,
    /// What its worker is at, while there is one.
    pub stage: Option<StageView>,
    /// What the steps that make another model have done so far.
    pub stages: Vec<StageReport>,
    /// The errors, layer by module.
    pub map: LayerMap,
    /// The modules that lost most, the worst first.
    pub worst: Vec<WorstModule>,
    /// What the reader should know of single weights.
    pub notes: Vec<String>,
    /// The variant, once it is made.
    pub made: Option<VariantView>,
    /// The same recipe with the worst modules at 8 bits, where that would change something.
    pub improved: Option<Recipe>,
}

/// What a worker is at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageView {
    /// In words for people.
    pub words: String,
    /// Units done.
    pub n_done: u64,
    /// Units in all.
    pub n_total: u64,
    /// How fast the units pass.
    pub pace: Pace,
    /// The weight that was finished last.
    pub weight: Option<String>,
}

/// Errors of a variant's weights: a row for each layer, a column for each module of a layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerMap {
    /// Names of the columns, for example `self_attn.q_proj`.
    pub modules: Vec<String>,
    /// The layers, first to last.
    pub rows: Vec<LayerRow>,
    /// Weights outside the layers, such as the embedding.
    pub outside: Vec<MapCell>,
    /// Ends of the colour levels: level `i` goes from `bounds[i]` to `bounds[i + 1]`. Empty until
    /// there is an error above zero.
    pub bounds: Vec<f64>,
    /// Weights that are done.
    pub n_done: u32,
    /// Weights in all.
    pub n_total: u32,
}

/// A layer of the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerRow {
    /// Which.
    pub layer: u32,
    /// As many as there are modules; `None` where nothing was reported yet, or the layer has no
    /// such module.
    pub cells: Vec<Option<MapCell>>,
}

/// A weight of the map, or the worst of several experts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapCell {
    /// What was reported.
    pub report: LayerReport,
    /// Colour level, from 0 for the smallest errors.
    pub level: u8,
    /// Weights that the cell stands for; more than one for experts.
    pub n_weights: u32,
}

/// A module that lost much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorstModule {
    /// Name of its weight.
    pub name: String,
    /// Relative squared error.
    pub error: f64,
    /// That error over the median of all.
    pub times_median: f64,
    /// Storage per weight.
    pub bits_per_weight: f64,
}

/// Layer and module of a weight's name: `(3, "mlp.up_proj")` of `model.layers.3.mlp.up_proj`; `None`
/// for a weight outside the layers.
pub fn place_in_layers(name: &str) -> Option<(u32, &str)> {
    let mut start = 0;
    for part in name.split('.') {
        let end = start + part.len();
        if let (Ok(layer), Some(module)) = (part.parse(), name.get(end + 1..)) {
            return (!module.is_empty()).then_some((layer, module));
        }
        start = end + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_layer_and_its_module() {
        let place = place_in_layers;
        assert_eq!(
            place("model.layers.3.mlp.up_proj"),
            Some((3, "mlp.up_proj"))
        );
        let expert = "model.layers.12.mlp.experts.5.up_proj";
        assert_eq!(place(expert), Some((12, "mlp.experts.5.up_proj")));
        assert_eq!(place("lm_head"), None);
        assert_eq!(place("model.embed_tokens"), None);
        for odd in ["", ".", "7", "a.7", "7.", "99999999999.x"] {
            assert_eq!(place(odd), None, "{odd}");
        }
    }
}
