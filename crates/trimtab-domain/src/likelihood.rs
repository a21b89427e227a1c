//! How far a variant's predictions are from the base's, token by token.

use serde::{Deserialize, Serialize};

/// A value with its standard error and 95 % interval, where observations come in windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusteredEstimate {
    /// The point estimate.
    pub value: f64,
    /// Standard error that allows for tokens of a window being alike.
    pub standard_error: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
}

/// A variant against the base on the same tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LikelihoodComparison {
    /// Mean over tokens of the KL divergence of the variant's predictions from the base's, in nats.
    pub kl_mean: ClusteredEstimate,
    /// Median over tokens.
    pub kl_median: ClusteredEstimate,
    /// 99th percentile over tokens.
    pub kl_p99: ClusteredEstimate,
    /// Share of tokens where both hold the same token for the likeliest.
    pub top1_agreement: ClusteredEstimate,
    /// Perplexity of the variant / perplexity of the base.
    pub perplexity_ratio: ClusteredEstimate,
    /// Tokens compared.
    pub n_tokens: u32,
    /// Windows that the tokens come from.
    pub n_windows: u32,
}
