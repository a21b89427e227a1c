//! Compression of single layers against values of another implementation.
//!
//! Needs `TRIMTAB_ACCEPTANCE_DIR` (a folder with `golden/`); `make test` sets it where it can, and
//! leaves these tests out elsewhere.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::float_cmp, reason = "codes and masks are whole numbers")]

mod exact_json;

use exact_json::{number, numbers, whole};
use safetensors::{SafeTensors, tensor::TensorView};
use serde_json::Value;
use std::path::PathBuf;
use trimtab_compress::layer::{
    ColumnOrder, FactorOptions, GptqOptions, GridSpec, Grouping, Hessian, InverseFactor,
    LayerCodes, RangeSearch, ScaleFormat, WeightView, gptq, output_error,
    prune::{KeepMask, MaskScope, Pattern, Sparsity, magnitude, sparsegpt, wanda},
    round_to_nearest,
};

/// Both sides compute in f64 throughout.
const TINY_TOLERANCE: f64 = 1e-9;

/// Largest difference of a real layer's output error. Ours is at most this much above the other.
const ERROR_TOLERANCE: f64 = 0.01;

/// Least share of a real layer's codes or mask that is equal: ties may fall either way.
const LEAST_EQUAL: f64 = 0.99;

/// Scales and weights of the real layer are stored in f32.
const F32_TOLERANCE: f64 = 1e-6;

fn golden(file: &str) -> Vec<u8> {
    let folder = std::env::var_os("TRIMTAB_ACCEPTANCE_DIR").unwrap_or_else(|| {
        panic!(
            "`TRIMTAB_ACCEPTANCE_DIR` is not set: run `make test`, or leave out the tests named `acceptance`"
        )
    });
    let path = PathBuf::from(folder).join("golden").join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(file: &str) -> Value {
    exact_json::parse(std::str::from_utf8(&golden(file)).unwrap())
}

/// A layer and how it is to be compressed.
struct Layer {
    d_out: usize,
    d_in: usize,
    weight: Vec<f64>,
    hessian: Hessian,
    norms: Vec<f64>,
    group_size: usize,
}

impl Layer {
    fn view(&self) -> WeightView<'_, f64> {
        WeightView::new(self.d_out, self.d_in, &self.weight).unwrap()
    }

    fn grid(&self, bits: u32, symmetric: bool) -> GridSpec {
        GridSpec {
            bits,
            grouping: Grouping::Size(self.group_size),
            symmetric,
            search: RangeSearch::FullRange,
            scale_format: ScaleFormat::F64,
        }
    }

    fn factor(&self, order: ColumnOrder) -> InverseFactor {
        let options = FactorOptions {
            order,
            damping_ratio: 0.01,
        };
        InverseFactor::new(&self.hessian, options).unwrap()
    }

    fn error_of(&self, changed: &[f64]) -> f64 {
        let changed = WeightView::new(self.d_out, self.d_in, changed).unwrap();
        output_error(self.view(), changed, &self.hessian).unwrap()
    }

    fn error_of_mask(&self, mask: &KeepMask) -> f64 {
        let weights = self.weight.iter().zip(mask.keeps());
        let pruned: Vec<f64> = weights
            .map(|(w, keep)| if *keep { *w } else { 0.0 })
            .collect();
        self.error_of(&pruned)
    }

    /// Codes and error of a method, named as in both files: `rtn_int4_sym`,
    /// `gptq_actorder_int4_sym` or `gptq_int4_sym_actorder`.
    fn quantized(&self, name: &str) -> (LayerCodes, f64) {
        let bits = (2..=8).find(|bits| name.contains(&format!("int{bits}")));
        let grid = self.grid(bits.unwrap(), name.contains("_sym"));
        if name.starts_with("rtn") {
            let codes = round_to_nearest(self.view(), &grid).unwrap();
            let error = self.error_of(&codes.dequantize());
            return (codes, error);
        }
        let order = if name.contains("actorder") {
            ColumnOrder::Activation
        } else {
            ColumnOrder::Stored
        };
        let options = GptqOptions {
            grid,
            static_groups: false,
        };
        let layer = gptq(self.view(), &self.factor(order), &options).unwrap();
        let error = self.error_of(&layer.codes.dequantize());
        let difference = (layer.error - error).abs();
        assert!(
            difference <= 1e-6 * error,
            "{name}: {} and {error}",
            layer.error
        );
        (layer.codes, error)
    }

    fn wanda(&self, sparsity: Sparsity) -> KeepMask {
        wanda(self.view(), &self.norms, sparsity).unwrap()
    }

    fn magnitude(&self, sparsity: Sparsity, scope: MaskScope) -> KeepMask {
        magnitude(self.view(), sparsity, scope).unwrap()
    }
}

const HALF: Sparsity = Sparsity::Share(0.5);

fn pattern(kept: usize, of: usize) -> Sparsity {
    Sparsity::Pattern(Pattern { kept, of })
}

fn keeps(mask: &KeepMask) -> Vec<f64> {
    mask.keeps().iter().map(|keep| f64::from(*keep)).collect()
}

#[track_caller]
fn assert_close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let is_close = (got - want).abs() <= tolerance * want.abs().max(1.0);
        assert!(is_close, "{what}: {i}: {got}, not {want}");
    }
}

fn tiny_layer(case: &Value) -> Layer {
    let weight = numbers(&case["W"]);
    let d_out = case["W"].as_array().unwrap().len();
    let d_in = weight.len() / d_out;
    Layer {
        d_out,
        d_in,
        weight,
        hessian: Hessian::new(d_in, numbers(&case["H"])).unwrap(),
        norms: numbers(&case["xnorm"]),
        group_size: whole(&case["group"]),
    }
}

/// Whether the first code that differs, in the order of treatment, is that of the first column of a
/// later symmetric group: where it is the group's largest weight, it lies exactly between codes 0 and
/// 1, and the rounding of the sums that made up for earlier errors decides.
fn is_decided_by_the_last_bit(
    layer: &Layer,
    name: &str,
    ours: &LayerCodes,
    theirs: &[f64],
) -> bool {
    let diagonal: Vec<f64> = layer.hessian.diagonal().collect();
    let mut columns: Vec<usize> = (0..layer.d_in).collect();
    if name.contains("actorder") {
        columns.sort_by(|a, b| diagonal[*b].total_cmp(&diagonal[*a]));
    }
    let rows = ours
        .codes
        .chunks_exact(layer.d_in)
        .zip(theirs.chunks_exact(layer.d_in));
    let mut differing = rows.filter(|(ours, theirs)| {
        ours.iter()
            .zip(*theirs)
            .any(|(ours, theirs)| f64::from(*ours) != *theirs)
    });
    let is_tie = |(ours, theirs): (&[u8], &[f64])| {
        let differs = |step: &usize| f64::from(ours[columns[*step]]) != theirs[columns[*step]];
        let step = (0..layer.d_in).find(differs).unwrap();
        let (ours, theirs) = (f64::from(ours[columns[step]]), theirs[columns[step]]);
        step > 0 && step.is_multiple_of(layer.group_size) && ours + theirs == 1.0
    };
    let Some(first) = differing.next() else {
        return false;
    };
    name.starts_with("gptq") && name.ends_with("_sym") && is_tie(first) && differing.all(is_tie)
}

/// Whether the case could be compared.
fn check_tiny(layer: &Layer, name: &str, want: &Value) -> bool {
    let want_of = |key: &str| numbers(&want[key]);
    if name.contains("int") {
        let (codes, error) = layer.quantized(name);
        if is_decided_by_the_last_bit(layer, name, &codes, &want_of("codes")) {
            return false;
        }
        let as_numbers: Vec<f64> = codes.codes.iter().map(|code| f64::from(*code)).collect();
        let zeros: Vec<f64> = codes.zero_points.iter().map(|z| f64::from(*z)).collect();
        assert_close(name, &as_numbers, &want_of("codes"), 0.0);
        assert_close(name, &zeros, &want_of("zero"), 0.0);
        assert_close(name, &codes.scales, &want_of("scale"), TINY_TOLERANCE);
        assert_close(name, &codes.dequantize(), &want_of("Q"), TINY_TOLERANCE);
        assert_close(name, &[error], &want_of("hess_err"), TINY_TOLERANCE);
        return true;
    }
    let mask = match name {
        "wanda50_keep" => layer.wanda(HALF),
        "wanda_2_4_keep" => layer.wanda(pattern(2, 4)),
        "mag50_keep" => layer.magnitude(HALF, MaskScope::Layer),
        _ => {
            let sparsity = if name == "sparsegpt50" {
                HALF
            } else {
                pattern(2, 4)
            };
            let factor = layer.factor(ColumnOrder::Stored);
            let pruned = sparsegpt(layer.view(), &factor, sparsity).unwrap();
            assert_close(name, &keeps(&pruned.mask), &want_of("keep"), 0.0);
            assert_close(name, &pruned.weight, &want_of("W"), TINY_TOLERANCE);
            assert_close(name, &[pruned.error], &want_of("hess_err"), TINY_TOLERANCE);
            return true;
        }
    };
    assert_close(name, &keeps(&mask), &numbers(want), 0.0);
    true
}

#[test]
fn tiny_layers_come_out_the_same_to_nine_digits() {
    let cases = json("compress_tiny.json");
    let (mut n_compared, mut n_ties) = (0, 0);
    for case in cases["cases"].as_array().unwrap() {
        let layer = tiny_layer(case);
        for (name, want) in case["out"].as_object().unwrap() {
            match check_tiny(&layer, name, want) {
                true => n_compared += 1,
                false => n_ties += 1,
            }
        }
    }
    assert!(
        n_ties * 20 <= n_compared,
        "{n_ties} ties, {n_compared} compared"
    );
}

fn tensor(tensors: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let tensor: TensorView<'_> = tensors.tensor(name).unwrap();
    if tensor.dtype() == safetensors::Dtype::U8 {
        return tensor.data().iter().map(|b| f64::from(*b)).collect();
    }
    let (floats, _) = tensor.data().as_chunks();
    let floats = floats.iter().map(|bytes| f32::from_le_bytes(*bytes));
    floats.map(f64::from).collect()
}

fn real_layer(tensors: &SafeTensors<'_>) -> Layer {
    let shape = tensors.tensor("W").unwrap().shape().to_vec();
    let hessian = Hessian::new(shape[1], tensor(tensors, "H")).unwrap();
    Layer {
        d_out: shape[0],
        d_in: shape[1],
        weight: tensor(tensors, "W"),
        norms: hessian.diagonal().map(f64::sqrt).collect(),
        hessian,
        group_size: 128,
    }
}

#[track_caller]
fn check_real(name: &str, error: f64, got: &[f64], tensors: &SafeTensors<'_>, suffix: &str) {
    let results = json("layer_compress.json");
    let want_error = number(&results["results"][name]["hess_err"]);
    let difference = (error - want_error).abs();
    assert!(
        difference <= ERROR_TOLERANCE * want_error,
        "{name}: {error}, not {want_error}"
    );
    let Ok(_) = tensors.tensor(&format!("{name}{suffix}")) else {
        return;
    };
    let want = tensor(tensors, &format!("{name}{suffix}"));
    let n_equal = got.iter().zip(&want).filter(|(a, b)| a == b).count();
    let share = n_equal as f64 / want.len() as f64;
    assert!(share >= LEAST_EQUAL, "{name}: {share} are equal");
}

#[test]
fn a_real_layer_is_quantised_as_elsewhere() {
    let file = golden("layer_compress.safetensors");
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let layer = real_layer(&tensors);
    for bits in [3, 4, 8] {
        for name in [
            "rtn_intN_sym",
            "rtn_intN_asym",
            "gptq_intN_sym",
            "gptq_intN_asym",
        ] {
            for order in ["", "_actorder"] {
                let name = name.replace('N', &bits.to_string()) + order;
                if name.starts_with("rtn") && !order.is_empty() {
                    continue;
                }
                let (codes, error) = layer.quantized(&name);
                let got: Vec<f64> = codes.codes.iter().map(|code| f64::from(*code)).collect();
                check_real(&name, error, &got, &tensors, "_codes");
                if name.starts_with("rtn_int4") {
                    let want = tensor(&tensors, &format!("{name}_scale"));
                    assert_close(&name, &codes.scales, &want, F32_TOLERANCE);
                }
            }
        }
    }
}

#[test]
fn a_real_layer_is_pruned_as_elsewhere() {
    let file = golden("layer_compress.safetensors");
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let layer = real_layer(&tensors);
    for (name, mask) in [
        ("wanda50", layer.wanda(HALF)),
        ("wanda_2_4", layer.wanda(pattern(2, 4))),
        ("wanda_4_8", layer.wanda(pattern(4, 8))),
        ("mag50_matrix", layer.magnitude(HALF, MaskScope::Layer)),
        ("mag50_row", layer.magnitude(HALF, MaskScope::Row)),
        ("mag_2_4", layer.magnitude(pattern(2, 4), MaskScope::Row)),
    ] {
        check_real(
            name,
            layer.error_of_mask(&mask),
            &keeps(&mask),
            &tensors,
            "_keep",
        );
    }
    let factor = layer.factor(ColumnOrder::Stored);
    for (name, sparsity) in [("sparsegpt50", HALF), ("sparsegpt_2_4", pattern(2, 4))] {
        let pruned = sparsegpt(layer.view(), &factor, sparsity).unwrap();
        let error = layer.error_of(&pruned.weight);
        assert!((pruned.error - error).abs() <= 1e-6 * error);
        check_real(name, error, &keeps(&pruned.mask), &tensors, "_keep");
    }
}
