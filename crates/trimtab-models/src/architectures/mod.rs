//! The architectures: how each names and sizes its weights, one file each.
//!
//! Every architecture becomes a [`ModelConfig`], which the one module tree of [`crate::decoder`]
//! runs; nothing else in the project asks which architecture a model has.

mod deepseek_v2;
mod gguf_keys;
mod gpt2;
mod gpt_bigcode;
mod hf_keys;
mod hf_sizes;
mod llama;
mod mistral;
mod qwen2;
mod qwen3;
mod starcoder2;

pub use deepseek_v2::{Experts, LatentAttention};

use crate::{ConfigError, ModelConfig, gguf::GgufFile, weights::WeightList};
use gguf_keys::GgufKeys;
use hf_keys::HfKeys;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Architectures that can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Llama 2 and 3, SmolLM2, DeepSeek-Coder.
    Llama,
    /// Mistral: Llama with a sliding window.
    Mistral,
    /// Qwen2 and Qwen2.5: Llama with biases on queries, keys and values.
    Qwen2,
    /// Qwen3: Llama with normed queries and keys.
    Qwen3,
    /// DeepSeek-V2 and DeepSeek-Coder-V2: latent attention and a mixture of experts.
    DeepseekV2,
    /// `StarCoder2`: layer norms, plain MLP, biases.
    Starcoder2,
    /// GPT-2 and `CodeParrot`: learned positions.
    Gpt2,
    /// GPT-BigCode, `SantaCoder` and `StarCoder`: GPT-2 with one key and value head.
    GptBigcode,
}

impl Architecture {
    /// The name in Hugging Face's `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::DeepseekV2 => "deepseek_v2",
            Self::Starcoder2 => "starcoder2",
            Self::Gpt2 => "gpt2",
            Self::GptBigcode => "gpt_bigcode",
        }
    }
}

impl ModelConfig {
    /// Reads the sizes from Hugging Face's `config.json`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for an architecture or feature without an implementation, and for sizes that
    /// cannot be right.
    pub fn from_hf(config: &Value) -> Result<Self, ConfigError> {
        let keys = HfKeys(config);
        let config = match keys.text("model_type")? {
            "llama" => llama::from_hf(&keys),
            "mistral" => mistral::from_hf(&keys),
            "qwen2" => qwen2::from_hf(&keys),
            "qwen3" => qwen3::from_hf(&keys),
            "deepseek_v2" => deepseek_v2::from_hf(&keys),
            "starcoder2" => starcoder2::from_hf(&keys),
            "gpt2" => gpt2::from_hf(&keys),
            "gpt_bigcode" => gpt_bigcode::from_hf(&keys),
            other => Err(ConfigError::Architecture(other.to_owned())),
        }?;
        config.check()
    }

    /// Reads the sizes from the metadata of a GGUF file.
    ///
    /// # Errors
    ///
    /// As [`Self::from_hf`].
    pub fn from_gguf(file: &GgufFile) -> Result<Self, ConfigError> {
        let name = file.get_str("general.architecture")?;
        let keys = GgufKeys { file, prefix: name };
        let config = match name {
            "llama" => llama::from_gguf(&keys),
            "qwen2" => qwen2::from_gguf(&keys),
            "qwen3" => qwen3::from_gguf(&keys),
            "starcoder2" => starcoder2::from_gguf(&keys),
            "gpt2" => gpt2::from_gguf(&keys),
            other => Err(ConfigError::Architecture(format!(
                "{other} (in a GGUF file)"
            ))),
        }?;
        config.check()
    }
}

/// Adds all weights of the model, in the order of the forward pass.
pub(crate) fn list_weights(list: &mut WeightList<'_>) {
    match list.config.architecture {
        Architecture::Llama | Architecture::Mistral | Architecture::Qwen2 | Architecture::Qwen3 => {
            llama::list_weights(list);
        }
        Architecture::DeepseekV2 => deepseek_v2::list_weights(list),
        Architecture::Starcoder2 => starcoder2::list_weights(list),
        Architecture::Gpt2 => gpt2::list_weights(list),
        Architecture::GptBigcode => gpt_bigcode::list_weights(list),
    }
}
