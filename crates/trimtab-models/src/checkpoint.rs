//! A model file seen as named float weights, whatever it stores them as.
//!
//! Names are those of Hugging Face checkpoints. In files of architecture `llama` the rows of queries
//! and keys are stored for an interleaved rotary embedding; they are put back here, so that the rest
//! of the code knows only the half-rotated form.

use crate::{
    Architecture, ConfigError, ModelConfig,
    gguf::{GgufError, GgufFile},
};
use std::path::Path;

/// What a weight is for; decides how it may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightRole {
    /// Token embedding; also the output head when tied.
    Embedding,
    /// Output head.
    Head,
    /// A linear layer of a decoder block.
    Linear,
    /// A vector: norm gain or bias.
    Vector,
}

/// Name, role and shape of one weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightSpec {
    /// Name as in Hugging Face checkpoints, without a final `.weight`.
    pub name: String,
    /// Name in GGUF files.
    pub gguf_name: String,
    /// What it is for.
    pub role: WeightRole,
    /// Output channels; 1 for a vector.
    pub d_out: usize,
    /// Input channels.
    pub d_in: usize,
    /// Heads whose rows are interleaved in the file; 0 when they are not.
    interleaved_heads: usize,
}

/// All weights of a model, in the order of the forward pass.
pub fn weight_specs(config: &ModelConfig) -> Vec<WeightSpec> {
    let spec = |name: &str, gguf_name: &str, role, d_out, d_in| WeightSpec {
        name: name.to_owned(),
        gguf_name: gguf_name.to_owned(),
        role,
        d_out,
        d_in,
        interleaved_heads: 0,
    };
    let d_model = config.d_model;
    let embedding = ("model.embed_tokens", "token_embd.weight");
    let mut specs = vec![spec(
        embedding.0,
        embedding.1,
        WeightRole::Embedding,
        config.vocab_size,
        d_model,
    )];
    for layer_idx in 0..config.n_layers {
        specs.extend(layer_specs(config, layer_idx));
    }
    specs.push(spec(
        "model.norm",
        "output_norm.weight",
        WeightRole::Vector,
        1,
        d_model,
    ));
    if !config.has_tied_head {
        specs.push(spec(
            "lm_head",
            "output.weight",
            WeightRole::Head,
            config.vocab_size,
            d_model,
        ));
    }
    specs
}

fn layer_specs(config: &ModelConfig, layer_idx: usize) -> Vec<WeightSpec> {
    let &ModelConfig {
        d_model,
        d_ff,
        n_heads,
        n_kv_heads,
        d_head,
        ..
    } = config;
    let (d_q, d_kv) = (n_heads * d_head, n_kv_heads * d_head);
    let is_interleaved = match config.architecture {
        Architecture::Llama => true,
        Architecture::Qwen2 => false,
    };
    let spec = |name: &str, gguf_name: &str, d_out, d_in, heads| WeightSpec {
        name: format!("model.layers.{layer_idx}.{name}"),
        gguf_name: format!("blk.{layer_idx}.{gguf_name}"),
        role: if d_out == 1 {
            WeightRole::Vector
        } else {
            WeightRole::Linear
        },
        d_out,
        d_in,
        interleaved_heads: if is_interleaved { heads } else { 0 },
    };
    let mut specs = vec![
        spec("input_layernorm", "attn_norm.weight", 1, d_model, 0),
        spec("self_attn.q_proj", "attn_q.weight", d_q, d_model, n_heads),
        spec(
            "self_attn.k_proj",
            "attn_k.weight",
            d_kv,
            d_model,
            n_kv_heads,
        ),
        spec("self_attn.v_proj", "attn_v.weight", d_kv, d_model, 0),
        spec("self_attn.o_proj", "attn_output.weight", d_model, d_q, 0),
        spec("post_attention_layernorm", "ffn_norm.weight", 1, d_model, 0),
        spec("mlp.gate_proj", "ffn_gate.weight", d_ff, d_model, 0),
        spec("mlp.up_proj", "ffn_up.weight", d_ff, d_model, 0),
        spec("mlp.down_proj", "ffn_down.weight", d_model, d_ff, 0),
    ];
    if config.architecture == Architecture::Qwen2 {
        specs.push(spec("self_attn.q_proj.bias", "attn_q.bias", 1, d_q, 0));
        specs.push(spec("self_attn.k_proj.bias", "attn_k.bias", 1, d_kv, 0));
        specs.push(spec("self_attn.v_proj.bias", "attn_v.bias", 1, d_kv, 0));
    }
    specs
}

/// An open model file.
#[derive(Debug)]
pub struct Checkpoint {
    file: GgufFile,
    config: ModelConfig,
}

/// Why a model file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is damaged or not GGUF.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The metadata describes no model that can be run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A tensor has another shape than the metadata says.
    #[error("tensor `{name}` has shape {got:?}, not {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Shape by the metadata.
        expected: Vec<usize>,
        /// Shape in the file.
        got: Vec<usize>,
    },
}

impl Checkpoint {
    /// Opens a GGUF file and checks that every weight is there with the right shape.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let file = GgufFile::open(path)?;
        let config = ModelConfig::from_gguf(&file)?;
        for spec in weight_specs(&config) {
            let tensor = file
                .tensor(&spec.gguf_name)
                .ok_or_else(|| GgufError::MissingTensor(spec.gguf_name.clone()))?;
            let expected = if spec.d_out == 1 {
                vec![spec.d_in]
            } else {
                vec![spec.d_out, spec.d_in]
            };
            if tensor.shape != expected {
                let (name, got) = (spec.gguf_name, tensor.shape.clone());
                return Err(CheckpointError::Shape {
                    name,
                    expected,
                    got,
                });
            }
        }
        Ok(Self { file, config })
    }

    /// Sizes and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The file behind it, for tokenizer and chat template.
    pub fn gguf(&self) -> &GgufFile {
        &self.file
    }

    /// The weight as floats, rows in half-rotated order.
    ///
    /// # Shapes
    ///
    /// - result: `[d_out, d_in]`, row-major
    pub fn read(&self, spec: &WeightSpec) -> Result<Vec<f32>, CheckpointError> {
        let stored = self.file.dequantize(&spec.gguf_name)?;
        if spec.interleaved_heads == 0 {
            return Ok(stored);
        }
        Ok(half_rotated_from_interleaved(
            &stored,
            spec.interleaved_heads,
            spec.d_in,
        ))
    }
}

/// Row `(head, half, pair)` of the result is row `(head, pair, half)` of `stored`.
fn half_rotated_from_interleaved(stored: &[f32], n_heads: usize, d_in: usize) -> Vec<f32> {
    let d_head = stored.len() / d_in / n_heads;
    let mut rows = Vec::with_capacity(stored.len());
    for head in stored.chunks_exact(d_head * d_in) {
        for half in 0..2 {
            for pair in 0..d_head / 2 {
                rows.extend_from_slice(&head[(2 * pair + half) * d_in..][..d_in]);
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_rows_are_put_back_head_by_head() {
        // Two heads of four rows, one column: the row's number is its value.
        let stored: Vec<f32> = (0..8).map(|row| row as f32).collect();
        let rows = half_rotated_from_interleaved(&stored, 2, 1);
        assert_eq!(rows, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }
}
