//! Scores and measurements, each with its `n` and interval.

use crate::{
    AnswerDetail, Bytes, ExcludedProblem, KvCacheFormat, LikenessScore, PassAtK, Performance,
    RepairScore, VariantName,
};
use serde::{Deserialize, Serialize};

/// A value with its 95 % interval and the number of observations behind it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The point estimate.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// Observations.
    pub n: u32,
}

/// Why generation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// End-of-text token or a stop string.
    Stop,
    /// The token limit.
    Length,
}

/// How a program ended in the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All tests passed.
    Passed,
    /// A test failed or the program raised an error.
    Failed,
    /// Ran into the wall-clock or CPU limit.
    TimedOut,
    /// Killed by a signal other than by a limit.
    Crashed,
    /// Ran out of memory.
    OutOfMemory,
    /// Ended by an error with which the sandbox had refused it something, such as a file or the network.
    Refused,
    /// Wrote more than the output limit.
    OutputFlood,
    /// The answer held no program.
    NoProgram,
    /// The problem has no tests: the answer was compared with a reference, and nothing was run.
    Compared,
}

impl Verdict {
    /// The word used in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Crashed => "crashed",
            Self::OutOfMemory => "out_of_memory",
            Self::Refused => "refused",
            Self::OutputFlood => "output_flood",
            Self::NoProgram => "no_program",
            Self::Compared => "compared",
        }
    }

    /// Whether all tests passed.
    pub fn has_passed(self) -> bool {
        self == Self::Passed
    }

    /// Whether tests decided: only such answers count for pass@1.
    pub fn is_of_tests(self) -> bool {
        self != Self::Compared
    }

    /// Reads the word of [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Passed,
            Self::Failed,
            Self::TimedOut,
            Self::Crashed,
            Self::OutOfMemory,
            Self::Refused,
            Self::OutputFlood,
            Self::NoProgram,
            Self::Compared,
        ]
        .into_iter()
        .find(|verdict| verdict.as_str() == text)
    }
}

/// One graded answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompletionScore {
    /// The variant that answered.
    pub variant: VariantName,
    /// The suite.
    pub suite: String,
    /// The problem's id in its suite.
    pub problem_id: String,
    /// The problem's track, for example `write`, `repair`, `translate`.
    pub track: String,
    /// Which of several answers to the problem; 0 when greedy.
    pub sample_idx: u32,
    /// How the program ended.
    pub verdict: Verdict,
    /// The answer as generated.
    pub completion: String,
    /// What the program printed, cut to a few lines.
    pub output: String,
    /// Tokens of the prompt.
    pub n_prompt_tokens: u32,
    /// Tokens of the answer.
    pub n_output_tokens: u32,
    /// Why generation stopped.
    pub finish_reason: FinishReason,
    /// Request accepted to first token.
    pub ttft_ms: f64,
    /// (end-to-end − TTFT) / (output tokens − 1); absent below two tokens.
    pub tpot_ms: Option<f64>,
    /// Wall-clock time of grading.
    pub grading_ms: f64,
    /// What else is known.
    #[serde(default)]
    pub detail: AnswerDetail,
}

/// Passed and counted problems of one track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackScore {
    /// The track.
    pub track: String,
    /// Problems that passed.
    pub n_passed: u32,
    /// Problems graded.
    pub n: u32,
}

/// Likelihood of a text under a variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerplexityResult {
    /// exp of the mean negative log-likelihood per token.
    pub perplexity: f64,
    /// Lower end of the 95 % interval (normal approximation on the mean log-likelihood).
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// Tokens scored.
    pub n_tokens: u32,
    /// Window in tokens; windows do not overlap.
    pub context: u32,
    /// Name of the text.
    pub text: String,
    /// Number format of cached keys and values.
    #[serde(default = "KvCacheFormat::unrecorded")]
    pub kv_cache: KvCacheFormat,
}

/// Median and tails of a set of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Measurements.
    pub n: u32,
}

/// Median and range of a few repeats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Median.
    pub median: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Repeats.
    pub n: u32,
}

/// What compressing did to one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerReport {
    /// Name of the weight, for example `model.layers.0.self_attn.q_proj`.
    pub name: String,
    /// Relative error: ‖W − Q‖² / ‖W‖² (Frobenius).
    pub error: f64,
    /// Storage per weight, scales and zero points included.
    pub bits_per_weight: f64,
    /// Time spent on the layer.
    pub duration_ms: f64,
    /// Squared error of the layer's outputs on the calibration text, twice the sum over outputs of
    /// the mean over tokens: tr((W − Q) H (W − Q)ᵀ) with H = 2/n · Σ x xᵀ. Absent where the method
    /// does not measure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_error: Option<f64>,
    /// Smallest and largest scale; absent for weights in floats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scales: Option<ScaleRange>,
    /// What input channels were multiplied by before the weight was rounded; absent where they were
    /// not. Errors are those of the weight as it was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_scales: Option<ChannelScales>,
    /// What each bit width was measured to cost, alike for all weights of a module; empty where
    /// bits were not chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bit_losses: Vec<BitLoss>,
    /// Share of weights that are zero.
    #[serde(default)]
    pub sparsity: f64,
    /// What the reader should know, for example that the layer was done in another way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The smallest and the largest scale of a layer's groups.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleRange {
    /// Smallest.
    pub min: f32,
    /// Largest.
    pub max: f32,
}

/// What the input channels of a layer were multiplied by, so that rounding takes less from those with
/// large inputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelScales {
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// The exponent of the mean input that they come from; 0 scales nothing.
    pub exponent: f64,
    /// Error of the outputs of all layers that read the input when the scaled weights are rounded to
    /// nearest, as a share of that without scaling.
    pub error_ratio: f64,
}

/// What a bit width costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BitLoss {
    /// Width of a code.
    pub bits: u8,
    /// Kullback–Leibler divergence of the model's next token, in nats a token, when only this module
    /// is rounded.
    pub divergence: f64,
    /// Whether the module got this width.
    pub is_chosen: bool,
}

/// Everything a run knows of one variant so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantResult {
    /// The variant.
    pub variant: VariantName,
    /// Short label of its number formats, for example `W4A8`.
    pub scheme: String,
    /// Whether the others are compared with it.
    pub is_baseline: bool,
    /// Size of the artifact; absent until it is made.
    pub size: Option<Bytes>,
    /// Share of problems solved at the first try, with its interval; absent before the first.
    pub pass_at_1: Option<Estimate>,
    /// The chance that one of several answers passes; empty where problems are answered once.
    pub pass_at_k: Vec<PassAtK>,
    /// Answers graded so far.
    pub n_scored: u32,
    /// Answers in all, without those to problems that are left out.
    pub n_problems: u32,
    /// Problems that are left out, and why.
    pub excluded: Vec<ExcludedProblem>,
    /// By track; tracks without tests are not among them.
    pub tracks: Vec<TrackScore>,
    /// Likeness to references, by track that has no tests.
    pub likeness: Vec<LikenessScore>,
    /// How programs were repaired; absent where none was to be.
    pub repair: Option<RepairScore>,
    /// Likelihood of the bundled text.
    pub perplexity: Option<PerplexityResult>,
    /// Time to first token over the problems of the run.
    pub ttft_ms: Option<Quantiles>,
    /// Time per output token over the problems of the run.
    pub tpot_ms: Option<Quantiles>,
    /// Measured speed and memory.
    pub performance: Option<Performance>,
}

impl VariantResult {
    /// CodeBLEU of the answers that were compared with references: of the one track with its interval,
    /// or the mean over tracks, which has none of its own here. Absent where a track has no score.
    pub fn codebleu(&self) -> Option<Estimate> {
        let scores: Option<Vec<Estimate>> =
            self.likeness.iter().map(|score| score.codebleu).collect();
        let scores = scores?;
        match scores.as_slice() {
            [] => None,
            [only] => Some(*only),
            several => {
                let value = several.iter().map(|e| e.value).sum::<f64>() / several.len() as f64;
                Some(Estimate {
                    value,
                    low: value,
                    high: value,
                    n: several.iter().map(|e| e.n).sum(),
                })
            }
        }
    }
}
