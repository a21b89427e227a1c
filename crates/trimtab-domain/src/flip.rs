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
    /// The first token in which they differ; absent for answers whose tokens were not kept.
    pub first_difference: Option<TokenDifference>,
}

/// The first token in which two answers differ. Up to it both variants had read the same, so that
/// here, and nowhere before, they took another token to be the likeliest (or drew another).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenDifference {
    /// Tokens that both begin with.
    pub n_same: u32,
    /// The base's next token.
    pub base: TokenPiece,
    /// The variant's.
    pub variant: TokenPiece,
}

/// One token of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPiece {
    /// Its id; absent where the answer was over.
    pub id: Option<u32>,
    /// What it adds to the text; empty for a part of a character.
    pub text: String,
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
