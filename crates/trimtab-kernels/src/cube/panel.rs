//! Many tokens times a packed weight: burn's matmul, in 16-bit floats with sums in f32.
//!
//! Weights in f16 or bf16 are multiplied as they lie there, others are dequantised to f16. Activations
//! take the weight's type, each token divided by a factor of its own where it has values too large
//! for that; what comes out is f32 and multiplied by the factor again.

use super::{
    activation::activate,
    reduce::cube_max,
    weight::{Quad, Weight, quad, quad_offset, weight_arg},
};
use crate::{Activation, PackedShape};
use cubecl::{
    client::Client,
    ir::{ElemType, FloatKind},
    prelude::*,
    server::Handle,
};

/// Planes of a cube.
const PLANES: usize = 8;

/// Largest activation that is not scaled down: leaves room for rounding.
fn largest_half(kind: FloatKind) -> f32 {
    match kind {
        FloatKind::BF16 => 1e38,
        _ => 32_768.0,
    }
}

/// Writes a row of a weight a cube: row `ids[cube]`, or all in turn.
#[cube(launch_unchecked)]
fn write_rows<O: Float>(
    weight: Weight,
    ids: &[i32],
    out: &mut [Vector<O, Const<4>>],
    #[comptime] has_ids: bool,
    #[define(O)] _dtype: ElemType,
) {
    let codes = comptime!(weight.codes);
    let mut row = CUBE_POS_X as usize;
    if comptime!(has_ids) {
        // An id beyond the vocabulary must not read beyond the weight.
        row = min(ids[row] as usize, weight.d_out - 1);
    }
    let mut chunk_idx = UNIT_POS as usize;
    while chunk_idx < weight.row_chunks {
        let chunk = weight.chunk(row, chunk_idx);
        let line = weight.line(row, chunk_idx);
        let first_channel = weight.first_channel(chunk_idx);
        #[unroll]
        for quad_idx in 0..comptime!(codes.n_quads()) {
            let channel = first_channel + comptime!(quad_offset(codes, quad_idx));
            if channel < weight.d_in {
                let values: Quad = quad(chunk, &line, quad_idx, codes);
                out[(CUBE_POS_X as usize * weight.d_in + channel) / 4] = Vector::cast_from(values);
            }
        }
        chunk_idx += CUBE_DIM as usize;
    }
}

/// Writes rows of a weight as `dtype`: those of `ids`, or all of them.
///
/// # Shapes
///
/// - `ids`: handle and number; `out`: `[n_rows, d_in]`
pub(super) fn launch_rows(
    client: &Client,
    (packed, shape): (&Handle, PackedShape),
    ids: Option<(Handle, usize)>,
    out: Handle,
    dtype: ElemType,
) {
    let has_ids = ids.is_some();
    let (ids, n_rows) = ids.unwrap_or_else(|| (packed.clone(), shape.d_out));
    // SAFETY: the lengths are those that the buffers are made with; a packed weight, which stands in
    // for the ids, has at least four bytes a row, since rows take a multiple of sixteen.
    unsafe {
        write_rows::launch_unchecked(
            client,
            CubeCount::Static(n_rows as u32, 1, 1),
            CubeDim::new_1d(128),
            weight_arg(packed, shape),
            BufferArg::from_raw_parts(ids, n_rows),
            BufferArg::from_raw_parts(out, n_rows * shape.d_in / 4),
            has_ids,
            dtype,
        );
    }
}

/// Writes tokens as 16-bit floats, a cube a token, and what each was divided by.
#[cube(launch_unchecked)]
fn halve<O: Float>(
    x: &[f32],
    halves: &mut [O],
    factors: &mut [f32],
    d_in: usize,
    largest_half: f32,
    #[define(O)] _dtype: ElemType,
) {
    let start = CUBE_POS_X as usize * d_in;
    let mut largest = 0.0f32;
    let mut channel = UNIT_POS as usize;
    while channel < d_in {
        largest = max(largest, x[start + channel].abs());
        channel += CUBE_DIM as usize;
    }
    let factor = max(cube_max(largest, PLANES) / largest_half, 1.0f32);
    let mut channel = UNIT_POS as usize;
    while channel < d_in {
        halves[start + channel] = O::cast_from(x[start + channel] / factor);
        channel += CUBE_DIM as usize;
    }
    if UNIT_POS == 0 {
        factors[CUBE_POS_X as usize] = factor;
    }
}

/// Writes tokens as f16 or bf16, and what each was divided by.
///
/// # Shapes
///
/// - `x`, `halves`: `[n_tokens, d_in]`; `factors`: `[n_tokens]`
pub(super) fn launch_halve(
    client: &Client,
    x: Handle,
    (halves, factors): (Handle, Handle),
    (n_tokens, d_in): (usize, usize),
    kind: FloatKind,
) {
    // SAFETY: the lengths are those that the buffers are made with.
    unsafe {
        halve::launch_unchecked(
            client,
            CubeCount::Static(n_tokens as u32, 1, 1),
            CubeDim::new_2d(client.properties().hardware.plane_size_max, PLANES as u32),
            BufferArg::from_raw_parts(x, n_tokens * d_in),
            BufferArg::from_raw_parts(halves, n_tokens * d_in),
            BufferArg::from_raw_parts(factors, n_tokens),
            d_in,
            largest_half(kind),
            ElemType::Float(kind),
        );
    }
}

/// What is done to a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Finish {
    /// Whether a bias is added.
    pub(super) has_bias: bool,
    /// The function of the channels, or of the gate.
    pub(super) activation: Option<Activation>,
    /// Whether the first half of the channels gates the second.
    pub(super) is_gated: bool,
}

/// `activation(product · factor + bias)`, gated or not; a cube does a piece of a token.
#[cube(launch_unchecked)]
fn finish_tokens(
    product: &[f32],
    factors: &[f32],
    bias: &[f32],
    out: &mut [f32],
    d_out: usize,
    #[comptime] finish: Finish,
) {
    let channel = ABSOLUTE_POS_X as usize;
    let token = CUBE_POS_Y as usize;
    if channel >= d_out {
        terminate!();
    }
    let n_parts = comptime!(if finish.is_gated { 2usize } else { 1 });
    let start = token * n_parts * d_out;
    let mut value = product[start + channel] * factors[token];
    if comptime!(finish.has_bias) {
        value += bias[channel];
    }
    if comptime!(finish.activation.is_some()) {
        value = activate(
            value,
            comptime!(finish.activation.unwrap_or(Activation::Relu)),
        );
    }
    if comptime!(finish.is_gated) {
        let mut up = product[start + d_out + channel] * factors[token];
        if comptime!(finish.has_bias) {
            up += bias[d_out + channel];
        }
        value *= up;
    }
    out[token * d_out + channel] = value;
}

/// Multiplies each token by its factor, adds the bias and applies the activation.
///
/// # Shapes
///
/// - `product`: `[n_tokens, d_out]`, gated `[n_tokens, 2 · d_out]`; `bias`: its last axis
/// - `factors`: `[n_tokens]`; `out`: `[n_tokens, d_out]`
pub(super) fn launch_finish(
    client: &Client,
    (product, factors): (Handle, Handle),
    (bias, activation, is_gated): (Option<Handle>, Option<Activation>, bool),
    out: Handle,
    (n_tokens, d_out): (usize, usize),
) {
    let finish = Finish {
        has_bias: bias.is_some(),
        activation,
        is_gated,
    };
    let n_channels = if is_gated { 2 * d_out } else { d_out };
    // Never read without a bias.
    let bias = bias.unwrap_or_else(|| product.clone());
    // SAFETY: the lengths are those that the buffers are made with.
    unsafe {
        finish_tokens::launch_unchecked(
            client,
            CubeCount::Static(d_out.div_ceil(256) as u32, n_tokens as u32, 1),
            CubeDim::new_1d(256),
            BufferArg::from_raw_parts(product, n_tokens * n_channels),
            BufferArg::from_raw_parts(factors, n_tokens),
            BufferArg::from_raw_parts(bias, n_channels),
            BufferArg::from_raw_parts(out, n_tokens * d_out),
            d_out,
            finish,
        );
    }
}
