//! The second launch of a step: a cube has one token and head, and its planes share out the keys.

use super::{Layout, PLANES, StepBuffers, elem_type, layout};
use crate::{AttentionShape, AttentionStep, HeadValues, KvFormat};
use cubecl::{client::Client, ir::ElemType, prelude::*, server::Handle};

/// Keys that a plane looks at together, so that their loads overlap.
const KEYS: usize = 4;

/// Stands for minus infinity; its differences are finite.
const LOWEST: f32 = -1e30;

/// How a launch attends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct AttendPlan {
    shape: AttentionShape,
    is_int8: bool,
    /// Channels that are loaded together.
    width: usize,
    /// Threads of a plane.
    plane: usize,
}

impl AttendPlan {
    /// Vectors of a query or key that a thread has.
    fn n_key_vectors(&self) -> usize {
        (self.shape.d_key / self.width).div_ceil(self.plane)
    }

    /// Vectors of a value that a thread has.
    fn n_value_vectors(&self) -> usize {
        (self.shape.d_value / self.width).div_ceil(self.plane)
    }
}

/// Numbers of a step.
#[derive(CubeType, CubeLaunch)]
struct StepArg {
    scale: f32,
    /// Keys that a token sees, itself included.
    window: usize,
}

/// One head of one token a cube: `out = softmax(scale · query · keysᵀ) · values`.
#[cube(launch_unchecked)]
#[expect(
    clippy::too_many_arguments,
    reason = "each buffer of a launch is an argument of its own"
)]
fn attend<C: Numeric, N: Size>(
    queries: &[Vector<f32, N>],
    places: &[u32],
    codes: &[Vector<C, N>],
    scales: &[f32],
    out: &mut [f32],
    layout: Layout,
    step: StepArg,
    #[comptime] plan: AttendPlan,
    #[define(C)] _dtype: ElemType,
) {
    let shape = comptime!(plan.shape);
    let head = CUBE_POS_X as usize;
    let token = CUBE_POS_Y as usize;
    let slot = places[2 * token] as usize;
    let position = places[2 * token + 1] as usize;
    let kv_head = head / comptime!(shape.group_size());
    let rows = Rows {
        keys: layout.row(slot, kv_head) / plan.width,
        values: (layout.row(slot, kv_head) + layout.values) / plan.width,
        key_scales: layout.scales(slot, kv_head) + layout.key_scales,
        value_scales: layout.scales(slot, kv_head) + layout.value_scales,
        last: position,
    };
    let mut query = Array::<Vector<f32, N>>::new(comptime!(plan.n_key_vectors()));
    #[unroll]
    for idx in 0..comptime!(plan.n_key_vectors()) {
        let vector = UNIT_POS_X as usize + comptime!(idx * plan.plane);
        let n_vectors = comptime!(shape.d_key / plan.width);
        let first = (token * shape.n_heads + head) * n_vectors;
        let value = queries[first + min(vector, n_vectors - 1)];
        let zeros = Vector::<f32, N>::new(0.0f32);
        query[idx] = select(vector < n_vectors, value * Vector::new(step.scale), zeros);
    }
    let mut mixed = Array::<Vector<f32, N>>::new(comptime!(plan.n_value_vectors()));
    #[unroll]
    for idx in 0..comptime!(plan.n_value_vectors()) {
        mixed[idx] = Vector::<f32, N>::new(0.0f32);
    }
    let mut running = Array::<f32>::new(2usize);
    running[0] = LOWEST;
    running[1] = 0.0f32;
    let first = select(
        position + 1 > step.window,
        position + 1 - min(step.window, position + 1),
        0usize,
    );
    let mut key = first + UNIT_POS_Y as usize * KEYS;
    while key <= position {
        let mut scores = score_keys::<C, N>(codes, scales, &query, &rows, key, plan);
        let shrink = add_scores(&mut scores, &mut running);
        mix_values::<C, N>(codes, scales, &scores, shrink, &mut mixed, &rows, key, plan);
        key += comptime!(PLANES * KEYS);
    }
    join::<N>(
        &mixed,
        &running,
        out,
        (token * shape.n_heads + head) * shape.d_value,
        plan,
    );
}

/// Where the rows of a head begin.
#[derive(CubeType, Clone, Copy)]
struct Rows {
    keys: usize,
    values: usize,
    key_scales: usize,
    value_scales: usize,
    last: usize,
}

/// Scores of [`KEYS`] keys from `key` on; those beyond the last are the lowest there are.
#[cube]
fn score_keys<C: Numeric, N: Size>(
    codes: &[Vector<C, N>],
    scales: &[f32],
    query: &Array<Vector<f32, N>>,
    rows: &Rows,
    key: usize,
    #[comptime] plan: AttendPlan,
) -> Array<f32> {
    let n_vectors = comptime!(plan.shape.d_key / plan.width);
    let mut scores = Array::<f32>::new(KEYS);
    #[unroll]
    for idx in 0..KEYS {
        let at = min(key + idx, rows.last);
        let mut product = 0.0f32;
        #[unroll]
        for vector_idx in 0..comptime!(plan.n_key_vectors()) {
            let own = UNIT_POS_X as usize + comptime!(vector_idx * plan.plane);
            // A thread beyond the last vector has a query of zeros.
            let vector = min(own, n_vectors - 1);
            let channels = Vector::<f32, N>::cast_from(codes[rows.keys + at * n_vectors + vector]);
            #[unroll]
            for lane in 0..plan.width {
                product = fma(
                    query[vector_idx].extract(lane),
                    channels.extract(lane),
                    product,
                );
            }
        }
        let mut score = plane_sum(product);
        if comptime!(plan.is_int8) {
            score *= scales[rows.key_scales + at];
        }
        scores[idx] = select(key + idx > rows.last, LOWEST, score);
    }
    scores
}

/// Turns scores into weights and adds them to a running softmax: largest score, and sum of weights.
/// Returns what earlier weights shrink by.
#[cube]
fn add_scores(scores: &mut Array<f32>, running: &mut Array<f32>) -> f32 {
    let before = running[0];
    let mut largest = before;
    #[unroll]
    for idx in 0..KEYS {
        largest = max(largest, scores[idx]);
    }
    // The first key is always one that is seen, so that `largest` is a score.
    let shrink = (before - largest).exp();
    let mut sum = running[1] * shrink;
    #[unroll]
    for idx in 0..KEYS {
        let weight = (scores[idx] - largest).exp();
        scores[idx] = weight;
        sum += weight;
    }
    running[0] = largest;
    running[1] = sum;
    shrink
}

/// Shrinks the mixed values, and adds those of [`KEYS`] keys by their weights.
#[cube]
#[expect(
    clippy::too_many_arguments,
    reason = "buffers and registers of a kernel cannot be grouped in a struct"
)]
fn mix_values<C: Numeric, N: Size>(
    codes: &[Vector<C, N>],
    scales: &[f32],
    weights: &Array<f32>,
    shrink: f32,
    mixed: &mut Array<Vector<f32, N>>,
    rows: &Rows,
    key: usize,
    #[comptime] plan: AttendPlan,
) {
    let shape = comptime!(plan.shape);
    let is_prefix = comptime!(shape.values == HeadValues::KeyPrefix);
    let d_row = comptime!(if is_prefix {
        shape.d_key
    } else {
        shape.d_value
    });
    let stride = comptime!(d_row / plan.width);
    let row = if comptime!(is_prefix) {
        rows.keys
    } else {
        rows.values
    };
    let scales_start = if comptime!(is_prefix) {
        rows.key_scales
    } else {
        rows.value_scales
    };
    #[unroll]
    for vector_idx in 0..comptime!(plan.n_value_vectors()) {
        let last = comptime!(shape.d_value / plan.width - 1);
        let vector = min(
            UNIT_POS_X as usize + comptime!(vector_idx * plan.plane),
            last,
        );
        let mut values = mixed[vector_idx] * Vector::new(shrink);
        #[unroll]
        for idx in 0..KEYS {
            let at = min(key + idx, rows.last);
            let mut weight = weights[idx];
            if comptime!(plan.is_int8) {
                weight *= scales[scales_start + at];
            }
            let channels = Vector::<f32, N>::cast_from(codes[row + at * stride + vector]);
            values += channels * Vector::new(weight);
        }
        mixed[vector_idx] = values;
    }
}

/// Joins what the planes of a cube found and writes it.
#[cube]
fn join<N: Size>(
    mixed: &Array<Vector<f32, N>>,
    running: &Array<f32>,
    out: &mut [f32],
    start: usize,
    #[comptime] plan: AttendPlan,
) {
    let d_value = comptime!(plan.shape.d_value);
    let mut all_mixed = Shared::<[f32]>::new_slice(comptime!(PLANES * d_value));
    let mut all_running = Shared::<[f32]>::new_slice(comptime!(2 * PLANES));
    let plane_idx = UNIT_POS_Y as usize;
    #[unroll]
    for vector_idx in 0..comptime!(plan.n_value_vectors()) {
        let vector = UNIT_POS_X as usize + comptime!(vector_idx * plan.plane);
        if vector < comptime!(d_value / plan.width) {
            #[unroll]
            for lane in 0..plan.width {
                all_mixed[plane_idx * d_value + vector * plan.width + lane] =
                    mixed[vector_idx].extract(lane);
            }
        }
    }
    if UNIT_POS_X == 0 {
        all_running[2 * plane_idx] = running[0];
        all_running[2 * plane_idx + 1] = running[1];
    }
    sync_cube();
    let mut largest = LOWEST.runtime();
    #[unroll]
    for idx in 0..PLANES {
        largest = max(largest, all_running[2 * idx]);
    }
    let mut sum = 0.0f32;
    #[unroll]
    for idx in 0..PLANES {
        sum += (all_running[2 * idx] - largest).exp() * all_running[2 * idx + 1];
    }
    let mut channel = UNIT_POS as usize;
    while channel < d_value {
        let mut value = 0.0f32;
        #[unroll]
        for idx in 0..PLANES {
            let weight = (all_running[2 * idx] - largest).exp();
            value = fma(weight, all_mixed[idx * d_value + channel], value);
        }
        out[start + channel] = value / sum;
        channel += CUBE_DIM as usize;
    }
}

/// Attends with the queries that [`launch_store`](super::launch_store) rotated.
pub(super) fn launch_attend(
    client: &Client,
    (buffers, out): (StepBuffers, Handle),
    step: &AttentionStep,
    plane: usize,
) {
    let (shape, kv, n_tokens) = (step.shape, step.kv, step.n_tokens());
    let is_even = shape.d_key.is_multiple_of(4) && shape.d_value.is_multiple_of(4);
    let width = if is_even { 4 } else { 1 };
    let plan = AttendPlan {
        shape,
        is_int8: kv.format == KvFormat::Int8,
        width,
        plane,
    };
    let n_numbers = kv.n_bytes() / kv.format.value_bytes();
    // SAFETY: the lengths are those that the buffers are made with; places were checked.
    unsafe {
        attend::launch_unchecked(
            client,
            CubeCount::Static(shape.n_heads as u32, n_tokens as u32, 1),
            CubeDim::new_2d(plane as u32, PLANES as u32),
            width,
            BufferArg::from_raw_parts(
                buffers.queries,
                n_tokens * shape.n_heads * shape.d_key / width,
            ),
            BufferArg::from_raw_parts(buffers.places, 2 * n_tokens),
            BufferArg::from_raw_parts(buffers.cache.clone(), n_numbers / width),
            BufferArg::from_raw_parts(buffers.cache, kv.n_bytes() / 4),
            BufferArg::from_raw_parts(out, n_tokens * shape.d_out()),
            layout(&kv),
            StepArgLaunch::new(step.scale, step.window.unwrap_or(kv.capacity)),
            plan,
            elem_type(kv.format),
        );
    }
}
