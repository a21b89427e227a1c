//! A GGUF file as a source of tensors.

use super::{GgufError, GgufFile};
use crate::tensor_source::{StoredType, TensorError, TensorSource, check_finite};

impl TensorSource for GgufFile {
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors().iter().map(|t| t.name.clone()).collect();
        names.sort();
        names
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensor(name).map(|tensor| tensor.shape.clone())
    }

    fn stored_type(&self, name: &str) -> Option<StoredType> {
        self.tensor(name).map(|_| StoredType::Float)
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>, TensorError> {
        let values = self.dequantize(name).map_err(|error| match error {
            GgufError::MissingTensor(name) => TensorError::Missing(name),
            other => TensorError::Damaged {
                name: name.to_owned(),
                reason: other.to_string(),
            },
        })?;
        check_finite(name, &values)?;
        Ok(values)
    }

    fn integers(&self, name: &str) -> Result<Vec<i32>, TensorError> {
        Err(TensorError::Type {
            name: name.to_owned(),
            found: "floats".to_owned(),
            wanted: "integers",
        })
    }
}
