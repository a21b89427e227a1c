//! Factors that do not fit the settings or the model: one test for each way.

use super::settings::settings;
use crate::{
    TensorSource,
    hf::{WeightFiles, WeightFormat},
    peft::{
        AdaptableLinear, AdapterConfig, AdapterError, MergedSource, PeftAdapter, adaptable_linears,
    },
    tiny::TinyModel,
};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

const Q: &str = "base_model.model.model.layers.0.self_attn.q_proj";

fn linears() -> Vec<AdaptableLinear> {
    let one_layer = TinyModel {
        n_layers: 1,
        ..TinyModel::default()
    };
    adaptable_linears(&one_layer.config())
}

/// A file of tensors that hold `value`.
fn tensors(entries: &[(String, [usize; 2])], value: f32) -> WeightFiles {
    let data: Vec<Vec<u8>> = entries
        .iter()
        .map(|(_, [rows, columns])| value.to_le_bytes().repeat(rows * columns))
        .collect();
    let views = entries.iter().zip(&data).map(|((name, shape), data)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap();
        (name.clone(), view)
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    WeightFiles::from_bytes(bytes, WeightFormat::Safetensors).unwrap()
}

/// The factors of rank 4 that the plain settings ask for: queries are 96 × 96.
fn good() -> Vec<(String, [usize; 2])> {
    vec![
        (format!("{Q}.lora_A.weight"), [4, 96]),
        (format!("{Q}.lora_B.weight"), [96, 4]),
    ]
}

fn read(entries: &[(String, [usize; 2])], changes: &Value) -> Result<PeftAdapter, AdapterError> {
    let config = AdapterConfig::parse(&settings(changes)).unwrap();
    PeftAdapter::new(&config, &tensors(entries, 0.5), &linears())
}

#[track_caller]
fn refused(entries: &[(String, [usize; 2])], changes: Value) -> AdapterError {
    read(entries, &changes).unwrap_err()
}

#[test]
fn good_factors_are_read_under_both_kinds_of_keys() {
    let adapter = read(&good(), &json!({})).unwrap();
    assert_eq!(
        adapter.layers().collect::<Vec<_>>(),
        ["model.layers.0.self_attn.q_proj"]
    );
    let named = good()
        .into_iter()
        .map(|(name, shape)| (name.replace(".weight", ".default.weight"), shape));
    assert!(read(&named.collect::<Vec<_>>(), &json!({})).is_ok());
}

#[test]
fn a_target_that_matches_nothing_lists_what_exists() {
    let error = refused(&good(), json!({"target_modules": ["q_proj", "c_attn"]}));
    assert_eq!(
        error.to_string(),
        "target module `c_attn` matches nothing in this model, which has `down_proj`, `gate_proj`, \
         `k_proj`, `o_proj`, `q_proj`, `up_proj`, `v_proj`"
    );
    assert!(error.hint().is_some());
    for targets in [json!("c_attn"), json!([])] {
        let error = refused(&good(), json!({"target_modules": targets}));
        assert!(
            matches!(error, AdapterError::TargetMatchesNothing { .. }),
            "{error}"
        );
    }
}

#[test]
fn tensors_that_are_no_factors_are_named() {
    for name in [
        format!("{Q}.lora_magnitude_vector.weight"),
        format!("{Q}.lora_B.bias"),
        "base_model.model.lm_head.weight".to_owned(),
        "model.layers.0.self_attn.q_proj.lora_A.weight".to_owned(),
    ] {
        let mut entries = good();
        entries.push((name.clone(), [4, 96]));
        let error = refused(&entries, json!({}));
        assert!(matches!(error, AdapterError::UnexpectedTensor(found) if found == name));
    }
}

#[test]
fn factors_of_other_layers_are_named() {
    let mut entries = good();
    entries.push((
        "base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight".to_owned(),
        [4, 96],
    ));
    let error = refused(&entries, json!({}));
    assert!(
        matches!(&error, AdapterError::UnknownLayer { tensor, .. } if tensor.contains("layers.7"))
    );

    let mut entries = good();
    entries.push((
        "base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight".to_owned(),
        [4, 96],
    ));
    let error = refused(&entries, json!({}));
    assert!(matches!(error, AdapterError::NotTargeted(layer) if layer.ends_with("k_proj")));
}

#[test]
fn missing_and_double_factors_are_named() {
    let error = refused(&good()[..1], json!({}));
    assert!(matches!(
        error,
        AdapterError::MissingFactor {
            factor: "lora_B",
            ..
        }
    ));
    let error = refused(&good(), json!({"target_modules": ["q_proj", "k_proj"]}));
    assert!(matches!(
        error,
        AdapterError::MissingFactor {
            factor: "lora_A",
            ..
        }
    ));
    let mut entries = good();
    entries.push((format!("{Q}.lora_A.default.weight"), [4, 96]));
    assert!(matches!(
        refused(&entries, json!({})),
        AdapterError::AmbiguousFactor(_)
    ));
}

#[test]
fn factors_of_another_shape_are_named() {
    let error = refused(&good(), json!({"r": 8}));
    assert!(
        matches!(
            error,
            AdapterError::FactorShape {
                expected: [8, 96],
                ..
            }
        ),
        "{error}"
    );
    let mut entries = good();
    entries[1].1 = [64, 4];
    let error = refused(&entries, json!({}));
    assert!(
        matches!(
            error,
            AdapterError::FactorShape {
                expected: [96, 4],
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn factors_that_are_no_numbers_are_refused() {
    let config = AdapterConfig::parse(&settings(&json!({}))).unwrap();
    let error = PeftAdapter::new(&config, &tensors(&good(), f32::NAN), &linears()).unwrap_err();
    assert!(matches!(error, AdapterError::Tensor(_)), "{error}");
}

#[test]
fn the_wrong_way_round_is_refused() {
    let error = refused(&good(), json!({"fan_in_fan_out": true}));
    assert!(
        matches!(
            error,
            AdapterError::FanInFanOut {
                in_config: true,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let adapter = read(&good(), &json!({})).unwrap();
    let layer = "model.layers.0.self_attn.q_proj";
    let error = adapter.merge(layer, &mut [0.0; 95]).unwrap_err();
    assert!(
        matches!(error, AdapterError::WeightLength { got: 95, .. }),
        "{error}"
    );
    let mut other = [1.0; 3];
    adapter
        .merge("model.layers.0.mlp.up_proj", &mut other)
        .unwrap();
    assert_eq!(other.to_vec(), [1.0; 3]);

    let base = tensors(&[(format!("{layer}.weight"), [96, 95])], 0.0);
    let error = MergedSource::new(&base, &adapter).unwrap_err();
    assert!(
        matches!(
            error,
            AdapterError::BaseWeight {
                expected: [96, 96],
                ..
            }
        ),
        "{error}"
    );
    let base = tensors(&[(layer.to_owned(), [96, 96])], f32::MAX);
    let merged = MergedSource::new(&base, &adapter).unwrap();
    assert!(
        merged.floats(layer).is_ok(),
        "a change far below the last place of the weight"
    );
}

#[test]
fn folders_without_what_is_needed_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = || PeftAdapter::open(folder.path(), &linears()).unwrap_err();
    assert!(matches!(open(), AdapterError::Read { .. }));
    let config = folder.path().join("adapter_config.json");
    std::fs::write(&config, settings(&json!({}))).unwrap();
    assert!(matches!(open(), AdapterError::NoWeights(_)));
    std::fs::write(folder.path().join("adapter_model.safetensors"), b"nonsense").unwrap();
    assert!(matches!(open(), AdapterError::Weights(_)));
    std::fs::write(&config, vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(matches!(open(), AdapterError::ConfigTooLong(_)));
}
