//! From the description of a tensor to its place in the file, checked.

use super::{TorchError, archive::Archive, heap::TensorRecord};
use crate::hf::stored_tensor::StoredTensor;

/// More axes than weights have.
const MAX_AXES: usize = 8;

/// Where the elements of a tensor lie.
pub(super) fn placed(
    name: &str,
    record: &TensorRecord<'_>,
    archive: &Archive,
) -> Result<StoredTensor, TorchError> {
    let element = record.storage.element;
    let member = archive.storage(record.storage.key)?;
    let n_stored = usize::try_from(record.storage.n_elements).ok();
    let n_bytes = n_stored.and_then(|count| count.checked_mul(element.width()));
    let layout = if n_bytes == Some(member.len()) {
        layout(record, member.len() / element.width())
    } else {
        let (n_elements, n_bytes) = (record.storage.n_elements, member.len());
        Err(format!(
            "its storage of {n_elements} {element} elements has {n_bytes} bytes in the file"
        ))
    };
    let layout = layout.map_err(|reason| TorchError::Tensor {
        name: name.to_owned(),
        reason,
    })?;
    Ok(StoredTensor {
        element,
        shape: layout.shape,
        start: member.start + layout.offset * element.width(),
        strides: layout.strides,
    })
}

struct Layout {
    shape: Vec<usize>,
    offset: usize,
    /// `None` where the elements are row-major.
    strides: Option<Vec<usize>>,
}

/// Checks that every element lies in a storage of `n_stored` elements.
fn layout(record: &TensorRecord<'_>, n_stored: usize) -> Result<Layout, String> {
    let (shape, strides) = (&record.shape, &record.strides);
    if shape.len() != strides.len() || shape.len() > MAX_AXES {
        return Err(format!(
            "shape {shape:?} and strides {strides:?} do not fit"
        ));
    }
    let impossible = || {
        let offset = record.offset;
        format!(
            "shape {shape:?}, strides {strides:?} and offset {offset} lead out of a storage of \
             {n_stored} elements"
        )
    };
    let shape = naturals(shape).ok_or_else(impossible)?;
    let strides = naturals(strides).ok_or_else(impossible)?;
    let offset = usize::try_from(record.offset).map_err(|_| impossible())?;
    let n_elements = shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
    // A storage read again and again by strides of zero would need any amount of memory.
    let n_elements = n_elements
        .filter(|n_elements| *n_elements <= n_stored)
        .ok_or_else(impossible)?;
    if n_elements == 0 {
        return Ok(Layout {
            shape,
            offset: 0,
            strides: None,
        });
    }
    let axes = shape.iter().zip(&strides);
    let last = axes.clone().try_fold(offset, |last, (&size, &stride)| {
        stride.checked_mul(size - 1)?.checked_add(last)
    });
    if last.is_none_or(|last| last >= n_stored) {
        return Err(impossible());
    }
    // The stride of an axis of one is never taken, and may be anything.
    let strides: Vec<usize> = axes
        .map(|(&size, &stride)| if size == 1 { 0 } else { stride })
        .collect();
    let strides = (strides != row_major(&shape)).then_some(strides);
    Ok(Layout {
        shape,
        offset,
        strides,
    })
}

/// The strides of a row-major tensor, with 0 for axes of one.
fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut n_inner = 1;
    for (stride, &size) in strides.iter_mut().zip(shape).rev() {
        if size != 1 {
            *stride = n_inner;
        }
        n_inner *= size;
    }
    strides
}

fn naturals(integers: &[i64]) -> Option<Vec<usize>> {
    let naturals = integers
        .iter()
        .map(|&integer| usize::try_from(integer).ok());
    naturals.collect()
}
