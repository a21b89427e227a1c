//! What a worker says while it works. Terminal, browser, store and tests listen to the same events.

use crate::{
    AdapterReport, Bytes, CardUse, CompletionScore, Digest, ExcludedProblem, Failure, JobId,
    JobState, LayerReport, ModelName, Performance, PerplexityResult, Recipe, RunId, StageReport,
    SuiteReferences, Timestamp, VariantName,
};
use serde::{Deserialize, Serialize};

/// One event of one job; a worker writes them as JSON lines on its standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobEvent {
    /// How far the current stage is. Not stored.
    Progress {
        /// The stage, in words for people.
        stage: String,
        /// Units done.
        n_done: u64,
        /// Units in all.
        n_total: u64,
    },
    /// A line for the log.
    Log {
        /// How serious.
        level: LogLevel,
        /// The line.
        message: String,
    },
    /// A model file is there and verified.
    ModelFetched {
        /// The model.
        model: ModelName,
        /// Its digest.
        digest: Digest,
        /// Its size.
        size: Bytes,
        /// Architecture that the file names.
        #[serde(default)]
        architecture: Option<String>,
    },
    /// One layer was compressed.
    LayerCompressed {
        /// What it did.
        report: LayerReport,
    },
    /// A step that makes another model is done.
    StageFinished {
        /// What it did.
        report: StageReport,
    },
    /// A variant's artifact is in place.
    VariantMade {
        /// Its name.
        variant: VariantName,
        /// The model it was made of.
        model: ModelName,
        /// How.
        recipe: Recipe,
        /// Digest of the artifact.
        digest: Digest,
        /// Size of the artifact.
        size: Bytes,
        /// Weights in all, the tied head counted once.
        n_parameters: u64,
    },
    /// An adapter is in place.
    AdapterTrained {
        /// What it is.
        report: Box<AdapterReport>,
    },
    /// References of a suite were checked, for all variants of the run.
    ReferencesChecked {
        /// What they tell.
        references: SuiteReferences,
    },
    /// One answer was graded.
    ProblemScored {
        /// The graded answer.
        score: Box<CompletionScore>,
    },
    /// Problems of a suite are left out.
    ProblemsExcluded {
        /// The variant that is not asked.
        variant: VariantName,
        /// The problems, with reasons.
        problems: Vec<ExcludedProblem>,
    },
    /// A text was scored.
    PerplexityMeasured {
        /// The variant.
        variant: VariantName,
        /// The numbers.
        result: PerplexityResult,
    },
    /// Speed and memory were measured.
    PerformanceMeasured {
        /// The variant.
        variant: VariantName,
        /// The numbers.
        result: Performance,
    },
    /// What the worker has taken of a graphics card since it was started. Each takes the place of the
    /// one before.
    CardUsed {
        /// All of it so far.
        total: CardUse,
    },
    /// The job failed; the worker ends after this.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// The job ended well; the worker ends after this.
    Finished,
}

/// How serious a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For information.
    Info,
    /// Something the reader should know.
    Warning,
    /// Something failed.
    Error,
}

/// What the browser receives over server-sent events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunEvent {
    /// A worker said something.
    Job {
        /// The run.
        run_id: RunId,
        /// The job.
        job_id: JobId,
        /// When.
        at: Timestamp,
        /// What.
        event: JobEvent,
    },
    /// A job changed its state.
    JobState {
        /// The run.
        run_id: RunId,
        /// The job.
        job_id: JobId,
        /// The new state.
        state: JobState,
    },
    /// The whole run changed its state.
    RunState {
        /// The run.
        run_id: RunId,
        /// The new state.
        state: JobState,
    },
}

impl RunEvent {
    /// The run the event belongs to.
    pub fn run_id(&self) -> RunId {
        match self {
            Self::Job { run_id, .. }
            | Self::JobState { run_id, .. }
            | Self::RunState { run_id, .. } => *run_id,
        }
    }
}
