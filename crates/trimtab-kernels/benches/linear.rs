//! Products of one token and of many with the weights of one decoder block, in every format, against
//! burn's own f32 product on the same shapes.
//!
//! `cargo bench -p trimtab-kernels` prints time and bytes of weights read per second. Shapes are
//! those of SmolLM2-135M: weights of one block and format do not fit the caches together
//! with the others, so run a format alone for cache-free numbers: `cargo bench … -- int4`.

use burn::tensor::{Device, Distribution, Int, Tensor};
use divan::{Bencher, counter::BytesCount};
use trimtab_kernels::{PackedFormat, PackedShape, ops};

fn main() {
    divan::main();
}

/// `[d_out, d_in]` of a block's products: QKV, output, gate and up, down.
const SHAPES: [(usize, usize); 4] = [(960, 576), (576, 576), (3072, 576), (576, 1536)];

/// Copies of the block, so that weights come from memory as they do in a model.
const N_BLOCKS: usize = 30;

const FORMATS: [(&str, PackedFormat); 7] = [
    ("f32", PackedFormat::F32),
    ("f16", PackedFormat::F16),
    ("bf16", PackedFormat::Bf16),
    (
        "int8",
        PackedFormat::Int8 {
            group_size: 64,
            int8_activations: false,
        },
    ),
    (
        "int8_a8",
        PackedFormat::Int8 {
            group_size: 64,
            int8_activations: true,
        },
    ),
    (
        "int4",
        PackedFormat::Int4 {
            group_size: 64,
            int8_activations: false,
        },
    ),
    (
        "int4_a8",
        PackedFormat::Int4 {
            group_size: 64,
            int8_activations: true,
        },
    ),
];

const NAMES: [&str; 7] = ["f32", "f16", "bf16", "int8", "int8_a8", "int4", "int4_a8"];

fn format(name: &str) -> PackedFormat {
    FORMATS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a name of the list")
        .1
}

fn packed_blocks(format: PackedFormat, device: &Device) -> Vec<(PackedShape, Tensor<1, Int>)> {
    let shapes = SHAPES.iter().map(|&(d_out, d_in)| PackedShape {
        d_out,
        d_in,
        format,
    });
    (0..N_BLOCKS)
        .flat_map(|_| shapes.clone())
        .map(|shape| {
            // Any bytes are valid codes; 0x11 keeps floats finite.
            (
                shape,
                ops::weight(vec![0x11; shape.n_bytes()], shape, device),
            )
        })
        .collect()
}

fn run_packed(bencher: Bencher<'_, '_>, name: &str, n_tokens: usize) {
    let device = Device::flex();
    let blocks = packed_blocks(format(name), &device);
    let n_bytes: usize = blocks.iter().map(|(shape, _)| shape.n_bytes()).sum();
    let inputs: Vec<Tensor<2>> = blocks
        .iter()
        .map(|(shape, _)| Tensor::random([n_tokens, shape.d_in], Distribution::Default, &device))
        .collect();
    bencher.counter(BytesCount::new(n_bytes)).bench_local(|| {
        rayon::scope(|_| {
            for ((shape, packed), x) in blocks.iter().zip(&inputs) {
                divan::black_box(ops::linear(x.clone(), packed.clone(), None, *shape));
            }
        });
    });
}

#[divan::bench(args = NAMES)]
fn decode(bencher: Bencher<'_, '_>, name: &str) {
    run_packed(bencher, name, 1);
}

/// Tokens of a step when several sequences are decoded together.
#[divan::bench(args = NAMES, consts = [2, 4, 8, 16, 32], sample_count = 20)]
fn batch<const N_TOKENS: usize>(bencher: Bencher<'_, '_>, name: &str) {
    run_packed(bencher, name, N_TOKENS);
}

#[divan::bench(args = NAMES, sample_count = 5)]
fn prefill_1024(bencher: Bencher<'_, '_>, name: &str) {
    run_packed(bencher, name, 1024);
}

#[divan::bench(args = NAMES, sample_count = 10)]
fn prefill_256(bencher: Bencher<'_, '_>, name: &str) {
    run_packed(bencher, name, 256);
}

fn run_burn(bencher: Bencher<'_, '_>, n_tokens: usize) {
    let device = Device::flex();
    let random = |dims| Tensor::<2>::random(dims, Distribution::Default, &device);
    let weights: Vec<Tensor<2>> = (0..N_BLOCKS)
        .flat_map(|_| SHAPES)
        .map(|(d_out, d_in)| random([d_in, d_out]))
        .collect();
    let inputs: Vec<Tensor<2>> = weights
        .iter()
        .map(|weight| random([n_tokens, weight.dims()[0]]))
        .collect();
    let n_bytes: usize = weights
        .iter()
        .map(|weight| 4 * weight.dims().iter().product::<usize>())
        .sum();
    bencher.counter(BytesCount::new(n_bytes)).bench_local(|| {
        rayon::scope(|_| {
            for (weight, x) in weights.iter().zip(&inputs) {
                divan::black_box(x.clone().matmul(weight.clone()));
            }
        });
    });
}

#[divan::bench(sample_count = 20)]
fn decode_burn_f32(bencher: Bencher<'_, '_>) {
    run_burn(bencher, 1);
}

#[divan::bench(sample_count = 5)]
fn prefill_256_burn_f32(bencher: Bencher<'_, '_>) {
    run_burn(bencher, 256);
}
