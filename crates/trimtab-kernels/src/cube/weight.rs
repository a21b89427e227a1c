//! A packed weight as kernels on the device read it: sixteen bytes a thread, dequantised in registers.
//!
//! The bytes are those of [`PackedShape`], uploaded as they are. A thread's sixteen bytes are a
//! chunk; a chunk holds one or more quads, runs of four input channels, and all of its codes lie in
//! one group.

use crate::{PackedFormat, PackedShape};
use cubecl::{prelude::*, server::Handle};
use half::f16;

/// Four consecutive input channels.
pub(super) type Quad = Vector<f32, Const<4>>;

/// Sixteen bytes of codes.
pub(super) type Chunk = Vector<u32, Const<4>>;

/// What turns the bits of a code, read by [`quad`], into its weight.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Line {
    factor: f32,
    offset: f32,
}

/// Bytes of a chunk.
const CHUNK_BYTES: usize = 16;

/// What the codes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Codes {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// The upper halves of 32-bit floats.
    Bf16,
    /// Signed 8-bit codes.
    Int8,
    /// Unsigned 4-bit codes with zero points.
    Int4,
}

impl Codes {
    /// Quads of a chunk.
    pub(super) const fn n_quads(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::Int8 => 4,
            Self::Int4 => 8,
        }
    }

    /// Whether codes have scales.
    pub(super) const fn has_scales(self) -> bool {
        matches!(self, Self::Int8 | Self::Int4)
    }
}

/// A packed weight `[d_out, d_in]` on the device.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Weight {
    /// The codes.
    chunks: Box<[Chunk]>,
    /// The whole block, as scales are read from it.
    halves: Box<[f16]>,
    /// The whole block, as zero points are read from it.
    bytes: Box<[u8]>,
    /// Output channels.
    pub(super) d_out: usize,
    /// Input channels.
    pub(super) d_in: usize,
    /// Chunks of one row.
    pub(super) row_chunks: usize,
    /// Groups of one row.
    n_groups: usize,
    /// Input channels of one group.
    group_size: usize,
    /// Where scales start, in halves.
    scales_start: usize,
    /// Where zero points start, in bytes.
    zero_points_start: usize,
    /// What the codes are.
    #[cube(comptime)]
    pub(super) codes: Codes,
}

#[cube]
impl Weight {
    /// Reads a chunk of a row.
    pub(super) fn chunk(&self, row: usize, chunk_idx: usize) -> Chunk {
        self.chunks[row * self.row_chunks + chunk_idx]
    }

    /// The input channel of the first code of a chunk.
    pub(super) fn first_channel(&self, chunk_idx: usize) -> usize {
        if comptime!(self.codes == Codes::Int4) {
            chunk_idx / 2 * 64 + chunk_idx % 2 * 16
        } else {
            chunk_idx * comptime!(4 * self.codes.n_quads())
        }
    }

    /// The line of a chunk's codes; of no meaning for floats.
    pub(super) fn line(&self, row: usize, chunk_idx: usize) -> Line {
        let codes = comptime!(self.codes);
        if comptime!(codes.has_scales()) {
            let group = self.first_channel(chunk_idx) / self.group_size;
            let idx = row * self.n_groups + group;
            let scale = f32::cast_from(self.halves[self.scales_start + idx]);
            if comptime!(codes == Codes::Int4) {
                let zero_point = f32::cast_from(self.bytes[self.zero_points_start + idx]);
                Line {
                    factor: scale * 16.0f32,
                    offset: -scale * (zero_point + 16.0f32),
                }
            } else {
                Line {
                    factor: scale * 256.0f32,
                    offset: -scale * 384.0f32,
                }
            }
        } else {
            Line {
                factor: 1.0f32,
                offset: 0.0f32,
            }
        }
    }
}

/// Input channel of quad `quad_idx`, counted from the first of the chunk.
pub(super) const fn quad_offset(codes: Codes, quad_idx: usize) -> usize {
    match codes {
        Codes::Int4 => quad_idx / 4 * 32 + quad_idx % 4 * 4,
        Codes::F32 | Codes::F16 | Codes::Bf16 | Codes::Int8 => 4 * quad_idx,
    }
}

/// Dequantises quad `quad_idx` of a chunk.
///
/// A code becomes the high bits of a mantissa, which makes a float of `1 + code / 2^bits` without a
/// conversion; `line` undoes that. Factor, offset and result are exact: a scale has 11 significant
/// bits, and what it is multiplied with at most 9.
#[cube]
pub(super) fn quad(
    chunk: Chunk,
    line: &Line,
    #[comptime] quad_idx: usize,
    #[comptime] codes: Codes,
) -> Quad {
    let mut quad = Quad::empty();
    if comptime!(codes == Codes::F32) {
        quad = Quad::reinterpret(chunk);
    } else if comptime!(codes == Codes::F16) {
        #[unroll]
        for pair_idx in 0..2usize {
            let word = chunk.extract(comptime!(2 * quad_idx + pair_idx));
            let pair = Vector::<f16, Const<2>>::reinterpret(word);
            quad.insert(
                comptime!(2 * pair_idx),
                f32::cast_from(pair.extract(0usize)),
            );
            quad.insert(
                comptime!(2 * pair_idx + 1),
                f32::cast_from(pair.extract(1usize)),
            );
        }
    } else if comptime!(codes == Codes::Bf16) {
        // No type of the device's is needed: a word has two floats' upper halves.
        #[unroll]
        for pair_idx in 0..2usize {
            let word = chunk.extract(comptime!(2 * quad_idx + pair_idx));
            quad.insert(comptime!(2 * pair_idx), f32::reinterpret(word << 16u32));
            quad.insert(
                comptime!(2 * pair_idx + 1),
                f32::reinterpret(word & 0xffff_0000u32),
            );
        }
    } else if comptime!(codes == Codes::Int8) {
        // The sign bit flipped: codes from 0 on, 128 too large.
        let word = chunk.extract(quad_idx) ^ 0x8080_8080u32;
        #[unroll]
        for lane in 0..4usize {
            let bits = mantissa(word, comptime!(8 * lane as u32), 8u32);
            quad.insert(lane, fma(bits, line.factor, line.offset));
        }
    } else {
        let word = chunk.extract(comptime!(quad_idx % 4));
        #[unroll]
        for lane in 0..4usize {
            let bits = mantissa(
                word,
                comptime!(8 * lane as u32 + quad_idx as u32 / 4 * 4),
                4u32,
            );
            quad.insert(lane, fma(bits, line.factor, line.offset));
        }
    }
    quad
}

/// The float `1 + code / 2^n_bits` of the `n_bits` that start at bit `start` of a word.
#[cube]
fn mantissa(word: u32, #[comptime] start: u32, #[comptime] n_bits: u32) -> f32 {
    let to = comptime!(23 - n_bits);
    let mask = comptime!(((1 << n_bits) - 1) << to);
    let moved = if comptime!(start > to) {
        word >> comptime!(start.saturating_sub(to))
    } else {
        word << comptime!(to.saturating_sub(start))
    };
    f32::reinterpret((moved & mask) | 0x3f80_0000u32)
}

/// A packed weight in a buffer as an argument of kernels.
///
/// # Panics
///
/// If rows do not start at multiples of a chunk.
pub(super) fn weight_arg(handle: &Handle, shape: PackedShape) -> WeightLaunch {
    assert!(
        shape.row_bytes().is_multiple_of(CHUNK_BYTES) && shape.d_in.is_multiple_of(4),
        "on a GPU rows take a multiple of {CHUNK_BYTES} bytes and 4 channels, unlike those of {shape:?}"
    );
    let (codes, group_size) = match shape.format {
        PackedFormat::F32 => (Codes::F32, 1),
        PackedFormat::F16 => (Codes::F16, 1),
        PackedFormat::Bf16 => (Codes::Bf16, 1),
        PackedFormat::Int8 { group_size, .. } => (Codes::Int8, group_size),
        PackedFormat::Int4 { group_size, .. } => (Codes::Int4, group_size),
    };
    let n_bytes = shape.n_bytes();
    // SAFETY: the three views cover the block that `shape` describes, and no more.
    let (chunks, halves, bytes) = unsafe {
        (
            BufferArg::from_raw_parts(handle.clone(), shape.codes().end / CHUNK_BYTES),
            BufferArg::from_raw_parts(handle.clone(), n_bytes / 2),
            BufferArg::from_raw_parts(handle.clone(), n_bytes),
        )
    };
    WeightLaunch::new(
        chunks,
        halves,
        bytes,
        shape.d_out,
        shape.d_in,
        shape.row_bytes() / CHUNK_BYTES,
        shape.n_groups(),
        group_size,
        shape.scales().start / 2,
        shape.zero_points().start,
        codes,
    )
}
