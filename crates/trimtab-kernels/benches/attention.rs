//! Attention over the cache: prefill of a prompt, and decoding at the end of a long context.
//!
//! Prints time and bytes of keys and values seen per second; heads are those of SmolLM2-135M, of
//! Llama-3.1-8B and of DeepSeek-V2-Lite.

use divan::{Bencher, counter::BytesCount};
use trimtab_kernels::{
    AttentionShape, AttentionStep, HeadValues, KvFormat, RopeTable, Segment, Simd,
    attention::{AttentionCall, cached_attention},
};

fn main() {
    divan::main();
}

const FORMATS: [KvFormat; 3] = [KvFormat::F32, KvFormat::F16, KvFormat::Int8];

const CAPACITY: usize = 4096;

fn shape(name: &str) -> AttentionShape {
    match name {
        "smollm2" => AttentionShape::grouped(9, 3, 64),
        "llama8b" => AttentionShape::grouped(32, 8, 128),
        _ => AttentionShape {
            n_heads: 16,
            n_kv_heads: 1,
            d_key: 576,
            d_value: 512,
            values: HeadValues::KeyPrefix,
        },
    }
}

fn run(bencher: Bencher<'_, '_>, name: &str, format: KvFormat, segments: &[Segment]) {
    let shape = shape(name);
    let kv = shape.kv_shape(segments.len(), CAPACITY, format);
    let rope = RopeTable::new(CAPACITY, 64, 10_000.0);
    let step = AttentionStep {
        shape,
        rotary: shape.d_key - 64..shape.d_key,
        window: None,
        scale: (shape.d_key as f32).sqrt().recip(),
        segments: segments.into(),
        kv,
    };
    let n_values = step.n_tokens() * shape.d_qkv();
    let mut qkv: Vec<f32> = (0..n_values).map(|i| (i as f32 * 0.618).sin()).collect();
    let mut cache = vec![0; kv.n_bytes()];
    let mut out = vec![0.0; step.n_tokens() * shape.d_out()];
    let n_seen: usize = segments.iter().map(|s| s.position + s.n_tokens).sum();
    bencher
        .counter(BytesCount::new(n_seen * kv.token_bytes()))
        .bench_local(|| {
            let call = AttentionCall {
                step: &step,
                qkv: &mut qkv,
                rope: Some((&rope.cos, &rope.sin)),
                cache: &mut cache,
            };
            rayon::scope(|_| cached_attention(Simd::detect(), call, &mut out));
        });
}

const NAMES: [&str; 3] = ["smollm2", "llama8b", "deepseek"];

#[divan::bench(args = NAMES, consts = [0, 1, 2], sample_count = 20)]
fn prefill_1024<const FORMAT: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let segment = Segment {
        slot: 0,
        position: 0,
        n_tokens: 1024,
    };
    run(bencher, name, FORMATS[FORMAT], &[segment]);
}

#[divan::bench(args = NAMES, consts = [0, 1, 2])]
fn decode_at_4095<const FORMAT: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let segment = Segment {
        slot: 0,
        position: CAPACITY - 1,
        n_tokens: 1,
    };
    run(bencher, name, FORMATS[FORMAT], &[segment]);
}

#[divan::bench(args = NAMES, consts = [0, 1, 2])]
fn decode_16_sequences_at_512<const FORMAT: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let segments: Vec<Segment> = (0..16)
        .map(|slot| Segment {
            slot,
            position: 512,
            n_tokens: 1,
        })
        .collect();
    run(bencher, name, FORMATS[FORMAT], &segments);
}
