//! The sizes of the catalog's models, so that what they need is known before they are fetched.
//!
//! A test compares them with the files, where these are on the machine.

use trimtab_domain::ModelName;
use trimtab_models::{Architecture, ModelConfig};

/// The sizes of a catalog model; `None` for any other.
pub(crate) fn recorded_config(name: &ModelName) -> Option<ModelConfig> {
    match name.as_str() {
        "qwen2.5-coder-0.5b-instruct" => Some(qwen_coder_half_b()),
        "smollm2-135m-instruct" => Some(smollm2_135m()),
        _ => None,
    }
}

fn qwen_coder_half_b() -> ModelConfig {
    ModelConfig {
        architecture: Architecture::Qwen2,
        n_layers: 24,
        d_model: 896,
        d_ff: 4_864,
        n_heads: 14,
        n_kv_heads: 2,
        d_head: 64,
        vocab_size: 151_936,
        max_len: 32_768,
        rope_theta: 1e6,
        rms_epsilon: 1e-6,
        has_tied_head: false,
    }
}

fn smollm2_135m() -> ModelConfig {
    ModelConfig {
        architecture: Architecture::Llama,
        n_layers: 30,
        d_model: 576,
        d_ff: 1_536,
        n_heads: 9,
        n_kv_heads: 3,
        d_head: 64,
        vocab_size: 49_152,
        max_len: 8_192,
        rope_theta: 1e5,
        rms_epsilon: 1e-5,
        has_tied_head: true,
    }
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
