//! Scores and statistics: BLEU, CodeBLEU, pass@k, perplexity, intervals, paired ratios, verdicts.
//!
//! Everything here is computed from texts and numbers: no file, no clock, no randomness.
//! A value that is undefined is `None` or an error, never `NaN` or 0.

mod advice;
mod bleu;
mod codebleu;
mod compare;
mod compile_rate;
mod edit_similarity;
mod exact_match;
mod ngrams;
mod paired_ratio;
mod pass_at_k;
mod perplexity;
mod python_text;
mod quantiles;
mod registry;
mod wilson;

pub use advice::advice;
pub use bleu::{Bleu, BleuCounts, BleuError, BleuOptions, BleuScore, Smoothing, Tokenization};
pub use codebleu::{
    CodeBleu, CodeBleuCounts, CodeBleuError, CodeBleuMode, CodeBleuOptions, CodeBleuScore,
    Degenerate, Language, MAX_CODE_BYTES, UnknownLanguage,
};
pub use compare::{ComparisonInput, PairedOutcome, compare};
pub use compile_rate::compile_rate;
pub use edit_similarity::{EditSimilarity, EditSimilarityError, MAX_TEXT_BYTES};
pub use exact_match::ExactMatch;
pub use paired_ratio::{PairedCounts, paired_ratio};
pub use pass_at_k::pass_at_k;
pub use perplexity::{InvalidLogProbs, perplexity};
pub use quantiles::{quantiles, spread};
pub use registry::{MetricDisabled, MetricId, SelfTest, require, self_tests};
pub use wilson::wilson_interval;
