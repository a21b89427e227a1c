//! One quantised module of a checkpoint: its sizes, and how its tensors are reached.

use super::QuantizedError;
use crate::{StoredType, TensorSource};

/// Sizes of a quantised module, checked against the shapes of its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ModuleSizes {
    /// Output channels.
    pub(super) d_out: usize,
    /// Input channels.
    pub(super) d_in: usize,
    /// Width of a code.
    pub(super) bits: u32,
    /// Input channels that share a scale.
    pub(super) group_size: usize,
}

impl ModuleSizes {
    /// Groups a row.
    pub(super) fn n_groups(&self) -> usize {
        self.d_in.div_ceil(self.group_size)
    }
}

/// The tensors of one module.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModuleTensors<'a> {
    pub(super) source: &'a dyn TensorSource,
    /// Name of the module, without a final dot.
    pub(super) module: &'a str,
}

impl ModuleTensors<'_> {
    /// Full name of a tensor.
    pub(super) fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.module)
    }

    /// Shape of a tensor that may be missing; its elements have to be of the type that is wanted.
    pub(super) fn find_shape(
        &self,
        part: &str,
        wanted: StoredType,
    ) -> Result<Option<Vec<usize>>, QuantizedError> {
        let name = self.name(part);
        let (Some(shape), Some(found)) = (self.source.shape(&name), self.source.stored_type(&name))
        else {
            return Ok(None);
        };
        if found == wanted {
            return Ok(Some(shape));
        }
        let kind = |stored| match stored {
            StoredType::Float => "floats",
            StoredType::Integer => "integers",
        };
        Err(QuantizedError::Value {
            tensor: name,
            reason: format!("holds {}, not {}", kind(found), kind(wanted)),
        })
    }

    /// Shape of a tensor that has to be there.
    pub(super) fn shape(
        &self,
        part: &'static str,
        wanted: StoredType,
    ) -> Result<Vec<usize>, QuantizedError> {
        self.find_shape(part, wanted)?
            .ok_or_else(|| QuantizedError::MissingCompanion {
                module: self.module.to_owned(),
                tensor: part,
            })
    }

    /// Shape `[rows, columns]` of a matrix that has to be there and to have elements.
    pub(super) fn matrix(
        &self,
        part: &'static str,
        wanted: StoredType,
    ) -> Result<[usize; 2], QuantizedError> {
        let shape = self.shape(part, wanted)?;
        match shape[..] {
            [rows, columns] if rows > 0 && columns > 0 => Ok([rows, columns]),
            _ => Err(self.wrong_shape(
                part,
                &shape,
                "it has to be a matrix with elements".to_owned(),
            )),
        }
    }

    /// Refuses a tensor of another shape.
    pub(super) fn check_shape(
        &self,
        part: &str,
        got: &[usize],
        expected: &[usize],
    ) -> Result<(), QuantizedError> {
        if got == expected {
            return Ok(());
        }
        Err(self.wrong_shape(
            part,
            got,
            format!("expected {expected:?} by the module's other tensors"),
        ))
    }

    pub(super) fn wrong_shape(&self, part: &str, got: &[usize], reason: String) -> QuantizedError {
        QuantizedError::Shape {
            tensor: self.name(part),
            got: got.to_owned(),
            reason,
        }
    }

    pub(super) fn wrong_value(&self, part: &str, reason: String) -> QuantizedError {
        QuantizedError::Value {
            tensor: self.name(part),
            reason,
        }
    }

    pub(super) fn floats(&self, part: &str) -> Result<Vec<f32>, QuantizedError> {
        Ok(self.source.floats(&self.name(part))?)
    }

    pub(super) fn integers(&self, part: &str) -> Result<Vec<i32>, QuantizedError> {
        Ok(self.source.integers(&self.name(part))?)
    }

    /// Numbers of groups, each below `n_groups`.
    pub(super) fn group_idx(
        &self,
        part: &str,
        n_groups: usize,
    ) -> Result<Vec<u32>, QuantizedError> {
        let group = |(channel, group): (usize, i32)| match u32::try_from(group) {
            Ok(group) if (group as usize) < n_groups => Ok(group),
            _ => Err(self.wrong_value(
                part,
                format!("group {group} of channel {channel}, but there are {n_groups} groups"),
            )),
        };
        self.integers(part)?
            .into_iter()
            .enumerate()
            .map(group)
            .collect()
    }
}

/// `[n_groups, d_out]` as `[d_out, n_groups]`.
pub(super) fn transposed<T: Copy>(values: &[T], n_rows: usize, n_columns: usize) -> Vec<T> {
    (0..n_columns)
        .flat_map(|column| (0..n_rows).map(move |row| values[row * n_columns + column]))
        .collect()
}
