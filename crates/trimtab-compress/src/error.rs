//! Why a model cannot be compressed.

use trimtab_domain::{Digest, Failure, FailureKind, InvalidRecipe};
use trimtab_models::{ArtifactError, CheckpointError, peft::AdapterError};

/// Why a model cannot be compressed.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// The recipe cannot be carried out.
    #[error(transparent)]
    Recipe(#[from] InvalidRecipe),
    /// The model file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The adapter cannot be read, or does not fit the model.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The recipe merges an adapter that was not given.
    #[error("the adapter {digest} is not on this machine", digest = .0.short())]
    AdapterMissing(Digest),
    /// Codes are to be kept, and the model stores its weights as floats or as blocks of GGUF.
    #[error(
        "the model stores no codes to keep: folders of GPTQ, AWQ and compressed-tensors do, \
         float weights and GGUF files do not"
    )]
    NoCodes,
    /// Codes are to be kept, and there are none that the kernels read exactly.
    #[error("no codes of the model can be kept as they are; of `{name}`, {reason}")]
    UnreadableCodes {
        /// A weight.
        name: String,
        /// Why its codes cannot be kept.
        reason: String,
    },
    /// The artifact cannot be written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

impl From<CompressError> for Failure {
    fn from(error: CompressError) -> Self {
        let (kind, hint) = match &error {
            CompressError::Recipe(_) => (FailureKind::BadInput, Some("see the recipe's options")),
            CompressError::Checkpoint(CheckpointError::Config(_)) => (
                FailureKind::BadInput,
                Some("see `docs/models.md` for the architectures and features that run"),
            ),
            CompressError::Checkpoint(_) => (
                FailureKind::BadInput,
                Some("fetch or import the model again"),
            ),
            CompressError::NoCodes | CompressError::UnreadableCodes { .. } => (
                FailureKind::BadInput,
                Some("choose another recipe, such as `f16`, `int8` or `int4`"),
            ),
            CompressError::Artifact(ArtifactError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::StorageFull =>
            {
                (
                    FailureKind::Failed,
                    Some("free some space in the data folder and try again"),
                )
            }
            CompressError::Adapter(error) => (FailureKind::BadInput, error.hint()),
            CompressError::AdapterMissing(_) => (
                FailureKind::BadInput,
                Some("give its folder again with `--adapter`"),
            ),
            CompressError::Artifact(_) => (FailureKind::Failed, None),
        };
        let failure = Self::new(kind, &error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
