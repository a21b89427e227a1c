//! Dequantisation of "K" blocks: 256 elements, whose parts have small integer scales of their own.
//!
//! Source: `dequantize_row_q{2,3,4,5,6}_K` in
//! <https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c>.

use super::blocks::f16_at;

/// 16 bytes with a scale in the low and a minimum in the high nibble, one for every 16 elements; 64
/// bytes of bit pairs; f16 scale, f16 minimum.
///
/// Each half of the block has four parts of 32 elements, whose bit pairs share 32 bytes.
pub(super) fn q2_k(block: &[u8; 84], elements: &mut [f32; 256]) {
    let (d, d_min) = (f16_at(block, 80), f16_at(block, 82));
    let scales = &block[..16];
    for (part_idx, part) in elements.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let codes = &block[16 + part_idx / 4 * 32..][..32];
        let shift = part_idx % 4 * 2;
        for (idx, element) in part.iter_mut().enumerate() {
            let factors = scales[part_idx * 2 + idx / 16];
            let (scale, minimum) = (d * f32::from(factors & 15), d_min * f32::from(factors >> 4));
            *element = scale * f32::from((codes[idx] >> shift) & 3) - minimum;
        }
    }
}

/// 32 bytes of third bits, 64 bytes of bit pairs as in [`q2_k`], 12 bytes that pack 16 scales of
/// six bits, f16 scale.
///
/// Bit `p` of byte `i` is the third bit of element `i` of part `p`.
pub(super) fn q3_k(block: &[u8; 110], elements: &mut [f32; 256]) {
    let d = f16_at(block, 108);
    let third_bits = &block[..32];
    for (part_idx, part) in elements.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let codes = &block[32 + part_idx / 4 * 32..][..32];
        let shift = part_idx % 4 * 2;
        for (idx, element) in part.iter_mut().enumerate() {
            let scale = d * q3_k_scale(&block[96..108], part_idx * 2 + idx / 16);
            let code = ((codes[idx] >> shift) & 3) | (((third_bits[idx] >> part_idx) & 1) << 2);
            *element = scale * (f32::from(code) - 4.0);
        }
    }
}

/// A signed scale out of the 12 bytes that pack sixteen of them.
///
/// Bytes 0–7 have the low nibbles of scales 0–7 and, above them, those of 8–15; the top bit pairs
/// lie in bytes 8–11, those of four scales a byte.
fn q3_k_scale(packed: &[u8], scale_idx: usize) -> f32 {
    let low = (packed[scale_idx % 8] >> (scale_idx / 8 * 4)) & 15;
    let high = (packed[8 + scale_idx % 4] >> (scale_idx / 4 * 2)) & 3;
    f32::from(low | (high << 4)) - 32.0
}

/// f16 scale, f16 minimum, 8 packed pairs of 6-bit scales and minima, 128 bytes of nibbles.
///
/// Every 32 bytes hold two parts of 32 elements: the low nibbles, then the high ones.
pub(super) fn q4_k(block: &[u8; 144], elements: &mut [f32; 256]) {
    let (d, d_min) = (f16_at(block, 0), f16_at(block, 2));
    for (part_idx, part) in elements.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, minimum) = scale_and_minimum(&block[4..16], part_idx);
        let (scale, minimum) = (d * scale, d_min * minimum);
        let codes = &block[16 + part_idx / 2 * 32..][..32];
        let shift = part_idx % 2 * 4;
        for (element, &byte) in part.iter_mut().zip(codes) {
            *element = scale * f32::from((byte >> shift) & 15) - minimum;
        }
    }
}

/// As [`q4_k`], with 32 bytes of fifth bits before the nibbles: bit `p` of byte `i` belongs to
/// element `i` of part `p`.
pub(super) fn q5_k(block: &[u8; 176], elements: &mut [f32; 256]) {
    let (d, d_min) = (f16_at(block, 0), f16_at(block, 2));
    let fifth_bits = &block[16..48];
    for (part_idx, part) in elements.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, minimum) = scale_and_minimum(&block[4..16], part_idx);
        let (scale, minimum) = (d * scale, d_min * minimum);
        let codes = &block[48 + part_idx / 2 * 32..][..32];
        let shift = part_idx % 2 * 4;
        for ((element, &byte), &high) in part.iter_mut().zip(codes).zip(fifth_bits) {
            let code = ((byte >> shift) & 15) | (((high >> part_idx) & 1) << 4);
            *element = scale * f32::from(code) - minimum;
        }
    }
}

/// 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, f16 scale.
///
/// Each half of the block has four parts of 32 elements. The low nibbles of parts 0 and 2 share
/// bytes, as do those of 1 and 3; the bit pairs of all four share bytes.
pub(super) fn q6_k(block: &[u8; 210], elements: &mut [f32; 256]) {
    let d = f16_at(block, 208);
    for (part_idx, part) in elements.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (half_idx, part_of_half) = (part_idx / 4, part_idx % 4);
        let low = &block[half_idx * 64 + part_of_half % 2 * 32..][..32];
        let high = &block[128 + half_idx * 32..][..32];
        let scales = &block[192 + part_idx * 2..][..2];
        let (low_shift, high_shift) = (part_of_half / 2 * 4, part_of_half * 2);
        for (idx, element) in part.iter_mut().enumerate() {
            let low = (low[idx] >> low_shift) & 15;
            let code = low | (((high[idx] >> high_shift) & 3) << 4);
            let scale = d * f32::from(scales[idx / 16] as i8);
            *element = scale * (f32::from(code) - 32.0);
        }
    }
}

/// Scale and minimum of one part out of the 12 bytes that pack eight pairs of six bits.
///
/// The first four pairs are the low six bits of bytes 0–3 and 4–7; the top two bits of those bytes
/// complete the nibbles in bytes 8–11 to the last four pairs.
fn scale_and_minimum(packed: &[u8], part_idx: usize) -> (f32, f32) {
    let (scale, minimum) = if part_idx < 4 {
        (packed[part_idx] & 63, packed[part_idx + 4] & 63)
    } else {
        let nibbles = packed[part_idx + 4];
        let scale = (nibbles & 15) | (packed[part_idx - 4] >> 6 << 4);
        (scale, (nibbles >> 4) | (packed[part_idx] >> 6 << 4))
    };
    (f32::from(scale), f32::from(minimum))
}
