//! Configurations and tensors that are refused, each with its name; what is read beside the usual.

mod accepted;
mod configurations;
mod random;
mod tensors;

use super::memory::{Content, MemorySource};
use crate::{TensorSource, quantized::QuantizedSource};
use serde_json::{Value, json};

/// A GPTQ module of 4 bits: 8 outputs, 16 inputs, groups of 8.
fn gptq() -> (MemorySource, Value) {
    let source = MemorySource::default()
        .with_integers("m.qweight", &[2, 8], vec![0x7654_3210; 16])
        .with_integers("m.qzeros", &[2, 1], vec![0x7777_7777; 2])
        .with_floats("m.scales", &[2, 8], vec![0.5; 16])
        .with_integers(
            "m.g_idx",
            &[16],
            (0..16).map(|channel| channel / 8).collect(),
        );
    (
        source,
        json!({ "quant_method": "gptq", "bits": 4, "group_size": 8, "desc_act": false, "sym": true }),
    )
}

fn awq() -> (MemorySource, Value) {
    let source = MemorySource::default()
        .with_integers("m.qweight", &[16, 1], vec![0x7654_3210; 16])
        .with_integers("m.qzeros", &[2, 1], vec![0x7777_7777; 2])
        .with_floats("m.scales", &[2, 8], vec![0.5; 16]);
    (
        source,
        json!({ "quant_method": "awq", "bits": 4, "group_size": 8, "version": "gemm", "zero_point": true }),
    )
}

fn compressed() -> (MemorySource, Value) {
    let source = MemorySource::default()
        .with_integers("m.weight_packed", &[8, 2], vec![0x7654_3210; 16])
        .with_integers("m.weight_shape", &[2], vec![8, 16])
        .with_integers("m.weight_zero_point", &[1, 2], vec![0x7777_7777; 2])
        .with_floats("m.weight_scale", &[8, 2], vec![0.5; 16]);
    let weights = json!({ "num_bits": 4, "type": "int", "symmetric": false, "strategy": "group", "group_size": 8 });
    (source, compressed_config("pack-quantized", weights))
}

fn bytes() -> (MemorySource, Value) {
    let source = MemorySource::default()
        .with_integers("m.weight", &[2, 3], vec![-128, 0, 127, 1, 2, 3])
        .with_integers("m.weight_zero_point", &[2, 1], vec![-3, 4])
        .with_floats("m.weight_scale", &[2, 1], vec![0.5; 2]);
    let weights =
        json!({ "num_bits": 8, "type": "int", "symmetric": false, "strategy": "channel" });
    (source, compressed_config("int-quantized", weights))
}

fn compressed_config(format: &str, weights: Value) -> Value {
    json!({
        "quant_method": "compressed-tensors",
        "format": format,
        "quantization_status": "compressed",
        "config_groups": { "group_0": { "targets": ["Linear"], "weights": weights } },
        "ignore": ["lm_head"],
    })
}

fn outcome(source: &MemorySource, config: &Value) -> Result<Vec<f32>, String> {
    let quantized = QuantizedSource::open(source, config).map_err(|error| error.to_string())?;
    quantized
        .floats("m.weight")
        .map_err(|error| error.to_string())
}
