//! Llama: pre-norm blocks of grouped-query attention and gated MLP.
//!
//! Sources: Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models",
//! <https://arxiv.org/abs/2302.13971>; Grattafiori et al. 2024, "The Llama 3 Herd of Models",
//! <https://arxiv.org/abs/2407.21783>. Reference implementation: `modeling_llama.py` of Hugging Face
//! transformers. DeepSeek-Coder 1.3B to 33B has this form (<https://arxiv.org/abs/2401.14196>).
//!
//! Mistral, Qwen2 and Qwen3 differ by constants only and use what is here.

use super::{Architecture, gguf_keys::GgufKeys, hf_keys::HfKeys};
use crate::{
    ConfigError, ModelConfig,
    config::Biases,
    weights::{Part, WeightList},
};

pub(super) fn from_hf(keys: &HfKeys<'_>) -> Result<ModelConfig, ConfigError> {
    let mut config = family_from_hf(keys, Architecture::Llama)?;
    let has_bias = keys.flag_or("attention_bias", false)?;
    config.biases = Biases {
        qkv: has_bias,
        output: has_bias,
        mlp: keys.flag_or("mlp_bias", false)?,
    };
    Ok(config)
}

/// What Llama and its relatives have in common; biases are off.
pub(super) fn family_from_hf(
    keys: &HfKeys<'_>,
    architecture: Architecture,
) -> Result<ModelConfig, ConfigError> {
    keys.require_text("hidden_act", "silu")?;
    Ok(ModelConfig {
        norm_epsilon: keys.number_or("rms_norm_eps", 1e-6)? as f32,
        has_tied_head: keys.flag_or("tie_word_embeddings", false)?,
        ..heads_from_hf(keys, architecture)?
    })
}

/// The sizes, with those of heads and the rotation under the names that most architectures use.
pub(super) fn heads_from_hf(
    keys: &HfKeys<'_>,
    architecture: Architecture,
) -> Result<ModelConfig, ConfigError> {
    let base = ModelConfig::of_sizes(architecture, keys.sizes()?);
    let n_kv_heads = keys.find_size("num_key_value_heads")?;
    let (rope_theta, rope_scaling) = keys.rope(base.max_len)?;
    Ok(ModelConfig {
        n_kv_heads: n_kv_heads.unwrap_or(base.n_heads),
        d_head: keys.find_size("head_dim")?.unwrap_or(base.d_head),
        rope_theta,
        rope_scaling,
        ..base
    })
}

pub(super) fn from_gguf(keys: &GgufKeys<'_>) -> Result<ModelConfig, ConfigError> {
    family_from_gguf(keys, Architecture::Llama)
}

/// As [`family_from_hf`], from a GGUF file.
pub(super) fn family_from_gguf(
    keys: &GgufKeys<'_>,
    architecture: Architecture,
) -> Result<ModelConfig, ConfigError> {
    let base = ModelConfig::of_sizes(architecture, keys.sizes()?);
    let n_kv_heads = keys.find_size("attention.head_count_kv")?;
    let d_head = keys.find_size("attention.key_length")?;
    Ok(ModelConfig {
        n_kv_heads: n_kv_heads.unwrap_or(base.n_heads),
        d_head: d_head.unwrap_or(base.d_head),
        rope_theta: keys.number_or("rope.freq_base", base.rope_theta)?,
        norm_epsilon: keys.number("attention.layer_norm_rms_epsilon")?,
        has_tied_head: keys.has_tied_head(),
        rope_scaling: keys.rope_scaling(base.max_len)?,
        biases: keys.biases(),
        ..base
    })
}

/// The weights of Llama and its relatives.
pub(super) fn list_weights(list: &mut WeightList<'_>) {
    let config = list.config;
    let (d_model, d_ff) = (config.d_model, config.d_ff);
    let Biases { mlp, .. } = config.biases;
    list.embedding("model.embed_tokens");
    for layer_idx in 0..config.n_layers {
        let mut layer = list.layer("model.layers.", layer_idx);
        layer.norm(Part::InputNorm, "input_layernorm", "attn_norm");
        attention(&mut layer);
        layer.norm(
            Part::PostAttentionNorm,
            "post_attention_layernorm",
            "ffn_norm",
        );
        layer.linear(
            Part::Gate,
            ("mlp.gate_proj", "ffn_gate"),
            (d_ff, d_model),
            mlp,
        );
        layer.linear(Part::Up, ("mlp.up_proj", "ffn_up"), (d_ff, d_model), mlp);
        layer.linear(
            Part::Down,
            ("mlp.down_proj", "ffn_down"),
            (d_model, d_ff),
            mlp,
        );
    }
    list.norm(Part::FinalNorm, "model.norm", "output_norm");
    list.head("lm_head");
}

/// Queries, keys, values and output, each a weight of its own.
pub(super) fn attention(layer: &mut WeightList<'_>) {
    let config = layer.config;
    let (d_model, d_head) = (config.d_model, config.d_head);
    let (d_q, d_kv) = (config.n_heads * d_head, config.n_kv_heads * d_head);
    let Biases { qkv, output, .. } = config.biases;
    // Files of GGUF's architecture `llama` store these rows for an interleaved rotation.
    let is_interleaved = matches!(
        config.architecture,
        Architecture::Llama | Architecture::Mistral
    );
    let (q, k) = (
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
    );
    layer.linear(Part::Query, q, (d_q, d_model), qkv);
    layer.interleaved_in_gguf(is_interleaved, config.n_heads);
    layer.linear(Part::Key, k, (d_kv, d_model), qkv);
    layer.interleaved_in_gguf(is_interleaved, config.n_kv_heads);
    layer.linear(
        Part::Value,
        ("self_attn.v_proj", "attn_v"),
        (d_kv, d_model),
        qkv,
    );
    if config.has_query_key_norm {
        layer.vector(Part::QueryNorm, ("self_attn.q_norm", "attn_q_norm"), d_head);
        layer.vector(Part::KeyNorm, ("self_attn.k_norm", "attn_k_norm"), d_head);
    }
    layer.linear(
        Part::Output,
        ("self_attn.o_proj", "attn_output"),
        (d_model, d_q),
        output,
    );
}
