//! Activations quantised to 8 bits, symmetric, one scale per token and 64 channels.

use crate::shape::BLOCK;

/// Codes of some tokens; each token is padded with zeros to whole blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct QuantizedTokens {
    /// `[n_tokens, d_in_padded]`
    pub codes: Vec<i8>,
    /// `[n_tokens, n_blocks]`
    pub scales: Vec<f32>,
    /// Sum of the codes of each block, `[n_tokens, n_blocks]`.
    pub sums: Vec<i32>,
}

impl QuantizedTokens {
    /// Quantises tokens.
    ///
    /// # Shapes
    ///
    /// - `x`: `[n_tokens, d_in]`
    pub(crate) fn new(x: &[f32], d_in: usize) -> Self {
        let n_tokens = x.len() / d_in;
        let n_blocks = d_in.div_ceil(BLOCK);
        let mut all = Self {
            codes: vec![0; n_tokens * n_blocks * BLOCK],
            scales: Vec::with_capacity(n_tokens * n_blocks),
            sums: Vec::with_capacity(n_tokens * n_blocks),
        };
        let tokens = x.chunks_exact(d_in);
        for (token, codes) in tokens.zip(all.codes.chunks_exact_mut(n_blocks * BLOCK)) {
            let blocks = token.chunks(BLOCK).zip(codes.as_chunks_mut::<BLOCK>().0);
            for (block, codes) in blocks {
                let scale = if let Some(block) = block.as_array::<BLOCK>() {
                    quantize_block(block, codes)
                } else {
                    let mut padded = [0.0; BLOCK];
                    padded[..block.len()].copy_from_slice(block);
                    quantize_block(&padded, codes)
                };
                all.scales.push(scale);
                all.sums
                    .push(codes.iter().map(|code| i32::from(*code)).sum());
            }
        }
        all
    }

    /// Replaces one token's values by what its codes stand for.
    pub(crate) fn round_trip(x: &mut [f32]) {
        let quantized = Self::new(x, x.len());
        for (channel, value) in x.iter_mut().enumerate() {
            *value = quantized.scales[channel / BLOCK] * f32::from(quantized.codes[channel]);
        }
    }
}

/// Quantises one block and returns its scale: largest magnitude / 127.
#[inline]
fn quantize_block(block: &[f32; BLOCK], codes: &mut [i8; BLOCK]) -> f32 {
    // Eight running maxima, so that the loop can be vectorised.
    let mut lanes = [0.0_f32; 8];
    for part in block.as_chunks::<8>().0 {
        for (lane, value) in lanes.iter_mut().zip(part) {
            *lane = if value.abs() > *lane {
                value.abs()
            } else {
                *lane
            };
        }
    }
    let largest = lanes
        .iter()
        .fold(0.0_f32, |largest, lane| largest.max(*lane));
    if largest == 0.0 {
        codes.fill(0);
        return 0.0;
    }
    let inverse = 127.0 / largest;
    for (code, value) in codes.iter_mut().zip(block) {
        // Adding and subtracting 1.5·2²³ rounds to the nearest integer, ties to even; the integer
        // then stands in the low bits.
        const ROUNDER: f32 = 12_582_912.0;
        *code = (value * inverse + ROUNDER).to_bits() as i8;
    }
    largest / 127.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_is_exact_and_others_are_within_half_a_step() {
        let x: Vec<f32> = (0..100).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let mut rounded = x.clone();
        QuantizedTokens::round_trip(&mut rounded);
        for (block, rounded) in x.chunks(BLOCK).zip(rounded.chunks(BLOCK)) {
            let step = block.iter().fold(0.0_f32, |a, v| a.max(v.abs())) / 127.0;
            for (value, rounded) in block.iter().zip(rounded) {
                assert!(
                    (value - rounded).abs() <= 0.5001 * step,
                    "{value} {rounded}"
                );
            }
        }
    }

    #[test]
    fn zeros_stay_zero_and_tokens_are_padded_one_by_one() {
        let codes = QuantizedTokens::new(&[0.0; 140], 70);
        assert_eq!(codes.codes, [0; 256]);
        assert_eq!(codes.sums, [0; 4]);
        let codes = QuantizedTokens::new(&[1.0; 140], 70);
        assert_eq!(codes.sums, [64 * 127, 6 * 127, 64 * 127, 6 * 127]);
    }
}
