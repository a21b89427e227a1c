//! A safetensors file whose tensors are written in any order, each at its place.
//!
//! The `safetensors` crate asks for the tensors in the order of the file, where the codes of a module
//! and its scales lie far apart; here a module is written and forgotten before the next is made.
//! Tensors lie in the order of that crate: wide elements first, so that all are aligned.

use super::ExportError;
use half::f16;
use safetensors::Dtype;
use std::{
    collections::HashMap,
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// One tensor of the file.
#[derive(Clone, Debug)]
pub(super) struct PlannedTensor {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
}

impl PlannedTensor {
    fn n_bytes(&self) -> u64 {
        let n_elements: u64 = self.shape.iter().map(|size| *size as u64).product();
        n_elements * element_bytes(self.dtype)
    }
}

/// Width of the types that are written.
fn element_bytes(dtype: Dtype) -> u64 {
    dtype.bitsize() as u64 / 8
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct SafetensorsFile {
    path: PathBuf,
    file: File,
    /// Offset and length of each tensor that is still to be written.
    places: HashMap<String, (u64, u64)>,
}

impl SafetensorsFile {
    /// Writes the header; two tensors of one name are refused.
    pub(super) fn create(
        path: &Path,
        mut tensors: Vec<PlannedTensor>,
    ) -> Result<Self, ExportError> {
        tensors.sort_by(|a, b| {
            let width = |tensor: &PlannedTensor| std::cmp::Reverse(element_bytes(tensor.dtype));
            (width(a), &a.name).cmp(&(width(b), &b.name))
        });
        let mut header = serde_json::Map::new();
        header.insert(
            "__metadata__".to_owned(),
            serde_json::json!({ "format": "pt" }),
        );
        let (mut places, mut end) = (HashMap::new(), 0);
        for tensor in tensors {
            let (start, n_bytes) = (end, tensor.n_bytes());
            end += n_bytes;
            let PlannedTensor { name, dtype, shape } = tensor;
            let entry =
                serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
            places.insert(name.clone(), (start, n_bytes));
            if header.insert(name.clone(), entry).is_some() {
                let reason = "it is there twice".to_owned();
                return Err(ExportError::Weight {
                    name,
                    format: "safetensors",
                    reason,
                });
            }
        }
        let mut header = serde_json::Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let data_start = 8 + header.len() as u64;
        for (start, _) in places.values_mut() {
            *start += data_start;
        }
        let mut file = Self {
            file: File::create(path).map_err(|source| io_error(path, source))?,
            path: path.to_owned(),
            places,
        };
        file.write_at(0, &(header.len() as u64).to_le_bytes())?;
        file.write_at(8, &header)?;
        Ok(file)
    }

    /// Writes one tensor.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let wrong = |reason: String| ExportError::Weight {
            name: name.to_owned(),
            format: "safetensors",
            reason,
        };
        let (start, n_bytes) = self
            .places
            .remove(name)
            .ok_or_else(|| wrong("it is not in the header".to_owned()))?;
        if bytes.len() as u64 != n_bytes {
            return Err(wrong(format!(
                "{} bytes were made, not {n_bytes}",
                bytes.len()
            )));
        }
        self.write_at(start, bytes)
    }

    /// Waits until the file is on disk.
    pub(super) fn finish(self) -> Result<(), ExportError> {
        if let Some(name) = self.places.into_keys().next() {
            let reason = "it was never written".to_owned();
            return Err(ExportError::Weight {
                name,
                format: "safetensors",
                reason,
            });
        }
        self.file
            .sync_all()
            .map_err(|source| io_error(&self.path, source))
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ExportError> {
        let placed = self.file.seek(SeekFrom::Start(offset));
        let written = placed.and_then(|_| self.file.write_all(bytes));
        written.map_err(|source| io_error(&self.path, source))
    }
}

pub(super) fn io_error(path: &Path, source: std::io::Error) -> ExportError {
    ExportError::Io {
        path: path.to_owned(),
        source,
    }
}

/// 32-bit words, little-endian.
pub(super) fn i32_bytes(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// 16-bit floats, for values that are such floats already.
pub(super) fn exact_f16_bytes(values: &[f32]) -> Result<Vec<u8>, String> {
    let is_exact = |value: &f32| f16::from_f32(*value).to_f32().to_bits() == value.to_bits();
    if let Some(value) = values.iter().find(|value| !is_exact(value)) {
        return Err(format!("scale {value} is not a 16-bit float"));
    }
    rounded_f16_bytes(values)
}

/// Values rounded to bfloat16.
pub(super) fn rounded_bf16_bytes(values: &[f32]) -> Result<Vec<u8>, String> {
    if let Some(value) = values
        .iter()
        .find(|value| !half::bf16::from_f32(**value).is_finite())
    {
        return Err(format!("value {value} does not fit 16-bit floats (bf16)"));
    }
    Ok(trimtab_kernels::pack_bf16(values))
}

/// Values rounded to 16-bit floats.
pub(super) fn rounded_f16_bytes(values: &[f32]) -> Result<Vec<u8>, String> {
    if let Some(value) = values
        .iter()
        .find(|value| !f16::from_f32(**value).is_finite())
    {
        return Err(format!("value {value} does not fit 16-bit floats"));
    }
    Ok(trimtab_kernels::pack_f16(values))
}
