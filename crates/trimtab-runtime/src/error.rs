//! Why a variant cannot be loaded or run.

use crate::{DeviceError, LeaseError};
use trimtab_domain::{DeviceName, Failure, FailureKind};
use trimtab_models::{
    ArtifactError, ChatTemplateError, CheckpointError, TokenizerError, peft::AdapterError,
};

/// Why a variant cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Nothing can be measured for itself.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Only the processor has the products that this variant wants.
    #[error("a variant with 8-bit activations cannot run on `{0}`")]
    Int8Activations(DeviceName),
    /// The artifact cannot be read.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The model, which holds the tokenizer, cannot be read.
    #[error(transparent)]
    Model(#[from] CheckpointError),
    /// The adapter does not fit the model, or cannot be read.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// A message for a model that knows no chat form.
    #[error("the model has no chat template: it continues text, and knows no messages")]
    NoChatTemplate,
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
            | RuntimeError::Adapter(_)
            | RuntimeError::NoChatTemplate
            | RuntimeError::Device(_)
            | RuntimeError::Int8Activations(_)
            | RuntimeError::Setting(_) => FailureKind::BadInput,
            RuntimeError::Artifact(_)
            | RuntimeError::Lease(_)
            | RuntimeError::Model(_)
            | RuntimeError::Tokenizer(_)
            | RuntimeError::ChatTemplate(_)
            | RuntimeError::NotANumber(_) => FailureKind::Failed,
        };
        let hint = match &error {
            RuntimeError::Device(error) => Some(error.hint()),
            RuntimeError::Lease(error) => Some(error.hint()),
            RuntimeError::Int8Activations(_) => {
                Some("use `--device cpu`, or a variant whose activations stay floats")
            }
            RuntimeError::ContextTooLong { .. } => Some("shorten the prompt or the answer"),
            RuntimeError::Artifact(_) => Some("make the variant again with `trimtab compress`"),
            RuntimeError::Model(_) => Some("fetch or import the model again"),
            RuntimeError::NoChatTemplate => Some("give the prompt as plain text, without --chat"),
            RuntimeError::Adapter(error) => error.hint(),
            _ => None,
        };
        let failure = Self::new(kind, &error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
