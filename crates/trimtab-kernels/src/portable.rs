//! Row products in plain Rust: the fallback on machines without AVX2, and the tails of the AVX2 loops.

use crate::{
    PackedFormat, PackedView,
    quantized_activations::Activations,
    shape::{BLOCK, f16_at},
};

/// Product of row `row_idx` with the activations.
pub(crate) fn row_product(weight: &PackedView<'_>, row_idx: usize, x: &Activations) -> f32 {
    let d_in = weight.shape().d_in;
    let row = weight.row(row_idx);
    match weight.shape().format {
        PackedFormat::F32 => dot_f32_bytes(row, &x.values[..d_in]),
        PackedFormat::F16 => dot_f16_bytes(row, &x.values[..d_in]),
        PackedFormat::Int8 {
            group_size,
            int8_activations,
        } => {
            let codes = |block: usize| {
                row[block * BLOCK..][..BLOCK]
                    .iter()
                    .map(|c| c.cast_signed())
            };
            sum_blocks(weight.row_scales(row_idx), group_size, x, |block| {
                block_dot(codes(block), block, x, int8_activations)
            })
        }
        PackedFormat::Int4 {
            group_size,
            int8_activations,
        } => {
            let codes = |block: usize| {
                let bytes = &row[block * BLOCK / 2..][..BLOCK / 2];
                let low = bytes.iter().map(|b| (b & 15).cast_signed());
                low.chain(bytes.iter().map(|b| (b >> 4).cast_signed()))
            };
            let zero_points = weight.row_zero_points(row_idx);
            sum_blocks(weight.row_scales(row_idx), group_size, x, |block| {
                let zero_point = f32::from(zero_points[block * BLOCK / group_size]);
                block_dot(codes(block), block, x, int8_activations) - zero_point * x.sums[block]
            })
        }
    }
}

fn sum_blocks(
    scales: &[u8],
    group_size: usize,
    x: &Activations,
    block_value: impl Fn(usize) -> f32,
) -> f32 {
    (0..x.sums.len())
        .map(|block| f16_at(scales, block * BLOCK / group_size) * block_value(block))
        .sum()
}

fn block_dot(
    codes: impl Iterator<Item = i8>,
    block: usize,
    x: &Activations,
    int8_activations: bool,
) -> f32 {
    let channels = block * BLOCK..(block + 1) * BLOCK;
    if int8_activations {
        let sum: i32 = codes
            .zip(&x.codes[channels])
            .map(|(w, x)| i32::from(w) * i32::from(*x))
            .sum();
        sum as f32 * x.scales[block]
    } else {
        codes
            .zip(&x.values[channels])
            .map(|(w, x)| f32::from(w) * x)
            .sum()
    }
}

/// Product of f32 values in bytes with floats.
pub(crate) fn dot_f32_bytes(row: &[u8], x: &[f32]) -> f32 {
    lanes_sum(
        row.as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .zip(x),
    )
}

/// Product of f16 values in bytes with floats.
pub(crate) fn dot_f16_bytes(row: &[u8], x: &[f32]) -> f32 {
    let weights = row.as_chunks::<2>().0.iter();
    lanes_sum(
        weights
            .map(|bytes| half::f16::from_le_bytes(*bytes).to_f32())
            .zip(x),
    )
}

/// Sums products in eight lanes, so that the order of additions is the same on every machine
/// and the error grows with `n / 8`.
fn lanes_sum<'a>(pairs: impl Iterator<Item = (f32, &'a f32)>) -> f32 {
    let mut lanes = [0.0_f32; 8];
    for (idx, (w, x)) in pairs.enumerate() {
        lanes[idx % 8] += w * x;
    }
    lanes.iter().sum()
}

/// Writes row `row_idx` as floats.
pub(crate) fn dequantize_row(weight: &PackedView<'_>, row_idx: usize, out: &mut [f32]) {
    weight.dequantize_row_reference(row_idx, out);
}
