//! GGUF files: a reader that trusts nothing in the file, its block types in both directions, and a
//! writer of small files; models are written by [`gguf_export`](crate::gguf_export).
//!
//! A model file comes from the network, so every count, length, offset and shape is compared with
//! the size of the file before anything is allocated for it.
//!
//! Source: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3.

mod blocks;
mod cursor;
pub(crate) mod encode;
pub(crate) mod encode_k;
mod error;
mod file;
mod ggml_type;
mod header;
mod k_blocks;
mod source;
mod tensor;
#[cfg(test)]
mod tests;
mod texts;
mod value;
pub(crate) mod write;

pub use error::GgufError;
pub use file::GgufFile;
pub use ggml_type::{Block, GgmlType};
pub use tensor::GgufTensor;
pub use texts::GgufTexts;
pub use value::{FromGguf, GgufArray, GgufValue};
pub use write::{GgufWriteError, GgufWriter};
