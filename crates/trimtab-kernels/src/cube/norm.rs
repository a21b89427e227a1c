//! Norms on the device: one cube a token, or one plane a head; [`crate::norm`] has them for the CPU.

use super::reduce::cube_sum;
use crate::AttentionShape;
use cubecl::{client::Client, prelude::*, server::Handle};

/// Planes of a cube.
const PLANES: usize = 8;

/// How tokens are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NormKind {
    /// Whether the mean is subtracted first: layer norm.
    pub(super) is_centred: bool,
    /// Whether a residual is added before.
    pub(super) has_residual: bool,
    /// Whether a bias is added after.
    pub(super) has_bias: bool,
}

/// What a norm reads; what its kind does without may be any buffer.
#[derive(CubeType, CubeLaunch)]
struct NormInputs {
    x: Box<[f32]>,
    residual: Box<[f32]>,
    gain: Box<[f32]>,
    bias: Box<[f32]>,
    d_model: usize,
    epsilon: f32,
    #[cube(comptime)]
    kind: NormKind,
}

#[cube]
impl NormInputs {
    /// A channel before the norm; `idx` counts through all tokens.
    fn value(&self, idx: usize) -> f32 {
        if comptime!(self.kind.has_residual) {
            self.x[idx] + self.residual[idx]
        } else {
            self.x[idx]
        }
    }
}

/// Normalises a token a cube; writes what was normalised to `sum` if there is a residual.
#[cube(launch_unchecked)]
fn norm_tokens(inputs: NormInputs, sum: &mut [f32], out: &mut [f32]) {
    let kind = comptime!(inputs.kind);
    let start = CUBE_POS_X as usize * inputs.d_model;
    let n = f32::cast_from(inputs.d_model as u32);
    let mut mean = 0.0f32;
    if comptime!(kind.is_centred) {
        let mut total = 0.0f32;
        let mut channel = UNIT_POS as usize;
        while channel < inputs.d_model {
            total += inputs.value(start + channel);
            channel += CUBE_DIM as usize;
        }
        mean = cube_sum(total, PLANES) / n;
    }
    let mut squares = 0.0f32;
    let mut channel = UNIT_POS as usize;
    while channel < inputs.d_model {
        let value = inputs.value(start + channel) - mean;
        squares += value * value;
        channel += CUBE_DIM as usize;
    }
    let inverse = 1.0f32 / (cube_sum(squares, PLANES) / n + inputs.epsilon).sqrt();
    let mut channel = UNIT_POS as usize;
    while channel < inputs.d_model {
        let value = inputs.value(start + channel);
        let mut normed = (value - mean) * inverse * inputs.gain[channel];
        if comptime!(kind.has_bias) {
            normed += inputs.bias[channel];
        }
        if comptime!(kind.has_residual) {
            sum[start + channel] = value;
        }
        out[start + channel] = normed;
        channel += CUBE_DIM as usize;
    }
}

/// Buffers of a norm, each `[n_tokens, d_model]` or `[d_model]`.
#[derive(Debug)]
pub(super) struct NormBuffers {
    /// The tokens.
    pub(super) x: Handle,
    /// Added to the tokens, and where their sums go.
    pub(super) residual: Option<(Handle, Handle)>,
    /// Factor of each channel.
    pub(super) gain: Handle,
    /// Added to each channel.
    pub(super) bias: Option<Handle>,
    /// Where the normalised tokens go.
    pub(super) out: Handle,
}

/// Sizes and constants of a norm.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormSizes {
    /// Tokens.
    pub(super) n_tokens: usize,
    /// Channels of a token.
    pub(super) d_model: usize,
    /// Added to the mean square or variance.
    pub(super) epsilon: f32,
    /// Whether the mean is subtracted first: layer norm.
    pub(super) is_centred: bool,
}

/// Normalises token by token.
pub(super) fn launch_norm(client: &Client, buffers: NormBuffers, sizes: NormSizes) {
    let kind = NormKind {
        is_centred: sizes.is_centred,
        has_residual: buffers.residual.is_some(),
        has_bias: buffers.bias.is_some(),
    };
    let n_values = sizes.n_tokens * sizes.d_model;
    let (residual, sum) = buffers
        .residual
        .unwrap_or_else(|| (buffers.x.clone(), buffers.out.clone()));
    let bias = buffers.bias.unwrap_or_else(|| buffers.gain.clone());
    // SAFETY: the lengths are those that the buffers are made with.
    unsafe {
        let tokens = |handle| BufferArg::from_raw_parts(handle, n_values);
        let channels = |handle| BufferArg::from_raw_parts(handle, sizes.d_model);
        norm_tokens::launch_unchecked(
            client,
            CubeCount::Static(sizes.n_tokens as u32, 1, 1),
            CubeDim::new_2d(client.properties().hardware.plane_size_max, PLANES as u32),
            NormInputsLaunch::new(
                tokens(buffers.x),
                tokens(residual),
                channels(buffers.gain),
                channels(bias),
                sizes.d_model,
                sizes.epsilon,
                kind,
            ),
            tokens(sum),
            tokens(buffers.out),
        );
    }
}

/// Normalises the query and key heads of a token by their root mean square, a plane a head, in place.
#[cube(launch_unchecked)]
fn norm_heads(
    qkv: &mut [f32],
    query_gain: &[f32],
    key_gain: &[f32],
    epsilon: f32,
    #[comptime] shape: AttentionShape,
) {
    let head = (CUBE_POS_Y * CUBE_DIM_Y + UNIT_POS_Y) as usize;
    if head >= comptime!(shape.n_heads + shape.n_kv_heads) {
        terminate!();
    }
    let start = CUBE_POS_X as usize * comptime!(shape.d_qkv()) + head * shape.d_key;
    let mut squares = 0.0f32;
    let mut channel = UNIT_POS_X as usize;
    while channel < shape.d_key {
        let value = qkv[start + channel];
        squares += value * value;
        channel += CUBE_DIM_X as usize;
    }
    let mean = plane_sum(squares) / comptime!(shape.d_key as f32);
    let inverse = 1.0f32 / (mean + epsilon).sqrt();
    let mut channel = UNIT_POS_X as usize;
    while channel < shape.d_key {
        let gain = if head < shape.n_heads {
            query_gain[channel]
        } else {
            key_gain[channel]
        };
        qkv[start + channel] = qkv[start + channel] * inverse * gain;
        channel += CUBE_DIM_X as usize;
    }
}

/// Normalises query and key heads in place.
///
/// # Shapes
///
/// - `qkv`: `[n_tokens, d_qkv]`; gains: `[d_key]`
pub(super) fn launch_norm_heads(
    client: &Client,
    qkv: Handle,
    (query_gain, key_gain): (Handle, Handle),
    n_tokens: usize,
    (shape, epsilon): (AttentionShape, f32),
) {
    let n_heads = shape.n_heads + shape.n_kv_heads;
    // SAFETY: the lengths are those that the buffers are made with.
    unsafe {
        norm_heads::launch_unchecked(
            client,
            CubeCount::Static(n_tokens as u32, n_heads.div_ceil(PLANES) as u32, 1),
            CubeDim::new_2d(client.properties().hardware.plane_size_max, PLANES as u32),
            BufferArg::from_raw_parts(qkv, n_tokens * shape.d_qkv()),
            BufferArg::from_raw_parts(query_gain, shape.d_key),
            BufferArg::from_raw_parts(key_gain, shape.d_key),
            epsilon,
            shape,
        );
    }
}
