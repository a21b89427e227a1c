//! Attention of one sequence in f64, one token after the other: what the fast form is tested against.

use super::{AttentionStep, HeadValues, KvFormat};

/// Attention of a whole sequence that starts at position 0.
///
/// Keys and values are rounded as the cache's format rounds them. `step.segments` is not looked at.
///
/// # Shapes
///
/// - `qkv`: `[n_tokens, d_qkv]`; `rope`: cosines and sines, `[max_len, rotary / 2]` each
/// - result: `[n_tokens, n_heads · d_value]`
pub fn attention_reference(
    step: &AttentionStep,
    qkv: &[f32],
    rope: Option<(&[f32], &[f32])>,
) -> Vec<f32> {
    let shape = step.shape;
    let n_tokens = qkv.len() / shape.d_qkv();
    let keys_start = shape.n_heads * shape.d_key;
    let values_start = keys_start + shape.n_kv_heads * shape.d_key;
    let token = |token_idx: usize| &qkv[token_idx * shape.d_qkv()..][..shape.d_qkv()];
    let query = |token_idx: usize, head_idx: usize| {
        let plain = &token(token_idx)[head_idx * shape.d_key..][..shape.d_key];
        rotated(step, plain, token_idx, rope)
    };
    let key = |token_idx: usize, head_idx: usize| {
        let plain = &token(token_idx)[keys_start + head_idx * shape.d_key..][..shape.d_key];
        rounded(step.kv.format, rotated(step, plain, token_idx, rope))
    };
    let value = |token_idx: usize, head_idx: usize| match shape.values {
        HeadValues::KeyPrefix => key(token_idx, head_idx),
        HeadValues::Separate => {
            let start = values_start + head_idx * shape.d_value;
            let plain = &token(token_idx)[start..start + shape.d_value];
            rounded(
                step.kv.format,
                plain.iter().map(|v| f64::from(*v)).collect(),
            )
        }
    };
    let stored = |row: &dyn Fn(usize, usize) -> Vec<f64>| -> Vec<Vec<Vec<f64>>> {
        let heads = |token_idx| {
            (0..shape.n_kv_heads)
                .map(|head| row(token_idx, head))
                .collect()
        };
        (0..n_tokens).map(heads).collect()
    };
    let (keys, values) = (stored(&key), stored(&value));
    let mut out = Vec::new();
    for token_idx in 0..n_tokens {
        let first = step
            .window
            .map_or(0, |window| (token_idx + 1).saturating_sub(window));
        for head_idx in 0..shape.n_heads {
            let kv_head = head_idx / shape.group_size();
            let query = query(token_idx, head_idx);
            let seen = first..token_idx + 1;
            let keys = keys[seen.clone()].iter().map(|heads| &heads[kv_head]);
            let scores: Vec<f64> = keys
                .map(|key| {
                    let product: f64 = query.iter().zip(key).map(|(a, b)| a * b).sum();
                    product * f64::from(step.scale)
                })
                .collect();
            let values = values[seen].iter().map(|heads| &heads[kv_head][..]);
            out.extend(mix(&scores, values, shape.d_value));
        }
    }
    out
}

/// Values weighted by the softmax of their scores.
fn mix<'a>(scores: &[f64], values: impl Iterator<Item = &'a [f64]>, d_value: usize) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut mixed = vec![0.0; d_value];
    for (weight, value) in weights.iter().zip(values) {
        for (mixed, value) in mixed.iter_mut().zip(value) {
            *mixed += weight / sum * value;
        }
    }
    mixed.iter().map(|v| *v as f32).collect()
}

/// Channels of a head with the rotary range turned.
fn rotated(
    step: &AttentionStep,
    plain: &[f32],
    position: usize,
    rope: Option<(&[f32], &[f32])>,
) -> Vec<f64> {
    let mut turned: Vec<f64> = plain.iter().map(|v| f64::from(*v)).collect();
    let half = step.rotary.len() / 2;
    if let Some((cos, sin)) = rope {
        for pair in 0..half {
            let (i, j) = (step.rotary.start + pair, step.rotary.start + half + pair);
            let cos = f64::from(cos[position * half + pair]);
            let sin = f64::from(sin[position * half + pair]);
            turned[i] = f64::from(plain[i]) * cos - f64::from(plain[j]) * sin;
            turned[j] = f64::from(plain[j]) * cos + f64::from(plain[i]) * sin;
        }
    }
    turned
}

/// What a row reads as after it was stored.
fn rounded(format: KvFormat, row: Vec<f64>) -> Vec<f64> {
    match format {
        KvFormat::F32 => row,
        KvFormat::F16 => row
            .iter()
            .map(|v| f64::from(half::f16::from_f32(*v as f32)))
            .collect(),
        KvFormat::Int8 => {
            let scale = row.iter().fold(0.0_f64, |a, v| a.max(v.abs())) / 127.0;
            if scale == 0.0 {
                return row;
            }
            row.iter()
                .map(|v| (v / scale).round_ties_even() * scale)
                .collect()
        }
    }
}
