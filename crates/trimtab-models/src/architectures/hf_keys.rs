//! Typed access to Hugging Face's `config.json`.

use crate::{
    ConfigError,
    config::{Activation, MAX_SIZE, Sizes, SlidingWindow},
    rope::{RopeScaling, Yarn, yarn_warming},
};
use serde_json::Value;

/// The keys of a `config.json`.
pub(super) struct HfKeys<'a>(pub(super) &'a Value);

impl<'a> HfKeys<'a> {
    /// The value of `key`; `None` where it is missing or null.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn wrong(key: &str, value: &Value, wanted: &'static str) -> ConfigError {
        ConfigError::Type {
            key: key.to_owned(),
            value: value.to_string(),
            wanted,
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<&'a str, ConfigError> {
        let value = self
            .get(key)
            .ok_or_else(|| ConfigError::Missing(key.to_owned()))?;
        value
            .as_str()
            .ok_or_else(|| Self::wrong(key, value, "a text"))
    }

    pub(super) fn find_text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        self.get(key).map(|_| self.text(key)).transpose()
    }

    /// A size between 1 and 2²⁴; `None` where the key is missing.
    pub(super) fn find_size(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let size = value.as_u64().map_or(0, |size| size as usize);
        if (1..=MAX_SIZE).contains(&size) {
            return Ok(Some(size));
        }
        Err(Self::wrong(
            key,
            value,
            "a whole number between 1 and 16,777,216",
        ))
    }

    /// The sizes under the names that most architectures use.
    pub(super) fn sizes(&self) -> Result<Sizes, ConfigError> {
        Ok(Sizes {
            n_layers: self.size("num_hidden_layers")?,
            d_model: self.size("hidden_size")?,
            d_ff: self.size("intermediate_size")?,
            n_heads: self.size("num_attention_heads")?,
            vocab_size: self.size("vocab_size")?,
            max_len: self.size("max_position_embeddings")?,
        })
    }

    pub(super) fn size(&self, key: &str) -> Result<usize, ConfigError> {
        self.find_size(key)?
            .ok_or_else(|| ConfigError::Missing(key.to_owned()))
    }

    pub(super) fn find_number(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => Err(Self::wrong(key, value, "a number")),
            },
        }
    }

    pub(super) fn number_or(&self, key: &str, default: f64) -> Result<f64, ConfigError> {
        Ok(self.find_number(key)?.unwrap_or(default))
    }

    pub(super) fn flag_or(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| Self::wrong(key, value, "true or false")),
        }
    }

    /// A count that may be 0.
    pub(super) fn count_or(&self, key: &str, default: usize) -> Result<usize, ConfigError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => match value.as_u64() {
                Some(count) if count <= MAX_SIZE as u64 => Ok(count as usize),
                _ => Err(Self::wrong(key, value, "a whole number up to 16,777,216")),
            },
        }
    }

    /// Refuses any other value of a key that may be missing.
    pub(super) fn require_text(&self, key: &str, only: &str) -> Result<(), ConfigError> {
        match self.get(key) {
            None => Ok(()),
            Some(Value::String(value)) if value == only => Ok(()),
            Some(value) => Err(ConfigError::Feature {
                key: key.to_owned(),
                value: value.to_string(),
            }),
        }
    }

    /// The activation of a plain MLP.
    pub(super) fn activation(
        &self,
        key: &str,
        default: Activation,
    ) -> Result<Activation, ConfigError> {
        match self.find_text(key)? {
            None => Ok(default),
            Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Ok(Activation::GeluTanh),
            Some("gelu") => Ok(Activation::Gelu),
            Some("relu") => Ok(Activation::Relu),
            Some(other) => Err(ConfigError::Feature {
                key: key.to_owned(),
                value: other.to_owned(),
            }),
        }
    }

    /// Base and scaling of the rotary embedding: `rope_theta` and `rope_scaling`, or both in
    /// `rope_parameters`.
    pub(super) fn rope(&self, max_len: usize) -> Result<(f64, RopeScaling), ConfigError> {
        let joint = self.get("rope_parameters");
        let theta = match joint {
            Some(joint) => HfKeys(joint).find_number("rope_theta")?,
            None => None,
        };
        let theta = match theta {
            Some(theta) => theta,
            None => self.number_or("rope_theta", 10_000.0)?,
        };
        let Some(scaling) = self.get("rope_scaling").or(joint) else {
            return Ok((theta, RopeScaling::None));
        };
        Ok((theta, HfKeys(scaling).rope_scaling(max_len)?))
    }

    fn rope_scaling(&self, max_len: usize) -> Result<RopeScaling, ConfigError> {
        let key = match self.get("rope_type") {
            Some(_) => "rope_type",
            None => "type",
        };
        let kind = self.find_text(key)?;
        let factor = || {
            let factor = self.find_number("factor")?;
            factor.ok_or_else(|| ConfigError::Missing("rope_scaling.factor".to_owned()))
        };
        let original_max_len = self
            .find_size("original_max_position_embeddings")?
            .unwrap_or(max_len);
        match kind {
            None | Some("default") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear { factor: factor()? }),
            Some("llama3") => Ok(RopeScaling::Llama3 {
                factor: factor()?,
                low_freq_factor: self.number_or("low_freq_factor", 1.0)?,
                high_freq_factor: self.number_or("high_freq_factor", 4.0)?,
                original_max_len,
            }),
            Some("yarn") => Ok(RopeScaling::Yarn(self.yarn(factor()?, original_max_len)?)),
            Some(other) => Err(ConfigError::Feature {
                key: "rope_scaling.rope_type".to_owned(),
                value: other.to_owned(),
            }),
        }
    }

    fn yarn(&self, factor: f64, original_max_len: usize) -> Result<Yarn, ConfigError> {
        let mscale = self.number_or("mscale", 0.0)?;
        let mscale_all_dim = self.number_or("mscale_all_dim", 0.0)?;
        let inferred = if mscale != 0.0 && mscale_all_dim != 0.0 {
            yarn_warming(factor, mscale) / yarn_warming(factor, mscale_all_dim)
        } else {
            yarn_warming(factor, 1.0)
        };
        Ok(Yarn {
            factor,
            beta_fast: self.number_or("beta_fast", 32.0)?,
            beta_slow: self.number_or("beta_slow", 1.0)?,
            original_max_len,
            attention_factor: self.number_or("attention_factor", inferred)?,
            mscale_all_dim,
            rounds_ramp: self.flag_or("truncate", true)?,
        })
    }

    /// The sliding window: on the layers that `layer_types` names, else from layer `first` on.
    pub(super) fn window(
        &self,
        n_layers: usize,
        first: usize,
    ) -> Result<Option<SlidingWindow>, ConfigError> {
        let Some(n_tokens) = self.find_size("sliding_window")? else {
            return Ok(None);
        };
        let layers: Vec<usize> = match self.get("layer_types") {
            None => (first..n_layers).collect(),
            Some(Value::Array(types)) if types.len() == n_layers => {
                let mut layers = Vec::new();
                for (layer_idx, kind) in types.iter().enumerate() {
                    match kind.as_str() {
                        Some("sliding_attention") => layers.push(layer_idx),
                        Some("full_attention") => {}
                        _ => {
                            return Err(ConfigError::Feature {
                                key: "layer_types".to_owned(),
                                value: kind.to_string(),
                            });
                        }
                    }
                }
                layers
            }
            Some(other) => {
                return Err(Self::wrong(
                    "layer_types",
                    other,
                    "a list with one entry a layer",
                ));
            }
        };
        Ok((!layers.is_empty()).then_some(SlidingWindow { n_tokens, layers }))
    }
}
