//! Activations quantised to 8 bits, symmetric, one scale per token and 64 channels.

use crate::shape::BLOCK;

/// One token's activations in the form that the kernels read; padded with zeros to whole blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activations {
    /// Float values.
    pub values: Vec<f32>,
    /// Sum of the values of each block; of the dequantised ones when quantised.
    pub sums: Vec<f32>,
    /// 8-bit codes; empty unless quantised.
    pub codes: Vec<i8>,
    /// Scale of each block; empty unless quantised.
    pub scales: Vec<f32>,
}

impl Activations {
    /// Pads `x`, and quantises it when asked.
    pub(crate) fn new(x: &[f32], quantized: bool) -> Self {
        let mut values = vec![0.0; x.len().next_multiple_of(BLOCK)];
        values[..x.len()].copy_from_slice(x);
        let n_blocks = values.len() / BLOCK;
        if !quantized {
            let sums = values
                .chunks_exact(BLOCK)
                .map(|block| block.iter().sum())
                .collect();
            return Self {
                values,
                sums,
                ..Self::default()
            };
        }
        let mut codes = vec![0; values.len()];
        let (mut scales, mut sums) = (vec![0.0; n_blocks], vec![0.0; n_blocks]);
        for (block_idx, (block, codes)) in values
            .as_chunks::<BLOCK>()
            .0
            .iter()
            .zip(codes.as_chunks_mut::<BLOCK>().0)
            .enumerate()
        {
            scales[block_idx] = quantize_block(block, codes);
            let sum: i32 = codes.iter().map(|code| i32::from(*code)).sum();
            sums[block_idx] = scales[block_idx] * sum as f32;
        }
        Self {
            values,
            sums,
            codes,
            scales,
        }
    }

    /// Replaces the values by what the codes stand for.
    pub(crate) fn round_trip(x: &mut [f32]) {
        let quantized = Self::new(x, true);
        for (channel, value) in x.iter_mut().enumerate() {
            *value = quantized.scales[channel / BLOCK] * f32::from(quantized.codes[channel]);
        }
    }
}

/// Quantises one block and returns its scale: largest magnitude / 127.
fn quantize_block(block: &[f32; BLOCK], codes: &mut [i8; BLOCK]) -> f32 {
    let largest = block
        .iter()
        .fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        codes.fill(0);
        return 0.0;
    }
    let inverse = 127.0 / largest;
    for (code, value) in codes.iter_mut().zip(block) {
        // Adding and subtracting 1.5·2²³ rounds to the nearest integer, ties to even,
        // without a library call that would keep the loop from being vectorised.
        const ROUNDER: f32 = 12_582_912.0;
        *code = (value * inverse + ROUNDER - ROUNDER) as i8;
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
        Activations::round_trip(&mut rounded);
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
    fn zeros_stay_zero() {
        let activations = Activations::new(&[0.0; 70], true);
        assert!(activations.codes.iter().all(|code| *code == 0));
        assert_eq!(activations.sums, [0.0, 0.0]);
    }
}
