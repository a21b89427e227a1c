//! What the exporter takes from the weights of a model: which tensor each becomes, and where an
//! artifact has it.

use super::{ExportWeight, writer::TensorTypes};
use crate::{
    Artifact, ArtifactError, Layout, ModelConfig, WeightRole, WeightSpec, gguf::GgmlType,
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
    fn new(spec: WeightSpec, types: &TensorTypes<'_>) -> Self {
        let ggml_type = match spec.role {
            // Readers take norms, biases and the like as 32-bit floats only.
            WeightRole::Vector | WeightRole::Kept => GgmlType::F32,
            _ => types.of(&spec),
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
pub(super) fn tensor_plans(config: &ModelConfig, types: &TensorTypes<'_>) -> Vec<TensorPlan> {
    let specs = weight_specs(config).into_iter();
    specs.map(|spec| TensorPlan::new(spec, types)).collect()
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
        let bytes = match (artifact.packed_shape(spec), bytes) {
            (None, bytes) => bytes,
            (Some(shape), Cow::Borrowed(bytes)) => {
                return PackedView::new(shape, bytes)
                    .map(ExportWeight::Packed)
                    .map_err(|error| error.to_string());
            }
            (Some(shape), Cow::Owned(bytes)) => {
                let packed = PackedView::new(shape, &bytes).map_err(|error| error.to_string())?;
                let mut values = vec![0.0; shape.d_out * shape.d_in];
                for (row_idx, row) in values.chunks_exact_mut(shape.d_in).enumerate() {
                    packed.dequantize_row_reference(row_idx, row);
                }
                return Ok(ExportWeight::Floats(Cow::Owned(values)));
            }
        };
        let values = bytes.as_chunks::<4>().0.iter();
        let values = values.map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(ExportWeight::Floats(Cow::Owned(values)))
    })
}
