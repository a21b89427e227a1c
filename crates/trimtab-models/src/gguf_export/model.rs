//! What the exporter takes from the configuration and the artifact of a model: the only file of it
//! that knows their fields.

use super::{ExportWeight, GgufExportError, writer::BlockTypes};
use crate::{
    Architecture, Artifact, ArtifactError, Layout, ModelConfig, WeightRole, WeightSpec,
    gguf::{GgmlType, GgufValue},
    rope::RopeScaling,
    weight_specs,
};
use std::borrow::Cow;
use trimtab_kernels::PackedView;

/// One tensor of the file to come.
#[derive(Clone, Debug)]
pub(super) struct TensorPlan {
    pub(super) spec: WeightSpec,
    pub(super) ggml_type: GgmlType,
    /// For each row of the file, the row of the weight; empty where they are the same.
    source_rows: Vec<usize>,
}

impl TensorPlan {
    fn new(spec: WeightSpec, types: &BlockTypes) -> Self {
        let ggml_type = match spec.role {
            // Readers take norms, biases and the like as 32-bit floats only.
            WeightRole::Vector | WeightRole::Kept => GgmlType::F32,
            WeightRole::Embedding => types.of_rows(types.embedding, spec.d_in),
            WeightRole::Head => types.of_rows(types.head, spec.d_in),
            WeightRole::Linear => types.of_rows(types.linear, spec.d_in),
        };
        let mut source_rows = vec![];
        if spec.gguf_layout != Layout::Rows && spec.role != WeightRole::Vector {
            source_rows = vec![0; spec.d_out];
            for row_idx in 0..spec.d_out {
                source_rows[spec.gguf_layout.stored_row(row_idx, spec.d_out)] = row_idx;
            }
        }
        Self {
            spec,
            ggml_type,
            source_rows,
        }
    }

    /// The row of the weight that belongs to a row of the file.
    pub(super) fn source_row(&self, row_idx: usize) -> usize {
        self.source_rows.get(row_idx).copied().unwrap_or(row_idx)
    }

    /// The values of a vector, which follow the rows of their weight, in the order of the file.
    pub(super) fn stored_vector(&self, values: &[f32]) -> Vec<f32> {
        self.spec
            .gguf_layout
            .write(values.to_vec(), self.spec.d_in, 1)
    }
}

/// All tensors, in the order of the forward pass.
pub(super) fn tensor_plans(config: &ModelConfig, types: &BlockTypes) -> Vec<TensorPlan> {
    let specs = weight_specs(config).into_iter();
    specs.map(|spec| TensorPlan::new(spec, types)).collect()
}

/// The name of the architecture in GGUF files, if readers do there what the model needs.
fn architecture_name(config: &ModelConfig) -> Result<&'static str, GgufExportError> {
    let model_type = config.architecture.model_type();
    let name = match config.architecture {
        Architecture::Llama | Architecture::Mistral => "llama",
        Architecture::Qwen2 => "qwen2",
        Architecture::Qwen3 => "qwen3",
        Architecture::DeepseekV2
        | Architecture::Starcoder2
        | Architecture::Gpt2
        | Architecture::GptBigcode => return Err(GgufExportError::Architecture(model_type)),
    };
    let feature = match &config.rope_scaling {
        _ if config.window.is_some() => Some("a sliding window"),
        RopeScaling::None | RopeScaling::Linear { .. } => None,
        RopeScaling::Llama3 { .. } => Some("rope scaling `llama3`"),
        RopeScaling::Yarn(_) => Some("rope scaling `yarn`"),
        RopeScaling::Factors { .. } => Some("rope scaling by factors"),
    };
    match feature {
        None => Ok(name),
        Some(feature) => Err(GgufExportError::Feature {
            architecture: model_type,
            feature,
        }),
    }
}

/// The architecture and its sizes and constants, as metadata entries.
///
/// # Errors
///
/// An architecture, or a feature of it, that is not exported.
pub(super) fn size_metadata(
    config: &ModelConfig,
) -> Result<Vec<(String, GgufValue)>, GgufExportError> {
    let name = architecture_name(config)?;
    let size = |key: &str, value: usize| (format!("{name}.{key}"), GgufValue::U32(value as u32));
    let float = |key: &str, value: f32| (format!("{name}.{key}"), GgufValue::F32(value));
    let mut metadata = vec![
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
        float("attention.layer_norm_rms_epsilon", config.norm_epsilon),
    ];
    if let RopeScaling::Linear { factor } = config.rope_scaling {
        let kind = (format!("{name}.rope.scaling.type"), "linear".into());
        metadata.extend([kind, float("rope.scaling.factor", factor as f32)]);
    }
    Ok(metadata)
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
