//! The tiny model as a GGUF file.

use super::{Noise, TEMPLATE, TinyModel, tokens};
use crate::{
    ModelConfig,
    gguf::{GgmlType, GgufWriteError, GgufWriter},
    weight_specs,
};
use std::path::Path;

/// Writes the model as a GGUF file with f32 weights.
///
/// # Errors
///
/// [`GgufWriteError`] if the file cannot be written.
pub fn write_tiny_gguf(path: &Path, model: &TinyModel) -> Result<(), GgufWriteError> {
    let config = model.config();
    let name = model.architecture.model_type();
    let mut file = with_sizes(GgufWriter::new(), name, &config);
    file = with_tokenizer(file);
    let mut noise = Noise::new(model);
    for spec in weight_specs(&config) {
        let values = noise.weight(&spec);
        file = file.tensor(&spec.gguf_name, &spec.gguf_shape(), GgmlType::F32, &values)?;
    }
    file.write(path)
}

fn with_sizes(file: GgufWriter, name: &str, config: &ModelConfig) -> GgufWriter {
    let key = |key: &str| format!("{name}.{key}");
    file.metadata("general.architecture", name)
        .metadata("general.name", "tiny")
        .metadata(&key("block_count"), config.n_layers as u32)
        .metadata(&key("embedding_length"), config.d_model as u32)
        .metadata(&key("feed_forward_length"), config.d_ff as u32)
        .metadata(&key("attention.head_count"), config.n_heads as u32)
        .metadata(&key("attention.head_count_kv"), config.n_kv_heads as u32)
        .metadata(&key("attention.key_length"), config.d_head as u32)
        .metadata(&key("context_length"), config.max_len as u32)
        .metadata(&key("rope.freq_base"), config.rope_theta as f32)
        .metadata(
            &key("attention.layer_norm_rms_epsilon"),
            config.norm_epsilon,
        )
}

fn with_tokenizer(file: GgufWriter) -> GgufWriter {
    const NORMAL: i32 = 1;
    const CONTROL: i32 = 3;
    let tokens: Vec<String> = tokens().collect();
    let types: Vec<i32> = (0..tokens.len())
        .map(|id| if id < 256 { NORMAL } else { CONTROL })
        .collect();
    file.metadata("tokenizer.ggml.model", "gpt2")
        .metadata("tokenizer.ggml.pre", "qwen2")
        .metadata("tokenizer.ggml.tokens", tokens)
        .metadata("tokenizer.ggml.token_type", types)
        .metadata("tokenizer.ggml.merges", Vec::<String>::new())
        .metadata("tokenizer.ggml.eos_token_id", 258_u32)
        .metadata("tokenizer.ggml.padding_token_id", 256_u32)
        .metadata("tokenizer.chat_template", TEMPLATE)
}
