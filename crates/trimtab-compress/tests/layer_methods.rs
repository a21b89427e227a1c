//! Every method on small layers, against values that `scripts/golden/layer_methods.py` computed with
//! numpy by other routes (inverses instead of factors, no blocks).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod exact_json;

use exact_json::{number, numbers, whole};
use serde_json::Value;
use trimtab_compress::layer::{
    ColumnOrder, FactorOptions, GptqOptions, GridSpec, Grouping, Hessian, HessianSum, InputStats,
    InverseFactor, LayerCodes, RangeSearch, ScaleFormat, WeightView, awq_scales, gptq,
    output_error,
    prune::{KeepMask, MaskScope, Pattern, Sparsity, magnitude, sparsegpt, wanda},
    round_to_nearest,
};

/// Both sides compute in f64; the inverses of numpy have a condition of a few hundred.
const TOLERANCE: f64 = 1e-9;

/// Errors of the scale search are summed from products in f32.
const AWQ_ERROR_TOLERANCE: f64 = 1e-5;

#[track_caller]
fn assert_close(what: &Value, got: &[f64], want: &Value, tolerance: f64) {
    let want = numbers(want);
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let is_close = (got - want).abs() <= tolerance * want.abs().max(1.0);
        assert!(is_close, "{what}: {i}: {got}, not {want}");
    }
}

struct Layer {
    d_out: usize,
    d_in: usize,
    weight: Vec<f64>,
    hessian: Hessian,
    stats: InputStats,
    damping_ratio: f64,
    cases: Vec<Value>,
}

impl Layer {
    fn new(layer: &Value) -> Self {
        let weight = numbers(&layer["weight"]);
        let d_out = layer["weight"].as_array().unwrap().len();
        let d_in = weight.len() / d_out;
        let inputs = numbers(&layer["inputs_in_64ths"]);
        let inputs: Vec<f32> = inputs.iter().map(|x| *x as f32 / 64.0).collect();
        let mut sum = HessianSum::new(d_in).unwrap();
        sum.add(&inputs).unwrap();
        let (hessian, stats) = sum.finish().unwrap();
        Self {
            d_out,
            d_in,
            weight,
            hessian,
            stats,
            damping_ratio: number(&layer["damping"]),
            cases: layer["cases"].as_array().unwrap().clone(),
        }
    }

    fn view(&self) -> WeightView<'_, f64> {
        WeightView::new(self.d_out, self.d_in, &self.weight).unwrap()
    }

    fn factor(&self, order: ColumnOrder) -> InverseFactor {
        let options = FactorOptions {
            order,
            damping_ratio: self.damping_ratio,
        };
        InverseFactor::new(&self.hessian, options).unwrap()
    }

    fn error_of(&self, changed: &[f64]) -> f64 {
        let changed = WeightView::new(self.d_out, self.d_in, changed).unwrap();
        output_error(self.view(), changed, &self.hessian).unwrap()
    }

    fn check(&self, case: &Value) {
        match case["method"].as_str().unwrap() {
            "rtn" => {
                let codes = round_to_nearest(self.view(), &grid(case)).unwrap();
                let error = self.error_of(&codes.dequantize());
                check_codes(case, &codes, error);
            }
            "gptq" => self.check_gptq(case),
            "magnitude" => {
                let scope = match case["scope"].as_str().unwrap() {
                    "layer" => MaskScope::Layer,
                    _ => MaskScope::Row,
                };
                self.check_mask(
                    case,
                    &magnitude(self.view(), sparsity(case), scope).unwrap(),
                );
            }
            "wanda" => {
                let mask = wanda(self.view(), &self.stats.norms(), sparsity(case));
                self.check_mask(case, &mask.unwrap());
            }
            "sparsegpt" => {
                let factor = self.factor(ColumnOrder::Stored);
                let layer = sparsegpt(self.view(), &factor, sparsity(case)).unwrap();
                let expected = &case["expected"];
                check_keeps(case, &layer.mask);
                assert_close(case, &layer.weight, &expected["weight"], TOLERANCE);
                assert_close(case, &[layer.error], &expected["error"], TOLERANCE);
                let error = self.error_of(&layer.weight);
                assert_close(case, &[error], &expected["error"], TOLERANCE);
            }
            "awq" => self.check_awq(case),
            other => panic!("`{other}` is no method"),
        }
    }

    fn check_gptq(&self, case: &Value) {
        let order = match case["order"].as_str().unwrap() {
            "stored" => ColumnOrder::Stored,
            _ => ColumnOrder::Activation,
        };
        let options = GptqOptions {
            grid: grid(case),
            static_groups: case["static"].as_bool().unwrap(),
        };
        let layer = gptq(self.view(), &self.factor(order), &options).unwrap();
        check_codes(case, &layer.codes, layer.error);
        let error = self.error_of(&layer.codes.dequantize());
        assert_close(case, &[error], &case["expected"]["error"], TOLERANCE);
        let grid_weight = layer.codes.into_grid_weight();
        let groups: Vec<f64> = (0..self.d_in)
            .map(|channel| grid_weight.group_of(channel) as f64)
            .collect();
        assert_close(case, &groups, &case["expected"]["group_idx"], 0.0);
    }

    fn check_mask(&self, case: &Value, mask: &KeepMask) {
        check_keeps(case, mask);
        let weights = self.weight.iter().zip(mask.keeps());
        let pruned: Vec<f64> = weights
            .map(|(w, keep)| if *keep { *w } else { 0.0 })
            .collect();
        let error = self.error_of(&pruned);
        assert_close(case, &[error], &case["expected"]["error"], TOLERANCE);
    }

    fn check_awq(&self, case: &Value) {
        let first_rows = whole(&case["first_rows"]);
        let (first, rest) = self.weight.split_at(first_rows * self.d_in);
        let weights = [first, rest]
            .map(|part| WeightView::new(part.len() / self.d_in, self.d_in, part).unwrap())
            .map(|weight| (weight, grid(case)));
        let found = awq_scales(&weights, &self.stats, &self.hessian).unwrap();
        let expected = &case["expected"];
        assert_close(case, &[found.exponent], &expected["exponent"], TOLERANCE);
        assert_close(case, &found.scales, &expected["scales"], TOLERANCE);
        assert_close(
            case,
            &[found.error],
            &expected["error"],
            AWQ_ERROR_TOLERANCE,
        );
    }
}

fn grid(case: &Value) -> GridSpec {
    GridSpec {
        bits: whole(&case["bits"]) as u32,
        grouping: match &case["grouping"] {
            name if name == "row" => Grouping::Row,
            name if name == "tensor" => Grouping::Tensor,
            size => Grouping::Size(whole(size)),
        },
        symmetric: case["symmetric"].as_bool().unwrap(),
        search: match case["search"].as_str().unwrap() {
            "full_range" => RangeSearch::FullRange,
            "squared_error" => RangeSearch::SquaredError,
            _ => RangeSearch::PowerError,
        },
        scale_format: ScaleFormat::F64,
    }
}

fn sparsity(case: &Value) -> Sparsity {
    match case.get("share") {
        Some(share) => Sparsity::Share(number(share)),
        None => Sparsity::Pattern(Pattern {
            kept: whole(&case["kept"]),
            of: whole(&case["of"]),
        }),
    }
}

fn check_codes(case: &Value, layer: &LayerCodes, error: f64) {
    let expected = &case["expected"];
    let codes: Vec<f64> = layer.codes.iter().map(|code| f64::from(*code)).collect();
    assert_close(case, &codes, &expected["codes"], 0.0);
    assert_close(case, &layer.scales, &expected["scales"], TOLERANCE);
    let zero_points: Vec<f64> = layer.zero_points.iter().map(|z| f64::from(*z)).collect();
    assert_close(case, &zero_points, &expected["zero_points"], 0.0);
    assert_close(case, &[error], &expected["error"], TOLERANCE);
}

fn check_keeps(case: &Value, mask: &KeepMask) {
    let keeps: Vec<f64> = mask.keeps().iter().map(|keep| f64::from(*keep)).collect();
    assert_close(case, &keeps, &case["expected"]["keeps"], 0.0);
}

#[test]
fn every_method_gives_what_numpy_gives() {
    let document = exact_json::parse(include_str!("golden/layer_methods.json"));
    let mut n_cases = 0;
    for layer in document["layers"].as_array().unwrap() {
        let layer = Layer::new(layer);
        for case in &layer.cases {
            layer.check(case);
            n_cases += 1;
        }
    }
    assert_eq!(n_cases, 81);
}
