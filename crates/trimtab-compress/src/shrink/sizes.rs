//! How large a model is once it is shrunk: computed, and refused where it cannot be, before any work.

use super::ShrinkError;
use trimtab_domain::{LayerCount, Shrink};
use trimtab_models::{
    Architecture, ModelConfig,
    config::{AttentionScale, SlidingWindow},
};

/// Hidden channels of an MLP are kept in multiples of this where there are enough of them: kernels
/// take so many at once.
const NEURON_BLOCK: usize = 64;

/// With fewer neurons, whole blocks would be too far from what was asked for.
const ENOUGH_NEURONS: usize = 8 * NEURON_BLOCK;

/// How far from a whole number of heads a share may be, as 0.33 is from a third of three.
const HEAD_TOLERANCE: f64 = 0.1;

/// What is left of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) n_layers: usize,
    pub(crate) n_kv_heads: usize,
    pub(crate) d_ff: usize,
}

impl Sizes {
    /// What `wish` leaves of the model `config`.
    pub(crate) fn after(wish: &Shrink, config: &ModelConfig) -> Result<Self, ShrinkError> {
        check_supported(wish, config)?;
        Ok(Self {
            n_layers: match wish.layers {
                None => config.n_layers,
                Some(layers) => layers_left(layers, config.n_layers)?,
            },
            n_kv_heads: match wish.heads {
                None => config.n_kv_heads,
                Some(share) => heads_left(share, config.n_kv_heads)?,
            },
            d_ff: match wish.neurons {
                None => config.d_ff,
                Some(share) => neurons_left(share, config.d_ff)?,
            },
        })
    }

    /// The model with the layers `kept`, as many heads in each, and so on.
    pub(crate) fn shrunk(self, config: &ModelConfig, kept: &[usize]) -> ModelConfig {
        let window = config.window.as_ref().map(|window| SlidingWindow {
            n_tokens: window.n_tokens,
            layers: (0..kept.len())
                .filter(|idx| window.layers.contains(&kept[*idx]))
                .collect(),
        });
        ModelConfig {
            n_layers: kept.len(),
            n_heads: self.n_kv_heads * heads_per_group(config),
            n_kv_heads: self.n_kv_heads,
            d_ff: self.d_ff,
            window: window.filter(|window| !window.layers.is_empty()),
            ..config.clone()
        }
    }
}

/// Query heads that read the same keys and values.
pub(crate) fn heads_per_group(config: &ModelConfig) -> usize {
    config.n_heads / config.n_kv_heads
}

fn check_supported(wish: &Shrink, config: &ModelConfig) -> Result<(), ShrinkError> {
    if config.latent.is_some() {
        return Err(ShrinkError::Unsupported("latent attention"));
    }
    if config.experts.is_some() {
        return Err(ShrinkError::Unsupported("a mixture of experts"));
    }
    let is_numbered = config.attention_scale == AttentionScale::ByHeadAndLayer;
    if wish.layers.is_some() && is_numbered {
        return Err(ShrinkError::NumberedLayers);
    }
    match config.architecture {
        Architecture::Gpt2 | Architecture::GptBigcode if wish.heads.is_some() => {
            Err(ShrinkError::FixedHeads(config.architecture.model_type()))
        }
        _ => Ok(()),
    }
}

/// The share of `n` to the nearest whole number.
fn rounded(share: f64, n: usize) -> usize {
    (share * n as f64).round() as usize
}

fn layers_left(wish: LayerCount, n_layers: usize) -> Result<usize, ShrinkError> {
    let n_removed = match wish {
        LayerCount::Number(n) => n as usize,
        LayerCount::Share(share) => rounded(share, n_layers),
    };
    left("layers", &wish.to_string(), n_removed, (n_layers, "layers"))
}

fn heads_left(share: f64, n_kv_heads: usize) -> Result<usize, ShrinkError> {
    if n_kv_heads == 1 {
        return Err(ShrinkError::OneGroup);
    }
    let n_removed = rounded(share, n_kv_heads);
    let exact = share * n_kv_heads as f64;
    if (exact - n_removed as f64).abs() > HEAD_TOLERANCE {
        return Err(ShrinkError::Indivisible {
            wish: share,
            n: n_kv_heads,
        });
    }
    let all = (n_kv_heads, "key and value heads");
    left("heads", &share.to_string(), n_removed, all)
}

fn neurons_left(share: f64, d_ff: usize) -> Result<usize, ShrinkError> {
    let unit = match d_ff >= ENOUGH_NEURONS {
        true => NEURON_BLOCK,
        false => 1,
    };
    let n_kept = (d_ff as f64 * (1.0 - share) / unit as f64).round() as usize * unit;
    let n_removed = d_ff.saturating_sub(n_kept);
    left("neurons", &share.to_string(), n_removed, (d_ff, "neurons"))
}

fn left(
    key: &'static str,
    wish: &str,
    n_removed: usize,
    (n, what): (usize, &'static str),
) -> Result<usize, ShrinkError> {
    let wish = wish.to_owned();
    match n_removed {
        0 => Err(ShrinkError::Nothing { key, wish, n, what }),
        n_removed if n_removed < n => Ok(n - n_removed),
        _ => Err(ShrinkError::All { key, wish, n, what }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_models::tiny::TinyModel;

    fn config() -> ModelConfig {
        ModelConfig {
            n_layers: 10,
            ..TinyModel::default().config()
        }
    }

    fn shrink(json: &str) -> Shrink {
        serde_json::from_str(json).unwrap()
    }

    fn refused(json: &str) -> String {
        Sizes::after(&shrink(json), &config())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_is_left_is_rounded_to_what_there_is() {
        let wish = shrink(r#"{"layers":0.25,"heads":0.5,"neurons":0.3}"#);
        let sizes = Sizes::after(&wish, &config()).unwrap();
        assert_eq!((sizes.n_layers, sizes.n_kv_heads, sizes.d_ff), (7, 1, 112));
        let shrunk = sizes.shrunk(&config(), &[0, 1, 2, 3, 4, 5, 9]);
        assert_eq!((shrunk.n_layers, shrunk.n_heads, shrunk.d_head), (7, 3, 16));
        let wide = ModelConfig {
            d_ff: 1536,
            ..config()
        };
        let sizes = Sizes::after(&shrink(r#"{"neurons":0.3}"#), &wide).unwrap();
        assert_eq!(sizes.d_ff, 1088);
    }

    #[test]
    fn windows_stay_with_their_layers() {
        let config = ModelConfig {
            window: Some(SlidingWindow {
                n_tokens: 8,
                layers: vec![6, 7, 8, 9],
            }),
            ..config()
        };
        let sizes = Sizes::after(&shrink(r#"{"layers":7}"#), &config).unwrap();
        let window = sizes.shrunk(&config, &[0, 7, 9]).window.unwrap();
        assert_eq!((window.n_tokens, window.layers), (8, vec![1, 2]));
        assert_eq!(sizes.shrunk(&config, &[0, 1, 2]).window, None);
    }

    #[test]
    fn impossible_wishes_name_the_number_that_is_wrong() {
        assert_eq!(
            refused(r#"{"layers":10}"#),
            "`layers` = 10 would remove all 10 layers; ask for fewer"
        );
        assert_eq!(
            refused(r#"{"layers":0.01}"#),
            "`layers` = 0.01 of 10 layers is none; ask for more, or leave `layers` out"
        );
        assert!(refused(r#"{"heads":0.01}"#).contains("2 key and value heads is none"));
        assert!(refused(r#"{"heads":0.99}"#).contains("remove all 2"));
        assert_eq!(
            refused(r#"{"heads":0.3}"#),
            "`heads` = 0.3 of 2 key and value heads is 0.60 heads; use a multiple of 0.500"
        );
        assert!(refused(r#"{"neurons":0.001}"#).contains("160 neurons is none"));
        assert!(refused(r#"{"neurons":0.9999}"#).contains("remove all 160"));
    }

    #[test]
    fn models_that_cannot_be_cut_are_refused_by_what_they_have() {
        let after = |json: &str, config: &ModelConfig| Sizes::after(&shrink(json), config);
        let one = ModelConfig {
            n_kv_heads: 1,
            ..config()
        };
        let heads = r#"{"heads":0.5}"#;
        assert_eq!(after(heads, &one), Err(ShrinkError::OneGroup));
        let fixed = ModelConfig {
            architecture: Architecture::Gpt2,
            ..config()
        };
        assert_eq!(after(heads, &fixed), Err(ShrinkError::FixedHeads("gpt2")));
        let numbered = ModelConfig {
            attention_scale: AttentionScale::ByHeadAndLayer,
            ..config()
        };
        let layers = r#"{"layers":1}"#;
        assert_eq!(after(layers, &numbered), Err(ShrinkError::NumberedLayers));
    }
}
