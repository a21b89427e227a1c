//! Qwen3: Llama with queries and keys of each head normed before they are rotated, and heads whose
//! width is independent of the model's.
//!
//! Source: Yang et al. 2025, "Qwen3 Technical Report", section 2, <https://arxiv.org/abs/2505.09388>.
//! Reference implementation: `modeling_qwen3.py` of Hugging Face transformers.

use super::{Architecture, gguf_keys::GgufKeys, hf_keys::HfKeys, llama, qwen2};
use crate::{ConfigError, ModelConfig, config::Biases};

/// Channels of a head where the configuration does not say.
const D_HEAD: usize = 128;

pub(super) fn from_hf(keys: &HfKeys<'_>) -> Result<ModelConfig, ConfigError> {
    let mut config = llama::family_from_hf(keys, Architecture::Qwen3)?;
    config.d_head = keys.find_size("head_dim")?.unwrap_or(D_HEAD);
    let has_bias = keys.flag_or("attention_bias", false)?;
    config.biases = Biases {
        qkv: has_bias,
        output: has_bias,
        mlp: false,
    };
    config.has_query_key_norm = true;
    config.window = qwen2::upper_window(keys, config.n_layers)?;
    Ok(config)
}

pub(super) fn from_gguf(keys: &GgufKeys<'_>) -> Result<ModelConfig, ConfigError> {
    let mut config = llama::family_from_gguf(keys, Architecture::Qwen3)?;
    config.has_query_key_norm = true;
    Ok(config)
}
