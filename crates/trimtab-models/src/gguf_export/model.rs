//! What the exporter takes from the configuration and the artifact of a model: the only file of it
//! that knows their fields.

use super::{ExportWeight, writer::BlockTypes};
use crate::{
    Architecture, Artifact, ArtifactError, ModelConfig, WeightRole, WeightSpec,
    gguf::{GgmlType, GgufValue},
    weight_specs,
};
use std::borrow::Cow;
use trimtab_kernels::PackedView;

/// One tensor of the file to come.
#[derive(Clone, Debug)]
pub(super) struct TensorPlan {
    pub(super) spec: WeightSpec,
    pub(super) ggml_type: GgmlType,
    /// Heads whose rows are stored for an interleaved rotary embedding; 0 for rows as they are.
    pub(super) interleaved_heads: usize,
}

impl TensorPlan {
    /// Axes, row-major: `[d_out, d_in]`, or `[d_in]` for a vector.
    pub(super) fn shape(&self) -> Vec<usize> {
        match self.spec.role {
            WeightRole::Vector => vec![self.spec.d_in],
            WeightRole::Embedding | WeightRole::Head | WeightRole::Linear => {
                vec![self.spec.d_out, self.spec.d_in]
            }
        }
    }
}

/// All tensors, in the order of the forward pass.
pub(super) fn tensor_plans(config: &ModelConfig, types: &BlockTypes) -> Vec<TensorPlan> {
    let plan = |spec: WeightSpec| {
        let ggml_type = match spec.role {
            // Readers take norms and biases as 32-bit floats only.
            WeightRole::Vector => GgmlType::F32,
            WeightRole::Embedding => types.of_rows(types.embedding, spec.d_in),
            WeightRole::Head => types.of_rows(types.head, spec.d_in),
            WeightRole::Linear => types.of_rows(types.linear, spec.d_in),
        };
        TensorPlan {
            interleaved_heads: interleaved_heads(config, &spec),
            spec,
            ggml_type,
        }
    };
    weight_specs(config).into_iter().map(plan).collect()
}

fn interleaved_heads(config: &ModelConfig, spec: &WeightSpec) -> usize {
    match config.architecture {
        Architecture::Llama if spec.gguf_name.ends_with(".attn_q.weight") => config.n_heads,
        Architecture::Llama if spec.gguf_name.ends_with(".attn_k.weight") => config.n_kv_heads,
        Architecture::Llama | Architecture::Qwen2 => 0,
    }
}

/// The architecture and its sizes and constants, as metadata entries.
pub(super) fn size_metadata(config: &ModelConfig) -> Vec<(String, GgufValue)> {
    let name = match config.architecture {
        Architecture::Llama => "llama",
        Architecture::Qwen2 => "qwen2",
    };
    let size = |key: &str, value: usize| (format!("{name}.{key}"), GgufValue::U32(value as u32));
    let float = |key: &str, value: f32| (format!("{name}.{key}"), GgufValue::F32(value));
    vec![
        ("general.architecture".to_owned(), name.into()),
        size("block_count", config.n_layers),
        size("context_length", config.max_len),
        size("embedding_length", config.d_model),
        size("feed_forward_length", config.d_ff),
        size("attention.head_count", config.n_heads),
        size("attention.head_count_kv", config.n_kv_heads),
        size("attention.key_length", config.d_head),
        size("attention.value_length", config.d_head),
        size("rope.dimension_count", config.d_head),
        size("vocab_size", config.vocab_size),
        float("rope.freq_base", config.rope_theta as f32),
        float("attention.layer_norm_rms_epsilon", config.rms_epsilon),
    ]
}

/// Hands the weights of an artifact to [`GgufExport::write`](super::GgufExport::write).
///
/// # Errors
///
/// [`ArtifactError`] if the file is damaged.
pub fn weights_of_artifact<'a>(
    artifact: &'a Artifact,
) -> Result<impl FnMut(&WeightSpec) -> Result<ExportWeight<'a>, String>, ArtifactError> {
    let tensors = artifact.tensors()?;
    Ok(move |spec: &WeightSpec| {
        let bytes = artifact
            .weight_in(&tensors, spec)
            .map_err(|error| error.to_string())?;
        match artifact.packed_shape(spec) {
            Some(shape) => PackedView::new(shape, bytes)
                .map(ExportWeight::Packed)
                .map_err(|error| error.to_string()),
            None => {
                let values = bytes.as_chunks::<4>().0.iter();
                let values = values.map(|bytes| f32::from_le_bytes(*bytes)).collect();
                Ok(ExportWeight::Floats(Cow::Owned(values)))
            }
        }
    })
}
