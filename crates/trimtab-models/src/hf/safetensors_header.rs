//! The table of tensors at the head of a safetensors file.
//!
//! Source: <https://huggingface.co/docs/safetensors>; its own reader checks lengths and offsets.

use super::{ElementType, WeightFileError, stored_tensor::StoredTensor};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;

/// The length field before the table.
const LENGTH_BYTES: usize = 8;

/// Checks the table against the size of the file.
pub(super) fn tensors(file: &[u8]) -> Result<BTreeMap<String, StoredTensor>, WeightFileError> {
    let (header_bytes, metadata) =
        SafeTensors::read_metadata(file).map_err(WeightFileError::Safetensors)?;
    let data_start = LENGTH_BYTES + header_bytes;
    let mut tensors = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let Some(element) = element_type(info.dtype) else {
            let element = format!("{:?}", info.dtype);
            return Err(WeightFileError::UnsupportedElement { name, element });
        };
        let tensor = StoredTensor {
            element,
            shape: info.shape.clone(),
            start: data_start + info.data_offsets.0,
            strides: None,
        };
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

fn element_type(dtype: Dtype) -> Option<ElementType> {
    let element = match dtype {
        Dtype::F64 => ElementType::F64,
        Dtype::F32 => ElementType::F32,
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::Bf16,
        Dtype::I64 => ElementType::I64,
        Dtype::I32 => ElementType::I32,
        Dtype::I16 => ElementType::I16,
        Dtype::I8 => ElementType::I8,
        Dtype::U8 => ElementType::U8,
        Dtype::BOOL => ElementType::Bool,
        _ => return None,
    };
    Some(element)
}
