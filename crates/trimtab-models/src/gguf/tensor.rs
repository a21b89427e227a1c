//! The tensor table: name, shape, type and place of each tensor, checked against the file.

use super::{GgmlType, GgufError, cursor::Cursor};

/// One entry of the tensor table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufTensor {
    /// Its name.
    pub name: String,
    /// Axes in row-major order, the slowest first: a linear layer is `[d_out, d_in]`.
    pub shape: Vec<usize>,
    /// How its elements are stored.
    pub ggml_type: GgmlType,
    /// Where its bytes begin within the data section.
    pub offset: u64,
    /// Its bytes; `None` for a type whose size is not known.
    pub n_bytes: Option<u64>,
}

/// The longest tensor name that ggml stores.
const MAX_NAME_BYTES: u64 = 64;
/// The most axes that ggml has.
const MAX_AXES: u32 = 4;
/// The least bytes an entry takes: length of the name, number of axes, one axis, type, offset.
pub(super) const MIN_ENTRY_BYTES: usize = 8 + 4 + 8 + 4 + 8;

impl GgufTensor {
    /// Elements of a row, the axis that is contiguous.
    pub fn d_in(&self) -> usize {
        *self
            .shape
            .last()
            .expect("the table refuses tensors without axes")
    }

    /// Rows: the product of all axes but the contiguous one.
    pub fn n_rows(&self) -> usize {
        self.n_elements() / self.d_in()
    }

    /// Elements.
    pub fn n_elements(&self) -> usize {
        // The product was checked when the table was read.
        self.shape.iter().product()
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, GgufError> {
        let name = cursor.name(MAX_NAME_BYTES, "a tensor name")?.to_owned();
        let n_axes = cursor.u32("the axes of a tensor")?;
        if !(1..=MAX_AXES).contains(&n_axes) {
            return Err(GgufError::InvalidShape { name, dims: vec![] });
        }
        let mut dims = Vec::with_capacity(n_axes as usize);
        for _ in 0..n_axes {
            dims.push(cursor.u64("the dimensions of a tensor")?);
        }
        let ggml_type = GgmlType::from_code(cursor.u32("the type of a tensor")?);
        let offset = cursor.u64("the offset of a tensor")?;
        let Some(n_elements) = checked_product(&dims) else {
            return Err(GgufError::InvalidShape { name, dims });
        };
        let shape: Vec<usize> = dims.iter().rev().map(|&dim| dim as usize).collect();
        let n_bytes = match ggml_type.block() {
            None => None,
            Some(block) => {
                let d_in = dims[0] as usize;
                if !d_in.is_multiple_of(block.n_elements) {
                    let block = block.n_elements;
                    return Err(GgufError::UnevenBlocks {
                        name,
                        d_in,
                        block,
                        ggml_type,
                    });
                }
                let n_blocks = n_elements / block.n_elements as u64;
                match n_blocks.checked_mul(block.n_bytes as u64) {
                    Some(n_bytes) => Some(n_bytes),
                    None => return Err(GgufError::InvalidShape { name, dims }),
                }
            }
        };
        Ok(Self {
            name,
            shape,
            ggml_type,
            offset,
            n_bytes,
        })
    }

    /// Refuses a tensor that begins out of step or ends beyond the data.
    pub(super) fn check_place(&self, alignment: u64, available: usize) -> Result<(), GgufError> {
        if !self.offset.is_multiple_of(alignment) {
            let (name, offset) = (self.name.clone(), self.offset);
            return Err(GgufError::MisalignedTensor {
                name,
                offset,
                alignment,
            });
        }
        let needed = self.n_bytes.unwrap_or(0);
        let end = self.offset.checked_add(needed);
        if end.is_none_or(|end| end > available as u64) {
            let (name, offset) = (self.name.clone(), self.offset);
            return Err(GgufError::TensorOutOfFile {
                name,
                offset,
                needed,
                available,
            });
        }
        Ok(())
    }
}

/// The number of elements, if no axis is empty and their bytes as f32 can be counted.
fn checked_product(dims: &[u64]) -> Option<u64> {
    let product = dims
        .iter()
        .try_fold(1_u64, |product, &dim| product.checked_mul(dim))?;
    let n_bytes = product.checked_mul(size_of::<f32>() as u64)?;
    (product > 0 && isize::try_from(n_bytes).is_ok()).then_some(product)
}
