//! Why a model cannot be compressed.

use crate::{CalibrationError, ShrinkError, layer::LayerError, train::TrainError};
use std::{io, path::PathBuf};
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
    /// The calibration set cannot be made.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// The recipe has to be calibrated, and nothing was given to do so.
    #[error("recipe `{0}` needs a calibration set")]
    NoCalibration(String),
    /// A calibration that nothing would look at.
    #[error("recipe `{0}` looks at weights only and uses no calibration set")]
    UnusedCalibration(String),
    /// No choice of bits meets the budget.
    #[error("bits cannot be chosen: {0}")]
    Choice(LayerError),
    /// The model cannot be shrunk as asked for.
    #[error(transparent)]
    Shrink(#[from] ShrinkError),
    /// A recipe to shrink by that does not.
    #[error("recipe `{0}` does not end with `shrink`")]
    NoShrink(String),
    /// A recipe to teach by that does not.
    #[error("recipe `{0}` does not end with `distil`")]
    NoDistil(String),
    /// A student cannot be trained.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A step that makes another model, where a recipe was to be carried out that has none.
    #[error("`{0}` makes another model, which has to be made before the steps after it")]
    UnmadeStage(&'static str),
    /// A method cannot be applied to a weight.
    #[error("weight `{name}`: {source}")]
    Layer {
        /// The weight.
        name: String,
        /// Why.
        source: LayerError,
    },
    /// A weight cannot be read or stored.
    #[error("weight `{name}`: {reason}")]
    Weight {
        /// The weight.
        name: String,
        /// Why.
        reason: String,
    },
    /// A pattern that no weight has.
    #[error("the override `{pattern}` matches no weight; names end in `{}`", known.join("`, `"))]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// Last parts of the names of all weights.
        known: Vec<String>,
    },
    /// Formats that cannot be multiplied as one.
    #[error(
        "`{one}` and `{other}` are multiplied as one and need the same bits and group: give both the same override"
    )]
    Joint {
        /// A weight.
        one: String,
        /// One that it is multiplied with.
        other: String,
    },
    /// What is finished cannot be kept or read.
    #[error("`{}`: {source}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The folder holds what another compression has finished.
    #[error("`{}` holds the unfinished work of another compression", .0.display())]
    ForeignState(PathBuf),
    /// The artifact cannot be written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

impl CompressError {
    /// A method's refusal of a weight.
    pub(crate) fn layer(name: &str, source: LayerError) -> Self {
        Self::Layer {
            name: name.to_owned(),
            source,
        }
    }

    fn kind_and_hint(&self) -> (FailureKind, Option<&'static str>) {
        let disk = "free some space in the data folder and try again";
        match self {
            Self::Recipe(_) => (FailureKind::BadInput, Some("see the recipe's options")),
            Self::Checkpoint(CheckpointError::Config(_)) => (
                FailureKind::BadInput,
                Some("see `docs/models.md` for the architectures and features that run"),
            ),
            Self::Checkpoint(_) => (
                FailureKind::BadInput,
                Some("fetch or import the model again"),
            ),
            Self::NoCodes | Self::UnreadableCodes { .. } => (
                FailureKind::BadInput,
                Some("choose another recipe, such as `f16`, `int8` or `int4`"),
            ),
            Self::Artifact(ArtifactError::Io { source, .. }) | Self::State { source, .. }
                if source.kind() == io::ErrorKind::StorageFull =>
            {
                (FailureKind::Failed, Some(disk))
            }
            Self::Adapter(error) => (FailureKind::BadInput, error.hint()),
            Self::AdapterMissing(_) => (
                FailureKind::BadInput,
                Some("give its folder again with `--adapter`"),
            ),
            Self::Calibration(error) => (FailureKind::BadInput, error.hint()),
            Self::Layer { source, .. } | Self::Choice(source) => {
                (FailureKind::BadInput, source.hint())
            }
            Self::NoMatch { .. } | Self::Joint { .. } | Self::Shrink(_) => {
                (FailureKind::BadInput, None)
            }
            Self::NoCalibration(_)
            | Self::UnusedCalibration(_)
            | Self::NoShrink(_)
            | Self::NoDistil(_)
            | Self::UnmadeStage(_) => (FailureKind::Bug, None),
            Self::ForeignState(_) => (FailureKind::Failed, Some("remove the folder")),
            Self::Weight { .. } | Self::State { .. } | Self::Artifact(_) | Self::Train(_) => {
                (FailureKind::Failed, None)
            }
        }
    }
}

impl From<CompressError> for Failure {
    fn from(error: CompressError) -> Self {
        if let CompressError::Train(error) = error {
            return error.into();
        }
        let (kind, hint) = error.kind_and_hint();
        let failure = Self::new(kind, &error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
