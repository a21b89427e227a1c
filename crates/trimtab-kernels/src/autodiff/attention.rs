//! The backward pass of attention in its training form: sequences that begin at position 0 and see
//! nothing from before.
//!
//! Probabilities are made anew from queries and keys, some queries at a time, instead of being kept
//! from the forward pass (Dao et al. 2022, <https://arxiv.org/abs/2205.14135>, section 3.1). Every
//! query head of every sequence is one job; heads that share keys are added in their order.

use super::matrix::{Matrix, multiply};
use crate::{
    AttentionShape, AttentionStep, HeadValues, Simd,
    isa::{Isa, Kernel},
    vector::{dot, exp_sum, map_pairs},
};
use rayon::prelude::*;
use std::ops::Range;

/// Queries whose probabilities are in memory at once.
const BLOCK_QUERIES: usize = 64;

/// What the gradient is made from.
#[derive(Clone, Copy, Debug)]
pub struct AttentionGradient<'a> {
    /// What was attended to; every segment begins at position 0.
    pub step: &'a AttentionStep,
    /// `[n_tokens, d_qkv]`, not rotated.
    pub qkv: &'a [f32],
    /// Cosines and sines, `[max_len, rotary / 2]` each.
    pub rope: Option<(&'a [f32], &'a [f32])>,
    /// `[n_tokens, n_heads · d_value]`, the gradient at the output.
    pub d_out: &'a [f32],
}

/// The gradient at queries, keys and values.
///
/// # Shapes
///
/// - `d_qkv`: `[n_tokens, d_qkv]`
///
/// # Panics
///
/// If sizes contradict each other, or a sequence has tokens from before.
pub fn attention_backward(simd: Simd, call: AttentionGradient<'_>, d_qkv: &mut [f32]) {
    let (step, shape) = (call.step, call.step.shape);
    shape.check();
    let n_tokens = step.n_tokens();
    assert_eq!(call.qkv.len(), n_tokens * shape.d_qkv(), "{shape:?}");
    assert_eq!(call.d_out.len(), n_tokens * shape.d_out(), "{shape:?}");
    assert_eq!(call.qkv.len(), d_qkv.len(), "{shape:?}");
    let (mut jobs, mut first_token) = (Vec::new(), 0);
    for segment in step.segments.iter() {
        assert_eq!(segment.position, 0, "gradients of a sequence begin with it");
        let tokens = first_token..first_token + segment.n_tokens;
        jobs.extend((0..shape.n_heads).map(|head_idx| (tokens.clone(), head_idx)));
        first_token = tokens.end;
    }
    let gradients: Vec<HeadGradient> = jobs
        .par_iter()
        .map(|(tokens, head_idx)| QueryHead::new(simd, &call, tokens.clone(), *head_idx).backward())
        .collect();
    d_qkv.fill(0.0);
    for ((tokens, head_idx), gradient) in jobs.iter().zip(&gradients) {
        let tokens = &mut d_qkv[tokens.start * shape.d_qkv()..tokens.end * shape.d_qkv()];
        gradient.add_to(shape, *head_idx, tokens);
    }
}

/// Gradients that one query head makes.
struct HeadGradient {
    /// `[n_tokens, d_key]`
    queries: Vec<f32>,
    /// `[n_tokens, d_key]`
    keys: Vec<f32>,
    /// `[n_tokens, d_value]`; empty where values are part of the keys.
    values: Vec<f32>,
}

impl HeadGradient {
    fn add_to(&self, shape: AttentionShape, head_idx: usize, d_qkv: &mut [f32]) {
        let kv_head = head_idx / shape.group_size();
        let keys_start = (shape.n_heads + kv_head) * shape.d_key;
        let values_start =
            (shape.n_heads + shape.n_kv_heads) * shape.d_key + kv_head * shape.d_value;
        let parts = [
            (&self.queries, shape.d_key, head_idx * shape.d_key),
            (&self.keys, shape.d_key, keys_start),
            (&self.values, shape.d_value, values_start),
        ];
        for (gradient, width, start) in parts {
            let tokens = d_qkv.chunks_exact_mut(shape.d_qkv());
            for (token, gradient) in tokens.zip(gradient.chunks_exact(width)) {
                for (sum, gradient) in token[start..].iter_mut().zip(gradient) {
                    *sum += gradient;
                }
            }
        }
    }
}

/// One query head of one sequence.
struct QueryHead<'a> {
    simd: Simd,
    call: &'a AttentionGradient<'a>,
    tokens: Range<usize>,
    head_idx: usize,
    /// `[n_tokens, d_key]`, rotated.
    queries: Vec<f32>,
    /// `[n_tokens, d_key]`, rotated.
    keys: Vec<f32>,
}

impl<'a> QueryHead<'a> {
    fn new(
        simd: Simd,
        call: &'a AttentionGradient<'a>,
        tokens: Range<usize>,
        head_idx: usize,
    ) -> Self {
        let shape = call.step.shape;
        let keys_start = (shape.n_heads + head_idx / shape.group_size()) * shape.d_key;
        let rotated = |start: usize| {
            let mut head = Vec::with_capacity(tokens.len() * shape.d_key);
            for token in tokens.clone() {
                head.extend_from_slice(&call.qkv[token * shape.d_qkv() + start..][..shape.d_key]);
            }
            rotate(call, &mut head, 1.0);
            head
        };
        Self {
            simd,
            queries: rotated(head_idx * shape.d_key),
            keys: rotated(keys_start),
            call,
            tokens,
            head_idx,
        }
    }

    /// The values of some tokens of the sequence.
    fn values(&self, tokens: Range<usize>) -> Matrix<'_> {
        let shape = self.call.step.shape;
        match shape.values {
            HeadValues::KeyPrefix => Matrix::rows(
                &self.keys[tokens.start * shape.d_key..],
                tokens.len(),
                shape.d_value,
                shape.d_key,
            ),
            HeadValues::Separate => {
                let start = (shape.n_heads + shape.n_kv_heads) * shape.d_key
                    + self.head_idx / shape.group_size() * shape.d_value;
                let first = self.tokens.start + tokens.start;
                Matrix::rows(
                    &self.call.qkv[first * shape.d_qkv() + start..],
                    tokens.len(),
                    shape.d_value,
                    shape.d_qkv(),
                )
            }
        }
    }

    fn backward(self) -> HeadGradient {
        let (step, shape) = (self.call.step, self.call.step.shape);
        let n_tokens = self.tokens.len();
        let mut gradient = HeadGradient {
            queries: vec![0.0; n_tokens * shape.d_key],
            keys: vec![0.0; n_tokens * shape.d_key],
            values: vec![0.0; n_tokens * shape.d_value],
        };
        let mut scratch = Scratch::default();
        for start in (0..n_tokens).step_by(BLOCK_QUERIES) {
            let queries = start..(start + BLOCK_QUERIES).min(n_tokens);
            let first_key = step
                .window
                .map_or(0, |window| (start + 1).saturating_sub(window));
            let keys = first_key..queries.end;
            self.block(queries, keys, &mut scratch, &mut gradient);
        }
        if shape.values == HeadValues::KeyPrefix {
            let keys = gradient.keys.chunks_exact_mut(shape.d_key);
            for (key, value) in keys.zip(gradient.values.chunks_exact(shape.d_value)) {
                for (sum, value) in key.iter_mut().zip(value) {
                    *sum += value;
                }
            }
            gradient.values.clear();
        }
        rotate(self.call, &mut gradient.queries, -1.0);
        rotate(self.call, &mut gradient.keys, -1.0);
        gradient
    }

    /// Adds what some queries say about the keys that they see.
    fn block(
        &self,
        queries: Range<usize>,
        keys: Range<usize>,
        scratch: &mut Scratch,
        gradient: &mut HeadGradient,
    ) {
        let (step, shape) = (self.call.step, self.call.step.shape);
        let (d_key, n_keys, n_queries) = (shape.d_key, keys.len(), queries.len());
        let rows = |values, tokens: &Range<usize>| {
            let values: &[f32] = values;
            Matrix::rows(&values[tokens.start * d_key..], tokens.len(), d_key, d_key)
        };
        let (query, key) = (rows(&self.queries, &queries), rows(&self.keys, &keys));
        let first = (self.tokens.start + queries.start) * shape.d_out();
        let d_out = Matrix::rows(
            &self.call.d_out[first + self.head_idx * shape.d_value..],
            n_queries,
            shape.d_value,
            shape.d_out(),
        );
        let [shares, slopes] = scratch.squares(n_queries * n_keys);
        multiply(query, key.transposed(), step.scale, (shares, n_keys), false);
        let values = self.values(keys.clone());
        multiply(d_out, values.transposed(), 1.0, (slopes, n_keys), false);
        let lines = shares
            .chunks_exact_mut(n_keys)
            .zip(slopes.chunks_exact_mut(n_keys));
        for (query, (shares, slopes)) in queries.clone().zip(lines) {
            let first = step
                .window
                .map_or(0, |window| (query + 1).saturating_sub(window));
            self.simd.run(SoftmaxSlopes {
                shares,
                slopes,
                seen: first - keys.start..query + 1 - keys.start,
            });
        }
        let shares = Matrix::rows(shares, n_queries, n_keys, n_keys);
        let slopes = Matrix::rows(slopes, n_queries, n_keys, n_keys);
        let d_queries = &mut gradient.queries[queries.start * d_key..];
        multiply(slopes, key, step.scale, (d_queries, d_key), false);
        let d_keys = &mut gradient.keys[keys.start * d_key..];
        multiply(
            slopes.transposed(),
            query,
            step.scale,
            (d_keys, d_key),
            true,
        );
        let d_values = &mut gradient.values[keys.start * shape.d_value..];
        multiply(
            shares.transposed(),
            d_out,
            1.0,
            (d_values, shape.d_value),
            true,
        );
    }
}

/// Buffers of a block's scores and of their gradients.
#[derive(Default)]
struct Scratch([Vec<f32>; 2]);

impl Scratch {
    fn squares(&mut self, len: usize) -> [&mut [f32]; 2] {
        self.0.each_mut().map(|values| {
            values.resize(len.max(values.len()), 0.0);
            &mut values[..len]
        })
    }
}

/// Turns scores into shares, and gradients at shares into gradients at scores, for the keys that a
/// query sees; the others get zeros.
struct SoftmaxSlopes<'a> {
    shares: &'a mut [f32],
    slopes: &'a mut [f32],
    seen: Range<usize>,
}

impl Kernel for SoftmaxSlopes<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Self {
            shares,
            slopes,
            seen,
        } = self;
        for hidden in [0..seen.start, seen.end..shares.len()] {
            shares[hidden.clone()].fill(0.0);
            slopes[hidden].fill(0.0);
        }
        let (shares, slopes) = (&mut shares[seen.clone()], &mut slopes[seen]);
        let largest = shares.iter().copied().fold(f32::MIN, f32::max);
        let inverse = 1.0 / exp_sum(isa, shares, largest);
        for share in shares.iter_mut() {
            *share *= inverse;
        }
        let mean = isa.splat(dot(isa, shares, slopes));
        map_pairs(
            isa,
            slopes,
            shares,
            #[inline(always)]
            |slope, share| isa.mul(isa.sub(slope, mean), share),
        );
    }
}

/// Turns the rotated channels of a head, token by token from position 0 on; forwards or, for
/// gradients, back. Amplitudes count both ways.
fn rotate(call: &AttentionGradient<'_>, head: &mut [f32], direction: f32) {
    let Some((cos, sin)) = call.rope else { return };
    let (rotary, half) = (call.step.rotary.clone(), call.step.rotary.len() / 2);
    if half == 0 {
        return;
    }
    let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
    let tokens = head.chunks_exact_mut(call.step.shape.d_key);
    assert!(
        tokens.len() <= angles.len(),
        "the rotary table ends before position {}",
        tokens.len() - 1
    );
    for (token, (cos, sin)) in tokens.zip(angles) {
        let (first, second) = token[rotary.clone()].split_at_mut(half);
        for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            let sin = sin * direction;
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KvFormat, RopeTable, Segment, attention::attention_reference};

    /// Rounding of the reference to f32, divided by the step of the difference.
    const MAX_DIFFERENCE: f64 = 2e-3;

    struct Case {
        shape: AttentionShape,
        rotary: Range<usize>,
        window: Option<usize>,
    }

    fn wave(n: usize, speed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * speed).sin()).collect()
    }

    fn step(case: &Case, lens: &[usize]) -> AttentionStep {
        let capacity = lens.iter().copied().max().unwrap();
        let segments = lens.iter().enumerate().map(|(slot, len)| Segment {
            slot,
            position: 0,
            n_tokens: *len,
        });
        AttentionStep {
            shape: case.shape,
            rotary: case.rotary.clone(),
            window: case.window,
            scale: 0.3,
            segments: segments.collect(),
            kv: case.shape.kv_shape(lens.len(), capacity, KvFormat::F32),
        }
    }

    /// Compares some gradients of Σ weights · attention with central differences.
    #[track_caller]
    fn check(case: &Case, lens: &[usize]) {
        let (step, d_qkv) = (step(case, lens), case.shape.d_qkv());
        let n_tokens: usize = lens.iter().sum();
        let table = RopeTable::new(n_tokens, case.rotary.len(), 100.0);
        let rope = (!case.rotary.is_empty()).then_some((&table.cos[..], &table.sin[..]));
        let qkv = wave(n_tokens * d_qkv, 0.618);
        let weights = wave(n_tokens * case.shape.d_out(), 0.37);
        let call = AttentionGradient {
            step: &step,
            qkv: &qkv,
            rope,
            d_out: &weights,
        };
        let mut got = vec![f32::NAN; qkv.len()];
        attention_backward(Simd::detect(), call, &mut got);
        let weighed = |qkv: &[f32]| -> f64 {
            let (mut sum, mut first) = (0.0, 0);
            for len in lens {
                let tokens = &qkv[first * d_qkv..(first + len) * d_qkv];
                let out = attention_reference(&step, tokens, rope);
                let weights = &weights[first * case.shape.d_out()..];
                let terms = out.iter().zip(weights);
                sum += terms
                    .map(|(o, w)| f64::from(*o) * f64::from(*w))
                    .sum::<f64>();
                first += len;
            }
            sum
        };
        for idx in (0..qkv.len()).step_by(qkv.len() / 97 + 1) {
            let moved = |by: f32| {
                let mut moved = qkv.clone();
                moved[idx] += by;
                weighed(&moved)
            };
            let want = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let difference = (want - f64::from(got[idx])).abs();
            assert!(difference <= MAX_DIFFERENCE, "{idx}: {want} {}", got[idx]);
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let grouped = AttentionShape::grouped(4, 2, 6);
        for (rotary, window) in [(0..6, None), (0..0, Some(3)), (2..6, Some(1))] {
            let case = Case {
                shape: grouped,
                rotary,
                window,
            };
            check(&case, &[5]);
            check(&case, &[3, 1, 4]);
        }
    }

    #[test]
    fn gradients_of_values_that_are_keys_add_up() {
        let case = Case {
            shape: AttentionShape {
                n_heads: 3,
                n_kv_heads: 1,
                d_key: 10,
                d_value: 6,
                values: HeadValues::KeyPrefix,
            },
            rotary: 6..10,
            window: None,
        };
        check(&case, &[5, 2]);
    }

    #[test]
    fn blocks_of_queries_join_seamlessly() {
        let case = |window| Case {
            shape: AttentionShape::grouped(2, 1, 4),
            rotary: 0..4,
            window,
        };
        check(&case(None), &[BLOCK_QUERIES + 9]);
        check(&case(Some(7)), &[2 * BLOCK_QUERIES + 3]);
    }
}
