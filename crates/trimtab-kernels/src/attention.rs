//! Grouped-query attention over a key and value cache, with half-rotated position embedding.
//!
//! Sources: Su et al. 2021 (rotary embedding), <https://arxiv.org/abs/2104.09864>;
//! Ainslie et al. 2023 (grouped queries), <https://arxiv.org/abs/2305.13245>.
//! Pairs are channel `i` with `i + d_head / 2`, as in the checkpoints of Hugging Face.

#[cfg(target_arch = "x86_64")]
use crate::avx2;
use crate::{Simd, norm::dot};
use rayon::prelude::*;

/// Keys × heads below which attention stays on one thread.
const SERIAL_KEYS: usize = 2048;

/// Heads of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Channels of a head; even.
    pub d_head: usize,
}

impl AttentionShape {
    /// Channels of queries, keys and values of one token, side by side.
    pub fn d_qkv(&self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.d_head
    }
}

/// Cosines and sines of the rotary embedding.
#[derive(Clone, Debug)]
pub struct RopeTable {
    /// `[max_len, d_head / 2]`
    pub cos: Vec<f32>,
    /// `[max_len, d_head / 2]`
    pub sin: Vec<f32>,
}

impl RopeTable {
    /// Angles `position · theta^(−2i / d_head)`, computed in f64.
    pub fn new(max_len: usize, d_head: usize, theta: f64) -> Self {
        let angles = (0..max_len).flat_map(|position| {
            (0..d_head / 2)
                .map(move |i| position as f64 * theta.powf(-2.0 * i as f64 / d_head as f64))
        });
        let (sin, cos) = angles
            .map(|angle| (angle.sin() as f32, angle.cos() as f32))
            .unzip();
        Self { cos, sin }
    }
}

/// One call's inputs: new tokens, where they stand, and what came before.
#[derive(Debug)]
pub struct AttentionCall<'a> {
    /// Heads.
    pub shape: AttentionShape,
    /// `[n_tokens, d_qkv]`: queries, keys and values; queries and keys are rotated in place.
    pub qkv: &'a mut [f32],
    /// `[max_len, d_head / 2]`
    pub cos: &'a [f32],
    /// `[max_len, d_head / 2]`
    pub sin: &'a [f32],
    /// `[n_kv_heads, capacity, d_head]`, written at the new positions.
    pub keys: &'a mut [f32],
    /// `[n_kv_heads, capacity, d_head]`, written at the new positions.
    pub values: &'a mut [f32],
    /// Position of the first new token: the tokens that the cache holds.
    pub position: usize,
}

/// Rotates, stores and attends: every new token sees the cache and the new tokens up to itself.
///
/// # Shapes
///
/// - `out`: `[n_tokens, n_heads · d_head]`
///
/// # Panics
///
/// If the cache or the rotary table is too short for the new tokens.
pub fn cached_attention(simd: Simd, call: AttentionCall<'_>, out: &mut [f32]) {
    let AttentionShape {
        n_heads,
        n_kv_heads,
        d_head,
    } = call.shape;
    let (d_qkv, d_out) = (call.shape.d_qkv(), n_heads * d_head);
    let n_tokens = call.qkv.len() / d_qkv;
    let capacity = call.keys.len() / (n_kv_heads * d_head);
    assert!(
        call.position + n_tokens <= capacity,
        "the cache holds {capacity} tokens"
    );
    assert!(
        (call.position + n_tokens) * d_head / 2 <= call.cos.len(),
        "rotary table too short"
    );
    assert_eq!(out.len(), n_tokens * d_out);
    for (token_idx, qkv) in call.qkv.chunks_exact_mut(d_qkv).enumerate() {
        let position = call.position + token_idx;
        let angles = position * d_head / 2..(position + 1) * d_head / 2;
        let (rotated, values) = qkv.split_at_mut((n_heads + n_kv_heads) * d_head);
        for head in rotated.chunks_exact_mut(d_head) {
            rotate(head, &call.cos[angles.clone()], &call.sin[angles.clone()]);
        }
        let keys = &rotated[n_heads * d_head..];
        for head_idx in 0..n_kv_heads {
            let (source, target) = (head_idx * d_head, (head_idx * capacity + position) * d_head);
            call.keys[target..][..d_head].copy_from_slice(&keys[source..][..d_head]);
            call.values[target..][..d_head].copy_from_slice(&values[source..][..d_head]);
        }
    }
    let (keys, values, qkv) = (&*call.keys, &*call.values, &*call.qkv);
    let attend = |scores: &mut Vec<f32>, idx: usize, out: &mut [f32]| {
        let (token_idx, head_idx) = (idx / n_heads, idx % n_heads);
        let kv_start = head_idx * n_kv_heads / n_heads * capacity * d_head;
        let n_keys = call.position + token_idx + 1;
        let seen = kv_start..kv_start + n_keys * d_head;
        let query = &qkv[token_idx * d_qkv + head_idx * d_head..][..d_head];
        attend_head(simd, query, &keys[seen.clone()], &values[seen], scores, out);
    };
    if (call.position + n_tokens) * n_tokens * n_heads < SERIAL_KEYS {
        let mut scores = Vec::new();
        for (idx, out) in out.chunks_exact_mut(d_head).enumerate() {
            attend(&mut scores, idx, out);
        }
    } else {
        out.par_chunks_exact_mut(d_head)
            .enumerate()
            .for_each_init(Vec::new, |scores, (idx, out)| attend(scores, idx, out));
    }
}

/// Turns channel pairs `(i, i + d_head / 2)` by the position's angles.
fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, second) = head.split_at_mut(head.len() / 2);
    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

/// `out = softmax(query · keysᵀ / √d_head) · values`
///
/// # Shapes
///
/// - `query`, `out`: `[d_head]`; `keys`, `values`: `[n_keys, d_head]`
fn attend_head(
    simd: Simd,
    query: &[f32],
    keys: &[f32],
    values: &[f32],
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let d_head = query.len();
    let scale = 1.0 / (d_head as f32).sqrt();
    scores.clear();
    scores.extend(
        keys.chunks_exact(d_head)
            .map(|key| dot(simd, query, key) * scale),
    );
    let sum = exp_sum(simd, scores);
    out.fill(0.0);
    for (score, value) in scores.iter().zip(values.chunks_exact(d_head)) {
        add_scaled(simd, out, *score, value);
    }
    for out in out {
        *out /= sum;
    }
}

/// Replaces scores by e^(score − largest) and returns their sum.
fn exp_sum(simd: Simd, scores: &mut [f32]) -> f32 {
    let largest = scores.iter().copied().fold(f32::MIN, f32::max);
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Simd::Avx2` is only handed out where the processor has these features.
        Simd::Avx2 => unsafe { avx2::exp_sum(scores, largest) },
        _ => scores
            .iter_mut()
            .map(|score| {
                *score = (*score - largest).exp();
                *score
            })
            .sum(),
    }
}

fn add_scaled(simd: Simd, out: &mut [f32], factor: f32, x: &[f32]) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Simd::Avx2` is only handed out where the processor has these features.
        Simd::Avx2 => unsafe { avx2::add_scaled(out, factor, x) },
        _ => out
            .iter_mut()
            .zip(x)
            .for_each(|(out, x)| *out += factor * x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rotation by complex numbers and a softmax in f64, one token after the other.
    fn attention_reference(
        shape: AttentionShape,
        qkv: &[f32],
        theta: f64,
        n_tokens: usize,
    ) -> Vec<f32> {
        let AttentionShape {
            n_heads,
            n_kv_heads,
            d_head,
        } = shape;
        let head = |token: usize, idx: usize| -> Vec<f64> {
            let start = token * shape.d_qkv() + idx * d_head;
            qkv[start..start + d_head]
                .iter()
                .map(|v| f64::from(*v))
                .collect()
        };
        let rotated = |token: usize, idx: usize| -> Vec<f64> {
            let plain = head(token, idx);
            let half = d_head / 2;
            (0..d_head)
                .map(|i| {
                    let angle = token as f64 * theta.powf(-2.0 * (i % half) as f64 / d_head as f64);
                    let other = if i < half {
                        -plain[i + half]
                    } else {
                        plain[i - half]
                    };
                    plain[i] * angle.cos() + other * angle.sin()
                })
                .collect()
        };
        let mut out = Vec::new();
        for token in 0..n_tokens {
            for head_idx in 0..n_heads {
                let kv = head_idx / (n_heads / n_kv_heads);
                let query = rotated(token, head_idx);
                let scores: Vec<f64> = (0..=token)
                    .map(|t| {
                        let key = rotated(t, n_heads + kv);
                        let product: f64 = query.iter().zip(&key).map(|(a, b)| a * b).sum();
                        (product / (d_head as f64).sqrt()).exp()
                    })
                    .collect();
                let sum: f64 = scores.iter().sum();
                for i in 0..d_head {
                    let value: f64 = scores
                        .iter()
                        .enumerate()
                        .map(|(t, s)| s / sum * head(t, n_heads + n_kv_heads + kv)[i])
                        .sum();
                    out.push(value as f32);
                }
            }
        }
        out
    }

    #[track_caller]
    fn check(simd: Simd, shape: AttentionShape, chunks: &[usize]) {
        let n_tokens: usize = chunks.iter().sum();
        let qkv: Vec<f32> = (0..n_tokens * shape.d_qkv())
            .map(|i| (i as f32 * 0.618).sin() * 2.0)
            .collect();
        let want = attention_reference(shape, &qkv, 100.0, n_tokens);
        let capacity = n_tokens + 3;
        let rope = RopeTable::new(capacity, shape.d_head, 100.0);
        let mut keys = vec![0.0; shape.n_kv_heads * capacity * shape.d_head];
        let mut values = keys.clone();
        let (mut got, mut position) = (Vec::new(), 0);
        for n in chunks {
            let mut part = qkv[position * shape.d_qkv()..][..n * shape.d_qkv()].to_vec();
            let mut out = vec![f32::NAN; n * shape.n_heads * shape.d_head];
            let call = AttentionCall {
                shape,
                qkv: &mut part,
                cos: &rope.cos,
                sin: &rope.sin,
                keys: &mut keys,
                values: &mut values,
                position,
            };
            cached_attention(simd, call, &mut out);
            got.extend(out);
            position += n;
        }
        for (idx, (want, got)) in want.iter().zip(&got).enumerate() {
            assert!(
                (want - got).abs() < 2e-5,
                "{simd:?} {shape:?} {chunks:?} {idx}: {want} {got}"
            );
        }
    }

    #[test]
    fn attention_agrees_with_the_reference_however_tokens_are_chunked() {
        for simd in Simd::available() {
            for (n_heads, n_kv_heads, d_head) in [(1, 1, 2), (4, 2, 6), (9, 3, 64), (7, 1, 80)] {
                let shape = AttentionShape {
                    n_heads,
                    n_kv_heads,
                    d_head,
                };
                for chunks in [&[1][..], &[5], &[1, 1, 1, 2], &[3, 1, 17], &[40]] {
                    check(simd, shape, chunks);
                }
            }
        }
    }
}
