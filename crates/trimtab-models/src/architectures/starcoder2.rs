//! `StarCoder2`: grouped-query attention with rotary positions and a sliding window, layer norms,
//! a plain MLP, and biases throughout.
//!
//! Source: Lozhkov et al. 2024, "`StarCoder` 2 and The Stack v2", section 5,
//! <https://arxiv.org/abs/2402.19173>. Reference implementation: `modeling_starcoder2.py` of Hugging
//! Face transformers.

use super::{Architecture, gguf_keys::GgufKeys, hf_keys::HfKeys, llama};
use crate::{
    ConfigError, ModelConfig,
    config::{Activation, Biases, MlpKind, NormKind},
    weights::{Part, WeightList},
};

pub(super) fn from_hf(keys: &HfKeys<'_>) -> Result<ModelConfig, ConfigError> {
    let base = llama::heads_from_hf(keys, Architecture::Starcoder2)?;
    Ok(ModelConfig {
        norm_epsilon: keys.number_or("norm_epsilon", 1e-5)? as f32,
        has_tied_head: keys.flag_or("tie_word_embeddings", true)?,
        norm: NormKind::Layer,
        mlp: MlpKind::Plain(keys.activation("hidden_act", Activation::GeluTanh)?),
        biases: Biases::everywhere(keys.flag_or("use_bias", true)?),
        window: keys.window(base.n_layers, 0)?,
        ..base
    })
}

pub(super) fn from_gguf(keys: &GgufKeys<'_>) -> Result<ModelConfig, ConfigError> {
    let base = ModelConfig::of_sizes(Architecture::Starcoder2, keys.sizes()?);
    Ok(ModelConfig {
        n_kv_heads: keys.size("attention.head_count_kv")?,
        rope_theta: keys.number_or("rope.freq_base", base.rope_theta)?,
        norm_epsilon: keys.number("attention.layer_norm_epsilon")?,
        has_tied_head: keys.has_tied_head(),
        rope_scaling: keys.rope_scaling(base.max_len)?,
        norm: NormKind::Layer,
        mlp: MlpKind::Plain(Activation::GeluTanh),
        biases: Biases::everywhere(keys.has_tensor("blk.0.attn_q.bias")),
        ..base
    })
}

pub(super) fn list_weights(list: &mut WeightList<'_>) {
    let config = list.config;
    let (d_model, d_ff, has_bias) = (config.d_model, config.d_ff, config.biases.mlp);
    list.embedding("model.embed_tokens");
    for layer_idx in 0..config.n_layers {
        let mut layer = list.layer("model.layers.", layer_idx);
        layer.norm(Part::InputNorm, "input_layernorm", "attn_norm");
        llama::attention(&mut layer);
        layer.norm(
            Part::PostAttentionNorm,
            "post_attention_layernorm",
            "ffn_norm",
        );
        layer.linear(Part::Up, ("mlp.c_fc", "ffn_up"), (d_ff, d_model), has_bias);
        layer.linear(
            Part::Down,
            ("mlp.c_proj", "ffn_down"),
            (d_model, d_ff),
            has_bias,
        );
    }
    list.norm(Part::FinalNorm, "model.norm", "output_norm");
    list.head("lm_head");
}
