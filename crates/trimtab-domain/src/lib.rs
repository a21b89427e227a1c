//! Ids, units, recipes, manifests, results and events: the types that cross crate and wire borders.
//!
//! Everything here is plain data with serde, compiles to wasm and does no IO.
//! A type that leaves the process (HTTP, events, stored JSON) is defined here once and nowhere else.

mod agreement;
mod answer_detail;
mod capacity;
mod card_use;
mod catalog;
mod compression;
mod cost;
mod dataset;
mod device;
mod error;
mod evaluation_plan;
mod event;
mod finding;
mod flip;
mod ids;
mod job;
mod kv_cache;
mod likelihood;
mod lora;
mod manifest;
mod pace;
mod pareto;
mod performance;
mod recipe;
mod reference;
mod reproduction;
mod result;
mod speed_forecast;
mod stage;
mod suite_scores;
mod tradeoff;
mod units;
mod view;

pub use agreement::{Agreement, AgreementReport, Measured};
pub use answer_detail::{AnswerDetail, AnswerTokens, BleuTally, CodeBleuTally, Likeness, Repair};
pub use capacity::{CapacityView, Fit, MemoryNeed, MemoryPlace, MemoryShape, PresetNeed, TextNeed};
pub use card_use::{CardMemory, CardMemoryOf, CardUse, energy_words, shared_card_words};
pub use catalog::{CatalogModel, Mirror, catalog};
pub use compression::{
    CompressionForecast, CompressionPreview, CompressionRequest, CompressionSummary,
    CompressionView, LayerMap, LayerRow, MapCell, RecipeProblem, StageView, WorstModule,
    place_in_layers,
};
pub use cost::{BreakEven, PriceTable, QueryUse, VariantCost};
pub use dataset::{
    CatalogDataset, CatalogFile, DatasetFile, DatasetState, DatasetView, dataset_catalog,
};
pub use device::{DeviceName, InvalidDevice};
pub use error::{ErrorBody, Failure, FailureKind};
pub use evaluation_plan::{EvaluationPlan, PlannedPower, PlannedSuite, SuiteForecast};
pub use event::{JobEvent, LogLevel, RunEvent};
pub use finding::{Finding, FindingKind};
pub use flip::{Flip, Flips, TokenDifference, TokenPiece};
pub use ids::{Digest, InvalidDigest, InvalidName, JobId, ModelName, RunId, VariantName};
pub use job::{
    Decoding, EvaluateSpec, JobSpec, JobState, JobSummary, PromptStyle, RunKind, RunSpec, RunState,
};
pub use kv_cache::{InvalidKvCacheFormat, KvCacheFormat};
pub use likelihood::{ClusteredEstimate, LikelihoodComparison};
pub use lora::{AdapterReport, LoraOptions, LoraSpec};
pub use manifest::{Hardware, Manifest, SuiteDigest, VariantDigest};
pub use pace::Pace;
pub use pareto::{Direction, pareto_frontier};
pub use performance::{
    BatchSpeed, ContextSpeed, LeftOut, LeftOutReason, Performance, PerformanceDepth,
    PerformanceDetail, QUIET_LOAD, ThroughputMatrix, load_warning, load_words,
};
pub use recipe::{
    Activations, Awq, Calibration, CalibrationForm, CalibrationSource, CalibrationText, ChooseBits,
    CodeGrid, Distil, DistilLoss, FloatFormat, Gptq, GroupSize, InvalidRecipe, LayerCount,
    Override, Prune, PruneBy, RateDecay, Recipe, Rtn, ScaleSearch, Shrink, Sparsity, Step,
    StoredAs,
};
pub use reference::{ReferenceFinding, ReferenceOutcome, SuiteReferences};
pub use reproduction::{ReproducedNumber, Reproduction};
pub use result::{
    BitLoss, ChannelScales, CompletionScore, Estimate, FinishReason, LayerReport, PerplexityResult,
    Quantiles, ScaleRange, Spread, TrackScore, VariantResult, Verdict,
};
pub use speed_forecast::{SpeedBasis, SpeedForecast, VariantSpeedForecast};
pub use stage::{Removed, StageReport};
pub use suite_scores::{ExcludedProblem, LikenessScore, PassAtK, RepairScore};
pub use tradeoff::{
    Axis, Comparison, Criterion, QualityMeasure, QualityTest, QualityVerdict, TradeoffView,
};
pub use units::{Bytes, Timestamp, format_duration_ms};
pub use view::{
    Check, CheckStatus, ModelView, OverviewView, RunDetail, RunSummary, SuiteView, VariantView,
};
