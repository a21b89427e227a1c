//! How GGUF files name and describe a model, and what readers could not be told of it.
//!
//! A feature is exported only where llama.cpp computes with it; what it would skip without a word
//! is refused. Sources: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>; `src/models/`
//! and `src/llama-context.cpp` in <https://github.com/ggml-org/llama.cpp>.

use super::GgufExportError;
use crate::{
    Architecture, ModelConfig,
    config::{Activation, AttentionScale, Biases, MlpKind, NormKind},
    gguf::GgufValue,
    rope::{RopeScaling, Yarn, yarn_warming},
};

/// The tensor of rotary divisors.
pub(super) const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// The divisors of rotary frequencies, where they are told as a tensor: one a pair of channels.
pub(super) fn rope_divisors(config: &ModelConfig) -> Option<Vec<f32>> {
    match &config.rope_scaling {
        RopeScaling::None | RopeScaling::Linear { .. } | RopeScaling::Yarn(_) => None,
        scaling @ (RopeScaling::Llama3 { .. } | RopeScaling::Factors { .. }) => {
            Some(scaling.divisors(config.rope_theta, config.d_head))
        }
    }
}

/// The architecture and its sizes and constants, as metadata entries.
///
/// # Errors
///
/// An architecture, or a feature of it, that is not exported.
pub(super) fn size_metadata(
    config: &ModelConfig,
) -> Result<Vec<(String, GgufValue)>, GgufExportError> {
    let name = architecture_name(config)?;
    let size = |key: &str, value: usize| (format!("{name}.{key}"), GgufValue::U32(value as u32));
    let float = |key: &str, value: f32| (format!("{name}.{key}"), GgufValue::F32(value));
    let norm = match config.norm {
        NormKind::Rms => "attention.layer_norm_rms_epsilon",
        NormKind::Layer => "attention.layer_norm_epsilon",
    };
    let mut metadata = vec![
        ("general.architecture".to_owned(), name.into()),
        size("block_count", config.n_layers),
        size("context_length", config.max_len),
        size("embedding_length", config.d_model),
        size("feed_forward_length", config.d_ff),
        size("attention.head_count", config.n_heads),
        size("attention.head_count_kv", config.n_kv_heads),
        size("attention.key_length", config.d_head),
        size("attention.value_length", config.d_head),
        size("vocab_size", config.vocab_size),
        float(norm, config.norm_epsilon),
    ];
    if config.has_learned_positions {
        return Ok(metadata);
    }
    metadata.push(size("rope.dimension_count", config.d_head));
    metadata.push(float("rope.freq_base", config.rope_theta as f32));
    let kind = |kind: &str| (format!("{name}.rope.scaling.type"), kind.into());
    let factor = |factor: f64| float("rope.scaling.factor", factor as f32);
    match &config.rope_scaling {
        RopeScaling::None | RopeScaling::Llama3 { .. } | RopeScaling::Factors { .. } => {}
        RopeScaling::Linear { factor: divisor } => {
            metadata.extend([kind("linear"), factor(*divisor)]);
        }
        RopeScaling::Yarn(yarn) => {
            // Readers multiply by the usual warming themselves.
            let warming = yarn.attention_factor / yarn_warming(yarn.factor, 1.0);
            metadata.extend([
                kind("yarn"),
                factor(yarn.factor),
                size(
                    "rope.scaling.original_context_length",
                    yarn.original_max_len,
                ),
                float("rope.scaling.attn_factor", warming as f32),
            ]);
        }
    }
    Ok(metadata)
}

/// The name of the architecture in GGUF files, if readers do there what the model needs.
fn architecture_name(config: &ModelConfig) -> Result<&'static str, GgufExportError> {
    let architecture = config.architecture.model_type();
    let name = match config.architecture {
        Architecture::Llama | Architecture::Mistral => "llama",
        Architecture::Qwen2 => "qwen2",
        Architecture::Qwen3 => "qwen3",
        Architecture::Starcoder2 => "starcoder2",
        Architecture::Gpt2 => "gpt2",
        Architecture::DeepseekV2 | Architecture::GptBigcode => {
            return Err(GgufExportError::Architecture(architecture));
        }
    };
    let unreadable = unreadable_attention(config)
        .or_else(|| unreadable_layers(config))
        .or_else(|| unreadable_rope(config));
    match unreadable {
        None => Ok(name),
        Some(feature) => Err(GgufExportError::Feature {
            architecture,
            feature,
        }),
    }
}

fn unreadable_attention(config: &ModelConfig) -> Option<&'static str> {
    let narrows = |window: &crate::config::SlidingWindow| window.n_tokens < config.max_len;
    if config.window.as_ref().is_some_and(narrows) {
        return Some("a sliding window shorter than the context");
    }
    if config.attention_scale != AttentionScale::ByHead {
        return Some("another scale of attention scores than 1/√d");
    }
    let has_any_width = matches!(
        config.architecture,
        Architecture::Llama | Architecture::Mistral | Architecture::Qwen3
    );
    if !has_any_width && config.n_heads * config.d_head != config.d_model {
        return Some("heads that are together wider or narrower than the model");
    }
    None
}

fn unreadable_layers(config: &ModelConfig) -> Option<&'static str> {
    let Biases { qkv, output, mlp } = config.biases;
    match config.architecture {
        Architecture::Qwen2 | Architecture::Qwen3 if output || mlp => {
            Some("a bias on the output of attention or on the MLP")
        }
        Architecture::Starcoder2 | Architecture::Gpt2 if !(qkv && output && mlp) => {
            Some("a linear layer without bias")
        }
        Architecture::Starcoder2 | Architecture::Gpt2
            if config.mlp != MlpKind::Plain(Activation::GeluTanh) =>
        {
            Some("another activation than GELU by tanh")
        }
        _ => None,
    }
}

fn unreadable_rope(config: &ModelConfig) -> Option<&'static str> {
    /// What readers take for these architectures, whatever the file says.
    const TURNS: (f64, f64) = (32.0, 1.0);
    let reads_divisors = matches!(
        config.architecture,
        Architecture::Llama | Architecture::Mistral
    );
    match &config.rope_scaling {
        RopeScaling::Llama3 { .. } | RopeScaling::Factors { .. } if !reads_divisors => {
            Some("rope scaling by a divisor for each frequency")
        }
        RopeScaling::Yarn(Yarn { rounds_ramp, .. }) if !rounds_ramp => {
            Some("rope scaling `yarn` with a ramp that is not rounded")
        }
        RopeScaling::Yarn(yarn) if (yarn.beta_fast, yarn.beta_slow) != TURNS => {
            Some("rope scaling `yarn` with other turns than 32 and 1")
        }
        _ => None,
    }
}
