//! Tokens in the order that products with panels read them: a few side by side.
//!
//! Products with codes are sums of integers. Activations are rounded for them, symmetric, with one
//! scale per token and 64 channels: to 8 bits where the weight's format says so, else to 16 bits,
//! where the error of a value is below 2⁻¹⁶ of the largest of its 64.

use crate::{
    PackedFormat, PackedShape,
    isa::{Isa, Kernel},
    shape::BLOCK,
};

/// What the kernels multiply with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Floats with floats.
    Floats,
    /// Codes of `bits` (8 or 4) with activations of `x_bits` (8 or 16).
    Codes { bits: usize, x_bits: usize },
}

impl Scheme {
    pub(crate) fn of(shape: &PackedShape) -> Self {
        let bits = match shape.format {
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => return Self::Floats,
            PackedFormat::Int8 { .. } => 8,
            PackedFormat::Int4 { .. } => 4,
        };
        let x_bits = match shape.format.has_int8_activations() {
            true => 8,
            false => 16,
        };
        Self::Codes { bits, x_bits }
    }
}

/// Words of 32 bits that the activations of a block take.
pub(crate) const fn words_of_block(x_bits: usize) -> usize {
    BLOCK * x_bits / 32
}

/// Some tokens side by side.
#[derive(Debug, Default)]
pub(crate) struct TokenTile {
    /// The first of them in the call.
    pub first: usize,
    pub n_tokens: usize,
    /// `[d_in, n_tokens]`, for float formats.
    pub floats: Vec<f32>,
    /// `[n_blocks, words_of_block, n_tokens]`: four 8-bit codes each, or two of 16 bits, in the order
    /// in which the weight's units are unpacked.
    pub words: Vec<i32>,
    /// `[n_blocks, n_tokens]`
    pub scales: Vec<f32>,
    /// `[n_blocks, n_tokens]`: sums of codes, with the other sign.
    pub negative_sums: Vec<f32>,
    /// As `negative_sums`, times the offset that the weights' codes get.
    pub starts: Vec<i32>,
}

/// Makes a [`TokenTile`] of tokens `x`, `[n_tokens, d_in]`.
pub(crate) struct MakeTile<'a> {
    pub shape: PackedShape,
    pub first: usize,
    pub x: &'a [f32],
}

impl Kernel for MakeTile<'_> {
    type Out = TokenTile;

    #[inline(always)]
    fn run<S: Isa>(self, _: S) -> TokenTile {
        let d_in = self.shape.d_in;
        let mut tile = TokenTile {
            first: self.first,
            n_tokens: self.x.len() / d_in,
            ..TokenTile::default()
        };
        match Scheme::of(&self.shape) {
            Scheme::Floats => tile.fill_floats(self.x, d_in),
            Scheme::Codes { bits, x_bits: 8 } => tile.fill_bytes::<S>(self.x, d_in, bits),
            Scheme::Codes { bits, .. } => tile.fill_pairs(self.x, d_in, bits),
        }
        tile
    }
}

impl TokenTile {
    #[inline(always)]
    fn fill_floats(&mut self, x: &[f32], d_in: usize) {
        if self.n_tokens == 1 {
            self.floats = x.to_vec();
            return;
        }
        self.floats.resize(x.len(), 0.0);
        for (token_idx, token) in x.chunks_exact(d_in).enumerate() {
            let places = self.floats.chunks_exact_mut(self.n_tokens);
            for (value, place) in token.iter().zip(places) {
                place[token_idx] = *value;
            }
        }
    }

    /// Rounds to 8 bits: four neighbours a word. The two words that a unit of 4-bit codes holds
    /// follow each other.
    #[inline(always)]
    fn fill_bytes<S: Isa>(&mut self, x: &[f32], d_in: usize, bits: usize) {
        const WORDS: usize = words_of_block(8);
        self.starts = vec![0; d_in.div_ceil(BLOCK) * self.n_tokens];
        let n_tokens = self.n_tokens;
        let mut sums = std::mem::take(&mut self.starts);
        self.fill(x, d_in, WORDS, 127.0, |codes: &[i32; BLOCK], words, at| {
            for word in 0..WORDS {
                let from = match bits {
                    8 => word,
                    _ => word / 2 + WORDS / 2 * (word % 2),
                };
                let bytes = [0, 1, 2, 3].map(|idx| codes[4 * from + idx] as u8);
                words[word * n_tokens] = i32::from_le_bytes(bytes);
            }
            sums[at] = -S::WEIGHT_OFFSET * codes.iter().sum::<i32>();
        });
        self.starts = sums;
    }

    /// Rounds to 16 bits, and pairs what unpacking a unit leaves in one word: bytes 0 and 2, or 1
    /// and 3, of 4-bit codes their low and then their high halves.
    #[inline(always)]
    fn fill_pairs(&mut self, x: &[f32], d_in: usize, bits: usize) {
        const WORDS: usize = words_of_block(16);
        let n_tokens = self.n_tokens;
        self.fill(x, d_in, WORDS, 32_767.0, |codes, words, _| {
            for word in 0..WORDS {
                let first = match bits {
                    8 => 4 * (word / 2) + word % 2,
                    _ => 4 * (word / 4) + word % 4 / 2 + BLOCK / 2 * (word % 2),
                };
                let (low, high) = (codes[first] as u16, codes[first + 2] as u16);
                words[word * n_tokens] = (u32::from(low) | u32::from(high) << 16).cast_signed();
            }
        });
    }

    /// Rounds every block of every token, and hands the codes to `place` with the words of the block
    /// from the token's first on and the place of its scale.
    #[inline(always)]
    fn fill(
        &mut self,
        x: &[f32],
        d_in: usize,
        n_words: usize,
        limit: f32,
        mut place: impl FnMut(&[i32; BLOCK], &mut [i32], usize),
    ) {
        let (n_blocks, n_tokens) = (d_in.div_ceil(BLOCK), self.n_tokens);
        self.words = vec![0; n_blocks * n_words * n_tokens];
        self.scales = vec![0.0; n_blocks * n_tokens];
        self.negative_sums = vec![0.0; n_blocks * n_tokens];
        for (token_idx, token) in x.chunks_exact(d_in).enumerate() {
            for (block_idx, block) in token.chunks(BLOCK).enumerate() {
                let mut padded = [0.0; BLOCK];
                padded[..block.len()].copy_from_slice(block);
                let (scale, codes) = round_block(&padded, limit);
                let at = block_idx * n_tokens + token_idx;
                self.scales[at] = scale;
                self.negative_sums[at] = -codes.iter().sum::<i32>() as f32;
                let words = &mut self.words[block_idx * n_words * n_tokens + token_idx..];
                place(&codes, words, at);
            }
        }
    }
}

/// Adding it, 1.5·2²³, rounds to the nearest integer, ties to even, which then stands in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// Rounds one block to −`limit`…`limit` and returns its scale: largest magnitude / `limit`, or what is
/// not a number if a value is not finite.
#[inline(always)]
fn round_block(block: &[f32; BLOCK], limit: f32) -> (f32, [i32; BLOCK]) {
    // Eight running maxima, so that the loop can be vectorised; what is not a number passes by them.
    let mut lanes = [0.0_f32; 8];
    let mut poison = [0.0_f32; 8];
    for part in block.as_chunks::<8>().0 {
        for ((lane, poison), value) in lanes.iter_mut().zip(&mut poison).zip(part) {
            let magnitude = value.abs();
            *lane = if magnitude > *lane { magnitude } else { *lane };
            *poison += value * 0.0;
        }
    }
    let poison: f32 = poison.iter().sum();
    let largest = lanes
        .iter()
        .fold(0.0_f32, |largest, lane| largest.max(*lane));
    if largest == 0.0 || poison.is_nan() {
        return (poison, [0; BLOCK]);
    }
    let inverse = limit / largest;
    let codes = block.map(|value| (value * inverse + ROUNDER).to_bits().cast_signed());
    let zero = ROUNDER.to_bits().cast_signed();
    (largest / limit, codes.map(|code| code - zero))
}

/// Replaces one token's values by what its codes stand for in a product with a weight of `shape`.
pub(crate) fn round_trip_reference(shape: &PackedShape, token: &mut [f32]) {
    let limit = match Scheme::of(shape) {
        Scheme::Floats => return,
        Scheme::Codes { x_bits: 8, .. } => 127.0,
        Scheme::Codes { .. } => 32_767.0,
    };
    for block in token.chunks_mut(BLOCK) {
        let mut padded = [0.0; BLOCK];
        padded[..block.len()].copy_from_slice(block);
        let (scale, codes) = round_block(&padded, limit);
        for (value, code) in block.iter_mut().zip(codes) {
            *value = scale * code as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_is_exact_and_others_are_within_half_a_step() {
        let x: [f32; BLOCK] = std::array::from_fn(|i| (i as f32 * 0.37).sin() * 3.0);
        for limit in [127.0, 32_767.0] {
            let (scale, codes) = round_block(&x, limit);
            let largest = x.iter().fold(0.0_f32, |a, v| a.max(v.abs()));
            assert_eq!(codes.iter().map(|c| c.abs()).max(), Some(limit as i32));
            for (value, code) in x.iter().zip(codes) {
                let error = (value - scale * code as f32).abs();
                assert!(error <= 0.501 * largest / limit, "{value} {code}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        for value in [f32::NAN, f32::INFINITY] {
            let mut block = [1.0; BLOCK];
            block[13] = value;
            assert!(round_block(&block, 127.0).0.is_nan());
        }
    }

    #[test]
    fn zeros_stay_zero() {
        assert_eq!(round_block(&[0.0; BLOCK], 127.0), (0.0, [0; BLOCK]));
    }
}
