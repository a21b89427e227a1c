//! The tiny model as a folder in the form of Hugging Face.

use super::{Noise, SPECIAL, TEMPLATE, TinyModel, tokens};
use crate::{
    ModelConfig,
    quantized::{
        ExportError, ExportFormat, ExportTensor, ExportWeight, FolderFloats, QuantizedFolder,
        write_quantized_folder,
    },
    weight_specs,
};
use serde_json::{Value, json};
use std::path::Path;

/// Writes the model, which is a Llama, into the folder `dir`, which exists: 16-bit weights,
/// settings and a tokenizer with a chat template.
///
/// # Errors
///
/// [`ExportError`] where the disk refuses.
pub fn write_tiny_folder(
    dir: &Path,
    model: &TinyModel,
    floats: FolderFloats,
) -> Result<(), ExportError> {
    let config = model.config();
    let specs = weight_specs(&config);
    let tensors: Vec<ExportTensor> = specs
        .iter()
        .map(|spec| ExportTensor {
            name: spec.hf_name(),
            shape: spec.hf_shape(),
            grid: None,
        })
        .collect();
    let folder = QuantizedFolder {
        format: ExportFormat::Plain,
        floats,
        config: &hugging_face_config(&config),
        tensors: &tensors,
    };
    let (mut noise, mut specs) = (Noise::new(model), specs.iter());
    write_quantized_folder(dir, &folder, &mut |_| {
        let spec = specs.next().ok_or("more tensors than weights")?;
        Ok(ExportWeight::Floats(noise.weight(spec)))
    })?;
    let settings = json!({ "eos_token": SPECIAL[2], "chat_template": TEMPLATE });
    for (name, value) in [
        ("tokenizer.json", tokenizer()),
        ("tokenizer_config.json", settings),
    ] {
        let path = dir.join(name);
        std::fs::write(&path, value.to_string())
            .map_err(|source| ExportError::Io { path, source })?;
    }
    Ok(())
}

/// `config.json` of a Llama.
pub fn hugging_face_config(config: &ModelConfig) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.d_head,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,
        "max_position_embeddings": config.max_len,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.has_tied_head,
        "attention_bias": false,
        "mlp_bias": false,
        "bos_token_id": 256,
        "eos_token_id": 258,
    })
}

/// `tokenizer.json`: a token for every byte, and no merges.
fn tokenizer() -> Value {
    let n_bytes = 256;
    let vocabulary: serde_json::Map<String, Value> = tokens()
        .take(n_bytes)
        .enumerate()
        .map(|(id, token)| (token, id.into()))
        .collect();
    let added: Vec<Value> = (n_bytes..)
        .zip(SPECIAL)
        .map(|(id, content)| {
            json!({
                "id": id, "content": content, "special": true, "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false,
            })
        })
        .collect();
    let byte_level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": null,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    })
}
