//! Why a model cannot be compressed.

use trimtab_domain::{Failure, FailureKind, InvalidRecipe};
use trimtab_models::{ArtifactError, CheckpointError};

/// Why a model cannot be compressed.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// The recipe cannot be carried out.
    #[error(transparent)]
    Recipe(#[from] InvalidRecipe),
    /// The model file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
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
                Some("convert a model of architecture `llama` or `qwen2` to GGUF"),
            ),
            CompressError::Checkpoint(_) => (
                FailureKind::BadInput,
                Some("fetch or import the model file again"),
            ),
            CompressError::Artifact(ArtifactError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::StorageFull =>
            {
                (
                    FailureKind::Failed,
                    Some("free some space in the data folder and try again"),
                )
            }
            CompressError::Artifact(_) => (FailureKind::Failed, None),
        };
        let failure = Self::new(kind, &error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
