//! Mistral: Llama with a sliding window over the past in every layer.
//!
//! Source: Jiang et al. 2023, "Mistral 7B", section 2, <https://arxiv.org/abs/2310.06825>. Reference
//! implementation: `modeling_mistral.py` of Hugging Face transformers. GGUF files call it `llama`.

use super::{Architecture, hf_keys::HfKeys, llama};
use crate::{ConfigError, ModelConfig};

pub(super) fn from_hf(keys: &HfKeys<'_>) -> Result<ModelConfig, ConfigError> {
    let mut config = llama::family_from_hf(keys, Architecture::Mistral)?;
    config.window = keys.window(config.n_layers, 0)?;
    Ok(config)
}
