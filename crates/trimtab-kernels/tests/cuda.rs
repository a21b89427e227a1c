//! The operations on an NVIDIA card against the same operations on the processor.
//!
//! Without the feature `cuda` these tests are ignored; with it, but without a card, they say so and do nothing.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use trimtab_kernels::{
    Activation, AttentionShape, AttentionStep, HeadValues, KvFormat, PackedFormat, PackedShape,
    PrefixCopy, RopeTable, Segment,
    ops::{self, HeadNorm, LayerCache, MlpShape, Weight},
};

/// Sums in another order in f32, relative to the largest value of a result.
const MAX_DIFFERENCE: f32 = 1e-5;

/// Panels round activations and weights to f16.
const MAX_PANEL_DIFFERENCE: f32 = 2e-3;

/// The same of bf16, which has three digits fewer.
const MAX_BF16_PANEL_DIFFERENCE: f32 = 1.6e-2;

/// Fused attention rounds queries and results to f16.
const MAX_FUSED_DIFFERENCE: f32 = 2e-3;

/// A number of an f16 cache may round the other way.
const MAX_F16_DIFFERENCE: f32 = 5e-4;

/// A code of an 8-bit cache may round the other way.
const MAX_INT8_DIFFERENCE: f32 = 5e-3;

#[cfg(feature = "cuda")]
#[expect(clippy::print_stdout, reason = "says why a test does nothing")]
fn card() -> Option<Device> {
    let found = Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec();
    let first = found.into_iter().next();
    if first.is_none() {
        println!("skipped: CUDA finds no device on this machine");
    }
    first
}

#[cfg(not(feature = "cuda"))]
fn card() -> Option<Device> {
    None
}

/// Values from −1 to 1; the same on every machine.
struct Noise(u64);

impl Noise {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 40
    }

    fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n)
            .map(|_| self.bits() as f32 / (1_u32 << 23) as f32 - 1.0)
            .collect()
    }

    fn weight(&mut self, shape: PackedShape) -> Vec<i8> {
        let plain = self.values(shape.d_out * shape.d_in);
        match shape.format {
            PackedFormat::F32 => plain.iter().flat_map(|v| v.to_le_bytes()).collect(),
            PackedFormat::F16 => plain
                .iter()
                .flat_map(|v| half::f16::from_f32(*v).to_le_bytes())
                .collect(),
            PackedFormat::Bf16 => plain
                .iter()
                .flat_map(|v| half::bf16::from_f32(*v).to_le_bytes())
                .collect(),
            PackedFormat::Int8 { .. } | PackedFormat::Int4 { .. } => self.codes(shape),
        }
        .into_iter()
        .map(u8::cast_signed)
        .collect::<Vec<i8>>()
    }

    fn codes(&mut self, shape: PackedShape) -> Vec<u8> {
        let n_groups = shape.d_out * shape.n_groups();
        let mut bytes: Vec<u8> = (0..shape.d_out * shape.row_bytes())
            .map(|_| self.bits() as u8)
            .collect();
        let scales = self.values(n_groups);
        bytes.extend(
            scales
                .iter()
                .flat_map(|v| half::f16::from_f32(0.02 + 0.01 * v).to_le_bytes()),
        );
        let is_int4 = matches!(shape.format, PackedFormat::Int4 { .. });
        if is_int4 {
            bytes.extend((0..n_groups).map(|_| (self.bits() % 16) as u8));
        }
        bytes
    }
}

fn floats<const D: usize>(values: &[f32], dims: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), dims), device)
}

fn weight(stored: &[i8], shape: PackedShape, device: &Device) -> Tensor<1, Int> {
    ops::weight(stored.to_vec(), shape, device)
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("results are f32")
}

/// Runs an operation on the processor and on the card.
#[track_caller]
fn check<const D: usize>(name: &str, bound: f32, operation: impl Fn(&Device) -> Tensor<D>) {
    let Some(card) = card() else { return };
    let (want, got) = (read(operation(&Device::flex())), read(operation(&card)));
    assert_eq!(want.len(), got.len(), "{name}");
    let largest = want.iter().fold(0.0_f32, |a, v| a.max(v.abs()));
    for (idx, (want, got)) in want.iter().zip(&got).enumerate() {
        let is_close = (want - got).abs() <= bound * largest;
        assert!(
            is_close,
            "{name} {idx}: {want} on the processor, {got} on the card"
        );
    }
}

/// What products of many tokens may differ by.
fn panel_bound(format: PackedFormat) -> f32 {
    match format {
        PackedFormat::Bf16 => MAX_BF16_PANEL_DIFFERENCE,
        _ => MAX_PANEL_DIFFERENCE,
    }
}

fn formats() -> [PackedFormat; 6] {
    let int8 = |group_size| PackedFormat::Int8 {
        group_size,
        int8_activations: false,
    };
    let int4 = |group_size| PackedFormat::Int4 {
        group_size,
        int8_activations: false,
    };
    [
        PackedFormat::F32,
        PackedFormat::F16,
        PackedFormat::Bf16,
        int8(64),
        int4(64),
        int4(128),
    ]
}

#[test]
#[cfg_attr(not(feature = "cuda"), ignore = "built without the feature `cuda`")]
fn products_agree_from_one_token_to_a_panel() {
    for format in formats() {
        for (d_out, d_in) in [(34, 96), (576, 576), (8196, 128), (1024, 4096)] {
            for n_tokens in [1, 2, 3, 5, 8, 9, 16, 17, 100] {
                let shape = PackedShape {
                    d_out,
                    d_in,
                    format,
                };
                let mut noise = Noise(7);
                let (packed, x) = (noise.weight(shape), noise.values(n_tokens * d_in));
                let bias = noise.values(d_out);
                let name = format!("{shape:?} {n_tokens}");
                check(&name, panel_bound(format), |device| {
                    let x = floats(&x, [1, n_tokens, d_in], device);
                    let bias = Some(floats(&bias, [d_out], device));
                    ops::linear(x, weight(&packed, shape, device), bias, shape)
                });
            }
        }
    }
}

#[test]
#[cfg_attr(not(feature = "cuda"), ignore = "built without the feature `cuda`")]
fn products_of_few_tokens_keep_the_precision_of_floats() {
    for format in formats() {
        let shape = PackedShape {
            d_out: 130,
            d_in: 1536,
            format,
        };
        let mut noise = Noise(3);
        let (packed, x) = (noise.weight(shape), noise.values(3 * shape.d_in));
        check(&format!("{shape:?}"), MAX_DIFFERENCE, |device| {
            let x = floats(&x, [1, 3, shape.d_in], device);
            ops::linear(x, weight(&packed, shape, device), None, shape)
        });
    }
}

#[test]
#[cfg_attr(not(feature = "cuda"), ignore = "built without the feature `cuda`")]
fn a_token_too_large_for_f16_comes_out_finite() {
    let shape = PackedShape {
        d_out: 64,
        d_in: 128,
        format: PackedFormat::F16,
    };
    let mut noise = Noise(5);
    let packed = noise.weight(shape);
    let mut x = noise.values(40 * shape.d_in);
    x[..shape.d_in].iter_mut().for_each(|v| *v *= 1e7);
    check("large", MAX_PANEL_DIFFERENCE, |device| {
        let x = floats(&x, [1, 40, shape.d_in], device);
        ops::linear(x, weight(&packed, shape, device), None, shape)
    });
}

#[test]
#[cfg_attr(not(feature = "cuda"), ignore = "built without the feature `cuda`")]
fn rows_and_mlps_agree() {
    for format in formats() {
        let (d_model, d_ff) = (96, 160);
        let shape = |d_out, d_in| PackedShape {
            d_out,
            d_in,
            format,
        };
        let mut noise = Noise(11);
        let embedding = noise.weight(shape(50, d_model));
        check(&format!("rows {format:?}"), MAX_DIFFERENCE, |device| {
            let ids = TensorData::new(vec![3_i32, 49, 0, 3], [1, 4]);
            let ids = Tensor::<2, Int>::from_data(ids, (device, DType::I32));
            let embedding = weight(&embedding, shape(50, d_model), device);
            ops::rows(ids, embedding, shape(50, d_model))
        });
        for (activation, is_gated) in [
            (Activation::Silu, true),
            (Activation::Gelu, false),
            (Activation::GeluTanh, true),
            (Activation::Relu, false),
        ] {
            let n_parts = if is_gated { 2 } else { 1 };
            let mlp = MlpShape {
                up: shape(n_parts * d_ff, d_model),
                down: shape(d_model, d_ff),
                activation,
                is_gated,
            };
            let (up, down) = (noise.weight(mlp.up), noise.weight(mlp.down));
            for n_tokens in [1, 30] {
                let x = noise.values(n_tokens * d_model);
                check(&format!("{mlp:?}"), panel_bound(format), |device| {
                    let layer = |packed: &[i8], shape| Weight {
                        packed: weight(packed, shape, device),
                        bias: None,
                    };
                    let x = floats(&x, [1, n_tokens, d_model], device);
                    ops::mlp(x, layer(&up, mlp.up), layer(&down, mlp.down), mlp)
                });
            }
        }
    }
}

#[test]
#[cfg_attr(not(feature = "cuda"), ignore = "built without the feature `cuda`")]
fn norms_agree() {
    for (n_tokens, d_model) in [(1, 4096), (5, 576), (2, 6)] {
        let mut noise = Noise(13);
        let n = n_tokens * d_model;
        let (x, residual) = (noise.values(n), noise.values(n));
        let (gain, bias) = (noise.values(d_model), noise.values(d_model));
        let dims = [1, n_tokens, d_model];
        let tokens = |values: &[f32], device: &Device| floats(values, dims, device);
        check("rms", MAX_DIFFERENCE, |device| {
            ops::rms_norm(tokens(&x, device), floats(&gain, [d_model], device), 1e-5)
        });
        check("layer", MAX_DIFFERENCE, |device| {
            let bias = Some(floats(&bias, [d_model], device));
            let gain = floats(&gain, [d_model], device);
            let residual = tokens(&residual, device);
            let (sum, normed) = ops::add_layer_norm(tokens(&x, device), residual, gain, bias, 1e-5);
            Tensor::cat(vec![sum, normed], 1)
        });
    }
    let shape = AttentionShape::grouped(4, 2, 6);
    let mut noise = Noise(17);
    let (qkv, gains) = (noise.values(3 * shape.d_qkv()), noise.values(12));
    check("heads", MAX_DIFFERENCE, |device| {
        let gain = |range: std::ops::Range<usize>| floats(&gains[range], [6], device);
        let norm = HeadNorm {
            shape,
            epsilon: 1e-6,
        };
        let qkv = floats(&qkv, [1, 3, shape.d_qkv()], device);
        ops::norm_heads(qkv, (gain(0..6), gain(6..12)), norm)
    });
}

/// Runs two sequences through several steps, and a third one that continues a copied prefix.
fn attend(
    shape: AttentionShape,
    format: KvFormat,
    window: Option<usize>,
    device: &Device,
) -> Tensor<3> {
    let rotary = shape.d_key / 2..shape.d_key;
    let kv = shape.kv_shape(3, 80, format);
    let table = RopeTable::new(80, rotary.len(), 100.0);
    let angles = |values: &[f32]| floats(values, [80, rotary.len() / 2], device);
    let mut cache = LayerCache::new(&kv, device);
    let mut noise = Noise(19);
    let mut outs = Vec::new();
    let steps: [&[(usize, usize, usize)]; 4] = [
        &[(0, 0, 40), (1, 0, 1)],
        &[(1, 1, 20), (0, 40, 1)],
        &[(1, 21, 1), (0, 41, 30)],
        &[(2, 30, 2), (0, 71, 1)],
    ];
    for (idx, segments) in steps.iter().enumerate() {
        if idx == 3 {
            let copy = PrefixCopy {
                from_slot: 0,
                to_slot: 2,
                n_tokens: 30,
            };
            cache = cache.copy_prefix(&kv, copy);
        }
        let segments: Vec<Segment> = segments
            .iter()
            .map(|(slot, position, n_tokens)| Segment {
                slot: *slot,
                position: *position,
                n_tokens: *n_tokens,
            })
            .collect();
        let step = AttentionStep {
            shape,
            rotary: rotary.clone(),
            window,
            scale: 0.2,
            segments: segments.into(),
            kv,
        };
        let dims = [1, step.n_tokens(), shape.d_qkv()];
        let qkv = floats(&noise.values(dims[1] * dims[2]), dims, device);
        let rope = Some((angles(&table.cos), angles(&table.sin)));
        let (out, next) = ops::cached_attention(qkv, rope, cache, step);
        cache = next;
        outs.push(out);
    }
    Tensor::cat(outs, 1)
}

#[test]
#[cfg_attr(not(feature = "cuda"), ignore = "built without the feature `cuda`")]
fn whole_prompts_and_what_follows_them_agree() {
    for shape in [
        AttentionShape::grouped(32, 8, 128),
        AttentionShape::grouped(9, 3, 64),
        AttentionShape::grouped(4, 2, 32),
    ] {
        let kv = shape.kv_shape(3, 320, KvFormat::F16);
        let table = RopeTable::new(320, shape.d_key, 100.0);
        check(&format!("{shape:?}"), MAX_FUSED_DIFFERENCE, |device| {
            let angles = |values: &[f32]| floats(values, [320, shape.d_key / 2], device);
            let mut cache = LayerCache::new(&kv, device);
            let mut noise = Noise(23);
            let mut outs = Vec::new();
            for segments in [
                vec![(2, 0, 160), (0, 0, 160), (1, 0, 300)],
                vec![(0, 160, 1), (2, 160, 7)],
            ] {
                let segments = segments
                    .into_iter()
                    .map(|(slot, position, n_tokens)| Segment {
                        slot,
                        position,
                        n_tokens,
                    });
                let step = AttentionStep {
                    shape,
                    rotary: 0..shape.d_key,
                    window: None,
                    scale: 0.2,
                    segments: segments.collect(),
                    kv,
                };
                let dims = [1, step.n_tokens(), shape.d_qkv()];
                let qkv = floats(&noise.values(dims[1] * dims[2]), dims, device);
                let rope = Some((angles(&table.cos), angles(&table.sin)));
                let (out, next) = ops::cached_attention(qkv, rope, cache, step);
                cache = next;
                outs.push(out);
            }
            Tensor::cat(outs, 1)
        });
    }
}

#[test]
#[cfg_attr(not(feature = "cuda"), ignore = "built without the feature `cuda`")]
fn attention_agrees_over_steps_sequences_and_copies() {
    let latent = AttentionShape {
        n_heads: 16,
        n_kv_heads: 1,
        d_key: 40,
        d_value: 32,
        values: HeadValues::KeyPrefix,
    };
    for shape in [
        AttentionShape::grouped(32, 8, 128),
        AttentionShape::grouped(9, 3, 64),
        AttentionShape::grouped(4, 2, 12),
        latent,
    ] {
        for format in [KvFormat::F32, KvFormat::F16, KvFormat::Int8] {
            for window in [None, Some(7)] {
                let bound = match format {
                    KvFormat::F32 => MAX_DIFFERENCE,
                    KvFormat::F16 => MAX_F16_DIFFERENCE,
                    KvFormat::Int8 => MAX_INT8_DIFFERENCE,
                };
                let name = format!("{shape:?} {format:?} {window:?}");
                check(&name, bound, |device| attend(shape, format, window, device));
            }
        }
    }
}
