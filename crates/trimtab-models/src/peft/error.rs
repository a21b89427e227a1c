//! What can be wrong with an adapter, or with the model it is put on.

use crate::{hf::HfError, tensor_source::TensorError};
use std::path::PathBuf;

/// Why an adapter cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A setting of an adapter that is to be trained.
    #[error("{name} = {value} is not {wanted}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// The folder has no weights under the names that PEFT gives them.
    #[error("`{}` has neither `adapter_model.safetensors` nor `adapter_model.bin`", .0.display())]
    NoWeights(PathBuf),
    /// The weight file is damaged.
    #[error(transparent)]
    Weights(#[from] HfError),
    /// A tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The settings are longer than any adapter's.
    #[error("`adapter_config.json` has more than {0} bytes")]
    ConfigTooLong(u64),
    /// The settings are not what they should be.
    #[error("`adapter_config.json`: {0}")]
    Config(String),
    /// A setting whose effect is not implemented.
    #[error("`{key}` = {value} in `adapter_config.json` is not supported")]
    Unsupported {
        /// The setting.
        key: String,
        /// Its value.
        value: String,
    },
    /// A pattern that is no regular expression.
    #[error("`{key}` in `adapter_config.json`: `{pattern}` is not a usable pattern: {reason}")]
    Pattern {
        /// The setting.
        key: &'static str,
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// A target that no layer of the model answers to.
    #[error("target module `{target}` matches nothing in this model, which has {available}")]
    TargetMatchesNothing {
        /// The entry of `target_modules`.
        target: String,
        /// What the model has.
        available: String,
    },
    /// A tensor that is no factor of a linear layer.
    #[error("tensor `{0}` is not a low-rank factor of a linear layer")]
    UnexpectedTensor(String),
    /// A factor for a layer that the model does not have.
    #[error("tensor `{tensor}` is for a layer that this model does not have; it has {available}")]
    UnknownLayer {
        /// The tensor.
        tensor: String,
        /// What the model has.
        available: String,
    },
    /// A factor for a layer that is not among the targets.
    #[error("layer `{0}` has factors, but `target_modules` does not name it")]
    NotTargeted(String),
    /// A layer among the targets that a factor is missing for.
    #[error("layer `{layer}` is a target, but its `{factor}` is missing")]
    MissingFactor {
        /// The layer.
        layer: String,
        /// `lora_A` or `lora_B`.
        factor: &'static str,
    },
    /// Two tensors for one factor.
    #[error("tensor `{0}` and another are for the same factor")]
    AmbiguousFactor(String),
    /// A factor of another shape than the layer and the rank ask for.
    #[error("tensor `{tensor}` has shape {got:?}, not {expected:?}")]
    FactorShape {
        /// The tensor.
        tensor: String,
        /// Shape by layer and rank.
        expected: [usize; 2],
        /// Shape in the file.
        got: Vec<usize>,
    },
    /// Settings made for weights that are stored the other way round.
    #[error("`fan_in_fan_out` is {in_config}, but layer `{layer}` stores its weight the other way")]
    FanInFanOut {
        /// The layer.
        layer: String,
        /// The setting.
        in_config: bool,
    },
    /// A weight that is not of the adapter's shape.
    #[error("weight `{name}` has {got} values, not {d_out} × {d_in}")]
    WeightLength {
        /// The weight.
        name: String,
        /// Values given.
        got: usize,
        /// Output channels.
        d_out: usize,
        /// Input channels.
        d_in: usize,
    },
    /// The checkpoint lacks a weight that the adapter changes, or has it in another shape.
    #[error("the checkpoint has no weight of shape {expected:?} for layer `{layer}`")]
    BaseWeight {
        /// The layer.
        layer: String,
        /// Its shape as stored.
        expected: [usize; 2],
    },
}

impl AdapterError {
    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TargetMatchesNothing { .. } | Self::UnknownLayer { .. } => {
                Some("the adapter was made for another model; look at `base_model_name_or_path`")
            }
            Self::Unsupported { .. } => {
                Some("merge the adapter with PEFT itself and use the merged model")
            }
            Self::NoWeights(_) => Some("name the folder that `save_pretrained` wrote"),
            _ => None,
        }
    }
}
