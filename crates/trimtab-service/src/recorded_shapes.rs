//! The sizes of the catalog's models, so that what they need is known before they are fetched.
//!
//! A test compares them with the files, where these are on the machine.

use serde_json::{Value, json};
use trimtab_domain::ModelName;
use trimtab_models::ModelConfig;

/// The sizes of a catalog model; `None` for any other.
pub(crate) fn recorded_config(name: &ModelName) -> Option<ModelConfig> {
    let recorded = match name.as_str() {
        "qwen2.5-coder-0.5b-instruct" => qwen_coder_half_b(),
        "smollm2-135m-instruct" => smollm2_135m(),
        _ => return None,
    };
    Some(ModelConfig::from_hf(&recorded).expect("recorded sizes are those of real models"))
}

fn qwen_coder_half_b() -> Value {
    json!({
        "model_type": "qwen2", "num_hidden_layers": 24, "hidden_size": 896,
        "intermediate_size": 4864, "num_attention_heads": 14, "num_key_value_heads": 2,
        "vocab_size": 151_936, "max_position_embeddings": 32_768, "rope_theta": 1e6,
        "rms_norm_eps": 1e-6, "tie_word_embeddings": false,
    })
}

fn smollm2_135m() -> Value {
    json!({
        "model_type": "llama", "num_hidden_layers": 30, "hidden_size": 576,
        "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3,
        "vocab_size": 49_152, "max_position_embeddings": 8192, "rope_theta": 1e5,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::catalog;

    #[test]
    fn every_catalog_model_has_recorded_sizes() {
        for entry in catalog() {
            assert!(recorded_config(&entry.name).is_some(), "{}", entry.name);
        }
        assert!(recorded_config(&"other".parse().unwrap()).is_none());
    }
}
