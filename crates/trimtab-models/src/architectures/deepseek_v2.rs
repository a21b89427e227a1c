//! DeepSeek-V2, also DeepSeek-Coder-V2 and their Lite forms: latent attention and a mixture of
//! experts with shared experts.
//!
//! Sources: DeepSeek-AI 2024, "DeepSeek-V2", section 2, <https://arxiv.org/abs/2405.04434>;
//! "DeepSeek-Coder-V2", <https://arxiv.org/abs/2406.11931>. Reference implementations: the
//! `modeling_deepseek.py` that comes with the checkpoints, and `modeling_deepseek_v2.py` of Hugging
//! Face transformers, which leaves out the warming of attention scores (`mscale_all_dim`).

use super::{Architecture, hf_keys::HfKeys, llama};
use crate::{
    ConfigError, ModelConfig,
    layout::Layout,
    rope::{RopeScaling, yarn_warming},
    weights::{Part, WeightList},
};
use serde::{Deserialize, Serialize};

/// Sizes of latent attention: keys and values of all heads are products of one short vector a
/// token, which is what the cache holds (section 2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentAttention {
    /// Width of the vector that queries are made from, where they are.
    pub d_query_latent: Option<usize>,
    /// Width of the vector that keys and values are made from.
    pub d_latent: usize,
    /// Channels of a head that carry no position.
    pub d_plain: usize,
    /// Channels of a head that are rotated; all heads share those of the key.
    pub d_rotated: usize,
    /// Channels of a value head.
    pub d_value: usize,
}

impl LatentAttention {
    /// Epsilon of the norms of the latent vectors, whatever the other norms have.
    pub const NORM_EPSILON: f32 = 1e-6;

    /// Channels of a query head.
    pub fn d_query(&self) -> usize {
        self.d_plain + self.d_rotated
    }

    /// Channels that the cache holds for a token.
    pub fn d_cached(&self) -> usize {
        self.d_latent + self.d_rotated
    }

    /// What attention scores are multiplied by.
    pub(crate) fn score_scale(&self, scaling: &RopeScaling) -> f32 {
        let warming = match scaling {
            RopeScaling::Yarn(yarn) => yarn_warming(yarn.factor, yarn.mscale_all_dim),
            _ => 1.0,
        };
        (warming * warming / (self.d_query() as f64).sqrt()) as f32
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.d_rotated.is_multiple_of(2) {
            return Ok(());
        }
        Err(ConfigError::Size {
            key: "qk_rope_head_dim".to_owned(),
            value: self.d_rotated,
            reason: "is not even",
        })
    }
}

/// Sizes of the mixture of experts (section 2.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experts {
    /// Routed experts of a layer.
    pub n_experts: usize,
    /// Experts that a token goes to.
    pub n_active: usize,
    /// Experts that every token goes to; stored as one wide MLP.
    pub n_shared: usize,
    /// Width of one expert.
    pub d_expert: usize,
    /// Layers before the first mixture have a dense MLP.
    pub n_dense_layers: usize,
    /// What routing weights are multiplied by.
    pub routed_scale: f32,
    /// Whether routing weights are divided by their sum instead.
    pub has_normed_weights: bool,
    /// Groups that experts are chosen from; 1 for none.
    pub n_groups: usize,
    /// Groups that a token may choose from.
    pub n_active_groups: usize,
}

impl Experts {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, value, reason| {
            Err(ConfigError::Size {
                key: key.to_owned(),
                value,
                reason,
            })
        };
        if self.n_active > self.n_experts {
            return wrong(
                "num_experts_per_tok",
                self.n_active,
                "is more than there are experts",
            );
        }
        if !self.n_experts.is_multiple_of(self.n_groups) {
            return wrong("n_group", self.n_groups, "does not divide the experts");
        }
        if self.n_active_groups > self.n_groups {
            return wrong(
                "topk_group",
                self.n_active_groups,
                "is more than there are groups",
            );
        }
        Ok(())
    }
}

pub(super) fn from_hf(keys: &HfKeys<'_>) -> Result<ModelConfig, ConfigError> {
    for flag in ["attention_bias", "mlp_bias"] {
        if keys.flag_or(flag, false)? {
            return Err(ConfigError::Feature {
                key: flag.to_owned(),
                value: "true".to_owned(),
            });
        }
    }
    let mut config = llama::family_from_hf(keys, Architecture::DeepseekV2)?;
    let latent = LatentAttention {
        d_query_latent: keys.find_size("q_lora_rank")?,
        d_latent: keys.size("kv_lora_rank")?,
        d_plain: keys.size("qk_nope_head_dim")?,
        d_rotated: keys.size("qk_rope_head_dim")?,
        d_value: keys.size("v_head_dim")?,
    };
    config.d_head = latent.d_query();
    config.n_kv_heads = 1;
    config.latent = Some(latent);
    if let Some(n_experts) = keys.find_size("n_routed_experts")? {
        config.experts = Some(experts(keys, n_experts)?);
    }
    Ok(config)
}

fn experts(keys: &HfKeys<'_>, n_experts: usize) -> Result<Experts, ConfigError> {
    keys.require_text("scoring_func", "softmax")?;
    let every = keys.count_or("moe_layer_freq", 1)?;
    if every != 1 {
        return Err(ConfigError::Feature {
            key: "moe_layer_freq".to_owned(),
            value: every.to_string(),
        });
    }
    let method = keys.find_text("topk_method")?.unwrap_or("greedy");
    let (n_groups, n_active_groups) = match method {
        // The second is how published checkpoints of the Lite form spell it.
        "greedy" | "gready" => (1, 1),
        "group_limited_greedy" => (keys.size("n_group")?, keys.size("topk_group")?),
        other => {
            return Err(ConfigError::Feature {
                key: "topk_method".to_owned(),
                value: other.to_owned(),
            });
        }
    };
    Ok(Experts {
        n_experts,
        n_active: keys.size("num_experts_per_tok")?,
        n_shared: keys.count_or("n_shared_experts", 0)?,
        d_expert: keys.size("moe_intermediate_size")?,
        n_dense_layers: keys.count_or("first_k_dense_replace", 0)?,
        routed_scale: keys.number_or("routed_scaling_factor", 1.0)? as f32,
        has_normed_weights: keys.flag_or("norm_topk_prob", false)?,
        n_groups,
        n_active_groups,
    })
}

pub(super) fn list_weights(list: &mut WeightList<'_>) {
    let config = list.config;
    list.embedding("model.embed_tokens");
    for layer_idx in 0..config.n_layers {
        let mut layer = list.layer("model.layers.", layer_idx);
        layer.norm(Part::InputNorm, "input_layernorm", "attn_norm");
        if let Some(latent) = &config.latent {
            attention(&mut layer, latent);
        }
        layer.norm(
            Part::PostAttentionNorm,
            "post_attention_layernorm",
            "ffn_norm",
        );
        match &config.experts {
            Some(experts) if layer_idx >= experts.n_dense_layers => mixture(&mut layer, experts),
            _ => mlp(&mut layer, "mlp.", None, config.d_ff),
        }
    }
    list.norm(Part::FinalNorm, "model.norm", "output_norm");
    list.head("lm_head");
}

/// Rotated channels are stored interleaved, at the end of each head.
fn attention(layer: &mut WeightList<'_>, latent: &LatentAttention) {
    let config = layer.config;
    let (d_model, n_heads) = (config.d_model, config.n_heads);
    let (d_query, d_latent) = (latent.d_query(), latent.d_latent);
    let interleaved = |n_heads, d_head| Layout::InterleavedTail {
        n_heads,
        d_head,
        d_tail: latent.d_rotated,
    };
    match latent.d_query_latent {
        None => {
            let names = ("self_attn.q_proj", "attn_q");
            layer.linear(Part::Query, names, (n_heads * d_query, d_model), false);
        }
        Some(d_query_latent) => {
            let names = ("self_attn.q_a_proj", "attn_q_a");
            layer.linear(Part::QueryDown, names, (d_query_latent, d_model), false);
            let names = ("self_attn.q_a_layernorm", "attn_q_a_norm");
            layer.vector(Part::QueryDownNorm, names, d_query_latent);
            let names = ("self_attn.q_b_proj", "attn_q_b");
            layer.linear(
                Part::Query,
                names,
                (n_heads * d_query, d_query_latent),
                false,
            );
        }
    }
    layer.stored_as(interleaved(n_heads, d_query));
    let names = ("self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa");
    layer.linear(Part::LatentDown, names, (latent.d_cached(), d_model), false);
    layer.stored_as(interleaved(1, latent.d_cached()));
    let names = ("self_attn.kv_a_layernorm", "attn_kv_a_norm");
    layer.vector(Part::LatentNorm, names, d_latent);
    let d_up = n_heads * (latent.d_plain + latent.d_value);
    layer.kept(
        Part::LatentUp,
        ("self_attn.kv_b_proj", "attn_kv_b"),
        (d_up, d_latent),
    );
    let d_out = n_heads * latent.d_value;
    layer.linear(
        Part::Output,
        ("self_attn.o_proj", "attn_output"),
        (d_model, d_out),
        false,
    );
}

fn mixture(layer: &mut WeightList<'_>, experts: &Experts) {
    let d_model = layer.config.d_model;
    let names = ("mlp.gate", "ffn_gate_inp");
    layer.kept(Part::Router, names, (experts.n_experts, d_model));
    for expert_idx in 0..experts.n_experts {
        let prefix = format!("mlp.experts.{expert_idx}.");
        mlp(layer, &prefix, Some(expert_idx), experts.d_expert);
    }
    if experts.n_shared > 0 {
        let d_shared = experts.n_shared * experts.d_expert;
        mlp(layer, "mlp.shared_experts.", None, d_shared);
    }
}

fn mlp(layer: &mut WeightList<'_>, prefix: &str, expert: Option<usize>, d_ff: usize) {
    let d_model = layer.config.d_model;
    for (part, name, gguf_name, shape) in [
        (Part::Gate, "gate_proj", "ffn_gate", (d_ff, d_model)),
        (Part::Up, "up_proj", "ffn_up", (d_ff, d_model)),
        (Part::Down, "down_proj", "ffn_down", (d_model, d_ff)),
    ] {
        layer.linear(part, (&format!("{prefix}{name}"), gguf_name), shape, false);
        layer.of_expert(expert);
    }
}
