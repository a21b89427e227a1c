//! The first launch of a step: rotates queries and keys, and stores keys and values, a plane a head.

use super::{Layout, PLANES, StepBuffers, elem_type, layout};
use crate::{AttentionShape, AttentionStep, HeadValues, KvFormat};
use cubecl::{client::Client, ir::ElemType, prelude::*};

/// Largest magnitude of an 8-bit code.
const MAX_CODE: f32 = 127.0;

/// The new tokens: queries, keys and values, and `slot, position` of each.
#[derive(CubeType, CubeLaunch)]
struct Tokens {
    qkv: Box<[f32]>,
    places: Box<[u32]>,
    /// `[max_len, rotary / 2]` each; any buffer where nothing is rotated.
    cos: Box<[f32]>,
    sin: Box<[f32]>,
}

/// How a launch stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct StorePlan {
    shape: AttentionShape,
    /// First rotated channel of a head.
    rotary_start: usize,
    /// Pairs of rotated channels.
    n_pairs: usize,
    is_int8: bool,
    /// Channels of a thread.
    n_channels: usize,
    /// Threads of a plane.
    plane: usize,
}

/// Rotates queries into `queries`, and keys into the cache, where it stores values as well.
#[cube(launch_unchecked)]
#[expect(
    clippy::too_many_arguments,
    reason = "each buffer of a launch is an argument of its own"
)]
fn rotate_and_store<C: Numeric>(
    tokens: Tokens,
    queries: &mut [f32],
    codes: &mut [C],
    scales: &mut [f32],
    layout: Layout,
    #[comptime] plan: StorePlan,
    #[define(C)] _dtype: ElemType,
) {
    let shape = comptime!(plan.shape);
    let token = CUBE_POS_X as usize;
    let row = (CUBE_POS_Y * CUBE_DIM_Y + UNIT_POS_Y) as usize;
    if row >= comptime!(n_rows(shape)) {
        terminate!();
    }
    let mut channels = Array::<f32>::new(plan.n_channels);
    tokens.read_row(&mut channels, token, row, plan);
    if row < shape.n_heads {
        let first = (token * shape.n_heads + row) * shape.d_key;
        #[unroll]
        for idx in 0..plan.n_channels {
            let channel = UNIT_POS_X as usize + comptime!(idx * plan.plane);
            if channel < shape.d_key {
                queries[first + channel] = channels[idx];
            }
        }
    } else {
        let slot = tokens.places[2 * token] as usize;
        let position = tokens.places[2 * token + 1] as usize;
        let kv_row = row - shape.n_heads;
        if kv_row < shape.n_kv_heads {
            let place = RowPlace {
                start: layout.row(slot, kv_row) + position * shape.d_key,
                width: shape.d_key.runtime(),
                scale: layout.scales(slot, kv_row) + layout.key_scales + position,
            };
            store::<C>(&channels, codes, scales, &place, plan);
        } else {
            let head = kv_row - shape.n_kv_heads;
            let place = RowPlace {
                start: layout.row(slot, head) + layout.values + position * shape.d_value,
                width: shape.d_value.runtime(),
                scale: layout.scales(slot, head) + layout.value_scales + position,
            };
            store::<C>(&channels, codes, scales, &place, plan);
        }
    }
}

/// Where a row of the cache lies.
#[derive(CubeType, Clone, Copy)]
struct RowPlace {
    start: usize,
    width: usize,
    scale: usize,
}

/// Writes a key or value that the threads of a plane hold.
#[cube]
fn store<C: Numeric>(
    channels: &Array<f32>,
    codes: &mut [C],
    scales: &mut [f32],
    place: &RowPlace,
    #[comptime] plan: StorePlan,
) {
    let mut factor = 1.0f32;
    if comptime!(plan.is_int8) {
        let mut largest = 0.0f32;
        #[unroll]
        for idx in 0..plan.n_channels {
            largest = max(largest, channels[idx].abs());
        }
        largest = plane_max(largest);
        factor = select(largest == 0.0f32, 0.0f32, MAX_CODE / largest);
        if UNIT_POS_X == 0 {
            scales[place.scale] = largest / MAX_CODE;
        }
    }
    #[unroll]
    for idx in 0..plan.n_channels {
        let channel = UNIT_POS_X as usize + comptime!(idx * plan.plane);
        if channel < place.width {
            if comptime!(plan.is_int8) {
                codes[place.start + channel] = C::cast_from((channels[idx] * factor).round());
            } else {
                codes[place.start + channel] = C::cast_from(channels[idx]);
            }
        }
    }
}

#[cube]
impl Tokens {
    /// Reads a row of a token, queries, keys or values, rotated where it has to be; zeros beyond its end.
    fn read_row(
        &self,
        channels: &mut Array<f32>,
        token: usize,
        row: usize,
        #[comptime] plan: StorePlan,
    ) {
        let shape = comptime!(plan.shape);
        let n_rotated = comptime!(shape.n_heads + shape.n_kv_heads);
        let is_rotated = row < n_rotated;
        let mut start = token * comptime!(shape.d_qkv());
        let mut width = shape.d_key.runtime();
        if is_rotated {
            start += row * shape.d_key;
        } else {
            start += n_rotated * shape.d_key + (row - n_rotated) * shape.d_value;
            width = shape.d_value.runtime();
        }
        let position = self.places[2 * token + 1] as usize;
        #[unroll]
        for idx in 0..plan.n_channels {
            let channel = UNIT_POS_X as usize + comptime!(idx * plan.plane);
            let mut value = 0.0f32;
            if channel < width {
                value = self.qkv[start + channel];
                if comptime!(plan.n_pairs > 0) && is_rotated {
                    value = self.rotated(value, start, channel, position, plan);
                }
            }
            channels[idx] = value;
        }
    }

    /// A channel of the head that begins at `start`, rotated if it is one of the rotary ones.
    fn rotated(
        &self,
        value: f32,
        start: usize,
        channel: usize,
        position: usize,
        #[comptime] plan: StorePlan,
    ) -> f32 {
        let half = comptime!(plan.n_pairs);
        let first = comptime!(plan.rotary_start);
        let middle = comptime!(first + half);
        let mut turned = value;
        if channel >= first {
            if channel < middle {
                let angle = position * half + (channel - first);
                let other = self.qkv[start + channel + half];
                turned = value * self.cos[angle] - other * self.sin[angle];
            } else if channel < middle + half {
                let angle = position * half + (channel - middle);
                let other = self.qkv[start + channel - half];
                turned = value * self.cos[angle] + other * self.sin[angle];
            }
        }
        turned
    }
}

/// Heads of queries, keys and stored values.
fn n_rows(shape: AttentionShape) -> usize {
    let n_kv_parts = match shape.values {
        HeadValues::Separate => 2,
        HeadValues::KeyPrefix => 1,
    };
    shape.n_heads + n_kv_parts * shape.n_kv_heads
}

/// Rotates the new tokens of a step and stores them.
///
/// # Panics
///
/// If the rotary table is too short.
pub(super) fn launch_store(
    client: &Client,
    buffers: &StepBuffers,
    step: &AttentionStep,
    plane: usize,
) {
    let (shape, kv, n_tokens) = (step.shape, step.kv, step.n_tokens());
    let half = step.rotary.len() / 2;
    let n_angles = buffers.rope.as_ref().map_or(0, |(_, _, len)| len * half);
    for segment in step.segments.iter() {
        assert!(
            n_angles >= (segment.position + segment.n_tokens) * half || buffers.rope.is_none(),
            "the rotary table ends before {segment:?}"
        );
    }
    let plan = StorePlan {
        shape,
        rotary_start: step.rotary.start,
        n_pairs: if buffers.rope.is_some() { half } else { 0 },
        is_int8: kv.format == KvFormat::Int8,
        n_channels: shape.d_key.max(shape.d_value).div_ceil(plane),
        plane,
    };
    let (cos, sin, _) = buffers
        .rope
        .clone()
        .unwrap_or_else(|| (buffers.qkv.clone(), buffers.qkv.clone(), 0));
    let n_numbers = kv.n_bytes() / kv.format.value_bytes();
    // SAFETY: the lengths are those that the buffers are made with; places and angles were checked.
    unsafe {
        rotate_and_store::launch_unchecked(
            client,
            CubeCount::Static(n_tokens as u32, n_rows(shape).div_ceil(PLANES) as u32, 1),
            CubeDim::new_2d(plane as u32, PLANES as u32),
            TokensLaunch::new(
                BufferArg::from_raw_parts(buffers.qkv.clone(), n_tokens * shape.d_qkv()),
                BufferArg::from_raw_parts(buffers.places.clone(), 2 * n_tokens),
                BufferArg::from_raw_parts(cos, n_angles),
                BufferArg::from_raw_parts(sin, n_angles),
            ),
            BufferArg::from_raw_parts(
                buffers.queries.clone(),
                n_tokens * shape.n_heads * shape.d_key,
            ),
            BufferArg::from_raw_parts(buffers.cache.clone(), n_numbers),
            BufferArg::from_raw_parts(buffers.cache.clone(), kv.n_bytes() / 4),
            layout(&kv),
            plan,
            elem_type(kv.format),
        );
    }
}
