//! Attention of whole prompts through burn's fused attention, which cards compute on their matrix units.
//!
//! Keys and values are read from the cache, where they were stored before, so that other kernels
//! find what they would have stored themselves. Written over any backend, and tested on the CPU's.

use crate::{AttentionStep, HeadValues, KvFormat, Segment, attention::Part};
use burn::backend::{Backend, FloatDType, Shape, Slice, tensor::FloatTensor};
use burn::tensor::ops::AttentionModuleOptions;

/// Heads of a multiple of this many channels fill the tiles of matrix units.
const TILE: usize = 16;

/// Whether a step is computed by [`attend`].
///
/// The card's own kernel lets each token read all of its keys by itself: right for decoding, and for a
/// prompt many times the reading. The fused one keeps a tile of queries while the keys pass
/// (Dao 2023, <https://arxiv.org/abs/2307.08691>). It knows no cache and no window, so all sequences
/// have to begin here, and be no longer than their window. It multiplies 16-bit floats, so the cache
/// has to hold these: of an f32 cache digits would be lost, and an 8-bit one is seen as its codes.
/// Prompts not longer than a head is wide stay: for those burn weighs separate operations, whose
/// scores are f16, against the fused one.
pub(crate) fn applies(step: &AttentionStep) -> bool {
    let shape = step.shape;
    let has_fitting_heads = shape.values == HeadValues::Separate
        && shape.d_key == shape.d_value
        && shape.d_key.is_multiple_of(TILE);
    let is_whole_prompt = |segment: &Segment| {
        segment.position == 0
            && segment.n_tokens > shape.d_key
            && step.window.is_none_or(|window| segment.n_tokens <= window)
    };
    has_fitting_heads
        && step.kv.format == KvFormat::F16
        && step.segments.iter().all(is_whole_prompt)
}

/// Attention of sequences that begin with this step.
///
/// # Shapes
///
/// - `queries`: `[n_tokens, n_heads · d_key]`, rotated, f32
/// - `cache`: `[n_slots, n_kv_heads, head_bytes / 2]`, f16, which holds the step's keys and values
/// - result: `[n_tokens, n_heads · d_value]`, f32
pub(crate) fn attend<B: Backend>(
    queries: FloatTensor<B>,
    cache: FloatTensor<B>,
    step: &AttentionStep,
) -> FloatTensor<B> {
    // burn divides scores by √d_key; told another scale, it does not use the fused form on cards.
    let factor = step.scale * (step.shape.d_key as f32).sqrt();
    let queries = B::float_mul_scalar(queries, factor.into());
    let queries = B::float_cast(queries, FloatDType::F16);
    let mut outs = Vec::new();
    let mut start = 0;
    // Neighbours of one length are a batch.
    for batch in step.segments.chunk_by(|a, b| a.n_tokens == b.n_tokens) {
        let end = start + batch.len() * batch[0].n_tokens;
        let width = step.shape.n_heads * step.shape.d_key;
        let queries = B::float_slice(queries.clone(), &slices([start..end, 0..width]));
        outs.push(attend_batch::<B>(queries, cache.clone(), batch, step));
        start = end;
    }
    let out = joined::<B>(outs);
    B::float_cast(out, FloatDType::F32)
}

/// `[n_sequences · n_tokens, n_heads · d_key]` of sequences of one length.
fn attend_batch<B: Backend>(
    queries: FloatTensor<B>,
    cache: FloatTensor<B>,
    batch: &[Segment],
    step: &AttentionStep,
) -> FloatTensor<B> {
    let (n_heads, d_head) = (step.shape.n_heads, step.shape.d_key);
    let n_tokens = batch[0].n_tokens;
    let queries = B::float_reshape(
        queries,
        Shape::new([batch.len(), n_tokens, n_heads, d_head]),
    );
    let options = AttentionModuleOptions {
        is_causal: true,
        ..AttentionModuleOptions::default()
    };
    let out = B::attention(
        B::float_swap_dims(queries, 1, 2),
        cached_heads::<B>(cache.clone(), Part::Keys, batch, step),
        cached_heads::<B>(cache, Part::Values, batch, step),
        None,
        None,
        options,
    );
    let out = B::float_swap_dims(out, 1, 2);
    B::float_reshape(out, Shape::new([batch.len() * n_tokens, n_heads * d_head]))
}

/// Keys or values of the sequences, one head for each query head: `[n_sequences, n_heads, n_tokens, d_head]`.
fn cached_heads<B: Backend>(
    cache: FloatTensor<B>,
    part: Part,
    batch: &[Segment],
    step: &AttentionStep,
) -> FloatTensor<B> {
    let (shape, n_tokens, n_sequences) = (step.shape, batch[0].n_tokens, batch.len());
    let start = step.kv.codes(part).start / KvFormat::F16.value_bytes();
    let numbers = start..start + n_tokens * shape.d_key;
    let rows = batch
        .iter()
        .map(|segment| {
            let slot = segment.slot..segment.slot + 1;
            let ranges = [slot, 0..shape.n_kv_heads, numbers.clone()];
            B::float_slice(cache.clone(), &slices(ranges))
        })
        .collect();
    let dims = |group: usize| {
        let (n_heads, d_head) = (shape.n_kv_heads, shape.d_key);
        Shape::new([n_sequences, n_heads, group, n_tokens, d_head])
    };
    let heads = B::float_reshape(joined::<B>(rows), dims(1));
    let heads = B::float_expand(heads, dims(shape.group_size()));
    B::float_reshape(
        heads,
        Shape::new([n_sequences, shape.n_heads, n_tokens, shape.d_key]),
    )
}

fn slices<const D: usize>(ranges: [std::ops::Range<usize>; D]) -> [Slice; D] {
    ranges.map(Slice::from)
}

/// Tensors one after the other along the first axis.
fn joined<B: Backend>(mut tensors: Vec<FloatTensor<B>>) -> FloatTensor<B> {
    match tensors.len() {
        1 => tensors.pop().expect("there is one"),
        _ => B::float_cat(tensors, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttentionShape, RopeTable, Simd, attention};
    use burn::{backend::Flex, tensor::TensorData};

    /// Queries and results are rounded to f16, relative to the largest result.
    const MAX_DIFFERENCE: f32 = 2e-3;

    fn step(shape: AttentionShape, lengths: &[(usize, usize)]) -> AttentionStep {
        let segments = lengths.iter().map(|(slot, n_tokens)| Segment {
            slot: *slot,
            position: 0,
            n_tokens: *n_tokens,
        });
        AttentionStep {
            shape,
            rotary: 0..shape.d_key,
            window: None,
            scale: 0.3,
            segments: segments.collect(),
            kv: shape.kv_shape(4, 64, KvFormat::F16),
        }
    }

    #[track_caller]
    fn check(shape: AttentionShape, lengths: &[(usize, usize)]) {
        let step = step(shape, lengths);
        assert!(applies(&step), "{step:?}");
        let n_tokens = step.n_tokens();
        let mut qkv: Vec<f32> = (0..n_tokens * shape.d_qkv())
            .map(|i| (i as f32 * 0.37).sin() + (i as f32 * 0.011).cos())
            .collect();
        let table = RopeTable::new(64, shape.d_key, 100.0);
        let mut cache = vec![0_u8; step.kv.n_bytes()];
        let mut want = vec![0.0; n_tokens * shape.d_out()];
        let call = attention::AttentionCall {
            step: &step,
            qkv: &mut qkv,
            rope: Some((&table.cos, &table.sin)),
            cache: &mut cache,
        };
        attention::cached_attention(Simd::detect(), call, &mut want);

        let width = shape.n_heads * shape.d_key;
        let rows = qkv.chunks_exact(shape.d_qkv());
        let queries: Vec<f32> = rows.flat_map(|row| row[..width].to_vec()).collect();
        let halves = cache.as_chunks::<2>().0.iter();
        let halves: Vec<half::f16> = halves.map(|b| half::f16::from_le_bytes(*b)).collect();
        let heads = [
            step.kv.n_slots,
            step.kv.n_kv_heads,
            step.kv.head_bytes() / 2,
        ];
        let queries = FloatTensor::<Flex>::from_data(TensorData::new(queries, [n_tokens, width]));
        let cache = FloatTensor::<Flex>::from_data(TensorData::new(halves, heads));
        let got = attend::<Flex>(queries, cache, &step).into_data();
        let got: Vec<f32> = got.try_into_vec().unwrap();
        assert_eq!(want.len(), got.len());
        let largest = want.iter().fold(0.0_f32, |a, v| a.max(v.abs()));
        for (idx, (want, got)) in want.iter().zip(&got).enumerate() {
            let is_close = (want - got).abs() <= MAX_DIFFERENCE * largest;
            assert!(is_close, "{shape:?} {lengths:?} {idx}: {want} {got}");
        }
    }

    #[test]
    fn prompts_of_one_and_of_several_lengths_agree_with_the_kernel_of_the_cache() {
        check(AttentionShape::grouped(4, 2, 16), &[(0, 17)]);
        check(
            AttentionShape::grouped(6, 2, 32),
            &[(3, 40), (0, 40), (1, 64)],
        );
        check(
            AttentionShape::grouped(3, 3, 16),
            &[(2, 30), (1, 64), (0, 30)],
        );
    }

    #[test]
    fn other_steps_keep_their_kernel() {
        let shape = AttentionShape::grouped(4, 2, 16);
        let prompt = step(shape, &[(0, 40)]);
        assert!(applies(&prompt));
        assert!(!applies(&step(shape, &[(0, 40), (1, 1)])), "one decodes");
        assert!(!applies(&step(
            AttentionShape::grouped(4, 2, 12),
            &[(0, 40)]
        )));
        let mut later = prompt.clone();
        later.segments = [Segment {
            slot: 0,
            position: 3,
            n_tokens: 40,
        }]
        .into();
        assert!(!applies(&later), "tokens are cached before");
        for (window, is_fused) in [(39, false), (40, true)] {
            let window = Some(window);
            let step = AttentionStep {
                window,
                ..prompt.clone()
            };
            assert_eq!(applies(&step), is_fused, "{window:?}");
        }
        for format in [KvFormat::F32, KvFormat::Int8] {
            let mut step = prompt.clone();
            step.kv.format = format;
            assert!(!applies(&step), "{format:?}");
        }
    }
}
