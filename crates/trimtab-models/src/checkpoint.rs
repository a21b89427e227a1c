//! A model as it was published, seen as named float weights, whatever files store it.
//!
//! Names are those of Hugging Face checkpoints; rows come in the engine's order
//! ([`crate::Layout`]).

use crate::{
    ConfigError, ModelConfig, ModelFiles, TensorError, TensorSource, WeightSpec,
    gguf::GgufError,
    hf::{HfError, HfFolder},
    layout::Layout,
    quantized::{GridWeight, QuantizedError, QuantizedIndex, QuantizedSource},
    weight_specs,
};
use serde_json::Value;
use std::{path::Path, sync::Arc};

/// An open model file or folder.
#[derive(Debug)]
pub struct Checkpoint {
    files: ModelFiles,
    config: ModelConfig,
    /// Which weights are codes, as GPTQ, AWQ or compressed-tensors store them.
    codes: Option<Arc<QuantizedIndex>>,
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
    /// The quantised weights cannot be read.
    #[error(transparent)]
    Quantized(#[from] QuantizedError),
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
    /// The model computes with fewer bits than its weights alone say.
    #[error("the checkpoint quantises more than weights ({0}), which is not supported")]
    BeyondWeights(String),
}

/// Which weights of a folder are stored as codes.
fn index_of_codes(files: &ModelFiles) -> Result<Option<Arc<QuantizedIndex>>, CheckpointError> {
    let ModelFiles::Folder(folder) = files else {
        return Ok(None);
    };
    let Some(settings) = quantization_of(folder)? else {
        return Ok(None);
    };
    let source = QuantizedSource::open(folder.tensors(), &settings)?;
    match source.beyond_weights() {
        [] => Ok(Some(source.index())),
        more => Err(CheckpointError::BeyondWeights(more.join(", "))),
    }
}

/// The settings of a quantised checkpoint, in `config.json` or in a file of their own.
fn quantization_of(folder: &HfFolder) -> Result<Option<Value>, HfError> {
    match folder.config().get("quantization_config") {
        Some(settings) if !settings.is_null() => Ok(Some(settings.clone())),
        _ => folder.quantize_config(),
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
            codes: index_of_codes(&files)?,
            files,
        };
        for spec in weight_specs(&checkpoint.config) {
            let (name, expected) = checkpoint.stored(&spec);
            let got = checkpoint.shape(&name);
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
        let stored = match self.codes() {
            Some(codes) => codes.floats(&name)?,
            None => self.files.tensors().floats(&name)?,
        };
        // A vector follows the rows of its weight.
        let (d_out, d_in) = match spec.place.is_bias {
            true => (spec.d_in, 1),
            false => (spec.d_out, spec.d_in),
        };
        Ok(self.layout(spec).read(stored, d_out, d_in))
    }

    /// The codes of a weight that the checkpoint stores as codes, if its rows are in the engine's
    /// order.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] for damaged codes.
    pub fn read_grid(&self, spec: &WeightSpec) -> Result<Option<GridWeight>, CheckpointError> {
        let Some(codes) = self.codes().filter(|_| self.layout(spec) == Layout::Rows) else {
            return Ok(None);
        };
        let (name, _) = self.stored(spec);
        Ok(codes.grid(&name).transpose()?)
    }

    fn codes(&self) -> Option<QuantizedSource<'_>> {
        let index = Arc::clone(self.codes.as_ref()?);
        Some(QuantizedSource::with_index(self.files.tensors(), index))
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match self.codes() {
            Some(codes) => codes.shape(name),
            None => self.files.tensors().shape(name),
        }
    }

    fn layout(&self, spec: &WeightSpec) -> Layout {
        match self.files {
            ModelFiles::Gguf(_) => spec.gguf_layout,
            ModelFiles::Folder(_) => spec.layout,
        }
    }

    /// Name and shape of a weight in these files.
    fn stored(&self, spec: &WeightSpec) -> (String, Vec<usize>) {
        if let ModelFiles::Gguf(_) = self.files {
            return (spec.gguf_name.clone(), spec.gguf_shape());
        }
        let name = spec.hf_name();
        let has = |name: &str| self.shape(name).is_some();
        // Checkpoints of a bare decoder leave out the name of the module around it.
        let name = match name.split_once('.') {
            Some((_, bare)) if !has(&name) && has(bare) => bare.to_owned(),
            _ => name,
        };
        (name, spec.hf_shape())
    }
}
