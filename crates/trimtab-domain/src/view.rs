//! What pages and the HTTP API show; made by the service, never computed in the browser.

use crate::{
    Bytes, Digest, JobSummary, Manifest, ModelName, Recipe, Reproduction, RunId, RunKind, RunSpec,
    RunState, StageReport, Timestamp, TradeoffView, VariantName, VariantResult,
};
use serde::{Deserialize, Serialize};

/// The first page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverviewView {
    /// The newest run that has a comparison.
    pub latest: Option<TradeoffView>,
    /// One sentence that a non-expert can act on.
    pub advice: Option<String>,
    /// The run that is going on, if one is.
    pub active: Option<RunSummary>,
    /// Runs in the store.
    pub n_runs: u32,
    /// Variants in the store.
    pub n_variants: u32,
    /// Version of Trimtab.
    pub version: String,
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run_id: RunId,
    /// What it is for.
    #[serde(default)]
    pub kind: RunKind,
    /// Name for people.
    pub title: String,
    /// Where it stands.
    pub state: RunState,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Its variants.
    pub variants: Vec<VariantName>,
    /// Its suites.
    pub suites: Vec<String>,
    /// Problems graded, over all variants.
    pub n_scored: u32,
    /// Problems in all, over all variants.
    pub n_problems: u32,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// What to do about the failure.
    pub hint: Option<String>,
}

/// One run with all it knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunDetail {
    /// The summary.
    pub summary: RunSummary,
    /// What was asked for.
    pub spec: RunSpec,
    /// Its jobs in order.
    pub jobs: Vec<JobSummary>,
    /// What is known of each variant.
    pub results: Vec<VariantResult>,
    /// The newest log lines, oldest first: when, and the line.
    pub log: Vec<(Timestamp, String)>,
    /// All that is needed to do it again.
    pub manifest: Option<Manifest>,
    /// How often it was done again, and what came of it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reproductions: Vec<Reproduction>,
}

/// A model and its variants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelView {
    /// The name.
    pub name: ModelName,
    /// Name for people.
    pub title: String,
    /// What it is good for.
    pub summary: String,
    /// SPDX identifier of the weights' licence.
    pub licence: String,
    /// Digest of the file.
    pub digest: Digest,
    /// Size of the file.
    pub size: Bytes,
    /// Whether the file is on this machine, verified.
    pub is_fetched: bool,
    /// Architecture name of the file, once fetched.
    pub architecture: Option<String>,
    /// Its variants, oldest first.
    pub variants: Vec<VariantView>,
}

/// A variant in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantView {
    /// The name.
    pub name: VariantName,
    /// The model it was made of.
    pub model: ModelName,
    /// How it was made.
    pub recipe: Recipe,
    /// What the steps that make another model have done, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageReport>,
    /// Short label of its number formats.
    pub scheme: String,
    /// Digest of the artifact.
    pub digest: Digest,
    /// Size of the artifact.
    pub size: Bytes,
    /// Weights in all.
    pub n_parameters: u64,
    /// Storage per weight, everything included.
    pub bits_per_weight: f64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A suite in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteView {
    /// Name used everywhere.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Problems in all.
    pub n_problems: u32,
    /// The kinds of problem, in the order of first appearance.
    pub tracks: Vec<String>,
    /// Digest of its problems, prompts and tests included.
    pub digest: Digest,
}

/// One thing that was checked on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// How it turned out.
    pub status: CheckStatus,
    /// What was found.
    pub detail: String,
    /// What the reader can do about it.
    pub hint: Option<String>,
}

/// How a check turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Works.
    Ok,
    /// Works, but less well than it could.
    Warning,
    /// Does not work.
    Error,
}
