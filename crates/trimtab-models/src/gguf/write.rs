//! Writes GGUF files of version 3: metadata, tensor table, and small files as a whole.

use super::{
    GgmlType, GgufArray, GgufValue,
    encode::{TooLarge, encode_blocks, is_writable},
    header::{DEFAULT_ALIGNMENT, MAGIC},
    value::code,
};
use std::path::{Path, PathBuf};

/// Collects metadata and tensors, then writes them.
#[derive(Clone, Debug, Default)]
pub struct GgufWriter {
    metadata: Vec<(String, GgufValue)>,
    tensors: Vec<WrittenTensor>,
}

#[derive(Clone, Debug)]
struct WrittenTensor {
    name: String,
    shape: Vec<usize>,
    ggml_type: GgmlType,
    bytes: Vec<u8>,
}

/// Why a GGUF file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum GgufWriteError {
    /// The number of elements is not what the shape says.
    #[error("tensor `{name}` has {n_elements} elements, which do not fill the shape {shape:?}")]
    WrongLength {
        /// The tensor.
        name: String,
        /// Elements given.
        n_elements: usize,
        /// The shape given.
        shape: Vec<usize>,
    },
    /// Rows that do not divide into blocks.
    #[error("tensor `{name}`: rows of {d_in} do not divide into blocks of {ggml_type}")]
    UnevenBlocks {
        /// The tensor.
        name: String,
        /// Elements in a row.
        d_in: usize,
        /// The type asked for.
        ggml_type: GgmlType,
    },
    /// A type without a writer.
    #[error("tensor `{name}`: no writer for the type {ggml_type}")]
    UnsupportedType {
        /// The tensor.
        name: String,
        /// The type asked for.
        ggml_type: GgmlType,
    },
    /// An element that the type has no number for.
    #[error("tensor `{name}`: {value} is too large for {ggml_type}")]
    TooLarge {
        /// The tensor.
        name: String,
        /// The element.
        value: f32,
        /// The type asked for.
        ggml_type: GgmlType,
    },
    /// The file cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl GgufWriter {
    /// A file with neither metadata nor tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metadata entry.
    #[must_use]
    pub fn metadata(mut self, key: &str, value: impl Into<GgufValue>) -> Self {
        self.metadata.push((key.to_owned(), value.into()));
        self
    }

    /// Adds a tensor, quantised to `ggml_type`.
    ///
    /// # Shapes
    ///
    /// - `shape`: row-major, a linear layer is `[d_out, d_in]`
    /// - `elements`: as many as `shape` says
    pub fn tensor(
        self,
        name: &str,
        shape: &[usize],
        ggml_type: GgmlType,
        elements: &[f32],
    ) -> Result<Self, GgufWriteError> {
        let d_in = shape.last().copied().unwrap_or(0);
        if elements.is_empty() || shape.iter().product::<usize>() != elements.len() {
            let (name, shape) = (name.to_owned(), shape.to_vec());
            return Err(GgufWriteError::WrongLength {
                name,
                n_elements: elements.len(),
                shape,
            });
        }
        let block = ggml_type.block().filter(|_| is_writable(ggml_type));
        let Some(block) = block else {
            let name = name.to_owned();
            return Err(GgufWriteError::UnsupportedType { name, ggml_type });
        };
        if !d_in.is_multiple_of(block.n_elements) {
            return Err(GgufWriteError::UnevenBlocks {
                name: name.to_owned(),
                d_in,
                ggml_type,
            });
        }
        let mut bytes = vec![0; elements.len() / block.n_elements * block.n_bytes];
        encode_blocks(ggml_type, elements, &mut bytes).map_err(|TooLarge(value)| {
            let name = name.to_owned();
            GgufWriteError::TooLarge {
                name,
                value,
                ggml_type,
            }
        })?;
        Ok(self.stored_tensor(name, shape, ggml_type, bytes))
    }

    /// Adds a tensor as it is to be stored, unchecked.
    #[must_use]
    pub fn stored_tensor(
        mut self,
        name: &str,
        shape: &[usize],
        ggml_type: GgmlType,
        bytes: Vec<u8>,
    ) -> Self {
        let (name, shape) = (name.to_owned(), shape.to_vec());
        self.tensors.push(WrittenTensor {
            name,
            shape,
            ggml_type,
            bytes,
        });
        self
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries = self.tensors.iter().map(|tensor| TensorEntry {
            name: &tensor.name,
            shape: &tensor.shape,
            ggml_type: tensor.ggml_type,
            n_bytes: tensor.bytes.len(),
        });
        let mut file = header_bytes(&self.metadata, entries);
        for tensor in &self.tensors {
            file.extend(&tensor.bytes);
            pad(&mut file);
        }
        file
    }

    /// Writes the file to `path`, replacing what is there.
    pub fn write(&self, path: &Path) -> Result<(), GgufWriteError> {
        let failed = |source| GgufWriteError::Io {
            path: path.to_owned(),
            source,
        };
        std::fs::write(path, self.to_bytes()).map_err(failed)
    }
}

/// What the tensor table says of a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TensorEntry<'a> {
    pub(crate) name: &'a str,
    pub(crate) shape: &'a [usize],
    pub(crate) ggml_type: GgmlType,
    pub(crate) n_bytes: usize,
}

/// Everything before the data, padded to where the data begins; tensors follow in this order, each
/// padded by [`padding`].
pub(crate) fn header_bytes<'a>(
    metadata: &[(String, GgufValue)],
    tensors: impl ExactSizeIterator<Item = TensorEntry<'a>>,
) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        push_text(&mut file, key);
        push_value(&mut file, value);
    }
    let mut offset = 0;
    for tensor in tensors {
        push_text(&mut file, tensor.name);
        file.extend((tensor.shape.len() as u32).to_le_bytes());
        for &dim in tensor.shape.iter().rev() {
            file.extend((dim as u64).to_le_bytes());
        }
        file.extend(tensor.ggml_type.code().to_le_bytes());
        file.extend((offset as u64).to_le_bytes());
        offset += tensor.n_bytes + padding(tensor.n_bytes);
    }
    pad(&mut file);
    file
}

/// Bytes from the end of a tensor to where the next may begin.
pub(crate) fn padding(n_bytes: usize) -> usize {
    n_bytes.next_multiple_of(DEFAULT_ALIGNMENT as usize) - n_bytes
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len() + padding(bytes.len()), 0);
}

fn push_text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}

fn push_value(file: &mut Vec<u8>, value: &GgufValue) {
    match value {
        GgufValue::U8(value) => push(file, code::U8, &value.to_le_bytes()),
        GgufValue::I8(value) => push(file, code::I8, &value.to_le_bytes()),
        GgufValue::U16(value) => push(file, code::U16, &value.to_le_bytes()),
        GgufValue::I16(value) => push(file, code::I16, &value.to_le_bytes()),
        GgufValue::U32(value) => push(file, code::U32, &value.to_le_bytes()),
        GgufValue::I32(value) => push(file, code::I32, &value.to_le_bytes()),
        GgufValue::U64(value) => push(file, code::U64, &value.to_le_bytes()),
        GgufValue::I64(value) => push(file, code::I64, &value.to_le_bytes()),
        GgufValue::F32(value) => push(file, code::F32, &value.to_le_bytes()),
        GgufValue::F64(value) => push(file, code::F64, &value.to_le_bytes()),
        GgufValue::Bool(value) => push(file, code::BOOL, &[u8::from(*value)]),
        GgufValue::String(text) => {
            push(file, code::STRING, &[]);
            push_text(file, text);
        }
        GgufValue::Array(array) => {
            push(file, code::ARRAY, &[]);
            push_array(file, array);
        }
    }
}

fn push(file: &mut Vec<u8>, code: u32, bytes: &[u8]) {
    file.extend(code.to_le_bytes());
    file.extend(bytes);
}

fn push_array(file: &mut Vec<u8>, array: &GgufArray) {
    match array {
        GgufArray::U8(values) => push_all(file, code::U8, values, |value| value.to_le_bytes()),
        GgufArray::I8(values) => push_all(file, code::I8, values, |value| value.to_le_bytes()),
        GgufArray::U16(values) => push_all(file, code::U16, values, |value| value.to_le_bytes()),
        GgufArray::I16(values) => push_all(file, code::I16, values, |value| value.to_le_bytes()),
        GgufArray::U32(values) => push_all(file, code::U32, values, |value| value.to_le_bytes()),
        GgufArray::I32(values) => push_all(file, code::I32, values, |value| value.to_le_bytes()),
        GgufArray::U64(values) => push_all(file, code::U64, values, |value| value.to_le_bytes()),
        GgufArray::I64(values) => push_all(file, code::I64, values, |value| value.to_le_bytes()),
        GgufArray::F32(values) => push_all(file, code::F32, values, |value| value.to_le_bytes()),
        GgufArray::F64(values) => push_all(file, code::F64, values, |value| value.to_le_bytes()),
        GgufArray::Bool(values) => push_all(file, code::BOOL, values, |&value| [u8::from(value)]),
        GgufArray::String(texts) => {
            push(file, code::STRING, &(texts.len() as u64).to_le_bytes());
            for text in texts.iter() {
                push_text(file, text);
            }
        }
    }
}

fn push_all<T, const N: usize>(
    file: &mut Vec<u8>,
    code: u32,
    values: &[T],
    bytes_from: fn(&T) -> [u8; N],
) {
    push(file, code, &(values.len() as u64).to_le_bytes());
    file.extend(values.iter().flat_map(bytes_from));
}
