//! GPT-BigCode, the form of `SantaCoder` and `StarCoder`: GPT-2 whose query heads share one head of
//! keys and values, with weights stored the usual way round.
//!
//! Sources: Allal et al. 2023, "`SantaCoder`", <https://arxiv.org/abs/2301.03988>; Shazeer 2019 (one
//! key and value head), <https://arxiv.org/abs/1911.02150>. Reference implementation:
//! `modeling_gpt_bigcode.py` of Hugging Face transformers.

use super::{Architecture, gpt2, hf_keys::HfKeys};
use crate::{
    ConfigError, ModelConfig,
    config::{Activation, AttentionScale},
    layout::Layout,
    weights::WeightList,
};

pub(super) fn from_hf(keys: &HfKeys<'_>) -> Result<ModelConfig, ConfigError> {
    let mut config = gpt2::family_from_hf(keys, Architecture::GptBigcode, Activation::GeluTanh)?;
    if keys.flag_or("multi_query", true)? {
        config.n_kv_heads = 1;
    }
    if !keys.flag_or("scale_attn_weights", true)? {
        config.attention_scale = AttentionScale::One;
    }
    Ok(config)
}

pub(super) fn list_weights(list: &mut WeightList<'_>) {
    let config = list.config;
    let joint = match config.n_kv_heads {
        1 if config.n_heads > 1 => Layout::Rows,
        // With as many key and value heads, rows lie head by head: query, key, value of each.
        n_heads => Layout::HeadByHead { n_heads },
    };
    gpt2::list_weights_with(list, joint, Layout::Rows);
}
