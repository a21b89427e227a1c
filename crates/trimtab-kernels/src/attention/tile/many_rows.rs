//! Many rows, as while reading a prompt: vectors run along the rows, in panels of one or two.

use super::{BLOCK_KEYS, Panels, Partial, Scratch, Tile, UNSEEN, block, query};
use crate::{
    attention::AttentionStep,
    isa::Isa,
    product_tile::{ColumnFactor, RowFactor, Sums, multiply},
};
use std::ops::Range;

/// Vectors along the rows. Queries, scores and mixed values are kept in panels of `W`
/// vectors of rows, transposed: `[n_panels, channels or keys, rows of a panel]`.
#[inline(always)]
pub(super) fn many_rows<S: Isa, const W: usize>(
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
