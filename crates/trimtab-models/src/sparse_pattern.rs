//! n:m sparse floats as artifacts store them: the values that stay, and where in their group they were.
//!
//! 2:4 in 16-bit floats takes 9 bits a weight instead of 16. All values come first, little-endian,
//! then all places, as many bits each as the largest place of a group needs, from the lowest bit of
//! each byte on.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The largest group whose places fit a byte.
const MAX_GROUP: usize = 256;

/// Groups that are packed at once: their places fill whole bytes, whatever the pattern.
const GROUPS_AT_ONCE: usize = 512;

/// A float format of sparse values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SparseFloat {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 16-bit floats with the range of 32-bit ones.
    Bf16,
}

/// How many values of every group are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparsePattern {
    /// The format of the values.
    pub values: SparseFloat,
    /// Values that are stored of each group.
    pub kept: usize,
    /// Values of a group.
    pub of: usize,
}

/// Why values cannot be packed by a pattern, or read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SparseError {
    /// A pattern that keeps nothing or all, or has too large a group.
    #[error("a pattern of {kept}:{of}; it has to keep at least 1 and fewer than all of 2 to 256")]
    Pattern {
        /// Values kept.
        kept: usize,
        /// Of so many.
        of: usize,
    },
    /// Values that are not made of whole groups, or more than there is memory.
    #[error("{n_values} values do not divide into groups of {of}")]
    Groups {
        /// How many.
        n_values: usize,
        /// Values of a group.
        of: usize,
    },
    /// Another number of bytes than the values take.
    #[error("{got} bytes where {expected} belong")]
    Size {
        /// Bytes that belong there.
        expected: usize,
        /// Bytes that are there.
        got: usize,
    },
    /// A group with more values other than 0 than the pattern keeps.
    #[error("group {group} has {n_values} values that are not 0, and the pattern keeps {kept}")]
    TooMany {
        /// The group.
        group: usize,
        /// Values other than 0.
        n_values: usize,
        /// Values that are kept.
        kept: usize,
    },
    /// A place outside its group, or not above the one before.
    #[error("place {place} of group {group} is not in rising order below {of}")]
    Place {
        /// The group.
        group: usize,
        /// The place.
        place: usize,
        /// Values of a group.
        of: usize,
    },
    /// NaN or an infinite value.
    #[error("a value of group {group} is not finite")]
    NotFinite {
        /// The group.
        group: usize,
    },
}

impl SparseFloat {
    /// Bytes of a value.
    fn width(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The bits of a value in the upper half or all of a word, with the sign first.
    fn bits(self, bytes: &[u8]) -> u32 {
        match self {
            Self::F32 => u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            Self::F16 | Self::Bf16 => u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 16,
        }
    }

    fn is_zero(self, bytes: &[u8]) -> bool {
        self.bits(bytes) << 1 == 0
    }

    /// Whether the exponent is not the one of infinity and NaN.
    fn is_finite(self, bytes: &[u8]) -> bool {
        let exponent = match self {
            Self::F32 | Self::Bf16 => 0x7f80_0000,
            Self::F16 => 0x7c00_0000,
        };
        self.bits(bytes) & exponent != exponent
    }
}

impl SparsePattern {
    /// Bytes that `n_values` take, zeros among them.
    ///
    /// # Errors
    ///
    /// [`SparseError`] for a pattern that is none, values that do not divide into its groups, or
    /// more than there is memory.
    pub fn n_bytes(self, n_values: usize) -> Result<usize, SparseError> {
        let (n_value_bytes, n_place_bytes) = self.parts(n_values)?;
        Ok(n_value_bytes + n_place_bytes)
    }

    /// Bytes of values and of places.
    fn parts(self, n_values: usize) -> Result<(usize, usize), SparseError> {
        let Self { kept, of, .. } = self;
        if kept == 0 || kept >= of || of > MAX_GROUP {
            return Err(SparseError::Pattern { kept, of });
        }
        let refused = SparseError::Groups { n_values, of };
        // Eight times as many are numbers too: places are counted in bits.
        if !n_values.is_multiple_of(of) || n_values.checked_mul(8).is_none() {
            return Err(refused);
        }
        let n_kept = n_values / of * kept;
        let n_place_bytes = (n_kept * self.place_bits() as usize).div_ceil(8);
        Ok((n_kept * self.values.width(), n_place_bytes))
    }

    /// Bits that the largest place of a group needs.
    fn place_bits(self) -> u32 {
        (self.of - 1).ilog2() + 1
    }

    /// Packs values, little-endian, of which every group has at most as many other than 0 as the
    /// pattern keeps. A zero loses its sign.
    ///
    /// # Errors
    ///
    /// [`SparseError`] for values without the pattern.
    pub fn pack(self, dense: &[u8]) -> Result<Vec<u8>, SparseError> {
        let width = self.values.width();
        let n_values = dense.len() / width;
        let (n_value_bytes, n_place_bytes) = self.parts(n_values)?;
        check_size(n_values * width, dense.len())?;
        let mut stored = vec![0; n_value_bytes + n_place_bytes];
        let (values, places) = stored.split_at_mut(n_value_bytes);
        let failure = dense
            .par_chunks(GROUPS_AT_ONCE * self.of * width)
            .zip(values.par_chunks_mut(GROUPS_AT_ONCE * self.kept * width))
            .zip(places.par_chunks_mut(self.place_bytes_at_once()))
            .enumerate()
            .filter_map(|(chunk_idx, ((dense, values), places))| {
                let first = chunk_idx * GROUPS_AT_ONCE;
                self.pack_groups(first, dense, values, places).err()
            })
            .find_first(|_| true);
        failure.map_or(Ok(stored), Err)
    }

    fn place_bytes_at_once(self) -> usize {
        GROUPS_AT_ONCE / 8 * self.kept * self.place_bits() as usize
    }

    fn pack_groups(
        self,
        first: usize,
        dense: &[u8],
        values: &mut [u8],
        places: &mut [u8],
    ) -> Result<(), SparseError> {
        let (Self { kept, of, .. }, width) = (self, self.values.width());
        let mut at_bit = 0;
        let groups = dense.chunks_exact(of * width);
        for (idx, (group, stored)) in groups
            .zip(values.chunks_exact_mut(kept * width))
            .enumerate()
        {
            let chosen = self.chosen(first + idx, group)?;
            for (place, stored) in chosen.into_iter().zip(stored.chunks_exact_mut(width)) {
                stored.copy_from_slice(&group[place * width..][..width]);
                for bit in 0..self.place_bits() {
                    places[at_bit / 8] |= ((place >> bit & 1) << (at_bit % 8)) as u8;
                    at_bit += 1;
                }
            }
        }
        Ok(())
    }

    /// Places of the values that are stored of a group: all others are 0.
    fn chosen(self, group_idx: usize, group: &[u8]) -> Result<Vec<usize>, SparseError> {
        let values = || group.chunks_exact(self.values.width()).enumerate();
        let is_zero = |bytes: &[u8]| self.values.is_zero(bytes);
        let others = values().filter(|(_, bytes)| !is_zero(bytes));
        let mut chosen: Vec<usize> = others.map(|(place, _)| place).collect();
        if chosen.len() > self.kept {
            return Err(SparseError::TooMany {
                group: group_idx,
                n_values: chosen.len(),
                kept: self.kept,
            });
        }
        let zeros = values().filter(|(_, bytes)| is_zero(bytes));
        let n_missing = self.kept - chosen.len();
        chosen.extend(zeros.map(|(place, _)| place).take(n_missing));
        chosen.sort_unstable();
        Ok(chosen)
    }

    /// The `n_values` that were packed, with their zeros, little-endian. The bytes may come from
    /// anywhere.
    ///
    /// # Errors
    ///
    /// [`SparseError`] for a pattern that is none, another number of bytes, a value that is not
    /// finite, or places that are not of their group in rising order.
    pub fn unpack(self, n_values: usize, stored: &[u8]) -> Result<Vec<u8>, SparseError> {
        let (n_value_bytes, n_place_bytes) = self.parts(n_values)?;
        check_size(n_value_bytes + n_place_bytes, stored.len())?;
        let (values, places) = stored.split_at(n_value_bytes);
        let width = self.values.width();
        let mut dense = vec![0; n_values * width];
        let failure = dense
            .par_chunks_mut(GROUPS_AT_ONCE * self.of * width)
            .zip(values.par_chunks(GROUPS_AT_ONCE * self.kept * width))
            .zip(places.par_chunks(self.place_bytes_at_once()))
            .enumerate()
            .filter_map(|(chunk_idx, ((dense, values), places))| {
                let first = chunk_idx * GROUPS_AT_ONCE;
                self.unpack_groups(first, values, places, dense).err()
            })
            .find_first(|_| true);
        failure.map_or(Ok(dense), Err)
    }

    fn unpack_groups(
        self,
        first: usize,
        values: &[u8],
        places: &[u8],
        dense: &mut [u8],
    ) -> Result<(), SparseError> {
        let (Self { kept, of, .. }, width) = (self, self.values.width());
        let n_bits = self.place_bits();
        let (mut pending, mut n_pending) = (0_u32, 0);
        let mut bytes = places.iter();
        let groups = dense.chunks_exact_mut(of * width);
        for (idx, (group, values)) in groups.zip(values.chunks_exact(kept * width)).enumerate() {
            let mut least = 0;
            for value in values.chunks_exact(width) {
                while n_pending < n_bits {
                    let byte = bytes.next().expect("the length was compared before");
                    pending |= u32::from(*byte) << n_pending;
                    n_pending += 8;
                }
                let place = (pending & ((1 << n_bits) - 1)) as usize;
                pending >>= n_bits;
                n_pending -= n_bits;
                if place < least || place >= of {
                    let group = first + idx;
                    return Err(SparseError::Place { group, place, of });
                }
                if !self.values.is_finite(value) {
                    return Err(SparseError::NotFinite { group: first + idx });
                }
                least = place + 1;
                group[place * width..][..width].copy_from_slice(value);
            }
        }
        Ok(())
    }
}

fn check_size(expected: usize, got: usize) -> Result<(), SparseError> {
    match got == expected {
        true => Ok(()),
        false => Err(SparseError::Size { expected, got }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    const PATTERNS: [(usize, usize); 7] =
        [(1, 2), (2, 4), (1, 3), (4, 8), (5, 6), (3, 17), (9, 256)];

    const FLOATS: [SparseFloat; 3] = [SparseFloat::F32, SparseFloat::F16, SparseFloat::Bf16];

    fn bytes_of(values: SparseFloat, value: f32) -> Vec<u8> {
        match values {
            SparseFloat::F32 => value.to_le_bytes().to_vec(),
            SparseFloat::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
            SparseFloat::Bf16 => bf16::from_f32(value).to_le_bytes().to_vec(),
        }
    }

    /// `n_groups` groups, some of them with fewer values than the pattern keeps.
    fn dense(pattern: SparsePattern, n_groups: usize) -> Vec<u8> {
        let SparsePattern { values, kept, of } = pattern;
        let value = |idx: usize| {
            let (group, place) = (idx / of, idx % of);
            let is_kept = (place + 5 * group) % of < kept && !(group + place).is_multiple_of(7);
            let value = if is_kept {
                (idx as f32 * 0.731).sin()
            } else {
                0.0
            };
            bytes_of(values, value)
        };
        (0..n_groups * of).flat_map(value).collect()
    }

    #[test]
    fn packing_and_unpacking_gives_the_same_values() {
        for values in FLOATS {
            for (kept, of) in PATTERNS {
                for n_groups in [0, 1, 3, GROUPS_AT_ONCE, 2 * GROUPS_AT_ONCE + 5] {
                    let pattern = SparsePattern { values, kept, of };
                    let dense = dense(pattern, n_groups);
                    let stored = pattern.pack(&dense).unwrap();
                    let n_values = n_groups * of;
                    assert_eq!(pattern.n_bytes(n_values), Ok(stored.len()));
                    assert_eq!(pattern.unpack(n_values, &stored), Ok(dense), "{pattern:?}");
                }
            }
        }
    }

    #[test]
    fn two_of_four_takes_nine_bits_a_weight() {
        let pattern = SparsePattern {
            values: SparseFloat::F16,
            kept: 2,
            of: 4,
        };
        assert_eq!(pattern.n_bytes(896 * 4864), Ok(9 * 896 * 4864 / 8));
    }

    #[test]
    fn values_without_the_pattern_are_refused() {
        let pattern = SparsePattern {
            values: SparseFloat::F32,
            kept: 2,
            of: 4,
        };
        let pack = |values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            pattern.pack(&bytes).map(|stored| stored.len())
        };
        assert_eq!(pack(&[0.0, 1.0, -0.0, 2.0]), Ok(9));
        assert_eq!(
            pack(&[0.0, 1.0, 3.0, 2.0]),
            Err(SparseError::TooMany {
                group: 0,
                n_values: 3,
                kept: 2
            })
        );
        assert!(matches!(pack(&[0.0; 3]), Err(SparseError::Groups { .. })));
        assert!(matches!(
            pattern.pack(&[0; 17]),
            Err(SparseError::Size { .. })
        ));
        for (kept, of) in [(0, 4), (4, 4), (5, 4), (0, 0), (1, 257)] {
            let pattern = SparsePattern {
                kept,
                of,
                ..pattern
            };
            let refused = Err(SparseError::Pattern { kept, of });
            assert_eq!(pattern.n_bytes(0), refused);
        }
        let beyond = pattern.n_bytes(usize::MAX / 4 * 4);
        assert!(matches!(beyond, Err(SparseError::Groups { .. })));
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let pattern = SparsePattern {
            values: SparseFloat::F16,
            kept: 2,
            of: 3,
        };
        let stored = pattern.pack(&dense(pattern, 6)).unwrap();
        assert!(pattern.unpack(18, &stored).is_ok());
        let size = pattern.unpack(18, &stored[1..]);
        assert!(matches!(size, Err(SparseError::Size { .. })));
        assert!(pattern.unpack(15, &stored).is_err());
        assert!(pattern.unpack(17, &stored).is_err());
        for value in [f16::INFINITY, f16::NAN, f16::NEG_INFINITY] {
            let mut wrong = stored.clone();
            wrong[4..6].copy_from_slice(&value.to_le_bytes());
            let refused = pattern.unpack(18, &wrong);
            assert_eq!(refused, Err(SparseError::NotFinite { group: 1 }));
        }
        for places in [0b1111, 0b0000, 0b0001, 0b1110, 0b0101, 0b1010] {
            let mut wrong = stored.clone();
            wrong[24] = wrong[24] & 0xf0 | places;
            let refused = pattern.unpack(18, &wrong).unwrap_err();
            let is_named = matches!(
                refused,
                SparseError::Place {
                    group: 0,
                    of: 3,
                    ..
                }
            );
            assert!(is_named, "{places:04b}: {refused:?}");
        }
    }
}
