//! GGUF files: a reader that trusts nothing in the file, dequantisation of its block types, and
//! writers: of small files as a whole, of models tensor by tensor.
//!
//! A model file comes from the network, so every count, length, offset and shape is compared with
//! the size of the file before anything is allocated for it.
//!
//! Source: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3.

mod blocks;
mod cursor;
mod encode;
mod encode_k;
mod error;
pub mod export;
mod file;
mod ggml_type;
mod grid_rows;
mod header;
mod k_blocks;
mod source;
mod tensor;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub use error::GgufError;
pub use file::GgufFile;
pub use ggml_type::{Block, GgmlType};
pub use grid_rows::Unmappable;
pub use tensor::GgufTensor;
pub use value::{FromGguf, GgufArray, GgufValue};
pub use write::{GgufWriteError, GgufWriter};
