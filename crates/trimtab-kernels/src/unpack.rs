//! From packed rows to floats, to codes, and to the scales of their blocks.

use crate::{
    PackedFormat, PackedView,
    isa::{Isa, Kernel},
    shape::BLOCK,
    vector::MAX_LANES,
};
use std::ops::Range;

/// Scales and zero points of some rows, one a block of 64 channels.
#[derive(Debug, Default)]
pub(crate) struct BlockScales {
    /// `[n_rows, n_blocks]`, then room for a vector.
    pub scales: Vec<f32>,
    /// As `scales`; 0 for 8-bit codes.
    pub zero_points: Vec<f32>,
    /// Blocks of a row.
    pub stride: usize,
    group: Vec<f32>,
}

impl BlockScales {
    /// Reads the scales of `rows`.
    #[inline(always)]
    pub(crate) fn read<S: Isa>(&mut self, isa: S, weight: &PackedView<'_>, rows: Range<usize>) {
        let (PackedFormat::Int8 { group_size, .. } | PackedFormat::Int4 { group_size, .. }) =
            weight.shape().format
        else {
            return;
        };
        self.stride = weight.shape().d_in_padded() / BLOCK;
        let (n_groups, blocks_per_group) = (weight.shape().n_groups(), group_size / BLOCK);
        let len = rows.len() * self.stride;
        let n_padded = padded_blocks(len);
        self.scales.resize(n_padded.max(self.scales.len()), 0.0);
        self.zero_points
            .resize(n_padded.max(self.zero_points.len()), 0.0);
        let zero_points = weight.zero_points_of(rows.clone());
        if blocks_per_group == 1 {
            halves_to_floats(isa, weight.scales_of(rows), &mut self.scales[..len]);
            for (float, byte) in self.zero_points.iter_mut().zip(zero_points) {
                *float = f32::from(*byte);
            }
            return;
        }
        let group = &mut self.group;
        group.resize((rows.len() * n_groups).max(group.len()), 0.0);
        let group = &mut group[..rows.len() * n_groups];
        halves_to_floats(isa, weight.scales_of(rows), group);
        let spread = |from: &[f32], to: &mut [f32]| {
            let rows = from.chunks(n_groups).zip(to.chunks_mut(self.stride));
            for (from, to) in rows {
                for (from, to) in from.iter().zip(to.chunks_mut(blocks_per_group)) {
                    to.fill(*from);
                }
            }
        };
        spread(group, &mut self.scales[..len]);
        if !zero_points.is_empty() {
            for (float, byte) in group.iter_mut().zip(zero_points) {
                *float = f32::from(*byte);
            }
            spread(group, &mut self.zero_points[..len]);
        }
    }

    /// Scales of the `idx`th row read, and what lies behind them: a vector at least.
    #[inline(always)]
    pub(crate) fn row(&self, idx: usize) -> &[f32] {
        &self.scales[idx * self.stride..]
    }

    /// Zero points of the `idx`th row read, and what lies behind them: a vector at least.
    #[inline(always)]
    pub(crate) fn row_zero_points(&self, idx: usize) -> &[f32] {
        &self.zero_points[idx * self.stride..]
    }
}

/// Room for one number a block, and for a vector that begins at the last.
pub(crate) fn padded_blocks(n_blocks: usize) -> usize {
    n_blocks.next_multiple_of(MAX_LANES) + MAX_LANES
}

/// Halves in bytes as floats.
#[inline(always)]
pub(crate) fn halves_to_floats<S: Isa>(isa: S, bytes: &[u8], floats: &mut [f32]) {
    assert_eq!(bytes.len(), 2 * floats.len());
    let n_whole = floats.len() / S::LANES * S::LANES;
    for at in (0..n_whole).step_by(S::LANES) {
        // SAFETY: `at + LANES ≤ n_whole ≤` the number of values, of which each takes two bytes.
        unsafe {
            isa.store(
                floats.as_mut_ptr().add(at),
                isa.load_f16(bytes.as_ptr().add(2 * at)),
            );
        }
    }
    let (mut tail_bytes, mut tail) = ([0; 2 * MAX_LANES], [0.0; MAX_LANES]);
    let (rest, rest_bytes) = (&mut floats[n_whole..], &bytes[2 * n_whole..]);
    tail_bytes[..rest_bytes.len()].copy_from_slice(rest_bytes);
    // SAFETY: both arrays are as long as the longest vector.
    unsafe { isa.store(tail.as_mut_ptr(), isa.load_f16(tail_bytes.as_ptr())) }
    rest.copy_from_slice(&tail[..rest.len()]);
}

/// Channels `channels` of consecutive rows as floats.
///
/// # Shapes
///
/// - `out`: `[n_rows, channels.len()]`; `channels` begins at a multiple of 64 and ends at one, or at
///   the end of the row
#[derive(Debug)]
pub(crate) struct Dequantize<'a> {
    pub weight: &'a PackedView<'a>,
    pub first_row: usize,
    pub channels: Range<usize>,
    pub scales: &'a mut BlockScales,
    pub out: &'a mut [f32],
}

impl Kernel for Dequantize<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Self {
            channels, scales, ..
        } = self;
        let n_rows = self.out.len() / channels.len();
        scales.read(isa, self.weight, self.first_row..self.first_row + n_rows);
        for (idx, out) in self.out.chunks_exact_mut(channels.len()).enumerate() {
            let row = self.weight.row(self.first_row + idx);
            match self.weight.shape().format {
                PackedFormat::F32 => {
                    let bytes = &row[4 * channels.start..4 * channels.end];
                    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                        *out = f32::from_le_bytes(*bytes);
                    }
                }
                PackedFormat::F16 => {
                    halves_to_floats(isa, &row[2 * channels.start..2 * channels.end], out);
                }
                PackedFormat::Int8 { .. } | PackedFormat::Int4 { .. } => {
                    let first_block = channels.start / BLOCK;
                    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                        let block = first_block + block;
                        let scale = scales.row(idx)[block];
                        let zero_point = scales.row_zero_points(idx)[block];
                        let codes = &row[block * self.weight.shape().block_bytes()..];
                        dequantize_block(isa, self.weight, codes, (scale, zero_point), out);
                    }
                }
            }
        }
    }
}

/// Up to 64 channels of one row, from its bytes at their block on.
#[inline(always)]
fn dequantize_block<S: Isa>(
    isa: S,
    weight: &PackedView<'_>,
    codes: &[u8],
    (scale, zero_point): (f32, f32),
    out: &mut [f32],
) {
    let is_int4 = matches!(weight.shape().format, PackedFormat::Int4 { .. });
    let mut whole = [0.0; BLOCK];
    assert!(codes.len() >= if is_int4 { BLOCK / 2 } else { BLOCK });
    let (scales, offset) = (isa.splat(scale), isa.splat(-zero_point * scale));
    for at in (0..BLOCK).step_by(S::LANES) {
        // SAFETY: the assertion holds 64 codes, in half the bytes when they are 4-bit; lanes divide 32.
        unsafe {
            let values = match is_int4 {
                true => isa.load_u4(codes.as_ptr().add(at % 32), at >= 32),
                false => isa.load_i8(codes.as_ptr().add(at)),
            };
            isa.store(whole.as_mut_ptr().add(at), isa.fma(values, scales, offset));
        }
    }
    out.copy_from_slice(&whole[..out.len()]);
}

/// Codes of consecutive rows, as the words that [`Isa::dot_words`] multiplies.
///
/// # Shapes
///
/// - `out`: `[n_rows, d_in_padded / WORD_CODES]`
#[derive(Debug)]
pub(crate) struct WeightWords<'a> {
    pub weight: &'a PackedView<'a>,
    pub first_row: usize,
    pub out: &'a mut [i32],
}

impl WeightWords<'_> {
    #[inline(always)]
    pub(crate) fn write<S: Isa>(self, isa: S) {
        let shape = self.weight.shape();
        let n_words = shape.d_in_padded() / S::WORD_CODES;
        for (idx, words) in self.out.chunks_exact_mut(n_words).enumerate() {
            let row = self.weight.row(self.first_row + idx);
            let blocks = row.chunks_exact(shape.block_bytes());
            for (bytes, words) in blocks.zip(words.chunks_exact_mut(BLOCK / S::WORD_CODES)) {
                match shape.format {
                    // SAFETY: both are the bytes and words of one block.
                    PackedFormat::Int4 { .. } => unsafe {
                        isa.unpack_nibbles(bytes.as_ptr(), words.as_mut_ptr());
                    },
                    PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Int8 { .. } => {
                        let codes = bytemuck::cast_slice(bytes);
                        codes_to_words::<S>(codes, S::WEIGHT_OFFSET as u8, words);
                    }
                }
            }
        }
    }
}

/// Puts codes into words: four bytes, to which `offset` is added, or two 16-bit numbers.
#[inline(always)]
pub(crate) fn codes_to_words<S: Isa>(codes: &[i8], offset: u8, words: &mut [i32]) {
    if S::WORD_CODES == 4 {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
        for (byte, code) in bytes.iter_mut().zip(codes) {
            *byte = code.cast_unsigned().wrapping_add(offset);
        }
    } else {
        let numbers: &mut [i16] = bytemuck::cast_slice_mut(words);
        for (number, code) in numbers.iter_mut().zip(codes) {
            *number = i16::from(*code);
        }
    }
}
