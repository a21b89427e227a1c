//! PyTorch weight files: a zip archive of a pickle, which says what the tensors are, and of their
//! elements.
//!
//! A pickle is a program. The one here is read by a machine that knows only the steps which
//! describe tensors, so that nothing in the file can be executed.
//!
//! Source of the layout: `torch.save` in <https://github.com/pytorch/pytorch>, since version 1.6.

mod archive;
mod cursor;
mod error;
mod global;
mod heap;
mod machine;
mod opcode;
mod state_dict;
mod tensor;
#[cfg(test)]
mod tests;

pub use error::{ArchiveError, PickleError, TorchError};

use self::{archive::Archive, machine::Machine};
use super::stored_tensor::StoredTensor;
use std::collections::BTreeMap;

/// The table of tensors of a file.
pub(super) fn tensors(file: &[u8]) -> Result<BTreeMap<String, StoredTensor>, TorchError> {
    let archive = Archive::parse(file)?;
    let (heap, root) = Machine::run(&file[archive.pickle()?])?;
    state_dict::tensors(&heap, root)?
        .into_iter()
        .map(|(name, record)| {
            let placed = tensor::placed(&name, record, &archive)?;
            Ok((name, placed))
        })
        .collect()
}
