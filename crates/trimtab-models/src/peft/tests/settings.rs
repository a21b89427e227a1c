//! `adapter_config.json`: what its settings mean, and which are refused.

use crate::peft::{AdapterConfig, AdapterError};
use serde_json::{Value, json};

/// The least that a file says, changed.
pub(super) fn settings(changes: &Value) -> Vec<u8> {
    let mut settings =
        json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]});
    for (key, value) in changes.as_object().unwrap() {
        settings[key] = value.clone();
    }
    settings.to_string().into_bytes()
}

fn parse(changes: Value) -> Result<AdapterConfig, AdapterError> {
    AdapterConfig::parse(&settings(&changes))
}

const LAYER: &str = "model.layers.1.self_attn.q_proj";

#[test]
#[expect(clippy::float_cmp, reason = "both sides do the same arithmetic")]
fn scaling_is_alpha_over_rank_or_its_root() {
    let plain = parse(json!({})).unwrap();
    assert_eq!((plain.rank(LAYER), plain.scaling(LAYER)), (4, 2.0));
    let stabilised = parse(json!({"use_rslora": true})).unwrap();
    assert_eq!(stabilised.scaling(LAYER), 4.0);
}

#[test]
fn the_first_pattern_that_names_a_layer_counts() {
    let json = br#"{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": "x",
        "rank_pattern": {"z_none": 1, "layers.1.self_attn.q_proj": 2, "q_proj": 16},
        "alpha_pattern": {"^model.layers.0.*": 1, "self_attn\\.[qk]_proj": 3.5}}"#;
    let config = AdapterConfig::parse(json).unwrap();
    assert_eq!((config.rank(LAYER), config.scaling(LAYER)), (2, 1.75));
    let other = "model.layers.0.self_attn.q_proj";
    assert_eq!(
        (config.rank(other), config.scaling(other)),
        (16, 1.0 / 16.0)
    );
    // A pattern begins at a dot and ends with the name.
    assert_eq!(config.rank("model.layers.1.xq_proj"), 4);
    assert_eq!(config.rank("model.layers.1.q_proj.base"), 4);
}

#[test]
fn targets_are_ends_of_names_or_a_pattern_for_whole_ones() {
    let includes = |changes: Value, layer: &str| parse(changes).unwrap().targets.include(layer);
    assert!(includes(json!({}), LAYER));
    assert!(!includes(json!({}), "model.xq_proj"));
    assert!(includes(
        json!({"target_modules": ["self_attn.q_proj"]}),
        LAYER
    ));
    assert!(includes(
        json!({"target_modules": r".*\.1\..*(q|k)_proj"}),
        LAYER
    ));
    assert!(!includes(json!({"target_modules": "q_proj"}), LAYER));
    assert!(!includes(json!({"exclude_modules": [LAYER]}), LAYER));
    assert!(!includes(json!({"exclude_modules": ".*q_proj"}), LAYER));
    assert!(includes(json!({"exclude_modules": []}), LAYER));
}

#[test]
fn targets_may_be_limited_to_some_blocks() {
    let includes = |changes: Value| parse(changes).unwrap().targets.include(LAYER);
    assert!(includes(json!({"layers_to_transform": 1})));
    assert!(includes(json!({"layers_to_transform": []})));
    assert!(includes(
        json!({"layers_to_transform": [0, 1], "layers_pattern": "layers"})
    ));
    assert!(!includes(json!({"layers_to_transform": [0, 2]})));
    assert!(!includes(
        json!({"layers_to_transform": [1], "layers_pattern": ["h"]})
    ));
    let outside = parse(json!({"layers_to_transform": [1]})).unwrap();
    assert!(!outside.targets.include("q_proj"));
}

#[test]
fn settings_without_effect_are_passed_over() {
    let config = parse(json!({
        "task_type": "CAUSAL_LM", "bias": "none", "base_model_name_or_path": "x/y", "lora_dropout": 0.1,
        "init_lora_weights": true, "inference_mode": true, "modules_to_save": [], "use_dora": false,
        "layer_replication": null, "loftq_config": {}, "megatron_core": "megatron.core",
    }));
    assert!(config.is_ok());
}

#[test]
fn settings_whose_effect_is_missing_are_refused_by_name() {
    for (key, value) in [
        ("peft_type", json!("IA3")),
        ("task_type", json!("SEQ_CLS")),
        ("bias", json!("lora_only")),
        ("use_dora", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("init_lora_weights", json!("pissa")),
        ("layer_replication", json!([[0, 4]])),
        ("lora_bias", json!(true)),
        ("trainable_token_indices", json!([1])),
        ("something_new", json!("yes")),
    ] {
        let error = parse(json!({key: value})).unwrap_err();
        assert!(
            matches!(&error, AdapterError::Unsupported { key: found, .. } if found == key),
            "{error}"
        );
        assert!(error.hint().is_some());
    }
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    for changes in [
        json!({"r": 0}),
        json!({"r": 1_000_000}),
        json!({"r": -1}),
        json!({"r": "4"}),
        json!({"lora_alpha": 1e300}),
        json!({"lora_alpha": null}),
        json!({"rank_pattern": {"q_proj": 0}}),
        json!({"rank_pattern": [1]}),
        json!({"alpha_pattern": {"q_proj": 1e300}}),
        json!({"target_modules": null}),
        json!({"target_modules": 3}),
    ] {
        let error = parse(changes).unwrap_err();
        assert!(matches!(error, AdapterError::Config(_)), "{error}");
    }
    let twice = br#"{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": [],
        "rank_pattern": {"q": 1, "q": 2}}"#;
    let error = AdapterConfig::parse(twice).unwrap_err();
    assert!(error.to_string().contains("occurs twice"), "{error}");
    for json in [&b""[..], b"[]", b"{}", b"{\"peft_type\": \"LORA\"", b"\xff"] {
        assert!(matches!(
            AdapterConfig::parse(json),
            Err(AdapterError::Config(_))
        ));
    }
}

#[test]
fn patterns_that_cannot_be_used_are_refused() {
    for changes in [
        json!({"rank_pattern": {"(q_proj": 1}}),
        json!({"alpha_pattern": {"(?=x)": 1}}),
        json!({"target_modules": "a{1000}{1000}{1000}"}),
        json!({"exclude_modules": "["}),
        json!({"layers_pattern": ["(layers|h)"]}),
    ] {
        let error = parse(changes).unwrap_err();
        assert!(matches!(error, AdapterError::Pattern { .. }), "{error}");
    }
}
