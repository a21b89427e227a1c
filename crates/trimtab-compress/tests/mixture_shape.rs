//! A checkpoint with the shape of DeepSeek-Coder-V2-Lite (16 billion parameters), its widths shrunk:
//! it is compressed weight by weight, loads, and takes the bytes that were predicted. With the real
//! widths the same arithmetic says that it fits 12 GB (docs/capacity.md).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::Device;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use std::path::Path;
use trimtab_compress::{compress, predicted_bytes};
use trimtab_domain::Recipe;
use trimtab_kernels::KvFormat;
use trimtab_models::{
    Artifact, ModelConfig, WeightRole, decoder::SequenceStep, load_decoder, weight_specs,
};

/// The published configuration of DeepSeek-Coder-V2-Lite.
fn real_config() -> Value {
    json!({
        "model_type": "deepseek_v2", "hidden_act": "silu", "vocab_size": 102_400,
        "hidden_size": 2048, "intermediate_size": 10_944, "moe_intermediate_size": 1408,
        "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16,
        "n_shared_experts": 2, "n_routed_experts": 64, "num_experts_per_tok": 6,
        "first_k_dense_replace": 1, "moe_layer_freq": 1, "norm_topk_prob": false,
        "topk_method": "greedy", "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0,
        "kv_lora_rank": 512, "q_lora_rank": null, "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64, "v_head_dim": 128, "rms_norm_eps": 1e-6, "rope_theta": 10_000,
        "max_position_embeddings": 163_840, "tie_word_embeddings": false,
        "rope_scaling": {
            "type": "yarn", "factor": 40, "beta_fast": 32, "beta_slow": 1, "mscale": 0.707,
            "mscale_all_dim": 0.707, "original_max_position_embeddings": 4096
        }
    })
}

/// The same with small widths; layers, heads and experts stay.
fn small_config() -> Value {
    let mut config = real_config();
    for (key, size) in [
        ("vocab_size", 300),
        ("hidden_size", 32),
        ("intermediate_size", 48),
        ("moe_intermediate_size", 16),
        ("kv_lora_rank", 16),
        ("qk_nope_head_dim", 8),
        ("qk_rope_head_dim", 4),
        ("v_head_dim", 8),
    ] {
        config[key] = size.into();
    }
    config
}

/// A folder with arbitrary f32 weights.
fn write_folder(folder: &Path, config: &Value) {
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut tensors = Vec::new();
    for spec in weight_specs(&ModelConfig::from_hf(config).unwrap()) {
        let gain = f32::from(u8::from(spec.role == WeightRole::Vector));
        let n = spec.d_out * spec.d_in;
        let bytes: Vec<u8> = (0..n)
            .flat_map(|_| (gain + noise()).to_le_bytes())
            .collect();
        tensors.push((spec.hf_name(), spec.hf_shape(), bytes));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

#[test]
fn a_mixture_of_experts_is_compressed_loads_and_takes_the_predicted_bytes() {
    let dir = tempfile::tempdir().unwrap();
    write_folder(dir.path(), &small_config());
    let config = ModelConfig::from_hf(&small_config()).unwrap();
    let (recipe, file) = (
        Recipe::preset("int4").unwrap(),
        dir.path().join("int4.trimtab"),
    );
    let mut n_layers = 0;
    compress(dir.path(), None, &recipe, &file, &mut |_, _, _| {
        n_layers += 1;
    })
    .unwrap();
    // Attention, three matrices of every expert and of the shared ones, router; embedding and head.
    assert_eq!(n_layers, 27 * 4 + 3 + 26 * (3 * 65 + 1) + 2);
    let artifact = Artifact::open(&file).unwrap();
    assert_eq!(
        artifact.n_weight_bytes(),
        predicted_bytes(&config, &recipe).unwrap()
    );
    let model = load_decoder(&artifact, None, 64, &Device::flex()).unwrap();
    let mut cache = model.new_cache(1, 16, KvFormat::F16);
    let ids = [5, 250, 17, 9];
    let hidden = model.hidden(&[SequenceStep { slot: 0, ids: &ids }], &mut cache);
    let logits: Vec<f32> = model.logits(hidden).into_data().try_into_vec().unwrap();
    assert_eq!(logits.len(), ids.len() * 300);
    assert!(logits.iter().all(|value| value.is_finite()));
}

#[test]
fn sixteen_billion_parameters_in_int4_fit_twelve_gigabytes() {
    let config = ModelConfig::from_hf(&real_config()).unwrap();
    assert_eq!(config.n_parameters(), 15_706_484_224);
    let weights = predicted_bytes(&config, &Recipe::preset("int4").unwrap()).unwrap();
    let cache = config.kv_cache_bytes(4096, KvFormat::F16);
    // 27 layers · 576 channels · 2 bytes · 4,096 tokens.
    assert_eq!(cache, 127_401_984);
    assert!((8.0e9..9.5e9).contains(&(weights as f64)), "{weights}");
    assert!(weights + cache < 12_000_000_000);
}
