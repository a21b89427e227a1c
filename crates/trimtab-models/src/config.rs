//! The sizes and constants of a model, read from a checkpoint's metadata.

use crate::gguf::{GgufError, GgufFile};
use serde::{Deserialize, Serialize};
use trimtab_kernels::AttentionShape;

/// Architectures that can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Llama 2 and 3 without rope scaling, SmolLM2.
    Llama,
    /// Qwen2 and Qwen2.5: Llama with biases on queries, keys and values.
    Qwen2,
}

/// The sizes and constants of a decoder-only model. Names follow Hugging Face where theirs differ
/// only by prefix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The architecture.
    pub architecture: Architecture,
    /// Decoder blocks.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of the MLP.
    pub d_ff: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Channels of a head.
    pub d_head: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Longest context the model was trained for.
    pub max_len: usize,
    /// Base of the rotary embedding.
    pub rope_theta: f64,
    /// Added to the mean square in norms.
    pub rms_epsilon: f32,
    /// Whether the output head is the embedding.
    pub has_tied_head: bool,
}

/// Why a checkpoint's metadata describes no model that can be run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The metadata cannot be read.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// An architecture without an implementation.
    #[error("architecture `{0}` is not supported; `llama` and `qwen2` are")]
    Architecture(String),
    /// A feature of the architecture without an implementation.
    #[error("`{key}` = `{value}` is not supported")]
    Feature {
        /// The metadata key.
        key: String,
        /// Its value.
        value: String,
    },
    /// A size that cannot be right.
    #[error("`{key}` = {value} {reason}")]
    Size {
        /// The metadata key.
        key: String,
        /// Its value.
        value: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// No model of this size is known; larger claims are mistakes or attacks.
const MAX_SIZE: usize = 1 << 24;

impl ModelConfig {
    /// Reads the sizes from the metadata of a GGUF file.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, ConfigError> {
        let name = file.get_str("general.architecture")?;
        let architecture = match name {
            "llama" => Architecture::Llama,
            "qwen2" => Architecture::Qwen2,
            other => return Err(ConfigError::Architecture(other.to_owned())),
        };
        refuse_rope_scaling(file, name)?;
        let size = |key: &str| checked_size(file, &format!("{name}.{key}"));
        let (d_model, n_heads) = (size("embedding_length")?, size("attention.head_count")?);
        let key_length = format!("{name}.attention.key_length");
        let d_head = match file.metadata().contains_key(&key_length) {
            true => checked_size(file, &key_length)?,
            false => d_model / n_heads,
        };
        let epsilon_key = format!("{name}.attention.layer_norm_rms_epsilon");
        let theta_key = format!("{name}.rope.freq_base");
        let has_theta = file.metadata().contains_key(&theta_key);
        let config = Self {
            architecture,
            n_layers: size("block_count")?,
            d_model,
            d_ff: size("feed_forward_length")?,
            n_heads,
            n_kv_heads: size("attention.head_count_kv")?,
            d_head,
            vocab_size: embedding_rows(file)?,
            max_len: size("context_length")?,
            rope_theta: if has_theta {
                f64::from(file.get_f32(&theta_key)?)
            } else {
                10_000.0
            },
            rms_epsilon: file.get_f32(&epsilon_key)?,
            has_tied_head: file.tensor("output.weight").is_none(),
        };
        config.check(name)?;
        Ok(config)
    }

    fn check(&self, prefix: &str) -> Result<(), ConfigError> {
        let wrong = |key: &str, value, reason| {
            Err(ConfigError::Size {
                key: format!("{prefix}.{key}"),
                value,
                reason,
            })
        };
        if self.d_head == 0 || !self.d_head.is_multiple_of(2) {
            return wrong(
                "attention.key_length",
                self.d_head,
                "is not an even number of channels",
            );
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            return wrong(
                "attention.head_count_kv",
                self.n_kv_heads,
                "does not divide the heads",
            );
        }
        Ok(())
    }

    /// The heads, as the attention kernel takes them.
    pub fn attention_shape(&self) -> AttentionShape {
        AttentionShape {
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads,
            d_head: self.d_head,
        }
    }

    /// Weights in all, a tied head counted once.
    pub fn n_parameters(&self) -> u64 {
        crate::weight_specs(self)
            .iter()
            .map(|spec| (spec.d_out * spec.d_in) as u64)
            .sum()
    }

    /// Bytes of keys and values of `n_tokens` tokens in f32.
    pub fn kv_cache_bytes(&self, n_tokens: usize) -> u64 {
        (2 * 4 * self.n_layers * self.n_kv_heads * self.d_head * n_tokens) as u64
    }
}

fn checked_size(file: &GgufFile, key: &str) -> Result<usize, ConfigError> {
    let value = file.get_u32(key)? as usize;
    if (1..=MAX_SIZE).contains(&value) {
        return Ok(value);
    }
    Err(ConfigError::Size {
        key: key.to_owned(),
        value,
        reason: "is not between 1 and 16,777,216",
    })
}

fn embedding_rows(file: &GgufFile) -> Result<usize, ConfigError> {
    let rows = file
        .tensor("token_embd.weight")
        .and_then(|tensor| tensor.shape.first().copied());
    rows.ok_or_else(|| GgufError::MissingTensor("token_embd.weight".to_owned()).into())
}

fn refuse_rope_scaling(file: &GgufFile, prefix: &str) -> Result<(), ConfigError> {
    let key = format!("{prefix}.rope.scaling.type");
    let value = match file.metadata().contains_key(&key) {
        true => file.get_str(&key)?,
        false => "none",
    };
    let has_factors = file.tensor("rope_freqs.weight").is_some();
    match (value, has_factors) {
        ("none", false) => Ok(()),
        ("none", true) => Err(ConfigError::Feature {
            key: "rope_freqs.weight".to_owned(),
            value: "per-channel factors".to_owned(),
        }),
        (other, _) => Err(ConfigError::Feature {
            key,
            value: other.to_owned(),
        }),
    }
}
