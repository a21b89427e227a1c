//! The sizes and constants of a decoder-only model, whatever file they were read from.

use crate::{
    architectures::{Architecture, Experts, LatentAttention},
    gguf::GgufError,
    rope::RopeScaling,
};
use serde::{Deserialize, Serialize};
use trimtab_kernels::{AttentionShape, HeadValues, KvFormat};

/// How a model normalises the residual stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Root-mean-square norm with a gain.
    #[default]
    Rms,
    /// Layer norm with gain and bias.
    Layer,
}

/// The function between the products of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Gaussian error linear unit, exact.
    Gelu,
    /// Its approximation with a hyperbolic tangent.
    GeluTanh,
    /// max(x, 0)
    Relu,
}

impl From<Activation> for trimtab_kernels::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Gelu => Self::Gelu,
            Activation::GeluTanh => Self::GeluTanh,
            Activation::Relu => Self::Relu,
        }
    }
}

/// The form of the MLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MlpKind {
    /// `down · (silu(gate · x) ⊙ (up · x))`
    #[default]
    GatedSilu,
    /// `down · f(up · x)`
    Plain(Activation),
}

/// What products of queries and keys are multiplied by before the softmax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionScale {
    /// 1 / √(channels of a head)
    #[default]
    ByHead,
    /// 1 / √(channels of a head) / (layer + 1)
    ByHeadAndLayer,
    /// 1
    One,
}

/// Which products add a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The output of attention.
    pub output: bool,
    /// The MLP.
    pub mlp: bool,
}

impl Biases {
    /// All products, or none.
    pub(crate) const fn everywhere(has_bias: bool) -> Self {
        Self {
            qkv: has_bias,
            output: has_bias,
            mlp: has_bias,
        }
    }
}

/// The sizes that every architecture has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) n_layers: usize,
    pub(crate) d_model: usize,
    pub(crate) d_ff: usize,
    /// Above 0.
    pub(crate) n_heads: usize,
    pub(crate) vocab_size: usize,
    pub(crate) max_len: usize,
}

/// Attention to a limited past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlidingWindow {
    /// Tokens that a token sees, itself included.
    pub n_tokens: usize,
    /// Layers that look through the window; others see everything.
    pub layers: Vec<usize>,
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
    /// Base of the rotary embedding; not used with learned positions.
    pub rope_theta: f64,
    /// Added to the mean square in norms.
    #[serde(alias = "rms_epsilon")]
    pub norm_epsilon: f32,
    /// Whether the output head is the embedding.
    pub has_tied_head: bool,
    /// How rotary frequencies are stretched for longer contexts.
    #[serde(default)]
    pub rope_scaling: RopeScaling,
    /// Whether positions are a learned embedding instead of a rotation.
    #[serde(default)]
    pub has_learned_positions: bool,
    /// The norms.
    #[serde(default)]
    pub norm: NormKind,
    /// The MLP.
    #[serde(default)]
    pub mlp: MlpKind,
    /// Which products add a bias.
    #[serde(default)]
    pub biases: Biases,
    /// Whether queries and keys of each head are normed before they are rotated.
    #[serde(default)]
    pub has_query_key_norm: bool,
    /// Attention to a limited past.
    #[serde(default)]
    pub window: Option<SlidingWindow>,
    /// Scale of the attention scores.
    #[serde(default)]
    pub attention_scale: AttentionScale,
    /// Sizes of latent attention, where the architecture has it.
    #[serde(default)]
    pub latent: Option<LatentAttention>,
    /// Sizes of the mixture of experts, where the architecture has one.
    #[serde(default)]
    pub experts: Option<Experts>,
}

/// Why a checkpoint's metadata describes no model that can be run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The metadata cannot be read.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// An architecture without an implementation.
    #[error("architecture `{0}` is not supported; {SUPPORTED} are")]
    Architecture(String),
    /// A feature of the architecture without an implementation.
    #[error("`{key}` = `{value}` is not supported")]
    Feature {
        /// The metadata key.
        key: String,
        /// Its value.
        value: String,
    },
    /// A key that the architecture cannot do without.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A value of another kind than its key wants.
    #[error("`{key}` = {value} is not {wanted}")]
    Type {
        /// The metadata key.
        key: String,
        /// Its value.
        value: String,
        /// What was expected.
        wanted: &'static str,
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

const SUPPORTED: &str = "`llama`, `mistral`, `qwen2`, `qwen3`, `deepseek_v2`, `starcoder2`, \
    `gpt2` and `gpt_bigcode`";

/// No model of this size is known; larger claims are mistakes or attacks.
pub(crate) const MAX_SIZE: usize = 1 << 24;

impl ModelConfig {
    /// A model of these sizes with the parts of the first Llama, to be changed where an architecture
    /// differs: a key and value head for each query head, a rotation without stretching,
    /// root-mean-square norms, a gated MLP, a head of its own, and no biases.
    pub(crate) fn of_sizes(architecture: Architecture, sizes: Sizes) -> Self {
        let Sizes {
            n_layers,
            d_model,
            d_ff,
            n_heads,
            vocab_size,
            max_len,
        } = sizes;
        Self {
            architecture,
            n_layers,
            d_model,
            d_ff,
            n_heads,
            n_kv_heads: n_heads,
            d_head: d_model / n_heads,
            vocab_size,
            max_len,
            rope_theta: 10_000.0,
            norm_epsilon: 1e-6,
            has_tied_head: false,
            rope_scaling: RopeScaling::None,
            has_learned_positions: false,
            norm: NormKind::Rms,
            mlp: MlpKind::GatedSilu,
            biases: Biases::default(),
            has_query_key_norm: false,
            window: None,
            attention_scale: AttentionScale::ByHead,
            latent: None,
            experts: None,
        }
    }

    /// Refuses sizes that contradict each other.
    pub(crate) fn check(self) -> Result<Self, ConfigError> {
        let wrong = |key: &str, value, reason| {
            Err(ConfigError::Size {
                key: key.to_owned(),
                value,
                reason,
            })
        };
        if self.d_head == 0 || !self.d_head.is_multiple_of(2) {
            return wrong(
                "channels of a head",
                self.d_head,
                "is not an even number above 0",
            );
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            let reason = "does not divide the query heads";
            return wrong("key and value heads", self.n_kv_heads, reason);
        }
        if self.n_layers > 4096 {
            return wrong("layers", self.n_layers, "is more than any model has");
        }
        let epsilon = f64::from(self.norm_epsilon);
        for (key, value) in [("rope_theta", self.rope_theta), ("norm epsilon", epsilon)] {
            if !value.is_finite() || value <= 0.0 {
                return Err(ConfigError::Type {
                    key: key.to_owned(),
                    value: value.to_string(),
                    wanted: "a number above 0",
                });
            }
        }
        self.rope_scaling.check()?;
        if let Some(latent) = &self.latent {
            latent.check()?;
        }
        if let Some(experts) = &self.experts {
            experts.check()?;
        }
        Ok(self)
    }

    /// Weights in all, a tied head counted once.
    pub fn n_parameters(&self) -> u64 {
        crate::weight_specs(self)
            .iter()
            .map(|spec| (spec.d_out * spec.d_in) as u64)
            .sum()
    }

    /// The heads of every layer, as the attention kernel takes them.
    pub fn attention_shape(&self) -> AttentionShape {
        match &self.latent {
            None => AttentionShape::grouped(self.n_heads, self.n_kv_heads, self.d_head),
            Some(latent) => AttentionShape {
                n_heads: self.n_heads,
                n_kv_heads: 1,
                d_key: latent.d_cached(),
                d_value: latent.d_latent,
                values: HeadValues::KeyPrefix,
            },
        }
    }

    /// Bytes of keys and values of `n_tokens` tokens.
    pub fn kv_cache_bytes(&self, n_tokens: usize, format: KvFormat) -> u64 {
        let layer = self.attention_shape().kv_shape(1, n_tokens, format);
        (self.n_layers * n_tokens * layer.token_bytes()) as u64
    }

    /// The window of a layer, if it has one.
    pub fn window_of(&self, layer_idx: usize) -> Option<usize> {
        let window = self.window.as_ref()?;
        window
            .layers
            .contains(&layer_idx)
            .then_some(window.n_tokens)
    }

    /// What attention scores of a layer are multiplied by.
    pub fn attention_scale_of(&self, layer_idx: usize) -> f32 {
        if let Some(latent) = &self.latent {
            return latent.score_scale(&self.rope_scaling);
        }
        let by_head = (self.d_head as f32).sqrt().recip();
        match self.attention_scale {
            AttentionScale::ByHead => by_head,
            AttentionScale::ByHeadAndLayer => by_head / (layer_idx + 1) as f32,
            AttentionScale::One => 1.0,
        }
    }
}
