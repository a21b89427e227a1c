//! Dequantisation of the plain types and of blocks of 32 elements.
//!
//! Each block type is written as its definition says: code by code, in f32, multiplied before
//! anything is added, so that results equal the reference bit for bit.
//!
//! Source: `dequantize_row_*` in <https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c>.

use super::{GgmlType, k_blocks};
use half::{bf16, f16};

/// Turns whole blocks of `ggml_type` into floats.
///
/// # Panics
///
/// If `ggml_type` has no known block size: the caller looked it up to slice `stored`.
pub(super) fn dequantize_blocks(ggml_type: GgmlType, stored: &[u8], elements: &mut [f32]) {
    match ggml_type {
        GgmlType::F32 => each(stored, elements, |block, [element]| {
            *element = f32::from_le_bytes(*block);
        }),
        GgmlType::F16 => each(stored, elements, |block, [element]| {
            *element = f16::from_le_bytes(*block).to_f32();
        }),
        GgmlType::Bf16 => each(stored, elements, |block, [element]| {
            *element = bf16::from_le_bytes(*block).to_f32();
        }),
        GgmlType::Q8_0 => each(stored, elements, q8_0),
        GgmlType::Q4_0 => each(stored, elements, q4_0),
        GgmlType::Q4_1 => each(stored, elements, q4_1),
        GgmlType::Q5_0 => each(stored, elements, q5_0),
        GgmlType::Q5_1 => each(stored, elements, q5_1),
        GgmlType::Iq4Nl => each(stored, elements, iq4_nl),
        GgmlType::Q2K => each(stored, elements, k_blocks::q2_k),
        GgmlType::Q3K => each(stored, elements, k_blocks::q3_k),
        GgmlType::Q4K => each(stored, elements, k_blocks::q4_k),
        GgmlType::Q5K => each(stored, elements, k_blocks::q5_k),
        GgmlType::Q6K => each(stored, elements, k_blocks::q6_k),
        GgmlType::Other(_) => unreachable!("types without a block size are refused before"),
    }
}

/// Calls `dequantize` with each block of `B` bytes and its `N` elements.
fn each<const B: usize, const N: usize>(
    stored: &[u8],
    elements: &mut [f32],
    dequantize: impl Fn(&[u8; B], &mut [f32; N]),
) {
    let (blocks, rest) = stored.as_chunks::<B>();
    let (elements, elements_rest) = elements.as_chunks_mut::<N>();
    assert!(rest.is_empty() && elements_rest.is_empty() && blocks.len() == elements.len());
    for (block, elements) in blocks.iter().zip(elements) {
        dequantize(block, elements);
    }
}

/// The little-endian f16 at `offset`.
pub(super) fn f16_at(block: &[u8], offset: usize) -> f32 {
    f16::from_le_bytes([block[offset], block[offset + 1]]).to_f32()
}

/// f16 scale, 32 signed codes.
fn q8_0(block: &[u8; 34], elements: &mut [f32; 32]) {
    let scale = f16_at(block, 0);
    for (element, &code) in elements.iter_mut().zip(&block[2..]) {
        *element = scale * f32::from(code as i8);
    }
}

/// f16 scale, 16 bytes: the low nibbles are the first half of the block, the high ones the second.
fn q4_0(block: &[u8; 18], elements: &mut [f32; 32]) {
    let scale = f16_at(block, 0);
    for (idx, &byte) in block[2..].iter().enumerate() {
        elements[idx] = scale * (f32::from(byte & 15) - 8.0);
        elements[idx + 16] = scale * (f32::from(byte >> 4) - 8.0);
    }
}

/// f16 scale, f16 minimum, nibbles as in [`q4_0`].
fn q4_1(block: &[u8; 20], elements: &mut [f32; 32]) {
    let (scale, minimum) = (f16_at(block, 0), f16_at(block, 2));
    for (idx, &byte) in block[4..].iter().enumerate() {
        elements[idx] = scale * f32::from(byte & 15) + minimum;
        elements[idx + 16] = scale * f32::from(byte >> 4) + minimum;
    }
}

/// What the codes of [`iq4_nl`] stand for: steps that are finer near zero.
///
/// Source: `kvalues_iq4nl` in
/// <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>.
const IQ4_NL_STEPS: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// f16 scale, nibbles as in [`q4_0`] that index [`IQ4_NL_STEPS`].
fn iq4_nl(block: &[u8; 18], elements: &mut [f32; 32]) {
    let scale = f16_at(block, 0);
    let step = |code: u8| f32::from(IQ4_NL_STEPS[usize::from(code)]);
    for (idx, &byte) in block[2..].iter().enumerate() {
        elements[idx] = scale * step(byte & 15);
        elements[idx + 16] = scale * step(byte >> 4);
    }
}

/// f16 scale, 32 fifth bits, nibbles as in [`q4_0`].
fn q5_0(block: &[u8; 22], elements: &mut [f32; 32]) {
    let scale = f16_at(block, 0);
    let high = fifth_bits(block, 2);
    for (idx, &byte) in block[6..].iter().enumerate() {
        elements[idx] = scale * (five_bits(byte & 15, high, idx) - 16.0);
        elements[idx + 16] = scale * (five_bits(byte >> 4, high, idx + 16) - 16.0);
    }
}

/// f16 scale, f16 minimum, 32 fifth bits, nibbles as in [`q4_0`].
fn q5_1(block: &[u8; 24], elements: &mut [f32; 32]) {
    let (scale, minimum) = (f16_at(block, 0), f16_at(block, 2));
    let high = fifth_bits(block, 4);
    for (idx, &byte) in block[8..].iter().enumerate() {
        elements[idx] = scale * five_bits(byte & 15, high, idx) + minimum;
        elements[idx + 16] = scale * five_bits(byte >> 4, high, idx + 16) + minimum;
    }
}

fn fifth_bits(block: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(
        block[offset..offset + 4]
            .try_into()
            .expect("a slice of four bytes"),
    )
}

fn five_bits(nibble: u8, high: u32, idx: usize) -> f32 {
    f32::from(nibble | (((high >> idx) & 1) << 4) as u8)
}
