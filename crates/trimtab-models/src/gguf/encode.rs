//! Floats to blocks: the types that are written, each rounded as the reference rounds.
//!
//! Source: `quantize_row_*_ref` in <https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c>.

use super::{GgmlType, encode_k};
use half::{bf16, f16};

/// A float that has no place in the type asked for: its scale would be infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TooLarge(pub(crate) f32);

/// Whether there is an encoder for `ggml_type`.
pub(crate) fn is_writable(ggml_type: GgmlType) -> bool {
    match ggml_type {
        GgmlType::F32
        | GgmlType::F16
        | GgmlType::Bf16
        | GgmlType::Q8_0
        | GgmlType::Q4_0
        | GgmlType::Q4_1
        | GgmlType::Q4K => true,
        GgmlType::Q5_0
        | GgmlType::Q5_1
        | GgmlType::Iq4Nl
        | GgmlType::Q2K
        | GgmlType::Q3K
        | GgmlType::Q5K
        | GgmlType::Q6K
        | GgmlType::Other(_) => false,
    }
}

/// Turns finite floats into whole blocks of a writable type.
///
/// # Panics
///
/// If `ggml_type` is not writable or the two lengths do not belong together.
pub(crate) fn encode_blocks(
    ggml_type: GgmlType,
    elements: &[f32],
    stored: &mut [u8],
) -> Result<(), TooLarge> {
    match ggml_type {
        GgmlType::F32 => each(elements, stored, |[element]| Some(element.to_le_bytes())),
        GgmlType::F16 => each(elements, stored, |[element]| half_bytes(*element)),
        GgmlType::Bf16 => each(elements, stored, |[element]| brain_bytes(*element)),
        GgmlType::Q8_0 => each(elements, stored, q8_0),
        GgmlType::Q4_0 => each(elements, stored, q4_0),
        GgmlType::Q4_1 => each(elements, stored, q4_1),
        GgmlType::Q4K => each(elements, stored, encode_k::q4_k),
        other => unreachable!("{other} is refused before anything is encoded"),
    }
}

/// Calls `encode` with each `N` elements and stores its `B` bytes.
fn each<const N: usize, const B: usize>(
    elements: &[f32],
    stored: &mut [u8],
    encode: impl Fn(&[f32; N]) -> Option<[u8; B]>,
) -> Result<(), TooLarge> {
    let (elements, elements_rest) = elements.as_chunks::<N>();
    let (blocks, rest) = stored.as_chunks_mut::<B>();
    assert!(rest.is_empty() && elements_rest.is_empty() && blocks.len() == elements.len());
    for (elements, block) in elements.iter().zip(blocks) {
        *block = encode(elements).ok_or_else(|| TooLarge(largest(elements)))?;
    }
    Ok(())
}

/// The bytes of an f16; `None` where it would be infinite.
pub(super) fn half_bytes(value: f32) -> Option<[u8; 2]> {
    let half = f16::from_f32(value);
    half.is_finite().then(|| half.to_le_bytes())
}

/// The bytes of a bf16; `None` where it would be infinite.
fn brain_bytes(value: f32) -> Option<[u8; 2]> {
    let brain = bf16::from_f32(value);
    brain.is_finite().then(|| brain.to_le_bytes())
}

/// The element of the largest magnitude, the first of several; 0 for none.
fn largest(elements: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b.abs() > a.abs() { b } else { a };
    elements.iter().copied().fold(0.0, larger)
}

fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// The scale maps the largest magnitude to 127.
fn q8_0(elements: &[f32; 32]) -> Option<[u8; 34]> {
    let scale = largest(elements).abs() / 127.0;
    let inverse = inverse(scale);
    let mut block = [0; 34];
    block[..2].copy_from_slice(&half_bytes(scale)?);
    for (byte, &element) in block[2..].iter_mut().zip(elements) {
        *byte = (element * inverse).round() as i8 as u8;
    }
    Some(block)
}

/// The scale maps the element of the largest magnitude to code 0, which stands for -8.
fn q4_0(elements: &[f32; 32]) -> Option<[u8; 18]> {
    let scale = largest(elements) / -8.0;
    let inverse = inverse(scale);
    let mut block = [0; 18];
    block[..2].copy_from_slice(&half_bytes(scale)?);
    put_nibbles(
        &mut block[2..],
        &elements.map(|element| cut(element * inverse + 8.5)),
    );
    Some(block)
}

/// Codes are spread from the smallest to the largest element.
fn q4_1(elements: &[f32; 32]) -> Option<[u8; 20]> {
    let minimum = elements.iter().copied().fold(f32::INFINITY, f32::min);
    let maximum = elements.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = (maximum - minimum) / 15.0;
    let inverse = inverse(scale);
    let mut block = [0; 20];
    block[..2].copy_from_slice(&half_bytes(scale)?);
    block[2..4].copy_from_slice(&half_bytes(minimum)?);
    let codes = elements.map(|element| cut((element - minimum) * inverse + 0.5));
    put_nibbles(&mut block[4..], &codes);
    Some(block)
}

fn cut(number: f32) -> u8 {
    number.clamp(0.0, 15.0) as u8
}

/// 32 codes below 16; the low nibbles are the first half, the high ones the second.
pub(crate) fn put_nibbles(bytes: &mut [u8], codes: &[u8; 32]) {
    for (idx, byte) in bytes.iter_mut().enumerate() {
        *byte = codes[idx] | (codes[idx + 16] << 4);
    }
}
