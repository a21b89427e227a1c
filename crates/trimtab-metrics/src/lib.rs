//! Scores and statistics: pass@k, perplexity, intervals, paired ratios, verdicts and advice; and
//! where a compression lost what.
//!
//! Everything here is arithmetic on plain numbers: no file, no clock, no randomness.
//! A value that is undefined is `None` or an error, never `NaN` or 0.

mod advice;
mod compare;
mod layer_map;
mod paired_ratio;
mod pass_at_k;
mod perplexity;
mod quantiles;
mod wilson;

pub use advice::advice;
pub use compare::{ComparisonInput, PairedOutcome, compare};
pub use layer_map::{layer_map, worst_modules};
pub use paired_ratio::{PairedCounts, paired_ratio};
pub use pass_at_k::pass_at_k;
pub use perplexity::{InvalidLogProbs, perplexity};
pub use quantiles::{quantiles, spread};
pub use wilson::wilson_interval;
