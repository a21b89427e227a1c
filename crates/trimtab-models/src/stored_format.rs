//! Number formats as artifacts write them down: those that kernels read, and codes of 2 and 3 bits,
//! which are stored in as many bits and widened to the 4-bit format when they are loaded.
//!
//! A narrow weight has its codes first, row by row: 64 codes at a time, a word of 64 bits for each
//! bit of the codes, the lowest first; code `i` of the 64 is bit `i` of each word. Scales and zero
//! points follow as in the 4-bit format.

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

    /// The format that kernels read; `None` when a group size is not one they take.
    pub fn to_packed(self) -> Option<PackedFormat> {
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
        }
    }

    /// Bits of a code that is stored narrower than kernels read it.
    fn narrow_bits(self) -> Option<usize> {
        match self {
            Self::Int3 { .. } => Some(3),
            Self::Int2 { .. } => Some(2),
            Self::F32 | Self::F16 | Self::Bf16 | Self::Int8 { .. } | Self::Int4 { .. } => None,
        }
    }

    /// Bytes of a stored weight that kernels read in `shape`.
    pub fn n_bytes(self, shape: &PackedShape) -> usize {
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
    /// If `packed` is not of `shape`, or has wider codes than the format.
    pub fn narrow(self, shape: &PackedShape, packed: Vec<u8>) -> Vec<u8> {
        let Some(bits) = self.narrow_bits() else {
            return packed;
        };
        assert_eq!(packed.len(), shape.n_bytes(), "a weight of shape {shape:?}");
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
    /// # Panics
    ///
    /// If `stored` has not as many bytes as [`StoredFormat::n_bytes`] says.
    pub fn widened(self, shape: &PackedShape, stored: &[u8]) -> Option<Vec<u8>> {
        let bits = self.narrow_bits()?;
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
        Some(packed)
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
            assert_eq!(stored.to_packed(), Some(format));
            let narrow = stored.narrow(&shape, packed.clone());
            assert_eq!(narrow.len(), stored.n_bytes(&shape));
            let n_codes = 3 * 192;
            assert_eq!(narrow.len(), n_codes * bits as usize / 8 + 9 * 3);
            assert_eq!(stored.widened(&shape, &narrow), Some(packed));
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
        assert_eq!(stored.widened(&shape, &[1, 2, 3, 4]), None);
    }
}
