//! Problems on which base and variant part: passed by one, failed by the other.

use crate::CompletionScore;
use serde::{Deserialize, Serialize};

/// One problem that one side passed and the other failed, with both answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flip {
    /// The base's answer, verdict and test output.
    pub base: CompletionScore,
    /// The variant's.
    pub variant: CompletionScore,
    /// How many characters both answers begin with alike; the first difference follows.
    pub n_same_chars: u32,
}

/// The flips of one variant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flips {
    /// Problems that passed before and fail now.
    pub lost: Vec<Flip>,
    /// Problems that failed before and pass now.
    pub won: Vec<Flip>,
    /// Problems that both sides answered.
    pub n_compared: u32,
    /// Answers of either side that the other side lacks.
    pub n_unpaired: u32,
}
