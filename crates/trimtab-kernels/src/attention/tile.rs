//! Attention of a tile of query rows over a range of keys, block by block with a running softmax.
//!
//! With many rows, vectors run along the rows: keys and values are then read number by number in the
//! order they lie in. With few rows, as while decoding, vectors run along the channels.

use super::{
    AttentionStep, HeadValues,
    cache::{Part, read_rows},
};
use crate::{
    isa::Isa,
    product_tile::{ColumnFactor, RowFactor, Sums, multiply},
    vector::{dot, exp_sum},
};
use std::ops::Range;

/// Keys of a block: their floats and scores stay in the first-level cache.
const BLOCK_KEYS: usize = 64;

/// Below every score; its exponential is zero beside any seen key's.
const UNSEEN: f32 = -1e30;

/// Neighbouring tokens of one sequence, all query heads of one key head, and the keys they look at.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    pub slot: usize,
    pub kv_head: usize,
    /// Index of the first token in the step.
    pub first_token: usize,
    /// Tokens × heads of the group, token by token.
    pub n_rows: usize,
    /// Position of the first token.
    pub position: usize,
    pub keys: Range<usize>,
}

impl Tile {
    /// Query rows × keys.
    pub(super) fn n_products(&self) -> usize {
        self.n_rows * self.keys.len()
    }

    /// Up to `n_parts` tiles along the keys, of `min_keys` or more.
    pub(super) fn split(&self, n_parts: usize, min_keys: usize) -> Vec<Self> {
        let n_keys = self.keys.len().div_ceil(n_parts).max(min_keys);
        let n_keys = n_keys.next_multiple_of(BLOCK_KEYS);
        let starts = self.keys.clone().step_by(n_keys);
        let part = |start: usize| Self {
            keys: start..(start + n_keys).min(self.keys.end),
            ..self.clone()
        };
        starts.map(part).collect()
    }

    /// Whether both are parts of one tile.
    pub(super) fn is_part_of(&self, other: &Self) -> bool {
        (self.first_token, self.kv_head) == (other.first_token, other.kv_head)
    }

    /// First and last key that the row sees.
    fn seen(&self, row: usize, step: &AttentionStep) -> (usize, usize) {
        let last = self.position + row / step.shape.group_size();
        let first = step
            .window
            .map_or(0, |window| (last + 1).saturating_sub(window));
        (first, last)
    }
}

/// Attention over some of the keys, not yet divided by the sum of its weights.
#[derive(Debug)]
pub(super) struct Partial {
    /// `[n_rows, d_value]`
    pub mixed: Vec<f32>,
    /// Largest score of each row.
    pub largest: Vec<f32>,
    /// Sum of the weights of each row.
    pub sums: Vec<f32>,
}

impl Partial {
    /// Adds another part of the same rows.
    pub(super) fn join(&mut self, other: &Self, d_value: usize) {
        let rows = self
            .mixed
            .chunks_exact_mut(d_value)
            .zip(other.mixed.chunks_exact(d_value));
        for (row, (mixed, other_mixed)) in rows.enumerate() {
            let largest = self.largest[row].max(other.largest[row]);
            let keep = (self.largest[row] - largest).exp();
            let add = (other.largest[row] - largest).exp();
            for (mixed, other) in mixed.iter_mut().zip(other_mixed) {
                *mixed = *mixed * keep + other * add;
            }
            self.sums[row] = self.sums[row] * keep + other.sums[row] * add;
            self.largest[row] = largest;
        }
    }
}

/// Buffers that tiles use one after the other.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    keys: Vec<f32>,
    values: Vec<f32>,
    panels: Panels,
}

/// Buffers of panels of rows; with few rows, only queries and scores, row by row.
#[derive(Debug, Default)]
struct Panels {
    queries: Vec<f32>,
    scores: Vec<f32>,
    mixed: Vec<f32>,
    /// Largest score and sum of weights, then first and last key seen, a number for each row.
    largest: Vec<f32>,
    sums: Vec<f32>,
    first: Vec<f32>,
    last: Vec<f32>,
}

/// Attention of the tile's rows over its keys.
///
/// # Shapes
///
/// - `inputs`: `[n_tokens, d_qkv]` with rotated queries, and the layer's cache
#[inline(always)]
pub(super) fn attend_tile<S: Isa>(
    isa: S,
    step: &AttentionStep,
    tile: &Tile,
    inputs: (&[f32], &[u8]),
    scratch: &mut Scratch,
) -> Partial {
    // Vectors along the rows would be mostly empty.
    if tile.n_rows <= S::LANES / 2 {
        few_rows(isa, step, tile, inputs, scratch)
    } else {
        // A second vector would be empty.
        match tile.n_rows <= S::LANES {
            true => many_rows::<S, 1>(isa, step, tile, inputs, scratch),
            false => many_rows::<S, 2>(isa, step, tile, inputs, scratch),
        }
    }
}

/// A row of queries, one token's head.
fn query<'a>(step: &AttentionStep, tile: &Tile, qkv: &'a [f32], row: usize) -> &'a [f32] {
    let (shape, group) = (step.shape, step.shape.group_size());
    let head = tile.kv_head * group + row % group;
    let start = (tile.first_token + row / group) * shape.d_qkv() + head * shape.d_key;
    &qkv[start..start + shape.d_key]
}

/// Keys and values of a block as floats, and the stride of values.
#[inline(always)]
fn block<'a, S: Isa>(
    isa: S,
    step: &AttentionStep,
    head: &'a [u8],
    keys: Range<usize>,
    (key_scratch, value_scratch): (&'a mut Vec<f32>, &'a mut Vec<f32>),
) -> (&'a [f32], &'a [f32], usize) {
    let key_rows = read_rows(isa, &step.kv, head, (Part::Keys, keys.clone()), key_scratch);
    match step.shape.values {
        HeadValues::KeyPrefix => (key_rows, key_rows, step.shape.d_key),
        HeadValues::Separate => {
            let part = (Part::Values, keys);
            let value_rows = read_rows(isa, &step.kv, head, part, value_scratch);
            (key_rows, value_rows, step.shape.d_value)
        }
    }
}

/// Vectors along the rows. Queries, scores and mixed values are kept in panels of `W`
/// vectors of rows, transposed: `[n_panels, channels or keys, rows of a panel]`.
#[inline(always)]
fn many_rows<S: Isa, const W: usize>(
    isa: S,
    step: &AttentionStep,
    tile: &Tile,
    (qkv, cache): (&[f32], &[u8]),
    scratch: &mut Scratch,
) -> Partial {
    let d_value = step.shape.d_value;
    let width = W * S::LANES;
    let n_panels = tile.n_rows.div_ceil(width);
    prepare_panels(step, tile, qkv, (n_panels, width), &mut scratch.panels);
    let head = &cache[step.kv.head(tile.slot, tile.kv_head)];
    for start in tile.keys.clone().step_by(BLOCK_KEYS) {
        let keys = start..(start + BLOCK_KEYS).min(tile.keys.end);
        let buffers = (&mut scratch.keys, &mut scratch.values);
        let (key_rows, value_rows, value_step) = block(isa, step, head, keys.clone(), buffers);
        for panel in 0..n_panels {
            let floats = (key_rows, value_rows, value_step);
            let panels = &mut scratch.panels;
            attend_panel::<S, W>(isa, (step, tile), panel, keys.clone(), floats, panels);
        }
    }
    let scratch = &scratch.panels;
    let mixed = (0..tile.n_rows)
        .flat_map(|row| {
            let panel = &scratch.mixed[row / width * d_value * width..][..d_value * width];
            panel.iter().skip(row % width).step_by(width).copied()
        })
        .collect();
    Partial {
        mixed,
        largest: scratch.largest[..tile.n_rows].to_vec(),
        sums: scratch.sums[..tile.n_rows].to_vec(),
    }
}

/// A block of keys for one panel of rows.
#[inline(always)]
fn attend_panel<S: Isa, const W: usize>(
    isa: S,
    (step, tile): (&AttentionStep, &Tile),
    panel: usize,
    keys: Range<usize>,
    (key_rows, value_rows, value_step): (&[f32], &[f32], usize),
    buffers: &mut Panels,
) {
    let (d_key, d_value) = (step.shape.d_key, step.shape.d_value);
    let width = W * S::LANES;
    let lanes = panel * width..(panel + 1) * width;
    let last_row = lanes.end.min(tile.n_rows) - 1;
    let (first_seen, last_seen) = tile.seen(last_row, step);
    let (_, seen_by_all) = tile.seen(lanes.start, step);
    if keys.start > last_seen {
        return;
    }
    multiply::<S, W>(
        isa,
        RowFactor {
            values: key_rows,
            n_rows: keys.len(),
            row_stride: d_key,
            step: 1,
        },
        ColumnFactor {
            values: &buffers.queries[panel * d_key * width..][..d_key * width],
            depth: d_key,
            step: width,
        },
        Sums {
            values: &mut buffers.scores,
            row_stride: width,
            accumulate: false,
        },
    );
    let scores = &mut buffers.scores[..keys.len() * width];
    if keys.start < first_seen || keys.end > seen_by_all + 1 {
        let bounds = (&buffers.first[lanes.clone()], &buffers.last[lanes.clone()]);
        hide_unseen::<S, W>(isa, scores, keys.start, bounds);
    }
    let mixed = &mut buffers.mixed[panel * d_value * width..][..d_value * width];
    let running = (
        &mut buffers.largest[lanes.clone()],
        &mut buffers.sums[lanes],
    );
    running_softmax::<S, W>(isa, scores, running, mixed);
    multiply::<S, W>(
        isa,
        RowFactor {
            values: value_rows,
            n_rows: d_value,
            row_stride: 1,
            step: value_step,
        },
        ColumnFactor {
            values: scores,
            depth: keys.len(),
            step: width,
        },
        Sums {
            values: mixed,
            row_stride: width,
            accumulate: true,
        },
    );
}

/// Fills the buffers of [`many_rows`]: scaled queries, empty sums, and which keys each row sees.
fn prepare_panels(
    step: &AttentionStep,
    tile: &Tile,
    qkv: &[f32],
    (n_panels, width): (usize, usize),
    scratch: &mut Panels,
) {
    let d_key = step.shape.d_key;
    let reset = |buffer: &mut Vec<f32>, len: usize, value: f32| {
        buffer.clear();
        buffer.resize(len, value);
    };
    reset(&mut scratch.queries, n_panels * d_key * width, 0.0);
    reset(&mut scratch.scores, BLOCK_KEYS * width, 0.0);
    reset(
        &mut scratch.mixed,
        n_panels * step.shape.d_value * width,
        0.0,
    );
    reset(&mut scratch.largest, n_panels * width, UNSEEN);
    reset(&mut scratch.sums, n_panels * width, 0.0);
    reset(&mut scratch.first, n_panels * width, 0.0);
    reset(&mut scratch.last, n_panels * width, f32::MAX);
    for row in 0..tile.n_rows {
        let panel = &mut scratch.queries[row / width * d_key * width..][..d_key * width];
        let lane = panel.iter_mut().skip(row % width).step_by(width);
        for (to, from) in lane.zip(query(step, tile, qkv, row)) {
            *to = from * step.scale;
        }
        let (first, last) = tile.seen(row, step);
        scratch.first[row] = first as f32;
        scratch.last[row] = last as f32;
    }
}

/// Replaces the scores of keys that a row does not see.
///
/// # Shapes
///
/// - `scores`: `[n_keys, width]`; bounds: `[width]`
#[inline(always)]
fn hide_unseen<S: Isa, const W: usize>(
    isa: S,
    scores: &mut [f32],
    first_key: usize,
    bounds: (&[f32], &[f32]),
) {
    let width = W * S::LANES;
    assert!(bounds.0.len() == width && bounds.1.len() == width);
    for (scores, key) in scores.chunks_exact_mut(width).zip(first_key..) {
        let key = isa.splat(key as f32);
        for at in (0..width).step_by(S::LANES) {
            // SAFETY: all three slices are as many vectors long.
            unsafe {
                let to = scores.as_mut_ptr().add(at);
                let low = isa.load(bounds.0.as_ptr().add(at));
                let high = isa.load(bounds.1.as_ptr().add(at));
                let unseen = isa.splat(UNSEEN);
                isa.store(to, isa.keep_between(isa.load(to), unseen, key, (low, high)));
            }
        }
    }
}

/// Turns a block's scores into weights, relative to the largest score so far, and rescales what was
/// mixed before.
///
/// # Shapes
///
/// - `scores`: `[n_keys, width]`; `largest`, `sums`: `[width]`; `mixed`: `[d_value, width]`
#[inline(always)]
fn running_softmax<S: Isa, const W: usize>(
    isa: S,
    scores: &mut [f32],
    (largest, sums): (&mut [f32], &mut [f32]),
    mixed: &mut [f32],
) {
    let width = W * S::LANES;
    assert!(largest.len() == width && sums.len() == width);
    for at in (0..width).step_by(S::LANES) {
        // SAFETY: every slice is a whole number of rows of `width`.
        unsafe {
            let before = isa.load(largest.as_ptr().add(at));
            let mut now = before;
            for scores in scores.chunks_exact(width) {
                now = isa.max(now, isa.load(scores.as_ptr().add(at)));
            }
            let keep = isa.exp(isa.sub(before, now));
            let mut sum = isa.mul(isa.load(sums.as_ptr().add(at)), keep);
            for scores in scores.chunks_exact_mut(width) {
                let to = scores.as_mut_ptr().add(at);
                let weight = isa.exp(isa.sub(isa.load(to), now));
                isa.store(to, weight);
                sum = isa.add(sum, weight);
            }
            for mixed in mixed.chunks_exact_mut(width) {
                let to = mixed.as_mut_ptr().add(at);
                isa.store(to, isa.mul(isa.load(to), keep));
            }
            isa.store(largest.as_mut_ptr().add(at), now);
            isa.store(sums.as_mut_ptr().add(at), sum);
        }
    }
}

/// Vectors along the channels: one row after the other, as while decoding.
#[inline(always)]
fn few_rows<S: Isa>(
    isa: S,
    step: &AttentionStep,
    tile: &Tile,
    (qkv, cache): (&[f32], &[u8]),
    scratch: &mut Scratch,
) -> Partial {
    let (n_rows, d_value) = (tile.n_rows, step.shape.d_value);
    scratch.panels.queries.clear();
    for row in 0..n_rows {
        let scaled = query(step, tile, qkv, row).iter().map(|q| q * step.scale);
        scratch.panels.queries.extend(scaled);
    }
    scratch
        .panels
        .scores
        .resize((n_rows * BLOCK_KEYS).max(scratch.panels.scores.len()), 0.0);
    let mut partial = Partial {
        mixed: vec![0.0; n_rows * d_value],
        largest: vec![UNSEEN; n_rows],
        sums: vec![0.0; n_rows],
    };
    let head = &cache[step.kv.head(tile.slot, tile.kv_head)];
    for start in tile.keys.clone().step_by(BLOCK_KEYS) {
        let keys = start..(start + BLOCK_KEYS).min(tile.keys.end);
        let buffers = (&mut scratch.keys, &mut scratch.values);
        let (key_rows, value_rows, value_step) = block(isa, step, head, keys.clone(), buffers);
        for (row, scores) in scratch
            .panels
            .scores
            .chunks_exact_mut(BLOCK_KEYS)
            .take(n_rows)
            .enumerate()
        {
            let query = &scratch.panels.queries[row * step.shape.d_key..][..step.shape.d_key];
            let (first, last) = tile.seen(row, step);
            let seen = first.max(keys.start)..(last + 1).min(keys.end);
            scores.fill(0.0);
            if seen.is_empty() {
                continue;
            }
            let scores = &mut scores[seen.start - start..seen.end - start];
            let rows = &key_rows[(seen.start - start) * query.len()..];
            for (score, key) in scores.iter_mut().zip(rows.chunks_exact(query.len())) {
                *score = dot(isa, query, key);
            }
            let mixed = &mut partial.mixed[row * d_value..][..d_value];
            let running = (&mut partial.largest[row], &mut partial.sums[row]);
            row_softmax(isa, scores, running, mixed);
        }
        let scores = &scratch.panels.scores[..n_rows * BLOCK_KEYS];
        mix(
            isa,
            (scores, n_rows),
            (value_rows, value_step, keys.len()),
            &mut partial.mixed,
        );
    }
    partial
}

/// [`running_softmax`] of one row.
#[inline(always)]
fn row_softmax<S: Isa>(
    isa: S,
    scores: &mut [f32],
    (largest, sum): (&mut f32, &mut f32),
    mixed: &mut [f32],
) {
    let now = scores.iter().copied().fold(*largest, f32::max);
    let keep = (*largest - now).exp();
    if now > *largest {
        for mixed in mixed {
            *mixed *= keep;
        }
    }
    *sum = *sum * keep + exp_sum(isa, scores, now);
    *largest = now;
}

/// `mixed[row] += Σ_k weights[row][k] · values[k]`
///
/// # Shapes
///
/// - weights: `[n_rows, BLOCK_KEYS]`; values: `[n_keys, stride]`; `mixed`: `[n_rows, d_value]`
#[inline(always)]
fn mix<S: Isa>(
    isa: S,
    (weights, n_rows): (&[f32], usize),
    (values, stride, n_keys): (&[f32], usize, usize),
    mixed: &mut [f32],
) {
    let (width, d_value) = (2 * S::LANES, mixed.len() / n_rows);
    let n_whole = d_value / width * width;
    for channel in (0..n_whole).step_by(width) {
        multiply::<S, 2>(
            isa,
            RowFactor {
                values: weights,
                n_rows,
                row_stride: BLOCK_KEYS,
                step: 1,
            },
            ColumnFactor {
                values: &values[channel..],
                depth: n_keys,
                step: stride,
            },
            Sums {
                values: &mut mixed[channel..],
                row_stride: d_value,
                accumulate: true,
            },
        );
    }
    for row in 0..n_rows {
        for channel in n_whole..d_value {
            let weights = &weights[row * BLOCK_KEYS..][..n_keys];
            let values = values[channel..].iter().step_by(stride);
            let sum: f32 = weights.iter().zip(values).map(|(w, v)| w * v).sum();
            mixed[row * d_value + channel] += sum;
        }
    }
}
