//! Where a tensor lies in a file.

use super::ElementType;
use std::borrow::Cow;

/// A tensor as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTensor<'a> {
    /// What the elements are.
    pub element: ElementType,
    /// Sizes from the outermost axis to the innermost.
    pub shape: &'a [usize],
    /// The elements, row-major and little-endian; borrowed where they lie in the file like that.
    pub bytes: Cow<'a, [u8]>,
}

/// Place and layout of a tensor.
///
/// Invariant: every element lies within the file, and the bytes of all elements together are no
/// more than the file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredTensor {
    pub(super) element: ElementType,
    pub(super) shape: Vec<usize>,
    /// Byte of the file with which element 0 begins.
    pub(super) start: usize,
    /// Elements from one index to the next, for each axis; `None` where they are row-major.
    pub(super) strides: Option<Vec<usize>>,
}

impl StoredTensor {
    pub(super) fn n_elements(&self) -> usize {
        self.shape.iter().product()
    }

    pub(super) fn raw<'a>(&'a self, file: &'a [u8]) -> RawTensor<'a> {
        let bytes = match &self.strides {
            None => {
                let n_bytes = self.n_elements() * self.element.width();
                Cow::Borrowed(&file[self.start..self.start + n_bytes])
            }
            Some(strides) => Cow::Owned(self.gathered(file, strides)),
        };
        RawTensor {
            element: self.element,
            shape: &self.shape,
            bytes,
        }
    }

    /// Copies the elements into row-major order.
    fn gathered(&self, file: &[u8], strides: &[usize]) -> Vec<u8> {
        let width = self.element.width();
        let n_elements = self.n_elements();
        let mut bytes = Vec::with_capacity(n_elements * width);
        let mut index = vec![0; self.shape.len()];
        let mut offset = 0;
        for _ in 0..n_elements {
            bytes.extend_from_slice(&file[self.start + offset * width..][..width]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                offset += strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                offset -= strides[axis] * self.shape[axis];
                index[axis] = 0;
            }
        }
        bytes
    }
}
