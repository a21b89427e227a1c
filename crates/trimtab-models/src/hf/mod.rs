//! Model folders as Hugging Face lays them out: settings as JSON, weights as safetensors or as
//! PyTorch files.
//!
//! A folder comes from the network, so every size, offset, count and name in it is checked before
//! it is used, and no file can make the reader run code.

mod bytes;
mod element;
mod error;
mod folder;
mod json;
mod safetensors_header;
mod shard_index;
mod stored_tensor;
#[cfg(test)]
pub(crate) mod tests;
mod torch;
mod weight_files;

pub use element::ElementType;
pub use error::{HfError, WeightFileError};
pub use folder::HfFolder;
pub use stored_tensor::RawTensor;
pub use torch::{ArchiveError, PickleError, TorchError};
pub use weight_files::{WeightFiles, WeightFormat};
