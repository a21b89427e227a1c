//! Named tensors of a checkpoint, whatever files they lie in.

use std::fmt;

/// What a stored tensor's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredType {
    /// Floats of any width, or blocks that stand for floats.
    Float,
    /// Integers of any width: packed codes, indices.
    Integer,
}

/// Why a tensor cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// No tensor has this name.
    #[error("there is no tensor `{0}`")]
    Missing(String),
    /// A weight is not a number, or infinite.
    #[error("tensor `{name}` holds {value} at element {index}: the checkpoint is damaged")]
    NotFinite {
        /// The tensor.
        name: String,
        /// Which element, row-major.
        index: usize,
        /// NaN, inf or -inf.
        value: f32,
    },
    /// The tensor holds another kind of numbers.
    #[error("tensor `{name}` holds {found}, not {wanted}")]
    Type {
        /// The tensor.
        name: String,
        /// What it holds.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The file behind it is damaged.
    #[error("tensor `{name}`: {reason}")]
    Damaged {
        /// The tensor.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// Named tensors of a checkpoint. Reading one must not hold others in memory.
pub trait TensorSource: fmt::Debug + Send + Sync {
    /// All names, sorted.
    fn names(&self) -> Vec<String>;

    /// Sizes from the outermost axis to the innermost; `None` for an unknown name.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// What its elements are; `None` for an unknown name.
    fn stored_type(&self, name: &str) -> Option<StoredType>;

    /// A float tensor, row-major.
    ///
    /// # Errors
    ///
    /// [`TensorError`] for an unknown name, integers, damaged bytes, NaN or infinity.
    fn floats(&self, name: &str) -> Result<Vec<f32>, TensorError>;

    /// An integer tensor, row-major; 64-bit values must fit 32 bits.
    ///
    /// # Errors
    ///
    /// [`TensorError`] for an unknown name, floats or damaged bytes.
    fn integers(&self, name: &str) -> Result<Vec<i32>, TensorError>;
}

/// Refuses NaN and infinity, with the tensor's name.
///
/// # Errors
///
/// [`TensorError::NotFinite`] for the first such value.
pub fn check_finite(name: &str, values: &[f32]) -> Result<(), TensorError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(TensorError::NotFinite {
            name: name.to_owned(),
            index,
            value: values[index],
        }),
    }
}
