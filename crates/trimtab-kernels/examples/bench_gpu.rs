//! Decode and prefill of a Llama with random weights, beside what the card can do at best.
//!
//! `bench_gpu DEVICE SHAPE FILE`: device `cpu` or `cuda:0`; shape `llama-3.1-8b` or `tiny`, which only
//! shows that the program works. Prints a table and writes a JSON document.
//! Weights are random codes: speed does not depend on them, and the text is of no interest.

use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use std::{fmt::Write, sync::Arc, time::Instant};
use trimtab_kernels::{
    Activation, AttentionShape, AttentionStep, KvFormat, PackedFormat, PackedShape, RopeTable,
    Segment,
    ops::{self, LayerCache, MlpShape, Weight},
};

/// Tokens in the cache when decoding is measured.
const CONTEXT: usize = 128;

/// Sizes of a model.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    n_layers: usize,
    d_model: usize,
    d_ff: usize,
    vocab: usize,
    attention: AttentionShape,
}

impl Sizes {
    fn of(name: &str) -> Option<Self> {
        match name {
            "llama-3.1-8b" => Some(Self {
                n_layers: 32,
                d_model: 4096,
                d_ff: 14_336,
                vocab: 128_256,
                attention: AttentionShape::grouped(32, 8, 128),
            }),
            "tiny" => Some(Self {
                n_layers: 2,
                d_model: 128,
                d_ff: 256,
                vocab: 512,
                attention: AttentionShape::grouped(4, 2, 32),
            }),
            _ => None,
        }
    }

    /// Products of a block: queries, keys and values; output; gate and up; down.
    fn products(&self) -> [(usize, usize); 4] {
        [
            (self.attention.d_qkv(), self.d_model),
            (self.d_model, self.attention.d_out()),
            (2 * self.d_ff, self.d_model),
            (self.d_model, self.d_ff),
        ]
    }
}

/// The name of a format and what it is.
const FORMATS: [(&str, PackedFormat); 3] = [
    ("bf16", PackedFormat::Bf16),
    (
        "int8",
        PackedFormat::Int8 {
            group_size: 128,
            int8_activations: false,
        },
    ),
    (
        "int4",
        PackedFormat::Int4 {
            group_size: 128,
            int8_activations: false,
        },
    ),
];

/// Bytes of a weight: codes that are cheap to make, and finite as floats.
fn random_bytes(shape: PackedShape) -> Vec<i8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(shape.n_bytes() + 8);
    while bytes.len() < shape.n_bytes() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // The second highest bit of each half is cleared: as a float, none is larger than 2.
        bytes.extend((state & 0xbfff_bfff_bfff_bfff).to_le_bytes());
    }
    bytes.truncate(shape.n_bytes());
    bytes.into_iter().map(u8::cast_signed).collect()
}

struct Block {
    weights: [Tensor<1, Int>; 4],
}

/// Just enough of a model to run a step.
struct Model {
    sizes: Sizes,
    format: PackedFormat,
    blocks: Vec<Block>,
    embedding: Tensor<1, Int>,
    head: Tensor<1, Int>,
    gain: Tensor<1>,
    rope: (Tensor<2>, Tensor<2>),
    device: Device,
}

impl Model {
    fn new(sizes: Sizes, format: PackedFormat, device: &Device) -> Self {
        let shape = |(d_out, d_in)| PackedShape {
            d_out,
            d_in,
            format,
        };
        let upload = |bytes: &[i8], product| ops::weight(bytes.to_vec(), shape(product), device);
        // Each layer has bytes of its own on the card, so that no cache can hold them.
        let host = sizes.products().map(|product| random_bytes(shape(product)));
        let blocks = (0..sizes.n_layers)
            .map(|_| Block {
                weights: [0, 1, 2, 3].map(|idx: usize| upload(&host[idx], sizes.products()[idx])),
            })
            .collect();
        let vocabulary = random_bytes(shape((sizes.vocab, sizes.d_model)));
        let max_len = 2048;
        let table = RopeTable::new(max_len, sizes.attention.d_key, 500_000.0);
        let angles = |values| {
            let dims = [max_len, sizes.attention.d_key / 2];
            Tensor::from_data(TensorData::new(values, dims), device)
        };
        Self {
            sizes,
            format,
            blocks,
            embedding: upload(&vocabulary, (sizes.vocab, sizes.d_model)),
            head: upload(&vocabulary, (sizes.vocab, sizes.d_model)),
            gain: Tensor::ones([sizes.d_model], device),
            rope: (angles(table.cos), angles(table.sin)),
            device: device.clone(),
        }
    }

    fn shape(&self, (d_out, d_in): (usize, usize)) -> PackedShape {
        PackedShape {
            d_out,
            d_in,
            format: self.format,
        }
    }

    /// Bytes that one decode step reads.
    fn step_bytes(&self) -> usize {
        let products = self.sizes.products();
        let block: usize = products.iter().map(|p| self.shape(*p).n_bytes()).sum();
        let head = (self.sizes.vocab, self.sizes.d_model);
        self.sizes.n_layers * block + self.shape(head).n_bytes()
    }

    fn caches(&self, n_sequences: usize, capacity: usize) -> (Vec<LayerCache>, AttentionStep) {
        let attention = self.sizes.attention;
        let kv = attention.kv_shape(n_sequences, capacity, KvFormat::F16);
        let caches = self
            .blocks
            .iter()
            .map(|_| LayerCache::new(&kv, &self.device))
            .collect();
        let step = AttentionStep {
            shape: attention,
            rotary: 0..attention.d_key,
            window: None,
            scale: (attention.d_key as f32).sqrt().recip(),
            segments: Arc::from([]),
            kv,
        };
        (caches, step)
    }

    /// Runs one step; the most likely token of the last position of each sequence.
    fn step(&self, caches: &mut Vec<LayerCache>, step: &AttentionStep) -> Vec<i32> {
        let n_tokens = step.n_tokens();
        let [qkv, output, up, down] = self.sizes.products().map(|product| self.shape(product));
        let mlp = MlpShape {
            up,
            down,
            activation: Activation::Silu,
            is_gated: true,
        };
        let vocabulary = self.shape((self.sizes.vocab, self.sizes.d_model));
        let ids = Tensor::<2, Int>::from_data(
            TensorData::new(vec![7_i32; n_tokens], [1, n_tokens]),
            (&self.device, DType::I32),
        );
        let mut x = ops::rows(ids, self.embedding.clone(), vocabulary);
        for (block, cache) in self.blocks.iter().zip(std::mem::take(caches)) {
            let [w_qkv, w_output, w_up, w_down] = block.weights.clone();
            let weight = |packed| Weight { packed, bias: None };
            let normed = ops::rms_norm(x.clone(), self.gain.clone(), 1e-5);
            let rotated = ops::linear(normed, w_qkv, None, qkv);
            let (mixed, cache) =
                ops::cached_attention(rotated, Some(self.rope.clone()), cache, step.clone());
            caches.push(cache);
            let attended = ops::linear(mixed, w_output, None, output);
            let (sum, normed) = ops::add_rms_norm(x, attended, self.gain.clone(), 1e-5);
            x = sum + ops::mlp(normed, weight(w_up), weight(w_down), mlp);
        }
        let mut ends = Vec::new();
        let mut end = 0;
        for segment in step.segments.iter() {
            end += segment.n_tokens;
            ends.push(x.clone().slice([0..1, end - 1..end, 0..self.sizes.d_model]));
        }
        let last = ops::rms_norm(Tensor::cat(ends, 1), self.gain.clone(), 1e-5);
        let logits = ops::linear(last, self.head.clone(), None, vocabulary);
        let best = logits.argmax(2).into_data().convert::<i32>();
        best.try_into_vec().expect("ids were converted")
    }
}

fn segments(n_sequences: usize, position: usize, n_tokens: usize) -> Arc<[Segment]> {
    (0..n_sequences)
        .map(|slot| Segment {
            slot,
            position,
            n_tokens,
        })
        .collect()
}

/// Median seconds of repeated work, after two rounds that tune and compile.
fn median_seconds(n_repeats: usize, mut work: impl FnMut(usize)) -> f64 {
    let mut seconds = Vec::new();
    for idx in 0..n_repeats + 2 {
        let clock = Instant::now();
        work(idx);
        if idx >= 2 {
            seconds.push(clock.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Bytes per second of reading and writing a large tensor, and multiplications and additions per
/// second of a square product in bf16 (on the processor: f32).
fn limits(device: &Device, is_tiny: bool) -> (f64, f64) {
    let n = if is_tiny { 1 << 20 } else { 1 << 28 };
    let x = Tensor::<1>::zeros([n], device);
    let copy = median_seconds(10, |_| {
        let y = x.clone().mul_scalar(1.5);
        device.sync().expect("the device works");
        drop(y);
    });
    let n_square = if is_tiny { 256 } else { 8192 };
    let dtype = if is_tiny { DType::F32 } else { DType::BF16 };
    let square =
        || Tensor::<2>::random([n_square, n_square], Distribution::Default, device).cast(dtype);
    let (a, b) = (square(), square());
    let product = median_seconds(10, |_| {
        let y = a.clone().matmul(b.clone());
        device.sync().expect("the device works");
        drop(y);
    });
    (
        8.0 * f64::from(n) / copy,
        2.0 * f64::from(n_square).powi(3) / product,
    )
}

/// One measurement.
struct Row {
    format: &'static str,
    test: &'static str,
    n_sequences: usize,
    tokens_per_second: f64,
    /// Share of the copy bandwidth that decoding reads weights with; of the product's rate for prefill.
    share: f64,
}

fn measure(
    (format_name, format): (&'static str, PackedFormat),
    sizes: Sizes,
    device: &Device,
    (bandwidth, rate): (f64, f64),
) -> Vec<Row> {
    let model = Model::new(sizes, format, device);
    let mut rows = Vec::new();
    for n_sequences in [1, 8, 64] {
        let n_repeats = 20;
        let (mut caches, mut step) = model.caches(n_sequences, CONTEXT + n_repeats + 2);
        step.segments = segments(n_sequences, 0, CONTEXT);
        model.step(&mut caches, &step);
        let seconds = median_seconds(n_repeats, |idx| {
            step.segments = segments(n_sequences, CONTEXT + idx, 1);
            model.step(&mut caches, &step);
        });
        rows.push(Row {
            format: format_name,
            test: "decode",
            n_sequences,
            tokens_per_second: n_sequences as f64 / seconds,
            share: model.step_bytes() as f64 / seconds / bandwidth,
        });
    }
    let n_prompt = if sizes.n_layers > 2 { 1024 } else { 64 };
    let (mut caches, mut step) = model.caches(1, n_prompt);
    step.segments = segments(1, 0, n_prompt);
    let seconds = median_seconds(5, |_| {
        model.step(&mut caches, &step);
    });
    let block: usize = sizes.products().iter().map(|(a, b)| a * b).sum();
    let products = 2.0 * (n_prompt * block * sizes.n_layers + sizes.vocab * sizes.d_model) as f64;
    rows.push(Row {
        format: format_name,
        test: "prefill",
        n_sequences: 1,
        tokens_per_second: n_prompt as f64 / seconds,
        share: products / seconds / rate,
    });
    rows
}

fn json(rows: &[Row], shape: &str, (bandwidth, rate): (f64, f64)) -> String {
    let mut text = format!(
        "{{\"shape\": \"{shape}\", \"copy_bytes_per_s\": {bandwidth:.0}, \"product_flop_per_s\": {rate:.0}, \"rows\": ["
    );
    for (idx, row) in rows.iter().enumerate() {
        let comma = if idx == 0 { "" } else { ", " };
        write!(
            text,
            "{comma}{{\"format\": \"{}\", \"test\": \"{}\", \"batch\": {}, \"tokens_per_s\": {:.3}, \"share\": {:.4}}}",
            row.format, row.test, row.n_sequences, row.tokens_per_second, row.share
        )
        .expect("writing to a string cannot fail");
    }
    text + "]}\n"
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn print(rows: &[Row], (bandwidth, rate): (f64, f64)) {
    println!(
        "copy {:.0} GB/s, product {:.1} TFLOP/s",
        bandwidth / 1e9,
        rate / 1e12
    );
    println!("format  test     batch   tokens/s  share of the limit");
    for row in rows {
        println!(
            "{:<7} {:<8} {:>5} {:>10.1} {:>7.1} %",
            row.format,
            row.test,
            row.n_sequences,
            row.tokens_per_second,
            100.0 * row.share
        );
    }
}

fn device_of(name: &str) -> Option<Device> {
    if name == "cpu" {
        return Some(Device::flex());
    }
    #[cfg(feature = "cuda")]
    if let Some(number) = name.strip_prefix("cuda:") {
        let number: usize = number.parse().ok()?;
        let mut found = Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec();
        return (number < found.len()).then(|| found.swap_remove(number));
    }
    None
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [device_name, shape_name, file] = &arguments[..] else {
        panic!("say `bench_gpu DEVICE SHAPE FILE`");
    };
    let device = device_of(device_name).expect("the device is not there, or not built in");
    let sizes = Sizes::of(shape_name).expect("the shape is `llama-3.1-8b` or `tiny`");
    let limits = limits(&device, sizes.n_layers <= 2);
    let mut rows = Vec::new();
    for format in FORMATS {
        rows.extend(measure(format, sizes, &device, limits));
        device.memory_cleanup();
    }
    print(&rows, limits);
    std::fs::write(file, json(&rows, shape_name, limits)).expect("the file can be written");
}
