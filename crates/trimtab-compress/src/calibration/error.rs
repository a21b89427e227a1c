//! Why a model cannot be calibrated.

use super::Overlap;
use trimtab_models::{ChatTemplateError, TokenizerError};

/// Why a model cannot be calibrated.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// No bundled text has the name.
    #[error("no bundled calibration text is called `{name}`; there is `{}`", super::bundled_text_names().join("`, `"))]
    UnknownText {
        /// What was asked for.
        name: String,
    },
    /// A text is not on this machine.
    #[error("calibration text `{0}` is not on this machine")]
    MissingText(String),
    /// A text without a character.
    #[error("calibration text `{0}` is empty")]
    Empty(String),
    /// A text with fewer tokens than are asked for.
    #[error(
        "calibration text `{name}` gives {got} sequences of {length} tokens, not {wanted}; it has {n_tokens} tokens"
    )]
    TooShort {
        /// The text.
        name: String,
        /// Sequences that it gives.
        got: usize,
        /// Sequences that are asked for.
        wanted: usize,
        /// Tokens of a sequence.
        length: usize,
        /// Tokens of the text.
        n_tokens: usize,
    },
    /// Sequences that the model cannot read.
    #[error("`sequence_length` {length} is more than the {max_len} tokens that the model reads")]
    TooLong {
        /// Tokens of a sequence.
        length: usize,
        /// Longest sequence of the model.
        max_len: usize,
    },
    /// A token that the model has no embedding of.
    #[error("calibration text `{name}` has token {id}, and the model knows {vocab_size}")]
    OutsideVocabulary {
        /// The text.
        name: String,
        /// The token.
        id: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// The chat form is asked for, and the model has none.
    #[error("the model has no chat template; set `form = \"raw\"`")]
    NoChatTemplate,
    /// A document without an answer.
    #[error("document {n} of calibration text `{name}` has one line: no question and answer")]
    NoAnswer {
        /// The text.
        name: String,
        /// The document, counted from 1.
        n: usize,
    },
    /// The text speaks of what the model is tested on.
    #[error(transparent)]
    Overlap(#[from] Box<Overlap>),
    /// The text cannot be turned into tokens.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template does not take a document.
    #[error(transparent)]
    ChatTemplate(#[from] ChatTemplateError),
}

impl CalibrationError {
    /// What the user can do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::TooShort { .. } => {
                "lower `sequences` or `sequence_length`, or give a longer text"
            }
            Self::Overlap(_) => {
                "take the passage out, or set `allow_overlap = true` and say so beside the results"
            }
            Self::NoAnswer { .. } => {
                "in chat form the first line of a document is the question and the rest the answer; \
                 documents are separated by form feeds"
            }
            Self::MissingText(_) => "give its file again with `--recipe`",
            Self::OutsideVocabulary { .. } => "import the model again: its tokenizer does not fit",
            Self::Empty(_) => "give a text file with something in it",
            _ => return None,
        })
    }
}
