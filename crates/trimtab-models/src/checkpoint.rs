//! A model as it was published, seen as named float weights, whatever files store it.
//!
//! Names are those of Hugging Face checkpoints; rows come in the engine's order
//! ([`crate::Layout`]).

use crate::{
    ConfigError, ModelConfig, TensorError, TensorSource, WeightSpec,
    gguf::{GgufError, GgufFile},
    hf::{HfError, HfFolder},
    weight_specs,
};
use std::path::Path;

/// An open model file or folder.
#[derive(Debug)]
pub struct Checkpoint {
    files: ModelFiles,
    config: ModelConfig,
}

/// The files of a model: weights, tokenizer and chat template.
#[derive(Debug)]
pub enum ModelFiles {
    /// One GGUF file.
    Gguf(GgufFile),
    /// A folder in the form of Hugging Face.
    Folder(HfFolder),
}

/// Why a model cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is damaged or not GGUF.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The folder is damaged or not a model.
    #[error(transparent)]
    Folder(#[from] HfError),
    /// A weight cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The metadata describes no model that can be run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A tensor has another shape than the metadata says.
    #[error("tensor `{name}` has shape {got:?}, not {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Shape by the metadata.
        expected: Vec<usize>,
        /// Shape in the file.
        got: Vec<usize>,
    },
}

impl ModelFiles {
    /// Opens a GGUF file, or a folder with `config.json`.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        if path.is_dir() {
            Ok(Self::Folder(HfFolder::open(path)?))
        } else {
            Ok(Self::Gguf(GgufFile::open(path)?))
        }
    }

    fn config(&self) -> Result<ModelConfig, ConfigError> {
        match self {
            Self::Gguf(file) => ModelConfig::from_gguf(file),
            Self::Folder(folder) => ModelConfig::from_hf(folder.config()),
        }
    }

    fn tensors(&self) -> &dyn TensorSource {
        match self {
            Self::Gguf(file) => file,
            Self::Folder(folder) => folder.tensors(),
        }
    }
}

impl Checkpoint {
    /// Opens a model and checks that every weight is there with the right shape.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] for damaged files, models that cannot be run, and weights that do not fit.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let files = ModelFiles::open(path)?;
        let checkpoint = Self {
            config: files.config()?,
            files,
        };
        for spec in weight_specs(&checkpoint.config) {
            let (name, expected) = checkpoint.stored(&spec);
            let got = checkpoint.files.tensors().shape(&name);
            let got = got.ok_or_else(|| TensorError::Missing(name.clone()))?;
            if got != expected {
                return Err(CheckpointError::Shape {
                    name,
                    expected,
                    got,
                });
            }
        }
        Ok(checkpoint)
    }

    /// Sizes and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The files behind it, for tokenizer and chat template.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }

    /// The weight as floats, in the engine's order.
    ///
    /// # Shapes
    ///
    /// - result: `[d_out, d_in]`, row-major
    pub fn read(&self, spec: &WeightSpec) -> Result<Vec<f32>, CheckpointError> {
        let (name, _) = self.stored(spec);
        let stored = self.files.tensors().floats(&name)?;
        let layout = match self.files {
            ModelFiles::Gguf(_) => spec.gguf_layout,
            ModelFiles::Folder(_) => spec.layout,
        };
        // A vector follows the rows of its weight.
        let (d_out, d_in) = match spec.place.is_bias {
            true => (spec.d_in, 1),
            false => (spec.d_out, spec.d_in),
        };
        Ok(layout.read(stored, d_out, d_in))
    }

    /// Name and shape of a weight in these files.
    fn stored(&self, spec: &WeightSpec) -> (String, Vec<usize>) {
        match &self.files {
            ModelFiles::Gguf(_) => (spec.gguf_name.clone(), spec.gguf_shape()),
            ModelFiles::Folder(folder) => {
                let name = spec.hf_name();
                // Checkpoints of a bare decoder leave out the name of the module around it.
                let bare = name.split_once('.').map(|(_, rest)| rest);
                let name = match bare {
                    Some(bare)
                        if folder.tensors().shape(&name).is_none()
                            && folder.tensors().shape(bare).is_some() =>
                    {
                        bare.to_owned()
                    }
                    _ => name,
                };
                (name, spec.hf_shape())
            }
        }
    }
}
