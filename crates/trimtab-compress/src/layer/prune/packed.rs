//! n:m sparse weights as they are stored: the values that stay, and where in their group they were.
//!
//! 2:4 in 16-bit floats takes 9 bits a weight instead of 16.

use super::{KeepMask, Pattern};
use crate::layer::{LayerError, WeightView, weight::check_size};
use half::f16;

/// An n:m sparse weight: values in f16 and their places in each group.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedPattern {
    d_out: usize,
    d_in: usize,
    pattern: Pattern,
    /// `kept` of every group, by rising place.
    values: Vec<f16>,
    /// Place of each value in its group.
    places: Vec<u8>,
}

impl PackedPattern {
    /// Keeps of `weight` what `mask` keeps, which has to follow `pattern`.
    ///
    /// # Errors
    ///
    /// [`LayerError`] for a pattern that does not fit, a mask of another size or without the
    /// pattern, or a weight that is too large for 16-bit floats.
    pub fn pack(
        weight: WeightView<'_, f32>,
        mask: &KeepMask,
        pattern: Pattern,
    ) -> Result<Self, LayerError> {
        pattern.check(weight.d_in())?;
        check_size("the mask", weight.values().len(), mask.keeps().len())?;
        check_size("the mask's columns", weight.d_in(), mask.d_in())?;
        let (mut values, mut places) = (Vec::new(), Vec::new());
        let groups = weight.values().chunks_exact(pattern.of);
        for (group_idx, (group, keeps)) in groups
            .zip(mask.keeps().chunks_exact(pattern.of))
            .enumerate()
        {
            let first = group_idx * pattern.of;
            let n_kept = keeps.iter().filter(|keep| **keep).count();
            if n_kept != pattern.kept {
                return Err(LayerError::MaskWithoutPattern {
                    row: first / weight.d_in(),
                    column: first % weight.d_in(),
                    n_kept,
                    kept: pattern.kept,
                });
            }
            for (place, (w, _)) in group.iter().zip(keeps).enumerate().filter(|(_, k)| *k.1) {
                let stored = f16::from_f32(*w);
                if !stored.is_finite() {
                    return Err(LayerError::TooLargeForF16 {
                        index: first + place,
                        value: *w,
                    });
                }
                values.push(stored);
                places.push(place as u8);
            }
        }
        Ok(Self {
            d_out: weight.d_out(),
            d_in: weight.d_in(),
            pattern,
            values,
            places,
        })
    }

    /// Bytes that a weight of this shape and pattern takes.
    ///
    /// # Errors
    ///
    /// [`LayerError`] for a pattern that does not fit, or a shape beyond all memory.
    pub fn n_bytes_of(d_out: usize, d_in: usize, pattern: Pattern) -> Result<usize, LayerError> {
        pattern.check(d_in)?;
        let n_values = d_out
            .checked_mul(d_in / pattern.of)
            .and_then(|n_groups| n_groups.checked_mul(pattern.kept));
        let n_bytes = n_values.and_then(|n_values| {
            let n_bits = n_values.checked_mul(place_bits(pattern) as usize)?;
            n_values.checked_mul(2)?.checked_add(n_bits.div_ceil(8))
        });
        n_bytes.ok_or(LayerError::Size {
            what: "the sparse weight",
            expected: usize::MAX,
            got: d_out,
        })
    }

    /// The stored form: all values, little-endian, then all places, as many bits each as the
    /// largest place needs, from the lowest bit of each byte on.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let n_bits = place_bits(self.pattern);
        let (mut pending, mut n_pending) = (0_u32, 0);
        for place in &self.places {
            pending |= u32::from(*place) << n_pending;
            n_pending += n_bits;
            while n_pending >= 8 {
                bytes.push(pending as u8);
                pending >>= 8;
                n_pending -= 8;
            }
        }
        if n_pending > 0 {
            bytes.push(pending as u8);
        }
        bytes
    }

    /// Reads the stored form, which may come from anywhere.
    ///
    /// # Errors
    ///
    /// [`LayerError`] for a pattern that does not fit, another number of bytes, a value that is not
    /// finite, or places that are not of their group in rising order.
    pub fn from_bytes(
        d_out: usize,
        d_in: usize,
        pattern: Pattern,
        bytes: &[u8],
    ) -> Result<Self, LayerError> {
        let n_bytes = Self::n_bytes_of(d_out, d_in, pattern)?;
        check_size("the sparse weight's bytes", n_bytes, bytes.len())?;
        let n_values = d_out * (d_in / pattern.of) * pattern.kept;
        let (values, places) = bytes.split_at(2 * n_values);
        let values: Vec<f16> = values
            .chunks_exact(2)
            .map(|pair| f16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(LayerError::NotFinite {
                what: "the sparse weight",
                index,
                value: values[index].to_f64(),
            });
        }
        let places = read_places(places, n_values, place_bits(pattern));
        check_places(&places, pattern)?;
        Ok(Self {
            d_out,
            d_in,
            pattern,
            values,
            places,
        })
    }

    /// The weight with its zeros, `[d_out, d_in]`.
    pub fn unpack(&self) -> Vec<f32> {
        let Pattern { kept, of } = self.pattern;
        let mut weight = vec![0.0; self.d_out * self.d_in];
        for ((group, values), places) in weight
            .chunks_exact_mut(of)
            .zip(self.values.chunks_exact(kept))
            .zip(self.places.chunks_exact(kept))
        {
            for (value, place) in values.iter().zip(places) {
                group[usize::from(*place)] = value.to_f32();
            }
        }
        weight
    }
}

/// Bits that the largest place of a group needs.
fn place_bits(pattern: Pattern) -> u32 {
    (pattern.of - 1).ilog2() + 1
}

fn read_places(bytes: &[u8], n_places: usize, n_bits: u32) -> Vec<u8> {
    let mask = (1_u32 << n_bits) - 1;
    let (mut pending, mut n_pending) = (0_u32, 0);
    let mut places = Vec::with_capacity(n_places);
    for byte in bytes {
        pending |= u32::from(*byte) << n_pending;
        n_pending += 8;
        while n_pending >= n_bits && places.len() < n_places {
            places.push((pending & mask) as u8);
            pending >>= n_bits;
            n_pending -= n_bits;
        }
    }
    places
}

fn check_places(places: &[u8], pattern: Pattern) -> Result<(), LayerError> {
    for (group, places) in places.chunks_exact(pattern.kept).enumerate() {
        let is_within = |place: &&u8| usize::from(**place) < pattern.of;
        let beyond = places.iter().find(|place| !is_within(place));
        let pairs = places.windows(2);
        let fallen = pairs.filter(|pair| pair[0] >= pair[1]).map(|pair| &pair[1]);
        if let Some(place) = beyond.into_iter().chain(fallen).next() {
            return Err(LayerError::PackedIndex {
                group,
                index: usize::from(*place),
                of: pattern.of,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{MaskScope, Sparsity, magnitude};
    use super::*;

    const PATTERNS: [Pattern; 7] = [
        Pattern { kept: 1, of: 2 },
        Pattern { kept: 2, of: 4 },
        Pattern { kept: 1, of: 3 },
        Pattern { kept: 4, of: 8 },
        Pattern { kept: 5, of: 6 },
        Pattern { kept: 3, of: 17 },
        Pattern { kept: 9, of: 256 },
    ];

    fn packed(pattern: Pattern) -> (Vec<f32>, PackedPattern) {
        let d_in = 2 * pattern.of;
        let mut weight: Vec<f32> = (0..3 * d_in).map(|i| (i as f32 * 0.731).sin()).collect();
        let view = WeightView::new(3, d_in, &weight).unwrap();
        let mask = magnitude(view, Sparsity::Pattern(pattern), MaskScope::Row).unwrap();
        let packed = PackedPattern::pack(view, &mask, pattern).unwrap();
        mask.apply(&mut weight).unwrap();
        (weight, packed)
    }

    #[test]
    fn packing_and_unpacking_gives_the_pruned_weight() {
        for pattern in PATTERNS {
            let (weight, packed) = packed(pattern);
            let want: Vec<f32> = weight.iter().map(|w| f16::from_f32(*w).to_f32()).collect();
            assert_eq!(packed.unpack(), want, "{pattern:?}");
            let bytes = packed.to_bytes();
            let n_bytes = PackedPattern::n_bytes_of(3, 2 * pattern.of, pattern);
            assert_eq!(n_bytes, Ok(bytes.len()), "{pattern:?}");
            let read = PackedPattern::from_bytes(3, 2 * pattern.of, pattern, &bytes);
            assert_eq!(read, Ok(packed));
        }
    }

    #[test]
    fn two_of_four_takes_nine_bits_a_weight() {
        let pattern = Pattern { kept: 2, of: 4 };
        let n_bytes = PackedPattern::n_bytes_of(896, 4864, pattern).unwrap();
        assert_eq!(n_bytes * 8, 9 * 896 * 4864);
    }

    #[test]
    fn masks_and_weights_that_do_not_fit_are_refused() {
        let pattern = Pattern { kept: 2, of: 4 };
        let weight = [1.0_f32, 2.0, 3.0, 1e6];
        let view = WeightView::new(1, 4, &weight).unwrap();
        let mask = magnitude(view, Sparsity::Share(0.25), MaskScope::Row).unwrap();
        let error = PackedPattern::pack(view, &mask, pattern).unwrap_err();
        assert!(matches!(
            error,
            LayerError::MaskWithoutPattern { n_kept: 3, .. }
        ));
        let mask = magnitude(view, Sparsity::Pattern(pattern), MaskScope::Row).unwrap();
        let error = PackedPattern::pack(view, &mask, pattern).unwrap_err();
        assert!(matches!(error, LayerError::TooLargeForF16 { index: 3, .. }));
        let other = [1.0_f32; 8];
        let view = WeightView::new(1, 8, &other).unwrap();
        assert!(PackedPattern::pack(view, &mask, pattern).is_err());
        let view = WeightView::new(4, 2, &other).unwrap();
        assert!(PackedPattern::pack(view, &mask, pattern).is_err());
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let pattern = Pattern { kept: 2, of: 3 };
        let (_, packed) = packed(pattern);
        let bytes = packed.to_bytes();
        let read = |bytes: &[u8]| PackedPattern::from_bytes(3, 6, pattern, bytes);
        assert!(read(&bytes[1..]).is_err());
        let mut infinite = bytes.clone();
        infinite[..2].copy_from_slice(&f16::INFINITY.to_le_bytes());
        assert!(matches!(
            read(&infinite),
            Err(LayerError::NotFinite { index: 0, .. })
        ));
        for places in [0b1111, 0b0000, 0b0001, 0b1010] {
            let mut wrong = bytes.clone();
            wrong[24] = wrong[24] & 0xf0 | places;
            let error = read(&wrong).unwrap_err();
            assert!(
                matches!(error, LayerError::PackedIndex { group: 0, .. }),
                "{places:b}"
            );
        }
        let error = PackedPattern::from_bytes(usize::MAX, 6, pattern, &[]);
        assert!(matches!(error, Err(LayerError::Size { .. })));
        let error = PackedPattern::from_bytes(1, 4, pattern, &[]);
        assert!(matches!(error, Err(LayerError::PatternDoesNotFit { .. })));
    }
}
