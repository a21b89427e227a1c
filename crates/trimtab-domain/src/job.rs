//! Runs, jobs and the settings they carry.

use crate::{
    CardUse, JobId, KvCacheFormat, LoraSpec, ModelName, PerformanceDepth, Recipe, RunId, Timestamp,
    VariantName,
};
use serde::{Deserialize, Serialize};

/// What the user asks for: which variants, on which suites, how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// Name for people.
    pub title: String,
    /// Variants to evaluate, by name or `MODEL:PRESET`; missing presets are made first.
    pub variants: Vec<VariantName>,
    /// The variant that all others are compared with; one of `variants`.
    pub baseline: VariantName,
    /// Suites by name.
    pub suites: Vec<String>,
    /// Use only the first so many problems of each suite.
    pub limit: Option<u32>,
    /// Seed of everything random in the run.
    pub seed: u64,
    /// One setting for all variants.
    pub decoding: Decoding,
    /// How much of the speed is measured, of every variant alike.
    #[serde(default)]
    pub performance: PerformanceDepth,
}

/// How a problem is put to a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptStyle {
    /// Asked in a message, inside the model's chat template.
    #[default]
    Chat,
    /// The beginning of a program, to go on with.
    Completion,
}

impl PromptStyle {
    /// The word used on the command line and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completion => "completion",
        }
    }

    /// Reads the word of [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Chat, Self::Completion]
            .into_iter()
            .find(|style| style.as_str() == text)
    }
}

/// How answers are decoded: the same for every variant of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoding {
    /// 0 takes the likeliest token each time (greedy).
    pub temperature: f32,
    /// Keep the smallest set of tokens with this share of probability; 1 keeps all.
    pub top_p: f32,
    /// Longest answer in tokens.
    pub max_tokens: u32,
    /// Number format of cached keys and values.
    #[serde(default = "KvCacheFormat::unrecorded")]
    pub kv_cache: KvCacheFormat,
    /// How problems are put to the model.
    #[serde(default)]
    pub prompt_style: PromptStyle,
    /// Answers to each problem; more than one needs a temperature.
    #[serde(default = "one")]
    pub n_samples: u32,
}

/// What was meant before there was a choice.
fn one() -> u32 {
    1
}

impl Decoding {
    /// `chat style, one answer for each problem, temperature 0, …`.
    pub fn in_words(&self) -> String {
        let answers = match self.n_samples {
            1 => "one answer".to_owned(),
            n => format!("{n} answers"),
        };
        format!(
            "{} style, {answers} for each problem, temperature {}, top-p {}, at most {} tokens an \
             answer, KV cache in {}",
            self.prompt_style.as_str(),
            self.temperature,
            self.top_p,
            self.max_tokens,
            self.kv_cache
        )
    }
}

impl RunSpec {
    /// The settings that all variants share: decoding, seed and what is measured.
    pub fn settings_in_words(&self) -> String {
        let decoding = self.decoding.in_words();
        let measured = match self.performance {
            PerformanceDepth::Quick => "of one sequence",
            PerformanceDepth::Full => "of one sequence and by context and batch",
        };
        format!("{decoding}, seed {}, speed {measured}", self.seed)
    }
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            max_tokens: 256,
            kv_cache: KvCacheFormat::default(),
            prompt_style: PromptStyle::default(),
            n_samples: 1,
        }
    }
}

/// The work of one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSpec {
    /// Fetches and verifies a model file.
    Fetch {
        /// Name in the catalog.
        model: ModelName,
    },
    /// Makes a variant.
    Compress {
        /// The model to compress.
        model: ModelName,
        /// How.
        recipe: Recipe,
        /// Name of the variant.
        variant: VariantName,
    },
    /// Trains a low-rank adapter beside a variant.
    TrainLora {
        /// The variant.
        base: VariantName,
        /// How.
        lora: Box<LoraSpec>,
    },
    /// Evaluates one variant of a run.
    Evaluate(EvaluateSpec),
}

impl JobSpec {
    /// A line for people: what this job does.
    pub fn title(&self) -> String {
        match self {
            Self::Fetch { model } => format!("Fetch {model}"),
            Self::Compress { variant, .. } => format!("Make {variant}"),
            Self::TrainLora { base, .. } => format!("Train an adapter for {base}"),
            Self::Evaluate(spec) => format!("Evaluate {}", spec.variant),
        }
    }
}

/// What one evaluation job does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluateSpec {
    /// The variant.
    pub variant: VariantName,
    /// Suites by name.
    pub suites: Vec<String>,
    /// Use only the first so many problems of each suite.
    pub limit: Option<u32>,
    /// Seed of everything random.
    pub seed: u64,
    /// How answers are decoded.
    pub decoding: Decoding,
    /// How much of the speed is measured.
    #[serde(default)]
    pub performance: PerformanceDepth,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its turn.
    Queued,
    /// A worker process is on it.
    Running,
    /// Ended well.
    Done,
    /// Ended with an error, which is recorded.
    Failed,
    /// Stopped by a user.
    Cancelled,
}

impl JobState {
    /// Whether nothing more will happen to the job.
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Done | Self::Failed | Self::Cancelled => true,
        }
    }

    /// The word used in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word of [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Queued,
            Self::Running,
            Self::Done,
            Self::Failed,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// A run is as far as its jobs are; the words are the same.
pub type RunState = JobState;

/// What a run is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Its variants are evaluated on suites.
    #[default]
    Evaluation,
    /// One variant is made, and that is all.
    Compression,
}

impl RunKind {
    /// The word used in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evaluation => "evaluation",
            Self::Compression => "compression",
        }
    }

    /// Reads the word of [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Evaluation, Self::Compression]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// One job of a run, as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSummary {
    /// The job.
    pub job_id: JobId,
    /// The run it belongs to.
    pub run_id: Option<RunId>,
    /// What it does.
    pub spec: JobSpec,
    /// Where it stands.
    pub state: JobState,
    /// How often a worker was started on it.
    pub n_attempts: u32,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// What to do about the failure.
    pub hint: Option<String>,
    /// When the first worker started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What all its workers took of a graphics card; absent where none was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_use: Option<CardUse>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_read_back_what_they_write() {
        for state in [
            JobState::Queued,
            JobState::Running,
            JobState::Done,
            JobState::Failed,
            JobState::Cancelled,
        ] {
            assert_eq!(JobState::parse(state.as_str()), Some(state));
        }
        assert_eq!(JobState::parse("lost"), None);
        for kind in [RunKind::Evaluation, RunKind::Compression] {
            assert_eq!(RunKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(RunKind::parse("lost"), None);
    }

    #[test]
    fn settings_stored_before_the_cache_had_a_format_mean_f32() {
        let stored = r#"{"temperature":0.0,"top_p":1.0,"max_tokens":256}"#;
        let decoding: Decoding = serde_json::from_str(stored).unwrap();
        assert_eq!(decoding.kv_cache, KvCacheFormat::F32);
        assert_eq!(decoding.prompt_style, PromptStyle::Chat);
        assert_eq!(decoding.n_samples, 1);
        assert_eq!(Decoding::default().kv_cache, KvCacheFormat::F16);
        let words = decoding.in_words();
        assert!(
            words.starts_with("chat style, one answer for each problem, temperature 0, top-p 1")
        );
        let text = serde_json::to_string(&Decoding::default()).unwrap();
        assert_eq!(
            serde_json::from_str::<Decoding>(&text).unwrap(),
            Decoding::default()
        );
    }
}
