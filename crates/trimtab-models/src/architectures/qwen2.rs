//! Qwen2, Qwen2.5 and Qwen2.5-Coder: Llama with biases on queries, keys and values, and a sliding
//! window in the upper layers where it is switched on.
//!
//! Sources: Yang et al. 2024, "Qwen2 Technical Report", <https://arxiv.org/abs/2407.10671>; Hui et
//! al. 2024, "Qwen2.5-Coder", <https://arxiv.org/abs/2409.12186>. Reference implementation:
//! `modeling_qwen2.py` of Hugging Face transformers.

use super::{Architecture, gguf_keys::GgufKeys, hf_keys::HfKeys, llama};
use crate::{
    ConfigError, ModelConfig,
    config::{Biases, SlidingWindow},
};

const BIASES: Biases = Biases {
    qkv: true,
    output: false,
    mlp: false,
};

pub(super) fn from_hf(keys: &HfKeys<'_>) -> Result<ModelConfig, ConfigError> {
    let mut config = llama::family_from_hf(keys, Architecture::Qwen2)?;
    config.biases = BIASES;
    config.window = upper_window(keys, config.n_layers)?;
    Ok(config)
}

/// The window of the layers from `max_window_layers` on, if `use_sliding_window` is set.
pub(super) fn upper_window(
    keys: &HfKeys<'_>,
    n_layers: usize,
) -> Result<Option<SlidingWindow>, ConfigError> {
    if !keys.flag_or("use_sliding_window", false)? {
        return Ok(None);
    }
    let first = keys.count_or("max_window_layers", 28)?;
    keys.window(n_layers, first)
}

pub(super) fn from_gguf(keys: &GgufKeys<'_>) -> Result<ModelConfig, ConfigError> {
    let mut config = llama::family_from_gguf(keys, Architecture::Qwen2)?;
    config.biases = BIASES;
    Ok(config)
}
