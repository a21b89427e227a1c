//! Attention of a tile of query rows over a range of keys, block by block with a running softmax.
//!
//! With many rows, vectors run along the rows: keys and values are then read number by number in the
//! order they lie in. With few rows, as while decoding, vectors run along the channels.

mod few_rows;
mod many_rows;

use super::{
    AttentionStep, HeadValues,
    cache::{Part, read_rows},
};
use crate::isa::Isa;
use few_rows::few_rows;
use many_rows::many_rows;
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
