//! Why a quantised checkpoint cannot be read or written.

use crate::{ArtifactError, ConfigError, TensorError};
use std::path::PathBuf;

/// Why a quantised checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum QuantizedError {
    /// A variant of a format without an implementation.
    #[error("quantised weights with `{key}` = `{value}` cannot be read; {hint}")]
    Unsupported {
        /// The key of the configuration.
        key: String,
        /// Its value.
        value: String,
        /// What can be read.
        hint: &'static str,
    },
    /// The configuration makes no sense.
    #[error("`quantization_config`: {0}")]
    Config(String),
    /// A module lacks a tensor.
    #[error("module `{module}` is quantised, but there is no tensor `{module}.{tensor}`")]
    MissingCompanion {
        /// The module.
        module: String,
        /// Last part of the tensor's name.
        tensor: &'static str,
    },
    /// A tensor has another shape than its module's other tensors and the configuration say.
    #[error("tensor `{tensor}` has shape {got:?}: {reason}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        got: Vec<usize>,
        /// What was expected.
        reason: String,
    },
    /// A tensor holds a number that cannot be.
    #[error("tensor `{tensor}`: {reason}")]
    Value {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// The parts of a weight do not fit each other.
    #[error("a weight of codes: {0}")]
    Grid(String),
    /// No module is quantised.
    #[error("`quantization_config` names {0}, but no tensor is stored that way")]
    NothingQuantized(&'static str),
    /// A tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// Why a quantised checkpoint cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The folder or a file in it cannot be written.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The variant that is to be written is damaged.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A weight cannot be stored in the format.
    #[error("weight `{name}` cannot be written as {format}: {reason}")]
    Weight {
        /// The weight.
        name: String,
        /// The format.
        format: &'static str,
        /// Why.
        reason: String,
    },
    /// Two weights ask for things that one configuration cannot say.
    #[error(
        "weight `{name}` has {got}, weight `{first}` has {expected}: {format} takes one for all"
    )]
    Mixed {
        /// The weight that differs.
        name: String,
        /// What it has.
        got: String,
        /// The first quantised weight.
        first: String,
        /// What that has.
        expected: String,
        /// The format.
        format: &'static str,
    },
    /// No weight is to be stored as codes.
    #[error("no weight is quantised, so there is nothing to write as {0}")]
    NothingQuantized(&'static str),
    /// The configuration is not an object.
    #[error("the model's configuration is not a JSON object")]
    Config,
    /// The configuration has no place for the sizes of the variant.
    #[error("the model's configuration: {0}")]
    Sizes(#[from] ConfigError),
}

impl ExportError {
    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Weight { .. } | Self::Mixed { .. } => {
                Some("export as `hf` or `gguf`, which take every variant")
            }
            Self::NothingQuantized(_) => {
                Some("compress with an int8 or int4 recipe, or export as `hf` or `gguf`")
            }
            Self::Sizes(_) => Some("export as `gguf`"),
            Self::Io { .. } | Self::Artifact(_) | Self::Config => None,
        }
    }
}
