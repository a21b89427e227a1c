//! Each operation under autodiff against the same computation in burn's own operations.

use crate::{
    Activation, AttentionShape, AttentionStep, KvFormat, PackedFormat, PackedShape, RopeTable,
    Segment,
    ops::{self, HeadNorm, LayerCache, MlpShape, Weight},
    pack_f32,
};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use std::{panic::AssertUnwindSafe, sync::Arc};

/// Rounding of sums of a hundred products in f32.
const MAX_DIFFERENCE: f32 = 3e-5;

const N_TOKENS: usize = 7;

fn device() -> Device {
    Device::flex().autodiff()
}

fn wave(n: usize, speed: f32) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * speed).sin()).collect()
}

fn tensor<const D: usize>(dims: [usize; D], speed: f32) -> Tensor<D> {
    let n = dims.iter().product();
    Tensor::from_data(TensorData::new(wave(n, speed), dims), &device())
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// A weight, packed and plain.
fn weight(d_out: usize, d_in: usize, speed: f32) -> (Tensor<1, Int>, PackedShape, Tensor<2>) {
    let shape = PackedShape {
        d_out,
        d_in,
        format: PackedFormat::F32,
    };
    let bytes: Vec<i8> = bytemuck::cast_vec(pack_f32(&wave(d_out * d_in, speed)));
    let packed = ops::weight(bytes, shape, &device());
    (packed, shape, tensor([d_out, d_in], speed))
}

/// Compares values, and gradients of Σ weights · values, of two forms of an operation.
#[track_caller]
fn check(
    width: usize,
    fast: impl Fn(Tensor<3>) -> Tensor<3>,
    plain: impl Fn(Tensor<3>) -> Tensor<3>,
) {
    let run = |form: &dyn Fn(Tensor<3>) -> Tensor<3>| {
        let x = tensor([1, N_TOKENS, width], 0.618).require_grad();
        let y = form(x.clone());
        let weights = tensor(y.dims(), 0.37);
        let grads = (y.clone() * weights).sum().backward();
        (floats(y), floats(x.grad(&grads).unwrap()))
    };
    let (got, want) = (run(&fast), run(&plain));
    for (name, got, want) in [("value", got.0, want.0), ("gradient", got.1, want.1)] {
        assert_eq!(got.len(), want.len(), "{name}");
        for (idx, (got, want)) in got.iter().zip(&want).enumerate() {
            let bound = MAX_DIFFERENCE * want.abs().max(1.0);
            assert!((got - want).abs() <= bound, "{name} {idx}: {want} {got}");
        }
    }
}

fn plain_linear(x: Tensor<3>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Tensor<3> {
    let y = x.matmul(weight.clone().transpose().unsqueeze());
    match bias {
        None => y,
        Some(bias) => y + bias.clone().unsqueeze(),
    }
}

fn plain_rms<const D: usize>(x: Tensor<D>, gain: Tensor<1>, epsilon: f32) -> Tensor<D> {
    let square = x.clone().powi_scalar(2).mean_dim(D - 1);
    x / (square + epsilon).sqrt() * gain.unsqueeze()
}

#[test]
fn products_have_the_gradients_of_plain_ones() {
    let (packed, shape, plain) = weight(20, 33, 0.3);
    let bias = tensor([20], 0.9);
    check(
        33,
        |x| ops::linear(x, packed.clone(), Some(bias.clone()), shape),
        |x| plain_linear(x, &plain, Some(&bias)),
    );
}

#[test]
fn norms_have_the_gradients_of_plain_ones() {
    let (gain, bias, epsilon) = (tensor([24], 0.3), tensor([24], 0.9), 1e-3);
    let layer = |x: Tensor<3>| {
        let centred = x.clone() - x.mean_dim(2);
        let variance = centred.clone().powi_scalar(2).mean_dim(2);
        let normed = centred / (variance + epsilon).sqrt();
        normed * gain.clone().unsqueeze() + bias.clone().unsqueeze()
    };
    check(
        24,
        |x| ops::rms_norm(x, gain.clone(), epsilon),
        |x| plain_rms(x, gain.clone(), epsilon),
    );
    check(
        24,
        |x| ops::layer_norm(x, gain.clone(), Some(bias.clone()), epsilon),
        layer,
    );
    // The sum goes on beside its norm, as in a residual stream.
    check(
        24,
        |x| {
            let (sum, normed) = ops::add_rms_norm(x.clone(), x * 0.5, gain.clone(), epsilon);
            sum + normed
        },
        |x| {
            let sum = x.clone() + x * 0.5;
            sum.clone() + plain_rms(sum, gain.clone(), epsilon)
        },
    );
    check(
        24,
        |x| {
            let (sum, normed) = ops::add_layer_norm(
                x.clone(),
                x * 0.5,
                gain.clone(),
                Some(bias.clone()),
                epsilon,
            );
            sum + normed
        },
        |x| {
            let sum = x.clone() + x * 0.5;
            sum.clone() + layer(sum)
        },
    );
}

#[test]
fn norms_of_heads_have_the_gradients_of_plain_ones() {
    let shape = AttentionShape::grouped(4, 2, 6);
    let gains = (tensor([6], 0.3), tensor([6], 0.8));
    let norm = HeadNorm {
        shape,
        epsilon: 1e-3,
    };
    check(
        shape.d_qkv(),
        |qkv| ops::norm_heads(qkv, gains.clone(), norm),
        |qkv| {
            let part = |channels: std::ops::Range<usize>| {
                let n_heads = channels.len() / 6;
                let part = qkv.clone().slice([0..1, 0..N_TOKENS, channels]);
                part.reshape([1, N_TOKENS, n_heads, 6])
            };
            let queries = plain_rms(part(0..24), gains.0.clone(), 1e-3);
            let keys = plain_rms(part(24..36), gains.1.clone(), 1e-3);
            let parts = vec![
                queries.reshape([1, N_TOKENS, 24]),
                keys.reshape([1, N_TOKENS, 12]),
                part(36..48).reshape([1, N_TOKENS, 12]),
            ];
            Tensor::cat(parts, 2)
        },
    );
}

#[test]
fn mlps_have_the_gradients_of_plain_ones() {
    let d_ff = 18;
    for (kind, is_gated) in [
        (Activation::Silu, true),
        (Activation::GeluTanh, false),
        (Activation::Gelu, false),
        (Activation::Relu, false),
    ] {
        let d_up = if is_gated { 2 * d_ff } else { d_ff };
        let (up, up_shape, plain_up) = weight(d_up, 10, 0.3);
        let (down, down_shape, plain_down) = weight(10, d_ff, 0.7);
        let bias = tensor([d_up], 0.9);
        let shape = MlpShape {
            up: up_shape,
            down: down_shape,
            activation: kind,
            is_gated,
        };
        check(
            10,
            |x| {
                let up = Weight {
                    packed: up.clone(),
                    bias: Some(bias.clone()),
                };
                let down = Weight {
                    packed: down.clone(),
                    bias: None,
                };
                ops::mlp(x, up, down, shape)
            },
            |x| {
                let up = plain_linear(x, &plain_up, Some(&bias));
                let channels = |range| up.clone().slice([0..1, 0..N_TOKENS, range]);
                let hidden = match kind {
                    Activation::Silu => activation::silu(channels(0..d_ff)) * channels(d_ff..d_up),
                    Activation::Gelu => activation::gelu(up.clone()),
                    Activation::GeluTanh => activation::gelu_approximate(up.clone()),
                    Activation::Relu => activation::relu(up.clone()),
                };
                plain_linear(hidden, &plain_down, None)
            },
        );
    }
}

/// Attention of one sequence in burn's own operations, all heads over their own keys.
fn plain_attention(qkv: &Tensor<3>, shape: AttentionShape, rope: &RopeTable) -> Tensor<3> {
    let d = shape.d_key;
    let table = |values: &[f32]| {
        let data = TensorData::new(values[..N_TOKENS * d / 2].to_vec(), [1, N_TOKENS, d / 2]);
        Tensor::<3>::from_data(data, &device())
    };
    let (cos, sin) = (table(&rope.cos), table(&rope.sin));
    let channels = |start: usize| {
        qkv.clone()
            .slice([0..1, 0..N_TOKENS, start * d..(start + 1) * d])
    };
    let rotated = |start: usize| {
        let head = channels(start);
        let first = head.clone().slice([0..1, 0..N_TOKENS, 0..d / 2]);
        let second = head.slice([0..1, 0..N_TOKENS, d / 2..d]);
        let turned = vec![
            first.clone() * cos.clone() - second.clone() * sin.clone(),
            second * cos.clone() + first * sin.clone(),
        ];
        Tensor::cat(turned, 2)
    };
    let hidden: Vec<f32> = (0..N_TOKENS * N_TOKENS)
        .map(|i| {
            if i % N_TOKENS > i / N_TOKENS {
                -1e9
            } else {
                0.0
            }
        })
        .collect();
    let mask = Tensor::<3>::from_data(TensorData::new(hidden, [1, N_TOKENS, N_TOKENS]), &device());
    let heads = (0..shape.n_heads).map(|head_idx| {
        let kv_head = head_idx / shape.group_size();
        let key = rotated(shape.n_heads + kv_head);
        let value = channels(shape.n_heads + shape.n_kv_heads + kv_head);
        let scores = rotated(head_idx).matmul(key.transpose()) * 0.4 + mask.clone();
        activation::softmax(scores, 2).matmul(value)
    });
    Tensor::cat(heads.collect(), 2)
}

fn attention_step(shape: AttentionShape, format: KvFormat, position: usize) -> AttentionStep {
    AttentionStep {
        shape,
        rotary: 0..shape.d_key,
        window: None,
        scale: 0.4,
        segments: Arc::from([Segment {
            slot: 0,
            position,
            n_tokens: N_TOKENS,
        }]),
        kv: shape.kv_shape(1, 2 * N_TOKENS, format),
    }
}

fn attend(qkv: Tensor<3>, step: &AttentionStep, rope: &RopeTable) -> Tensor<3> {
    let half = step.rotary.len() / 2;
    let table = |values: &[f32]| {
        let data = TensorData::new(values.to_vec(), [values.len() / half, half]);
        Tensor::<2>::from_data(data, &device())
    };
    let tables = Some((table(&rope.cos), table(&rope.sin)));
    let cache = LayerCache::new(&step.kv, &device());
    ops::cached_attention(qkv, tables, cache, step.clone()).0
}

#[test]
fn attention_has_the_gradients_of_plain_attention() {
    let shape = AttentionShape::grouped(4, 2, 6);
    let rope = RopeTable::new(2 * N_TOKENS, 6, 100.0);
    let step = attention_step(shape, KvFormat::F32, 0);
    check(
        shape.d_qkv(),
        |qkv| attend(qkv, &step, &rope),
        |qkv| plain_attention(&qkv, shape, &rope),
    );
}

#[test]
fn attention_refuses_gradients_that_it_cannot_give() {
    let shape = AttentionShape::grouped(4, 2, 6);
    let rope = RopeTable::new(2 * N_TOKENS, 6, 100.0);
    for (format, position) in [(KvFormat::F16, 0), (KvFormat::F32, 1)] {
        let step = attention_step(shape, format, position);
        let qkv = || tensor([1, N_TOKENS, shape.d_qkv()], 0.6);
        let with_gradient = AssertUnwindSafe(|| attend(qkv().require_grad(), &step, &rope));
        assert!(
            std::panic::catch_unwind(with_gradient).is_err(),
            "{format:?}"
        );
        attend(qkv(), &step, &rope);
    }
}

#[test]
#[should_panic(expected = "gains are frozen")]
fn a_gain_that_asks_for_a_gradient_is_refused() {
    ops::rms_norm(
        tensor([1, 2, 4], 0.3),
        tensor([4], 0.5).require_grad(),
        1e-5,
    );
}

#[test]
fn a_known_gradient_is_handed_on_scaled() {
    let x = tensor([2, 3], 0.3).require_grad();
    let loss = ops::with_gradient(x.clone() * 2.0, tensor([2, 3], 0.7), 5.0);
    assert_eq!(floats(loss.clone()), [5.0]);
    let grads = (loss * 3.0).backward();
    let want: Vec<f32> = wave(6, 0.7).iter().map(|v| v * 6.0).collect();
    for (got, want) in floats(x.grad(&grads).unwrap()).iter().zip(&want) {
        assert!((got - want).abs() < 1e-5, "{want} {got}");
    }
}
