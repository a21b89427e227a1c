//! Models as GGUF files, for llama.cpp and whatever else reads them.
//!
//! [`GgufExport`] writes a model weight by weight, from floats or from packed weights. A packed
//! weight goes over code by code where the block type can say the same; where it cannot, the caller
//! has said whether that is an error ([`Transfer::Exact`]) or the nearest will do
//! ([`Transfer::Nearest`]), and the report names every weight that changed.
//!
//! Source of names and layouts: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

pub(crate) mod artifact_types;
mod description;
mod error;
mod grid_rows;
mod hf_tokenizer;
mod model;
mod stream;
#[cfg(test)]
mod tests;
mod tokenizer;
mod weight;
mod word_split;
mod writer;

pub use artifact_types::{WRITABLE_TYPES, types_of_artifact};
pub use error::{GgufExportError, TokenizerMetadataError};
pub use grid_rows::Unmappable;
pub use hf_tokenizer::HfTokenizerFiles;
pub use model::weights_of_artifact;
pub use tokenizer::{TokenizerMetadata, general_metadata};
pub use weight::{ExportWeight, Fidelity, Transfer};
pub use writer::{BlockTypes, ExportReport, GgufExport, TensorTypes, TypeByWeight, WeightReport};
