//! What a step that makes another model has done.

use crate::AgreementReport;
use serde::{Deserialize, Serialize};

/// What a step that makes another model has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// The step's word in recipes.
    pub method: String,
    /// What became of the model, in words for people.
    pub summary: String,
    /// What was taken out, in the order of the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Removed>,
    /// What the reader should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How far it answers as a teacher does, if it learnt from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Box<AgreementReport>>,
    /// Weights in all that are left, a tied head counted once.
    pub n_parameters: u64,
    /// Time spent.
    pub duration_ms: f64,
}

/// Something that was taken out of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    /// What, by its name in the model that it was taken from.
    pub name: String,
    /// How much it mattered. Of a layer: its influence, 1 − mean cosine similarity of its input and
    /// output. Of heads and neurons: their share of what all of their layer add to its output,
    /// squared.
    pub score: f64,
}
