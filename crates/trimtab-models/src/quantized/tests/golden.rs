//! What the packages that define the formats packed is read bit for bit as they read it.

use super::memory::{Content, MemorySource};
use crate::{TensorError, TensorSource, quantized::QuantizedSource};
use safetensors::Dtype;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: serde_json::Value,
    tensors: BTreeMap<String, Stored>,
    weight: Stored,
}

#[derive(Deserialize)]
struct Stored {
    r#type: String,
    shape: Vec<usize>,
    bytes: String,
}

impl Stored {
    fn add_to(&self, source: &mut MemorySource, name: &str) {
        let dtype = match self.r#type.as_str() {
            "f32" => Dtype::F32,
            "f16" => Dtype::F16,
            "i64" => Dtype::I64,
            "i32" => Dtype::I32,
            "i8" => Dtype::I8,
            other => panic!("{other}"),
        };
        source.add_bytes(name, dtype, &self.shape, &hex::decode(&self.bytes).unwrap());
    }
}

#[test]
fn weights_are_read_as_their_packages_read_them() {
    let golden: Golden =
        serde_json::from_str(include_str!("../../../tests/golden/quantized_formats.json")).unwrap();
    assert_eq!(golden.cases.len(), 14);
    for case in golden.cases {
        let mut source = MemorySource::default();
        for (part, stored) in &case.tensors {
            stored.add_to(&mut source, &format!("model.layer.{part}"));
        }
        let source = source.with_floats("model.layer.bias", &[1], vec![0.5]);
        let quantized = QuantizedSource::open(&source, &case.config).unwrap();
        let mut expected = MemorySource::default();
        case.weight.add_to(&mut expected, "weight");
        let (shape, Content::Floats(want)) = &expected.0["weight"] else {
            panic!("{}", case.name);
        };
        assert_eq!(
            quantized.names(),
            ["model.layer.bias", "model.layer.weight"],
            "{}",
            case.name
        );
        assert_eq!(
            quantized.shape("model.layer.weight").as_ref(),
            Some(shape),
            "{}",
            case.name
        );
        assert_eq!(quantized.floats("model.layer.bias").unwrap(), [0.5]);
        let got = quantized.floats("model.layer.weight").unwrap();
        let differing = got
            .iter()
            .zip(want)
            .position(|(got, want)| got.to_bits() != want.to_bits());
        assert_eq!(
            (got.len(), differing),
            (want.len(), None),
            "{}: {got:?}",
            case.name
        );
    }
}

#[test]
fn what_only_the_codes_need_is_hidden() {
    let source = MemorySource::default()
        .with_integers("m.weight_packed", &[1, 1], vec![0x7654_3210])
        .with_integers("m.weight_shape", &[2], vec![1, 8])
        .with_floats("m.weight_scale", &[1, 1], vec![0.5])
        .with_floats("norm.weight", &[1], vec![1.0]);
    let config = serde_json::json!({
        "quant_method": "compressed-tensors", "format": "pack-quantized",
        "config_groups": { "group_0": {
            "weights": { "num_bits": 4, "strategy": "channel" },
            "input_activations": { "num_bits": 8 },
        } },
    });
    let quantized = QuantizedSource::open(&source, &config).unwrap();
    assert_eq!(quantized.names(), ["m.weight", "norm.weight"]);
    let values: Vec<f32> = (-8_i8..0).map(|step| f32::from(step) * 0.5).collect();
    assert_eq!(quantized.floats("m.weight").unwrap(), values);
    assert_eq!(quantized.beyond_weights(), ["group_0.input_activations"]);
    for name in ["m.weight_scale", "m.weight_packed", "missing"] {
        assert!(
            quantized.shape(name).is_none() && quantized.stored_type(name).is_none(),
            "{name}"
        );
        assert!(
            matches!(quantized.floats(name), Err(TensorError::Missing(_))),
            "{name}"
        );
        assert!(
            matches!(quantized.integers(name), Err(TensorError::Missing(_))),
            "{name}"
        );
    }
    assert!(matches!(
        quantized.integers("m.weight"),
        Err(TensorError::Type { .. })
    ));
    assert!(quantized.grid("norm.weight").is_none());
}
