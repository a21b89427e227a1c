//! GPT-2, also `CodeParrot`: learned positions, layer norms, joint queries, keys and values, and
//! weights stored the other way round (`Conv1D`: `[d_in, d_out]`).
//!
//! Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
//! Reference implementation: `modeling_gpt2.py` of Hugging Face transformers.

use super::{Architecture, gguf_keys::GgufKeys, hf_keys::HfKeys};
use crate::{
    ConfigError, ModelConfig,
    config::{Activation, AttentionScale, Biases, MlpKind, NormKind, Sizes},
    layout::Layout,
    weights::{Part, WeightList},
};

/// What the architecture has instead of Llama's parts.
fn with_parts(base: ModelConfig, activation: Activation) -> ModelConfig {
    ModelConfig {
        has_learned_positions: true,
        norm: NormKind::Layer,
        mlp: MlpKind::Plain(activation),
        biases: Biases::everywhere(true),
        ..base
    }
}

pub(super) fn from_hf(keys: &HfKeys<'_>) -> Result<ModelConfig, ConfigError> {
    let mut config = family_from_hf(keys, Architecture::Gpt2, Activation::GeluTanh)?;
    config.attention_scale = match (
        keys.flag_or("scale_attn_weights", true)?,
        keys.flag_or("scale_attn_by_inverse_layer_idx", false)?,
    ) {
        (true, false) => AttentionScale::ByHead,
        (true, true) => AttentionScale::ByHeadAndLayer,
        (false, false) => AttentionScale::One,
        (false, true) => {
            return Err(ConfigError::Feature {
                key: "scale_attn_by_inverse_layer_idx".to_owned(),
                value: "true without scale_attn_weights".to_owned(),
            });
        }
    };
    Ok(config)
}

/// What GPT-2 and GPT-BigCode have in common.
pub(super) fn family_from_hf(
    keys: &HfKeys<'_>,
    architecture: Architecture,
    activation: Activation,
) -> Result<ModelConfig, ConfigError> {
    if keys.flag_or("add_cross_attention", false)? {
        return Err(ConfigError::Feature {
            key: "add_cross_attention".to_owned(),
            value: "true".to_owned(),
        });
    }
    let d_model = keys.size("n_embd")?;
    let sizes = Sizes {
        n_layers: keys.size("n_layer")?,
        d_model,
        d_ff: keys.find_size("n_inner")?.unwrap_or(4 * d_model),
        n_heads: keys.size("n_head")?,
        vocab_size: keys.size("vocab_size")?,
        max_len: keys.size("n_positions")?,
    };
    let activation = keys.activation("activation_function", activation)?;
    Ok(ModelConfig {
        norm_epsilon: keys.number_or("layer_norm_epsilon", 1e-5)? as f32,
        has_tied_head: keys.flag_or("tie_word_embeddings", true)?,
        ..with_parts(ModelConfig::of_sizes(architecture, sizes), activation)
    })
}

pub(super) fn from_gguf(keys: &GgufKeys<'_>) -> Result<ModelConfig, ConfigError> {
    let base = ModelConfig::of_sizes(Architecture::Gpt2, keys.sizes()?);
    Ok(ModelConfig {
        norm_epsilon: keys.number("attention.layer_norm_epsilon")?,
        has_tied_head: keys.has_tied_head(),
        ..with_parts(base, Activation::GeluTanh)
    })
}

pub(super) fn list_weights(list: &mut WeightList<'_>) {
    list_weights_with(list, Layout::Transposed, Layout::Transposed);
}

/// The weights of GPT-2 with the given layouts of the joint projection and of the other products.
pub(super) fn list_weights_with(list: &mut WeightList<'_>, joint: Layout, others: Layout) {
    let config = list.config;
    let (d_model, d_ff) = (config.d_model, config.d_ff);
    let d_qkv = (config.n_heads + 2 * config.n_kv_heads) * config.d_head;
    list.embedding("transformer.wte");
    list.positions("transformer.wpe");
    for layer_idx in 0..config.n_layers {
        let mut layer = list.layer("transformer.h.", layer_idx);
        layer.norm(Part::InputNorm, "ln_1", "attn_norm");
        layer.linear(
            Part::QueryKeyValue,
            ("attn.c_attn", "attn_qkv"),
            (d_qkv, d_model),
            true,
        );
        layer.stored_as(joint);
        layer.linear(
            Part::Output,
            ("attn.c_proj", "attn_output"),
            (d_model, d_model),
            true,
        );
        layer.stored_as(others);
        layer.norm(Part::PostAttentionNorm, "ln_2", "ffn_norm");
        layer.linear(Part::Up, ("mlp.c_fc", "ffn_up"), (d_ff, d_model), true);
        layer.stored_as(others);
        layer.linear(
            Part::Down,
            ("mlp.c_proj", "ffn_down"),
            (d_model, d_ff),
            true,
        );
        layer.stored_as(others);
    }
    list.norm(Part::FinalNorm, "transformer.ln_f", "output_norm");
    list.head("lm_head");
}
