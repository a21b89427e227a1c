//! What has to hold for every layer, on layers that look random.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use trimtab_compress::layer::{
    ColumnOrder, FactorOptions, GptqLayer, GptqOptions, GridSpec, Grouping, Hessian, HessianSum,
    InputStats, InverseFactor, LayerError, RangeSearch, ScaleFormat, WeightView, gptq,
    output_error,
    prune::{KeepMask, MaskScope, Pattern, Sparsity, magnitude, sparsegpt, wanda},
    round_to_nearest,
};

/// Numbers that look random, with a mean of 0.
fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u32 << 24) as f32 - 0.5
    };
    (0..n).map(|_| uniform() + uniform() + uniform()).collect()
}

/// A layer with inputs that depend on each other, as activations do.
struct Layer {
    d_out: usize,
    d_in: usize,
    weight: Vec<f32>,
    inputs: Vec<f32>,
}

impl Layer {
    fn new(d_out: usize, d_in: usize, seed: u64) -> Self {
        let mut inputs = noise(3 * d_in * d_in, seed + 1);
        for token in inputs.chunks_exact_mut(d_in) {
            for channel in 1..d_in {
                token[channel] += 0.7 * token[channel - 1];
            }
            for (channel, x) in token.iter_mut().enumerate() {
                *x *= 1.0 + (channel * 37 % 11) as f32;
            }
        }
        Self {
            d_out,
            d_in,
            weight: noise(d_out * d_in, seed),
            inputs,
        }
    }

    fn view(&self) -> WeightView<'_, f32> {
        WeightView::new(self.d_out, self.d_in, &self.weight).unwrap()
    }

    fn statistics(&self) -> (Hessian, InputStats) {
        let mut sum = HessianSum::new(self.d_in).unwrap();
        sum.add(&self.inputs).unwrap();
        sum.finish().unwrap()
    }

    fn factor(&self, order: ColumnOrder) -> InverseFactor {
        let options = FactorOptions {
            order,
            damping_ratio: 0.01,
        };
        InverseFactor::new(&self.statistics().0, options).unwrap()
    }

    fn gptq(&self, order: ColumnOrder, options: &GptqOptions) -> GptqLayer {
        gptq(self.view(), &self.factor(order), options).unwrap()
    }
}

fn grid(bits: u32, grouping: Grouping) -> GridSpec {
    GridSpec {
        bits,
        grouping,
        symmetric: false,
        search: RangeSearch::FullRange,
        scale_format: ScaleFormat::F16,
    }
}

#[test]
fn gptq_moves_outputs_less_than_rounding_does() {
    for (seed, d_out, d_in) in [(1, 3, 8), (2, 70, 96), (3, 5, 200)] {
        let layer = Layer::new(d_out, d_in, seed);
        let (hessian, _) = layer.statistics();
        for bits in [2, 3, 4, 8] {
            for grouping in [Grouping::Size(32), Grouping::Row, Grouping::Tensor] {
                let grid = grid(bits, grouping);
                let rounded = round_to_nearest(layer.view(), &grid).unwrap().dequantize();
                let rounded = WeightView::new(d_out, d_in, &rounded).unwrap();
                let limit = output_error(layer.view(), rounded, &hessian).unwrap();
                for static_groups in [true, false] {
                    for order in [ColumnOrder::Stored, ColumnOrder::Activation] {
                        let options = GptqOptions {
                            grid,
                            static_groups,
                        };
                        let error = layer.gptq(order, &options).error;
                        assert!(error < limit, "{options:?}, {order:?}: {error} and {limit}");
                    }
                }
            }
        }
    }
}

#[test]
fn only_groups_of_sorted_columns_need_group_numbers() {
    let layer = Layer::new(3, 40, 4);
    for (grouping, static_groups, order, has_numbers) in [
        (Grouping::Size(16), false, ColumnOrder::Activation, true),
        (Grouping::Size(16), true, ColumnOrder::Activation, false),
        (Grouping::Size(16), false, ColumnOrder::Stored, false),
        (Grouping::Row, false, ColumnOrder::Activation, false),
        (Grouping::Tensor, false, ColumnOrder::Activation, false),
    ] {
        let options = GptqOptions {
            grid: grid(4, grouping),
            static_groups,
        };
        let layer = layer.gptq(order, &options);
        assert_eq!(layer.codes.group_idx.is_some(), has_numbers, "{options:?}");
        let weight: Vec<f32> = layer.codes.dequantize().iter().map(|w| *w as f32).collect();
        assert_eq!(layer.codes.into_grid_weight().dequantize(), weight);
    }
}

/// `values` with rows and columns in another order.
fn permuted<T: Copy>(values: &[T], rows: &[usize], columns: &[usize]) -> Vec<T> {
    rows.iter()
        .flat_map(|row| {
            columns
                .iter()
                .map(move |column| row * columns.len() + column)
        })
        .map(|idx| values[idx])
        .collect()
}

#[test]
fn the_order_of_channels_does_not_matter_to_activation_order() {
    let layer = Layer::new(7, 44, 5);
    let rows: Vec<usize> = (0..7).map(|i| i * 3 % 7).collect();
    let columns: Vec<usize> = (0..44).map(|i| i * 15 % 44).collect();
    let tokens: Vec<usize> = (0..3 * 44).collect();
    let other = Layer {
        weight: permuted(&layer.weight, &rows, &columns),
        inputs: permuted(&layer.inputs, &tokens, &columns),
        ..layer
    };
    let options = GptqOptions {
        grid: grid(3, Grouping::Row),
        static_groups: false,
    };
    let want = layer.gptq(ColumnOrder::Activation, &options);
    let got = other.gptq(ColumnOrder::Activation, &options);
    assert_eq!(
        got.codes.codes,
        permuted(&want.codes.codes, &rows, &columns)
    );
    assert!((got.error - want.error).abs() < 1e-9 * want.error);
}

#[test]
fn results_do_not_depend_on_the_number_of_cores() {
    let layer = Layer::new(150, 300, 6);
    let options = GptqOptions {
        grid: grid(4, Grouping::Size(128)),
        static_groups: false,
    };
    let on_cores = |n_cores: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_cores);
        pool.build().unwrap().install(|| {
            let factor = layer.factor(ColumnOrder::Stored);
            (
                layer.statistics(),
                gptq(layer.view(), &factor, &options).unwrap(),
                sparsegpt(layer.view(), &factor, Sparsity::Share(0.5)).unwrap(),
            )
        })
    };
    let one = on_cores(1);
    for n_cores in [2, 3, 5] {
        assert!(on_cores(n_cores) == one, "{n_cores} cores");
    }
}

fn kept_in_rows(mask: &KeepMask, width: usize) -> Vec<usize> {
    let rows = mask.keeps().chunks_exact(width);
    rows.map(|row| row.iter().filter(|keep| **keep).count())
        .collect()
}

#[test]
fn masks_keep_exactly_what_they_should() {
    let layer = Layer::new(9, 48, 7);
    let norms = layer.statistics().1.norms();
    for (share, kept) in [(0.1, 44), (0.5, 24), (0.66, 17), (0.99, 1)] {
        let sparsity = Sparsity::Share(share);
        let mask = magnitude(layer.view(), sparsity, MaskScope::Layer).unwrap();
        assert_eq!(mask.n_kept(), 432 - (432.0 * share) as usize);
        let mask = magnitude(layer.view(), sparsity, MaskScope::Row).unwrap();
        assert_eq!(kept_in_rows(&mask, 48), [kept; 9]);
        let mask = wanda(layer.view(), &norms, sparsity).unwrap();
        assert_eq!(kept_in_rows(&mask, 48), [kept; 9]);
        let sparse = sparsegpt(layer.view(), &layer.factor(ColumnOrder::Stored), sparsity).unwrap();
        assert_eq!(sparse.mask.n_kept(), 432 - (432.0 * share) as usize - 1);
    }
    for pattern in [(2, 4), (1, 3), (4, 8), (5, 6), (1, 48)] {
        let (kept, of) = pattern;
        let sparsity = Sparsity::Pattern(Pattern { kept, of });
        let factor = layer.factor(ColumnOrder::Stored);
        for mask in [
            magnitude(layer.view(), sparsity, MaskScope::Row).unwrap(),
            wanda(layer.view(), &norms, sparsity).unwrap(),
            sparsegpt(layer.view(), &factor, sparsity).unwrap().mask,
        ] {
            assert!(
                kept_in_rows(&mask, of).iter().all(|n| *n == kept),
                "{pattern:?}"
            );
        }
    }
}

#[test]
fn groups_of_a_pattern_stay_whole_across_blocks() {
    // 128 is no multiple of 3, 6 or 150.
    let layer = Layer::new(4, 300, 8);
    let factor = layer.factor(ColumnOrder::Stored);
    for (kept, of) in [(1, 3), (4, 6), (70, 150)] {
        let sparsity = Sparsity::Pattern(Pattern { kept, of });
        let sparse = sparsegpt(layer.view(), &factor, sparsity).unwrap();
        assert!(kept_in_rows(&sparse.mask, of).iter().all(|n| *n == kept));
    }
}

#[test]
fn making_up_for_removed_weights_moves_outputs_less() {
    let layer = Layer::new(20, 160, 9);
    let (hessian, stats) = layer.statistics();
    let factor = layer.factor(ColumnOrder::Stored);
    for sparsity in [
        Sparsity::Share(0.5),
        Sparsity::Pattern(Pattern { kept: 2, of: 4 }),
    ] {
        let sparse = sparsegpt(layer.view(), &factor, sparsity).unwrap();
        let removed = sparse.weight.iter().zip(sparse.mask.keeps());
        assert!(removed.into_iter().all(|(w, keep)| *keep || *w == 0.0));
        let mut pruned = layer.weight.clone();
        let mask = wanda(layer.view(), &stats.norms(), sparsity).unwrap();
        mask.apply(&mut pruned).unwrap();
        let pruned = WeightView::new(20, 160, &pruned).unwrap();
        let limit = output_error(layer.view(), pruned, &hessian).unwrap();
        assert!(sparse.error < limit, "{} and {limit}", sparse.error);
    }
}

#[test]
fn weights_of_dead_channels_become_zero_and_count_for_nothing() {
    let mut layer = Layer::new(5, 24, 10);
    for token in layer.inputs.chunks_exact_mut(24) {
        (token[3], token[20]) = (0.0, 0.0);
    }
    let (hessian, _) = layer.statistics();
    for order in [ColumnOrder::Stored, ColumnOrder::Activation] {
        let factor = layer.factor(order);
        assert_eq!(factor.report().n_dead, 2);
        for static_groups in [true, false] {
            let options = GptqOptions {
                grid: grid(4, Grouping::Size(8)),
                static_groups,
            };
            let rounded = gptq(layer.view(), &factor, &options).unwrap();
            let weight = rounded.codes.dequantize();
            assert!(
                weight
                    .chunks_exact(24)
                    .all(|row| row[3] == 0.0 && row[20] == 0.0)
            );
            let weight = WeightView::new(5, 24, &weight).unwrap();
            let error = output_error(layer.view(), weight, &hessian).unwrap();
            assert!((rounded.error - error).abs() < 1e-9 * error);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let layer = Layer::new(3, 12, 11);
    let stored = layer.factor(ColumnOrder::Stored);
    let sorted = layer.factor(ColumnOrder::Activation);
    let other = Layer::new(3, 10, 12);
    let options = |bits, grouping| GptqOptions {
        grid: grid(bits, grouping),
        static_groups: false,
    };
    let refused =
        |layer: &Layer, options: &GptqOptions| gptq(layer.view(), &stored, options).unwrap_err();
    assert_eq!(
        refused(&layer, &options(5, Grouping::Row)),
        LayerError::Bits(5)
    );
    assert_eq!(
        refused(&layer, &options(4, Grouping::Size(0))),
        LayerError::GroupSize
    );
    assert!(matches!(
        refused(&other, &options(4, Grouping::Row)),
        LayerError::Size {
            expected: 10,
            got: 12,
            ..
        }
    ));
    let prune =
        |layer: &Layer, factor, sparsity| sparsegpt(layer.view(), factor, sparsity).unwrap_err();
    let half = Sparsity::Share(0.5);
    assert_eq!(prune(&layer, &sorted, half), LayerError::SortedColumns);
    assert!(matches!(
        prune(&other, &stored, half),
        LayerError::Size { .. }
    ));
    let one = prune(&layer, &stored, Sparsity::Share(1.0));
    assert_eq!(one, LayerError::Sparsity(1.0));
    let pattern = Pattern { kept: 5, of: 4 };
    let five_of_four = prune(&layer, &stored, Sparsity::Pattern(pattern));
    assert_eq!(five_of_four, LayerError::Pattern { kept: 5, of: 4 });
    let too_large = [1e7_f32; 12];
    let too_large = WeightView::new(1, 12, &too_large).unwrap();
    let error = gptq(too_large, &stored, &options(4, Grouping::Row)).unwrap_err();
    assert_eq!(error, LayerError::ScaleTooLarge { row: 0 });
}
