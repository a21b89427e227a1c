//! The examples as they are, and the other ways to write them that are read.

use super::{awq, bytes, compressed, gptq, outcome};
use crate::{TensorSource, quantized::QuantizedSource};
use serde_json::json;

#[test]
fn the_unchanged_examples_are_read() {
    for (source, config) in [gptq(), awq(), compressed(), bytes()] {
        outcome(&source, &config).unwrap();
    }
}

#[test]
fn activation_order_of_older_compressed_tensors_is_read() {
    let (source, config) = compressed();
    let scales = [0.5, 2.0].repeat(8);
    let source = source.with_floats("m.weight_scale", &[8, 2], scales);
    let plain = outcome(&source, &config).unwrap();
    let swapped = (0..16).map(|channel| i32::from(channel < 8)).collect();
    let swapped = source
        .clone()
        .with_integers("m.weight_g_idx", &[16], swapped);
    // The zero points are alike, so only the scale of each half of a row changes.
    let want: Vec<f32> = (plain.iter().enumerate())
        .map(|(idx, value)| value * if idx % 16 < 8 { 4.0 } else { 0.25 })
        .collect();
    assert_eq!(outcome(&swapped, &config).unwrap(), want);
    let unset = source.with_integers("m.weight_g_idx", &[16], vec![-1; 16]);
    assert_eq!(outcome(&unset, &config).unwrap(), plain);
}

#[test]
fn old_and_other_names_of_keys_are_read() {
    let (source, config) = gptq();
    let want = outcome(&source, &config).unwrap();
    let old = json!({ "bits": 4, "group_size": 8, "damp_percent": 0.01, "desc_act": false, "static_groups": false,
        "sym": true, "true_sequential": true, "model_name_or_path": null, "model_file_base_name": "m",
        "is_marlin_format": false });
    assert_eq!(outcome(&source, &old).unwrap(), want);
    let aliases =
        json!({ "quant_method": "gptq", "wbits": 4, "q_group_size": 8, "format": "gptq" });
    assert_eq!(outcome(&source, &aliases).unwrap(), want);
    let dynamic = json!({ "quant_method": "gptq", "bits": 8, "group_size": 16,
        "dynamic": { "+:m": { "bits": 4, "group_size": 8 }, "-:lm_head": {} } });
    assert_eq!(outcome(&source, &dynamic).unwrap(), want);
    let (source, config) = awq();
    let want = outcome(&source, &config).unwrap();
    let old = json!({ "w_bit": 4, "q_group_size": 8, "zero_point": true, "version": "GEMM" });
    assert_eq!(outcome(&source, &old).unwrap(), want);
}

#[test]
fn without_group_numbers_the_width_of_codes_has_to_be_known() {
    let (mut source, config) = gptq();
    let want = outcome(&source, &config).unwrap();
    source.0.remove("m.g_idx");
    assert_eq!(outcome(&source, &config).unwrap(), want);
    let dynamic = json!({ "quant_method": "gptq", "bits": 4, "group_size": 8, "dynamic": { "x": { "bits": 8 } } });
    let error = outcome(&source, &dynamic).unwrap_err();
    assert!(error.contains("needs `g_idx`"), "{error}");
}

#[test]
fn a_source_behind_the_decorator_passes_its_own_errors_on() {
    let (source, config) = gptq();
    let quantized = QuantizedSource::open(&source, &config).unwrap();
    let error = quantized.floats("absent").unwrap_err().to_string();
    assert_eq!(error, "there is no tensor `absent`");
}
