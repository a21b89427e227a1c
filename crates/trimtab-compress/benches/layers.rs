//! What compressing one layer costs: Hessian, factor and solvers on the shapes of Qwen2.5-0.5B.
//!
//! `cargo bench -p trimtab-compress` prints times and operations per second. The largest factor
//! takes seconds: run one of them with `cargo bench … -- factor`.

use divan::{Bencher, counter::ItemsCount};
use trimtab_compress::layer::{
    ColumnOrder, FactorOptions, GptqOptions, GridSpec, Grouping, Hessian, HessianSum, InputStats,
    InverseFactor, RangeSearch, ScaleFormat, WeightView, awq_scales, gptq,
    prune::{Pattern, Sparsity, sparsegpt},
    round_to_nearest,
};

fn main() {
    divan::main();
}

/// `[d_out, d_in]`: query and output, key and value, gate and up, down.
const SHAPES: [[usize; 2]; 4] = [[896, 896], [128, 896], [4864, 896], [896, 4864]];

const WIDTHS: [usize; 2] = [896, 4864];

const N_TOKENS: usize = 512;

fn noise(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.731).sin() * 0.1).collect()
}

/// A positive definite Hessian that costs nothing to make.
fn hessian(d_in: usize) -> Hessian {
    let entry = |i: usize, j: usize| 0.9_f64.powi(i.abs_diff(j) as i32);
    let values = (0..d_in * d_in).map(|idx| entry(idx / d_in, idx % d_in));
    Hessian::new(d_in, values.collect()).expect("it is symmetric")
}

fn factor(d_in: usize) -> InverseFactor {
    let options = FactorOptions {
        order: ColumnOrder::Stored,
        damping_ratio: 0.01,
    };
    InverseFactor::new(&hessian(d_in), options).expect("it is positive definite")
}

fn grid(search: RangeSearch) -> GridSpec {
    GridSpec {
        bits: 4,
        grouping: Grouping::Size(128),
        symmetric: false,
        search,
        scale_format: ScaleFormat::F16,
    }
}

#[divan::bench(args = WIDTHS)]
fn hessian_of_512_tokens(bencher: Bencher<'_, '_>, d_in: usize) {
    let inputs = noise(N_TOKENS * d_in);
    let mut sum = HessianSum::new(d_in).expect("there are channels");
    bencher
        .counter(ItemsCount::new(N_TOKENS * d_in * d_in))
        .bench_local(|| sum.add(&inputs));
}

#[divan::bench(args = WIDTHS, sample_count = 5)]
fn inverse_factor(bencher: Bencher<'_, '_>, d_in: usize) {
    let hessian = hessian(d_in);
    let options = FactorOptions {
        order: ColumnOrder::Activation,
        damping_ratio: 0.01,
    };
    bencher
        .counter(ItemsCount::new(2 * d_in.pow(3) / 3))
        .bench_local(|| InverseFactor::new(&hessian, options));
}

#[divan::bench(args = SHAPES, sample_count = 5)]
fn gptq_int4(bencher: Bencher<'_, '_>, [d_out, d_in]: [usize; 2]) {
    let (weight, factor) = (noise(d_out * d_in), factor(d_in));
    let weight = WeightView::new(d_out, d_in, &weight).expect("it is finite");
    let options = GptqOptions {
        grid: grid(RangeSearch::FullRange),
        static_groups: false,
    };
    bencher
        .counter(ItemsCount::new(d_out * d_in * (d_in + 128)))
        .bench_local(|| gptq(weight, &factor, &options));
}

#[divan::bench(args = [RangeSearch::FullRange, RangeSearch::SquaredError, RangeSearch::PowerError])]
fn rounding_4864_896(bencher: Bencher<'_, '_>, search: RangeSearch) {
    let weight = noise(4864 * 896);
    let weight = WeightView::new(4864, 896, &weight).expect("it is finite");
    bencher
        .counter(ItemsCount::new(4864_usize * 896))
        .bench_local(|| round_to_nearest(weight, &grid(search)));
}

#[divan::bench(sample_count = 5)]
fn awq_4864_896(bencher: Bencher<'_, '_>) {
    let weight = noise(4864 * 896);
    let weight = WeightView::new(4864, 896, &weight).expect("it is finite");
    let hessian = hessian(896);
    let stats = InputStats {
        n_tokens: 1,
        mean_abs: (1..=896).map(f64::from).collect(),
        mean_square: vec![1.0; 896],
    };
    let spec = grid(RangeSearch::FullRange);
    bencher.bench_local(|| awq_scales(&[(weight, spec)], &stats, &hessian));
}

#[divan::bench(args = [Sparsity::Share(0.5), Sparsity::Pattern(Pattern { kept: 2, of: 4 })], sample_count = 5)]
fn sparsegpt_4864_896(bencher: Bencher<'_, '_>, sparsity: Sparsity) {
    let (weight, factor) = (noise(4864 * 896), factor(896));
    let weight = WeightView::new(4864, 896, &weight).expect("it is finite");
    bencher.bench_local(|| sparsegpt(weight, &factor, sparsity));
}
