//! `config.json` of a model that was made of another by taking layers, heads or neurons out.

use super::Architecture;
use crate::{ConfigError, ModelConfig};
use serde_json::{Map, Value};

/// What a kind of layer is called in `layer_types`.
const WINDOWED: &str = "sliding_attention";
const UNLIMITED: &str = "full_attention";

impl ModelConfig {
    /// `source`, the `config.json` of the model that this one was made of, with the sizes of this
    /// one; unchanged where they are the same.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where `source` is no configuration, or has no place for the sizes.
    pub fn hf_config_from(&self, source: &Value) -> Result<Value, ConfigError> {
        let former = Self::from_hf(source)?;
        let mut config = source.clone();
        let Some(keys) = config.as_object_mut() else {
            return Ok(config);
        };
        let (layers, neurons) = match self.architecture {
            Architecture::Gpt2 | Architecture::GptBigcode => ("n_layer", "n_inner"),
            _ => ("num_hidden_layers", "intermediate_size"),
        };
        if self.n_layers != former.n_layers {
            keys.insert(layers.to_owned(), self.n_layers.into());
            self.set_windows(keys, &former);
        }
        if self.d_ff != former.d_ff {
            keys.insert(neurons.to_owned(), self.d_ff.into());
        }
        if (self.n_heads, self.n_kv_heads) != (former.n_heads, former.n_kv_heads) {
            keys.insert("num_attention_heads".to_owned(), self.n_heads.into());
            keys.insert("num_key_value_heads".to_owned(), self.n_kv_heads.into());
            // Readers would divide the model's width by the heads.
            keys.insert("head_dim".to_owned(), self.d_head.into());
        }
        let sizes = |config: &Self| {
            let heads = (config.n_heads, config.n_kv_heads, config.d_head);
            (config.n_layers, heads, config.d_ff, config.window.clone())
        };
        let is_changed = config != *source;
        if is_changed && sizes(&Self::from_hf(&config)?) != sizes(self) {
            return Err(ConfigError::Feature {
                key: "model_type".to_owned(),
                value: format!("{} with these sizes", self.architecture.model_type()),
            });
        }
        Ok(config)
    }

    /// Says which of the layers that are left look through a window.
    fn set_windows(&self, keys: &mut Map<String, Value>, former: &Self) {
        if matches!(keys.get("layer_types"), Some(Value::Array(_))) {
            let kind = |layer_idx| match self.window_of(layer_idx) {
                Some(_) => Value::from(WINDOWED),
                None => Value::from(UNLIMITED),
            };
            let kinds = (0..self.n_layers).map(kind).collect();
            keys.insert("layer_types".to_owned(), Value::Array(kinds));
        } else if former.window.is_some() && keys.contains_key("max_window_layers") {
            let windowed = self.window.as_ref();
            let first = windowed.and_then(|window| window.layers.first().copied());
            let first = first.unwrap_or(self.n_layers);
            keys.insert("max_window_layers".to_owned(), first.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SlidingWindow;
    use serde_json::json;

    fn qwen2() -> Value {
        json!({
            "model_type": "qwen2", "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2,
            "hidden_act": "silu", "max_position_embeddings": 32, "vocab_size": 50,
            "use_sliding_window": true, "sliding_window": 8, "max_window_layers": 4, "mine": 1,
        })
    }

    #[test]
    fn sizes_are_changed_and_the_rest_is_kept() {
        let source = qwen2();
        let whole = ModelConfig::from_hf(&source).unwrap();
        assert_eq!(whole.hf_config_from(&source).unwrap(), source);
        let smaller = ModelConfig {
            n_layers: 4,
            n_heads: 2,
            n_kv_heads: 1,
            d_ff: 64,
            window: Some(SlidingWindow {
                n_tokens: 8,
                layers: vec![3],
            }),
            ..whole
        };
        let config = smaller.hf_config_from(&source).unwrap();
        assert_eq!(ModelConfig::from_hf(&config).unwrap(), smaller);
        assert_eq!(
            (&config["max_window_layers"], &config["mine"]),
            (&json!(3), &json!(1))
        );
    }

    #[test]
    fn layers_without_a_window_say_so() {
        let mut source = qwen2();
        let kinds = ["full_attention"; 4]
            .into_iter()
            .chain(["sliding_attention"; 2]);
        source["layer_types"] = kinds.collect();
        let whole = ModelConfig::from_hf(&source).unwrap();
        let smaller = ModelConfig {
            n_layers: 3,
            window: None,
            ..whole
        };
        let config = smaller.hf_config_from(&source).unwrap();
        assert_eq!(
            config["layer_types"],
            json!(["full_attention", "full_attention", "full_attention"])
        );
        assert_eq!(ModelConfig::from_hf(&config).unwrap(), smaller);
    }

    #[test]
    fn what_a_configuration_cannot_say_is_refused() {
        let source = json!({
            "model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 32,
            "vocab_size": 50,
        });
        let whole = ModelConfig::from_hf(&source).unwrap();
        let narrow = ModelConfig {
            n_heads: 2,
            n_kv_heads: 2,
            ..whole.clone()
        };
        assert!(narrow.hf_config_from(&source).is_err());
        let shallow = ModelConfig {
            n_layers: 1,
            d_ff: 128,
            ..whole
        };
        let config = shallow.hf_config_from(&source).unwrap();
        assert_eq!(
            (&config["n_layer"], &config["n_inner"]),
            (&json!(1), &json!(128))
        );
    }
}
