//! A tiny model with arbitrary weights, for tests that need a model but not its sense.
//!
//! It has everything a real one has: byte-level tokens, chat tokens, a chat template, and the
//! sizes of a Llama or Qwen2. It comes as a GGUF file or as a folder.

mod artifact;
mod folder;
mod gguf;

pub use artifact::write_uniform_artifact;
pub use folder::{hugging_face_config, write_tiny_folder};
pub use gguf::write_tiny_gguf;

use crate::{
    Architecture, ModelConfig, WeightRole, WeightSpec,
    config::{Biases, Sizes},
    tokenizer::SYMBOL_FROM_BYTE,
};

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

/// One token a byte, then the special ones.
fn tokens() -> impl Iterator<Item = String> {
    let bytes = SYMBOL_FROM_BYTE.iter().map(char::to_string);
    bytes.chain(SPECIAL.map(str::to_owned))
}

impl TinyModel {
    /// Sizes and constants.
    pub fn config(&self) -> ModelConfig {
        let sizes = Sizes {
            n_layers: self.n_layers,
            d_model: 96,
            d_ff: 160,
            n_heads: 6,
            vocab_size: 256 + SPECIAL.len(),
            max_len: 2048,
        };
        ModelConfig {
            n_kv_heads: 2,
            norm_epsilon: 1e-5,
            has_tied_head: self.has_tied_head,
            biases: Biases {
                qkv: self.architecture == Architecture::Qwen2,
                ..Biases::default()
            },
            has_query_key_norm: self.architecture == Architecture::Qwen3,
            ..ModelConfig::of_sizes(self.architecture, sizes)
        }
    }
}

/// Uniform values from xorshift64; the same on every machine.
struct Noise(u64);

impl Noise {
    fn new(model: &TinyModel) -> Self {
        Self(model.seed.max(1))
    }

    fn weight(&mut self, spec: &WeightSpec) -> Vec<f32> {
        let n = spec.d_out * spec.d_in;
        match spec.role {
            WeightRole::Vector if spec.name.ends_with("bias") => self.take(n, 0.1),
            WeightRole::Vector => self.take(n, 0.2).iter().map(|v| 1.0 + v).collect(),
            _ => self.take(n, 2.0 / (spec.d_in as f32).sqrt()),
        }
    }

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
