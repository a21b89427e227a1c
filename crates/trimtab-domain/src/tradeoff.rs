//! The trade-off: what a variant loses and gains against the base, and whether that is proven.

use crate::{
    Bytes, Direction, Estimate, Finding, Performance, RunId, Spread, Timestamp, VariantName,
    VariantResult,
};
use serde::{Deserialize, Serialize};

/// What a variant has to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// Least share of the base's quality, 0.95 by default.
    pub min_retention: f64,
    /// Least speed-up of decoding, 2.0 by default.
    pub min_speedup: f64,
}

impl Default for Criterion {
    fn default() -> Self {
        Self {
            min_retention: 0.95,
            min_speedup: 2.0,
        }
    }
}

/// Whether the criterion is met. "Not enough data" is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityVerdict {
    /// Proven to lie within the criterion.
    Meets,
    /// Proven to lie outside, or the speed falls short.
    Fails,
    /// Neither is proven.
    NotEnoughData,
}

/// How the verdict on quality was reached: the score test of the retention ratio at the criterion,
/// corrected by Holm's method for all variants of the run that were compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QualityTest {
    /// One-sided p-value that it meets the criterion: small where the data say that it does.
    pub p_meets: f64,
    /// The same, corrected.
    pub p_meets_adjusted: f64,
    /// One-sided p-value that it fails the criterion: small where the data say that it does.
    pub p_fails: f64,
    /// The same, corrected.
    pub p_fails_adjusted: f64,
    /// A claim counts as proven when its corrected p-value is at most this.
    pub level: f64,
    /// Variants that were compared with the baseline, this one included.
    pub n_compared: u32,
    /// Chance that these problems prove a variant that is exactly as good as the baseline, at the
    /// baseline's share, the disagreement seen, and the strictest step of the correction; absent
    /// where no such variant can exist.
    pub power: Option<f64>,
}

/// What quality is measured as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityMeasure {
    /// Problems solved at the first try, one answer a problem.
    #[default]
    PassAt1,
    /// The mean over problems of the share of answers that pass.
    MeanPassAt1,
    /// CodeBLEU with references, for problems that have no tests.
    CodeBleu,
}

impl QualityMeasure {
    /// Name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::PassAt1 => "pass@1",
            Self::MeanPassAt1 => "pass@1 over several answers",
            Self::CodeBleu => "CodeBLEU",
        }
    }
}

/// One variant against the baseline, paired by problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The variant.
    pub variant: VariantName,
    /// What retention and difference are of.
    pub measure: QualityMeasure,
    /// Quality of the variant / quality of the baseline, with its paired 95 % interval; absent
    /// when the baseline solves nothing.
    pub retention: Option<Estimate>,
    /// Quality of the variant − quality of the baseline, with its paired 95 % interval;
    /// absent without a problem that both answered.
    pub difference: Option<Estimate>,
    /// Two-sided exact p-value that both are equally good (McNemar's test); absent likewise, and
    /// where problems are not simply solved or not.
    pub mcnemar_p: Option<f64>,
    /// How the verdict on quality was reached; absent when the baseline solves nothing.
    pub quality_test: Option<QualityTest>,
    /// Problems that passed before and fail now.
    pub n_lost: u32,
    /// Problems that failed before and pass now.
    pub n_won: u32,
    /// Decode speed / baseline's decode speed: ratio of medians, with the range of repeats.
    pub speedup: Option<Spread>,
    /// Time per output token / baseline's over the same problems: ratio of means with its paired
    /// bootstrap interval; absent where the measurements cannot carry one.
    pub tpot_ratio: Option<Estimate>,
    /// Baseline's bytes / variant's bytes.
    pub compression_ratio: Option<f64>,
    /// The criterion.
    pub criterion: Criterion,
    /// The answer.
    pub verdict: QualityVerdict,
    /// The answer in one sentence, with its numbers.
    pub sentence: String,
    /// What the answer rests on: test, level, correction and power, in words.
    pub basis: String,
    /// About how many more problems would decide, when there is not enough data.
    pub n_more_problems: Option<u32>,
}

/// What can stand on an axis of the trade-off chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Share of problems solved at the first try.
    PassAt1,
    /// CodeBLEU with references, the mean over tracks.
    CodeBleu,
    /// Perplexity of the bundled text.
    Perplexity,
    /// Size of the artifact.
    Size,
    /// Output tokens per second.
    DecodeSpeed,
    /// Prompt tokens per second.
    PrefillSpeed,
    /// Median time to first token.
    Ttft,
    /// Median time per output token.
    Tpot,
    /// Largest resident set.
    PeakMemory,
}

impl Axis {
    /// All axes in the order of menus.
    pub const ALL: [Self; 9] = [
        Self::PassAt1,
        Self::CodeBleu,
        Self::Perplexity,
        Self::Size,
        Self::DecodeSpeed,
        Self::PrefillSpeed,
        Self::Ttft,
        Self::Tpot,
        Self::PeakMemory,
    ];

    /// Name and unit for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::PassAt1 => "Problems solved, pass@1 (%)",
            Self::CodeBleu => "CodeBLEU with references (0 to 1)",
            Self::Perplexity => "Perplexity (lower is better)",
            Self::Size => "File size (MB)",
            Self::DecodeSpeed => "Decode speed (tokens/s)",
            Self::PrefillSpeed => "Prefill speed (tokens/s)",
            Self::Ttft => "Time to first token, median (ms)",
            Self::Tpot => "Time per output token, median (ms)",
            Self::PeakMemory => "Peak memory (MB)",
        }
    }

    /// Which end is better.
    pub fn direction(self) -> Direction {
        match self {
            Self::PassAt1 | Self::CodeBleu | Self::DecodeSpeed | Self::PrefillSpeed => {
                Direction::Higher
            }
            Self::Perplexity | Self::Size | Self::Ttft | Self::Tpot | Self::PeakMemory => {
                Direction::Lower
            }
        }
    }

    /// Value and interval of a variant on this axis, in the unit of [`Self::label`].
    pub fn estimate(self, result: &VariantResult) -> Option<Estimate> {
        let plain = |value: f64, n: u32| Estimate {
            value,
            low: value,
            high: value,
            n,
        };
        let megabytes = |bytes: Bytes| plain(bytes.0 as f64 / 1e6, 1);
        let spread = |s: Spread| Estimate {
            value: s.median,
            low: s.min,
            high: s.max,
            n: s.n,
        };
        match self {
            Self::PassAt1 => result.pass_at_1.map(|e| Estimate {
                value: 100.0 * e.value,
                low: 100.0 * e.low,
                high: 100.0 * e.high,
                n: e.n,
            }),
            Self::CodeBleu => result.codebleu(),
            Self::Perplexity => result.perplexity.as_ref().map(|p| Estimate {
                value: p.perplexity,
                low: p.low,
                high: p.high,
                n: p.n_tokens,
            }),
            Self::Size => result.size.map(megabytes),
            Self::DecodeSpeed => result
                .performance
                .as_ref()
                .map(|p| spread(p.decode_tokens_per_s)),
            Self::PrefillSpeed => result
                .performance
                .as_ref()
                .map(|p| spread(p.prefill_tokens_per_s)),
            Self::Ttft => result.ttft_ms.map(|q| plain(q.p50, q.n)),
            Self::Tpot => result.tpot_ms.map(|q| plain(q.p50, q.n)),
            Self::PeakMemory => result
                .performance
                .as_ref()
                .and_then(Performance::model_memory)
                .map(megabytes),
        }
    }
}

/// The trade-offs of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TradeoffView {
    /// The run.
    pub run_id: RunId,
    /// Its title.
    pub title: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether all its jobs are done.
    pub is_complete: bool,
    /// The variant that all others are compared with.
    pub baseline: VariantName,
    /// Every variant with what was measured.
    pub results: Vec<VariantResult>,
    /// Every variant but the baseline against it.
    pub comparisons: Vec<Comparison>,
    /// Variants on the frontier of quality (pass@1, or CodeBLEU where problems have no tests), size and
    /// decode speed.
    pub pareto_frontier: Vec<VariantName>,
    /// What a reader should know before believing these numbers.
    pub findings: Vec<Finding>,
}
