//! A tiny model with arbitrary weights, for tests that need a model file but not its sense.
//!
//! It has everything a real file has: byte-level tokens, chat tokens, a chat template, and the
//! sizes of a Llama or Qwen2.

use crate::{
    Architecture, ModelConfig, WeightRole,
    config::{AttentionScale, Biases, MlpKind, NormKind},
    gguf::{GgmlType, GgufWriteError, GgufWriter},
    rope::RopeScaling,
    weight_specs,
};
use std::path::Path;

/// Sizes of a tiny model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TinyModel {
    /// The architecture.
    pub architecture: Architecture,
    /// Whether the output head is the embedding.
    pub has_tied_head: bool,
    /// Decoder blocks.
    pub n_layers: usize,
    /// Seed of the weights.
    pub seed: u64,
}

impl Default for TinyModel {
    fn default() -> Self {
        Self {
            architecture: Architecture::Llama,
            has_tied_head: true,
            n_layers: 2,
            seed: 1,
        }
    }
}

/// The tokens that are not bytes.
const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n\
    {{ message.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

impl TinyModel {
    /// Sizes and constants.
    pub fn config(&self) -> ModelConfig {
        ModelConfig {
            architecture: self.architecture,
            n_layers: self.n_layers,
            d_model: 96,
            d_ff: 160,
            n_heads: 6,
            n_kv_heads: 2,
            d_head: 16,
            vocab_size: 256 + SPECIAL.len(),
            max_len: 2048,
            rope_theta: 10_000.0,
            norm_epsilon: 1e-5,
            has_tied_head: self.has_tied_head,
            rope_scaling: RopeScaling::None,
            has_learned_positions: false,
            norm: NormKind::Rms,
            mlp: MlpKind::GatedSilu,
            biases: Biases {
                qkv: self.architecture == Architecture::Qwen2,
                ..Biases::default()
            },
            has_query_key_norm: self.architecture == Architecture::Qwen3,
            window: None,
            attention_scale: AttentionScale::ByHead,
            latent: None,
            experts: None,
        }
    }
}

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
    let mut noise = Noise(model.seed.max(1));
    for spec in weight_specs(&config) {
        let n = spec.d_out * spec.d_in;
        let values: Vec<f32> = match spec.role {
            WeightRole::Vector if spec.name.ends_with("bias") => noise.take(n, 0.1),
            WeightRole::Vector => noise.take(n, 0.2).iter().map(|v| 1.0 + v).collect(),
            _ => noise.take(n, 2.0 / (spec.d_in as f32).sqrt()),
        };
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
    let bytes = (0..=255).map(|byte| byte_symbol(byte).to_string());
    let tokens: Vec<String> = bytes.chain(SPECIAL.map(str::to_owned)).collect();
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

/// The character that stands for a byte in byte-level vocabularies: itself where it is printable,
/// else one of the characters from U+0100 on.
///
/// Source: `bytes_to_unicode` of GPT-2, <https://github.com/openai/gpt-2>.
fn byte_symbol(byte: u8) -> char {
    let is_printable = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if is_printable(byte) {
        return char::from(byte);
    }
    let n_before = (0..byte).filter(|byte| !is_printable(*byte)).count() as u32;
    char::from_u32(0x100 + n_before).expect("the first 68 characters from U+0100 on exist")
}

/// Uniform values from xorshift64; the same on every machine.
struct Noise(u64);

impl Noise {
    fn take(&mut self, n: usize, width: f32) -> Vec<f32> {
        (0..n)
            .map(|_| {
                self.0 ^= self.0 << 13;
                self.0 ^= self.0 >> 7;
                self.0 ^= self.0 << 17;
                ((self.0 >> 40) as f32 / (1_u32 << 24) as f32 - 0.5) * width
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_symbol() {
        let mut symbols: Vec<char> = (0..=255).map(byte_symbol).collect();
        assert_eq!((symbols[b'A' as usize], symbols[b' ' as usize]), ('A', 'Ġ'));
        symbols.sort_unstable();
        symbols.dedup();
        assert_eq!(symbols.len(), 256);
    }
}
