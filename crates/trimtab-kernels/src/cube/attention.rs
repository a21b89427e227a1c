//! Attention over the cache on the device, in the same layout of bytes; [`crate::attention`] has it for the CPU.
//!
//! One launch rotates the new queries and keys and stores keys and values, a plane a head. A second
//! one attends: a cube has one token and head, its planes share out the keys, each with a running
//! softmax (Milakov and Gimelshein 2018, <https://arxiv.org/abs/1805.02867>), and join their results
//! at the end. For long prompts [`crate::fused_attention`] takes the second launch's place.

use crate::{
    AttentionShape, AttentionStep, HeadValues, KvFormat, KvShape, PrefixCopy, attention::Part,
};
use cubecl::{
    client::Client,
    ir::{ElemType, FloatKind, IntKind},
    prelude::*,
    server::Handle,
};

/// Planes of a cube.
const PLANES: usize = 8;

/// Keys that a plane looks at together, so that their loads overlap.
const KEYS: usize = 4;

/// Stands for minus infinity; its differences are finite.
const LOWEST: f32 = -1e30;

/// Largest magnitude of an 8-bit code.
const MAX_CODE: f32 = 127.0;

/// Where the parts of a cache lie; starts and strides count numbers of the cache's format.
#[derive(CubeType, CubeLaunch)]
struct Layout {
    slot: usize,
    head: usize,
    values: usize,
    /// In scales, of four bytes each; not used for floats.
    slot_scales: usize,
    head_scales: usize,
    key_scales: usize,
    value_scales: usize,
}

#[cube]
impl Layout {
    fn row(&self, slot: usize, head: usize) -> usize {
        slot * self.slot + head * self.head
    }

    fn scales(&self, slot: usize, head: usize) -> usize {
        slot * self.slot_scales + head * self.head_scales
    }
}

fn layout(kv: &KvShape) -> LayoutLaunch {
    let bytes = kv.format.value_bytes();
    LayoutLaunch::new(
        kv.slot_bytes() / bytes,
        kv.head_bytes() / bytes,
        kv.codes(Part::Values).start / bytes,
        kv.slot_bytes() / 4,
        kv.head_bytes() / 4,
        kv.scales(Part::Keys).start / 4,
        kv.scales(Part::Values).start / 4,
    )
}

fn elem_type(format: KvFormat) -> ElemType {
    match format {
        KvFormat::F32 => ElemType::Float(FloatKind::F32),
        KvFormat::F16 => ElemType::Float(FloatKind::F16),
        KvFormat::Int8 => ElemType::Int(IntKind::I8),
    }
}

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

/// Buffers of a step.
#[derive(Debug)]
pub(super) struct StepBuffers {
    /// `[n_tokens, d_qkv]`
    pub(super) qkv: Handle,
    /// Cosines and sines, `[max_len, rotary / 2]` each, and `max_len`.
    pub(super) rope: Option<(Handle, Handle, usize)>,
    /// `[kv.n_bytes()]`, written at the new positions.
    pub(super) cache: Handle,
    /// Slot and position of each token, `[n_tokens, 2]`.
    pub(super) places: Handle,
    /// Scratch of rotated queries, `[n_tokens, n_heads · d_key]`.
    pub(super) queries: Handle,
}

/// Rotates and stores, and attends where `out` says where to: `[n_tokens, n_heads · d_value]`.
///
/// # Panics
///
/// If sizes contradict each other, or cache or rotary table are too short.
pub(super) fn launch(
    client: &Client,
    buffers: StepBuffers,
    out: Option<Handle>,
    step: &AttentionStep,
) {
    step.check();
    let plane = client.properties().hardware.plane_size_max as usize;
    launch_store(client, &buffers, step, plane);
    if let Some(out) = out {
        launch_attend(client, (buffers, out), step, plane);
    }
}

fn launch_store(client: &Client, buffers: &StepBuffers, step: &AttentionStep, plane: usize) {
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

fn launch_attend(
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

/// Copies bytes inside a buffer, row by row: a row a cube in Y.
#[cube(launch_unchecked)]
fn copy_rows(bytes: &mut [u8], from: usize, to: usize, n_bytes: usize, stride: usize) {
    let idx = ABSOLUTE_POS_X as usize;
    let row = CUBE_POS_Y as usize * stride;
    if idx < n_bytes {
        bytes[to + row + idx] = bytes[from + row + idx];
    }
}

/// Copies the first tokens of a slot to another.
///
/// # Panics
///
/// If a slot or the tokens lie outside the cache.
pub(super) fn launch_copy(client: &Client, cache: &Handle, kv: &KvShape, copy: PrefixCopy) {
    copy.check(kv);
    let rows = 0..copy.n_tokens;
    for part in [Part::Keys, Part::Values] {
        for range in [kv.row_codes(part, &rows), kv.row_scales(part, &rows)] {
            if range.is_empty() {
                continue;
            }
            let cubes = range.len().div_ceil(256) as u32;
            // SAFETY: the ranges are those of two slots of the cache, which was checked.
            unsafe {
                copy_rows::launch_unchecked(
                    client,
                    CubeCount::Static(cubes, kv.n_kv_heads as u32, 1),
                    CubeDim::new_1d(256),
                    BufferArg::from_raw_parts(cache.clone(), kv.n_bytes()),
                    kv.head(copy.from_slot, 0).start + range.start,
                    kv.head(copy.to_slot, 0).start + range.start,
                    range.len(),
                    kv.head_bytes(),
                );
            }
        }
    }
}
