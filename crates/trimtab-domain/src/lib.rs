//! Ids, units, recipes, manifests, results and events: the types that cross crate and wire borders.
//!
//! Everything here is plain data with serde, compiles to wasm and does no IO.
//! A type that leaves the process (HTTP, events, stored JSON) is defined here once and nowhere else.

mod capacity;
mod catalog;
mod dataset;
mod device;
mod error;
mod event;
mod ids;
mod job;
mod kv_cache;
mod manifest;
mod pareto;
mod recipe;
mod result;
mod tradeoff;
mod units;
mod view;

pub use capacity::{CapacityView, Fit, MemoryNeed, MemoryPlace, MemoryShape, PresetNeed, TextNeed};
pub use catalog::{CatalogModel, Mirror, catalog};
pub use dataset::{
    CatalogDataset, CatalogFile, DatasetFile, DatasetState, DatasetView, dataset_catalog,
};
pub use device::{DeviceName, InvalidDevice};
pub use error::{ErrorBody, Failure, FailureKind};
pub use event::{JobEvent, LogLevel, RunEvent};
pub use ids::{Digest, InvalidDigest, InvalidName, JobId, ModelName, RunId, VariantName};
pub use job::{
    Decoding, EvaluateSpec, JobSpec, JobState, JobSummary, PromptStyle, RunSpec, RunState,
};
pub use kv_cache::{InvalidKvCacheFormat, KvCacheFormat};
pub use manifest::{Hardware, Manifest, SuiteDigest, VariantDigest};
pub use pareto::{Direction, pareto_frontier};
pub use recipe::{
    Activations, Calibration, CalibrationForm, CalibrationSource, CalibrationText, CodeGrid,
    FloatFormat, Gptq, GroupSize, InvalidRecipe, Override, Prune, PruneBy, Recipe, Rtn,
    ScaleSearch, Sparsity, Step, StoredAs,
};
pub use result::{
    CompletionScore, Estimate, FinishReason, LayerReport, Performance, PerplexityResult, Quantiles,
    ScaleRange, Spread, TrackScore, VariantResult, Verdict,
};
pub use tradeoff::{Axis, Comparison, Criterion, QualityVerdict, TradeoffView};
pub use units::{Bytes, Timestamp, format_duration_ms};
pub use view::{
    Check, CheckStatus, ModelView, OverviewView, RunDetail, RunSummary, SuiteView, VariantView,
};
