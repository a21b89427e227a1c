//! Checkpoints whose linear layers are stored as codes: GPTQ, AWQ and compressed-tensors.
//!
//! Each format is read into one common form, [`GridWeight`], and GPTQ and compressed-tensors are
//! written from it. [`QuantizedSource`] shows such a checkpoint as float weights.
//! Which module is quantised, and how, is read from the tensors that are there; the configuration
//! has to agree with them. Everything is checked: both come from strangers.

mod artifact_folder;
mod awq;
mod bit_stream;
mod compressed_tensors;
mod error;
mod export;
mod format;
mod gptq;
mod grid;
mod module;
mod packed;
mod safetensors_file;
mod source;
#[cfg(test)]
mod tests;
mod zero_points;

pub use artifact_folder::{FolderWeight, write_artifact_folder};
pub use error::{ExportError, QuantizedError};
pub use export::{
    ExportFormat, ExportGrid, ExportTensor, ExportWeight, FolderFloats, MakeExport,
    QuantizedFolder, write_quantized_folder,
};
pub use format::{
    AwqFormat, CompressedTensorsFormat, GptqFormat, GroupScheme, Packing, QuantizedFormat, SharedBy,
};
pub use grid::{GridParts, GridWeight};
pub use packed::Inexact;
pub use source::{QuantizedIndex, QuantizedSource};
