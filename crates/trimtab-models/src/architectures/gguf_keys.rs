//! Typed access to the metadata of a GGUF file.

use crate::{
    ConfigError,
    config::{Biases, MAX_SIZE, Sizes},
    gguf::{GgufError, GgufFile},
    rope::{RopeScaling, Yarn, yarn_warming},
};

/// The metadata of an architecture: keys are `prefix.key`.
pub(super) struct GgufKeys<'a> {
    pub(super) file: &'a GgufFile,
    pub(super) prefix: &'a str,
}

impl GgufKeys<'_> {
    fn has(&self, key: &str) -> bool {
        let key = format!("{}.{key}", self.prefix);
        self.file.metadata().contains_key(&key)
    }

    pub(super) fn size(&self, key: &str) -> Result<usize, ConfigError> {
        let key = format!("{}.{key}", self.prefix);
        let value = self.file.get_u32(&key)? as usize;
        if (1..=MAX_SIZE).contains(&value) {
            return Ok(value);
        }
        Err(ConfigError::Size {
            key,
            value,
            reason: "is not between 1 and 16,777,216",
        })
    }

    /// The sizes that every architecture has.
    pub(super) fn sizes(&self) -> Result<Sizes, ConfigError> {
        Ok(Sizes {
            n_layers: self.size("block_count")?,
            d_model: self.size("embedding_length")?,
            d_ff: self.size("feed_forward_length")?,
            n_heads: self.size("attention.head_count")?,
            vocab_size: self.vocab_size()?,
            max_len: self.size("context_length")?,
        })
    }

    pub(super) fn find_size(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        self.has(key).then(|| self.size(key)).transpose()
    }

    pub(super) fn number(&self, key: &str) -> Result<f32, ConfigError> {
        Ok(self.file.get_f32(&format!("{}.{key}", self.prefix))?)
    }

    pub(super) fn number_or(&self, key: &str, default: f64) -> Result<f64, ConfigError> {
        if self.has(key) {
            Ok(f64::from(self.number(key)?))
        } else {
            Ok(default)
        }
    }

    /// Rows of the embedding.
    pub(super) fn vocab_size(&self) -> Result<usize, ConfigError> {
        let tensor = self.file.tensor("token_embd.weight");
        let rows = tensor.and_then(|tensor| tensor.shape.first().copied());
        rows.ok_or_else(|| GgufError::MissingTensor("token_embd.weight".to_owned()).into())
    }

    /// Whether the output head is the embedding.
    pub(super) fn has_tied_head(&self) -> bool {
        self.file.tensor("output.weight").is_none()
    }

    /// Whether a tensor is there.
    pub(super) fn has_tensor(&self, name: &str) -> bool {
        self.file.tensor(name).is_some()
    }

    /// Which products of a Llama or a relative add a bias, told from the first layer.
    pub(super) fn biases(&self) -> Biases {
        Biases {
            qkv: self.has_tensor("blk.0.attn_q.bias"),
            output: self.has_tensor("blk.0.attn_output.bias"),
            mlp: self.has_tensor("blk.0.ffn_up.bias"),
        }
    }

    /// How rotary frequencies are stretched: divisors stored as a tensor, or by rule.
    pub(super) fn rope_scaling(&self, max_len: usize) -> Result<RopeScaling, ConfigError> {
        if self.has_tensor("rope_freqs.weight") {
            let factors = self.file.dequantize("rope_freqs.weight")?;
            return Ok(RopeScaling::Factors { factors });
        }
        let key = format!("{}.rope.scaling.type", self.prefix);
        let kind = match self.has("rope.scaling.type") {
            true => self.file.get_str(&key)?,
            false => "none",
        };
        let factor = || self.number("rope.scaling.factor").map(f64::from);
        match kind {
            "none" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear { factor: factor()? }),
            "yarn" => {
                let factor = factor()?;
                let original = self.find_size("rope.scaling.original_context_length")?;
                let inferred = yarn_warming(factor, 1.0);
                Ok(RopeScaling::Yarn(Yarn {
                    factor,
                    beta_fast: self.number_or("rope.scaling.yarn_beta_fast", 32.0)?,
                    beta_slow: self.number_or("rope.scaling.yarn_beta_slow", 1.0)?,
                    original_max_len: original.unwrap_or(max_len),
                    attention_factor: self.number_or("rope.scaling.attn_factor", 1.0)? * inferred,
                    mscale_all_dim: 0.0,
                    rounds_ramp: true,
                }))
            }
            other => Err(ConfigError::Feature {
                key,
                value: other.to_owned(),
            }),
        }
    }
}
