//! Why a variant cannot be loaded or run.

use trimtab_domain::{Failure, FailureKind};
use trimtab_models::{ArtifactError, ChatTemplateError, TokenizerError, gguf::GgufError};

/// Why a variant cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The artifact cannot be read.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The model file, which holds the tokenizer, cannot be read.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The tokenizer cannot be built or does not know a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template is missing or broken.
    #[error(transparent)]
    ChatTemplate(#[from] ChatTemplateError),
    /// More tokens than the context holds.
    #[error("{n_prompt} prompt tokens and up to {n_new} new ones exceed the context of {max_len}")]
    ContextTooLong {
        /// Tokens of the prompt.
        n_prompt: usize,
        /// Tokens that may follow.
        n_new: usize,
        /// Tokens that fit.
        max_len: usize,
    },
    /// Nothing to work on.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A setting outside its range.
    #[error("{0}")]
    Setting(String),
    /// The model's scores are not numbers.
    #[error("the model gave a score that is not a number after {0} tokens")]
    NotANumber(usize),
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        let kind = match error {
            RuntimeError::ContextTooLong { .. }
            | RuntimeError::Empty(_)
            | RuntimeError::Setting(_) => FailureKind::BadInput,
            RuntimeError::Artifact(_)
            | RuntimeError::Gguf(_)
            | RuntimeError::Tokenizer(_)
            | RuntimeError::ChatTemplate(_)
            | RuntimeError::NotANumber(_) => FailureKind::Failed,
        };
        let hint = match error {
            RuntimeError::ContextTooLong { .. } => Some("shorten the prompt or the answer"),
            RuntimeError::Artifact(_) => Some("make the variant again with `trimtab compress`"),
            RuntimeError::Gguf(_) => Some("fetch or import the model again"),
            _ => None,
        };
        let failure = Self::new(kind, &error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
