//! Number formats as artifacts write them down: those that kernels read, codes of 2 and 3 bits,
//! which are stored in as many bits and widened to the 4-bit format when they are loaded, and n:m
//! sparse floats, which get their zeros back then.
//!
//! A narrow weight has its codes first, row by row: 64 codes at a time, a word of 64 bits for each
//! bit of the codes, the lowest first; code `i` of the 64 is bit `i` of each word. Scales and zero
//! points follow as in the 4-bit format.

use crate::sparse_pattern::{SparseError, SparseFloat, SparsePattern};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use trimtab_kernels::{PackedFormat, PackedShape};

/// [`PackedFormat`] as it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "dtype", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `PackedFormat`")]
pub enum StoredFormat {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 16-bit floats with the range of 32-bit ones.
    Bf16,
    /// 8-bit codes.
    Int8 {
        group_size: usize,
        int8_activations: bool,
    },
    /// 4-bit codes.
    Int4 {
        group_size: usize,
        int8_activations: bool,
    },
    /// 3-bit codes, multiplied as 4-bit ones.
    Int3 {
        group_size: usize,
        int8_activations: bool,
    },
    /// 2-bit codes, multiplied as 4-bit ones.
    Int2 {
        group_size: usize,
        int8_activations: bool,
    },
    /// Floats of which a pattern says how many of each group are not 0.
    Sparse(SparsePattern),
}

/// Codes that lie side by side: those of a block of the 4-bit format.
const BLOCK: usize = 64;

/// Bytes of a block of 4-bit codes.
const WIDE_BYTES: usize = BLOCK / 2;

impl From<PackedFormat> for StoredFormat {
    fn from(format: PackedFormat) -> Self {
        match format {
            PackedFormat::F32 => Self::F32,
            PackedFormat::F16 => Self::F16,
            PackedFormat::Bf16 => Self::Bf16,
            PackedFormat::Int8 {
                group_size,
                int8_activations,
            } => Self::Int8 {
                group_size,
                int8_activations,
            },
            PackedFormat::Int4 {
                group_size,
                int8_activations,
            } => Self::Int4 {
                group_size,
                int8_activations,
            },
        }
    }
}

impl StoredFormat {
    /// The narrowest form of a format whose codes have so many bits.
    pub fn of_codes(format: PackedFormat, bits: u32) -> Self {
        match (format, bits) {
            (
                PackedFormat::Int4 {
                    group_size,
                    int8_activations,
                },
                3,
            ) => Self::Int3 {
                group_size,
                int8_activations,
            },
            (
                PackedFormat::Int4 {
                    group_size,
                    int8_activations,
                },
                2,
            ) => Self::Int2 {
                group_size,
                int8_activations,
            },
            (other, _) => other.into(),
        }
    }

    /// Floats with `kept` of every `of` input channels other than 0: sparse where that is smaller
    /// and the pattern divides rows of `d_in`, else as they are.
    pub fn of_pattern(format: PackedFormat, (kept, of): (usize, usize), d_in: usize) -> Self {
        let values = match format {
            PackedFormat::F32 => SparseFloat::F32,
            PackedFormat::F16 => SparseFloat::F16,
            PackedFormat::Bf16 => SparseFloat::Bf16,
            PackedFormat::Int8 { .. } | PackedFormat::Int4 { .. } => return format.into(),
        };
        let pattern = SparsePattern { values, kept, of };
        let row = PackedShape {
            d_out: 1,
            d_in,
            format,
        };
        let is_smaller = |n_bytes: usize| n_bytes < row.n_bytes();
        match d_in.is_multiple_of(of.max(1)) && pattern.n_bytes(d_in).is_ok_and(is_smaller) {
            true => Self::Sparse(pattern),
            false => format.into(),
        }
    }

    /// What kernels read of a weight `[d_out, d_in]`; `None` for a group size that they do not take,
    /// or a pattern that does not divide the rows.
    pub fn shape(self, d_out: usize, d_in: usize) -> Option<PackedShape> {
        let format = self.to_packed()?;
        if let Self::Sparse(pattern) = self {
            pattern.n_bytes(d_in).ok()?;
            pattern.n_bytes(d_out.checked_mul(d_in)?).ok()?;
        }
        Some(PackedShape {
            d_out,
            d_in,
            format,
        })
    }

    fn to_packed(self) -> Option<PackedFormat> {
        let is_readable =
            |group_size: usize| (64..=4096).contains(&group_size) && group_size.is_multiple_of(64);
        match self {
            Self::F32 => Some(PackedFormat::F32),
            Self::F16 => Some(PackedFormat::F16),
            Self::Bf16 => Some(PackedFormat::Bf16),
            Self::Int8 {
                group_size,
                int8_activations,
            } => is_readable(group_size).then_some(PackedFormat::Int8 {
                group_size,
                int8_activations,
            }),
            Self::Int4 {
                group_size,
                int8_activations,
            }
            | Self::Int3 {
                group_size,
                int8_activations,
            }
            | Self::Int2 {
                group_size,
                int8_activations,
            } => is_readable(group_size).then_some(PackedFormat::Int4 {
                group_size,
                int8_activations,
            }),
            Self::Sparse(pattern) => Some(match pattern.values {
                SparseFloat::F32 => PackedFormat::F32,
                SparseFloat::F16 => PackedFormat::F16,
                SparseFloat::Bf16 => PackedFormat::Bf16,
            }),
        }
    }

    /// Bits of a code that is stored narrower than kernels read it.
    fn narrow_bits(self) -> Option<usize> {
        match self {
            Self::Int3 { .. } => Some(3),
            Self::Int2 { .. } => Some(2),
            Self::F32
            | Self::F16
            | Self::Bf16
            | Self::Int8 { .. }
            | Self::Int4 { .. }
            | Self::Sparse(_) => None,
        }
    }

    /// Bytes of a stored weight that kernels read in `shape`.
    ///
    /// # Panics
    ///
    /// If the shape is not one of [`StoredFormat::shape`].
    pub fn n_bytes(self, shape: &PackedShape) -> usize {
        if let Self::Sparse(pattern) = self {
            let n_bytes = pattern.n_bytes(shape.d_out * shape.d_in);
            return n_bytes.expect("the pattern divides the rows");
        }
        let n_bytes = shape.n_bytes();
        match self.narrow_bits() {
            None => n_bytes,
            Some(bits) => n_bytes - n_blocks(shape) * (WIDE_BYTES - 8 * bits),
        }
    }

    /// A weight as it is stored.
    ///
    /// # Panics
    ///
    /// If `packed` is not of `shape`, has wider codes than the format, or not its pattern.
    pub fn narrow(self, shape: &PackedShape, packed: Vec<u8>) -> Vec<u8> {
        assert_eq!(packed.len(), shape.n_bytes(), "a weight of shape {shape:?}");
        if let Self::Sparse(pattern) = self {
            let stored = pattern.pack(&packed);
            return stored.expect("the weight was pruned by the pattern");
        }
        let Some(bits) = self.narrow_bits() else {
            return packed;
        };
        let (codes, rest) = packed.split_at(n_blocks(shape) * WIDE_BYTES);
        let mut stored = vec![0; n_blocks(shape) * 8 * bits];
        stored
            .par_chunks_exact_mut(8 * bits)
            .zip(codes.par_chunks_exact(WIDE_BYTES))
            .for_each(|(words, block)| narrow_block(block, words, bits));
        stored.extend(rest);
        stored
    }

    /// A stored weight as kernels read it; `None` if it is stored that way already.
    ///
    /// # Errors
    ///
    /// [`SparseError`] for values without their pattern, which may come from anywhere.
    ///
    /// # Panics
    ///
    /// If `stored` has not as many bytes as [`StoredFormat::n_bytes`] says.
    pub fn widened(
        self,
        shape: &PackedShape,
        stored: &[u8],
    ) -> Result<Option<Vec<u8>>, SparseError> {
        if let Self::Sparse(pattern) = self {
            let dense = pattern.unpack(shape.d_out * shape.d_in, stored);
            return dense.map(Some);
        }
        let Some(bits) = self.narrow_bits() else {
            return Ok(None);
        };
        assert_eq!(
            stored.len(),
            self.n_bytes(shape),
            "a weight of shape {shape:?}"
        );
        let (words, rest) = stored.split_at(n_blocks(shape) * 8 * bits);
        let mut packed = vec![0; n_blocks(shape) * WIDE_BYTES];
        packed
            .par_chunks_exact_mut(WIDE_BYTES)
            .zip(words.par_chunks_exact(8 * bits))
            .for_each(|(block, words)| widen_block(words, block));
        packed.extend(rest);
        Ok(Some(packed))
    }
}

fn n_blocks(shape: &PackedShape) -> usize {
    shape.d_out * shape.d_in_padded() / BLOCK
}

/// 4-bit rows keep 64 codes in 32 bytes, the first 32 codes in the low halves.
fn narrow_block(block: &[u8], words: &mut [u8], bits: usize) {
    for (bit, word) in words.chunks_exact_mut(8).enumerate() {
        let mut bits_of_codes = 0_u64;
        for (idx, byte) in block.iter().enumerate() {
            let (low, high) = (u64::from(byte & 15), u64::from(byte >> 4));
            assert!(low >> bits == 0 && high >> bits == 0, "codes are wider");
            bits_of_codes |= (low >> bit & 1) << idx | (high >> bit & 1) << (idx + BLOCK / 2);
        }
        word.copy_from_slice(&bits_of_codes.to_le_bytes());
    }
}

fn widen_block(words: &[u8], block: &mut [u8]) {
    for (bit, word) in words.as_chunks::<8>().0.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        for (idx, byte) in block.iter_mut().enumerate() {
            let (low, high) = (word >> idx & 1, word >> (idx + BLOCK / 2) & 1);
            *byte |= ((low | high << 4) << bit) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use trimtab_kernels::pack_int4;

    #[test]
    fn narrow_codes_take_as_many_bits_and_read_back() {
        for (bits, limit) in [(2_u32, 4), (3, 8)] {
            let format = PackedFormat::Int4 {
                group_size: 64,
                int8_activations: true,
            };
            let shape = PackedShape {
                d_out: 3,
                d_in: 150,
                format,
            };
            let codes: Vec<u8> = (0..450).map(|i| (i * i * 7 % limit) as u8).collect();
            let scales = vec![f16::from_f32(0.25); 9];
            let packed = pack_int4(shape, &codes, &scales, &[1; 9]);
            let stored = StoredFormat::of_codes(format, bits);
            assert_eq!(stored.shape(3, 150), Some(shape));
            let narrow = stored.narrow(&shape, packed.clone());
            assert_eq!(narrow.len(), stored.n_bytes(&shape));
            let n_codes = 3 * 192;
            assert_eq!(narrow.len(), n_codes * bits as usize / 8 + 9 * 3);
            assert_eq!(stored.widened(&shape, &narrow), Ok(Some(packed)));
        }
    }

    #[test]
    fn other_formats_are_stored_as_kernels_read_them() {
        let shape = PackedShape {
            d_out: 1,
            d_in: 2,
            format: PackedFormat::F16,
        };
        let stored = StoredFormat::of_codes(shape.format, 16);
        assert_eq!(stored.narrow(&shape, vec![1, 2, 3, 4]), [1, 2, 3, 4]);
        assert_eq!(stored.widened(&shape, &[1, 2, 3, 4]), Ok(None));
    }

    #[test]
    fn a_pattern_is_stored_where_that_is_smaller_and_fits() {
        let of = |kept, of, d_in| StoredFormat::of_pattern(PackedFormat::F16, (kept, of), d_in);
        let stored = of(2, 4, 8);
        let shape = stored.shape(3, 8).unwrap();
        assert_eq!(shape.format, PackedFormat::F16);
        assert_eq!(stored.n_bytes(&shape), 3 * 8 * 9 / 8);
        let dense: Vec<u8> = (0..3 * 8)
            .flat_map(|i| f16::from_f32(if i % 4 < 2 { 0.5 } else { 0.0 }).to_le_bytes())
            .collect();
        let narrow = stored.narrow(&shape, dense.clone());
        assert_eq!(stored.widened(&shape, &narrow), Ok(Some(dense)));
        assert!(stored.widened(&shape, &[0xff; 27]).is_err());
        assert_eq!(of(7, 8, 8), StoredFormat::F16);
        assert_eq!(of(2, 4, 6), StoredFormat::F16);
        assert_eq!(stored.shape(3, 6), None);
        assert_eq!(stored.shape(usize::MAX, 8), None);
        let json = serde_json::to_string(&stored).unwrap();
        assert_eq!(json, r#"{"dtype":"sparse","values":"f16","kept":2,"of":4}"#);
        assert_eq!(serde_json::from_str::<StoredFormat>(&json).unwrap(), stored);
    }
}
