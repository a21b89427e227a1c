//! Few rows, as while decoding: vectors run along the channels.

use super::{BLOCK_KEYS, Partial, Scratch, Tile, UNSEEN, block, query};
use crate::{
    attention::AttentionStep,
    isa::Isa,
    product_tile::{ColumnFactor, RowFactor, Sums, multiply},
    vector::{dot, exp_sum},
};

/// Vectors along the channels: one row after the other, as while decoding.
#[inline(always)]
pub(super) fn few_rows<S: Isa>(
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

/// The running softmax of one row: turns scores into weights, relative to the largest score so far,
/// and rescales what was mixed before.
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
