//! A checkpoint in memory.

use crate::{StoredType, TensorError, TensorSource, check_finite};
use safetensors::{Dtype, SafeTensors};
use std::{collections::BTreeMap, path::Path};

/// The content of a tensor.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Floats(Vec<f32>),
    Integers(Vec<i32>),
}

/// Named tensors.
#[derive(Clone, Debug, Default)]
pub(super) struct MemorySource(pub(super) BTreeMap<String, (Vec<usize>, Content)>);

impl MemorySource {
    pub(super) fn with_floats(mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Self {
        self.0
            .insert(name.to_owned(), (shape.to_vec(), Content::Floats(values)));
        self
    }

    pub(super) fn with_integers(mut self, name: &str, shape: &[usize], values: Vec<i32>) -> Self {
        self.0
            .insert(name.to_owned(), (shape.to_vec(), Content::Integers(values)));
        self
    }

    /// Adds a tensor of little-endian bytes.
    pub(super) fn add_bytes(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) {
        let n = shape.iter().product::<usize>();
        assert_eq!(bytes.len(), n * dtype.bitsize() / 8, "{name}");
        let content = match dtype {
            Dtype::F32 => Content::Floats(chunks(bytes, f32::from_le_bytes)),
            Dtype::F16 => Content::Floats(chunks(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
            Dtype::I32 => Content::Integers(chunks(bytes, i32::from_le_bytes)),
            Dtype::I64 => {
                Content::Integers(chunks(bytes, |b| i64::from_le_bytes(b).try_into().unwrap()))
            }
            Dtype::I8 => {
                Content::Integers(chunks(bytes, |b: [u8; 1]| i32::from(b[0].cast_signed())))
            }
            other => panic!("{name}: {other:?}"),
        };
        self.0.insert(name.to_owned(), (shape.to_vec(), content));
    }

    /// Reads a safetensors file.
    pub(super) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let mut source = Self::default();
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            source.add_bytes(&name, view.dtype(), view.shape(), view.data());
        }
        source
    }
}

fn chunks<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|chunk| read(*chunk))
        .collect()
}

impl TensorSource for MemorySource {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        Some(self.0.get(name)?.0.clone())
    }

    fn stored_type(&self, name: &str) -> Option<StoredType> {
        Some(match self.0.get(name)?.1 {
            Content::Floats(_) => StoredType::Float,
            Content::Integers(_) => StoredType::Integer,
        })
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>, TensorError> {
        match self.0.get(name) {
            Some((_, Content::Floats(values))) => {
                check_finite(name, values)?;
                Ok(values.clone())
            }
            Some(_) => Err(TensorError::Type {
                name: name.to_owned(),
                found: "integers".to_owned(),
                wanted: "floats",
            }),
            None => Err(TensorError::Missing(name.to_owned())),
        }
    }

    fn integers(&self, name: &str) -> Result<Vec<i32>, TensorError> {
        match self.0.get(name) {
            Some((_, Content::Integers(values))) => Ok(values.clone()),
            Some(_) => Err(TensorError::Type {
                name: name.to_owned(),
                found: "floats".to_owned(),
                wanted: "integers",
            }),
            None => Err(TensorError::Missing(name.to_owned())),
        }
    }
}
