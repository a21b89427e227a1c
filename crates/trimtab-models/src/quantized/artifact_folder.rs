//! An artifact as a model folder: its codes as the format stores codes, everything else as 16-bit
//! floats, every weight in the order that Hugging Face checkpoints have.

use super::{
    ExportError, ExportFormat, ExportGrid, ExportTensor, ExportWeight, FolderFloats, GridWeight,
    QuantizedFolder, write_quantized_folder,
};
use crate::{
    Artifact, ArtifactError, Layout, Part, WeightRole, WeightSpec,
    gguf_export::{Fidelity, artifact_types::is_symmetric},
    weight_specs,
};
use safetensors::SafeTensors;
use serde_json::Value;
use std::{borrow::Cow, path::Path};
use trimtab_kernels::{PackedFormat, PackedShape, PackedView};

/// A weight as kernels read it.
type Packed<'a> = (PackedShape, Cow<'a, [u8]>);

/// What became of one weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderWeight {
    /// Name as in Hugging Face checkpoints.
    pub name: String,
    /// How near it is to the artifact's.
    pub fidelity: Fidelity,
}

/// Writes the weights of `artifact` and `config`, the model's `config.json`, into `dir`, which
/// exists. Sizes that the artifact has changed are changed in the configuration too.
///
/// One weight is in memory at a time. After an error the folder is to be removed.
///
/// # Errors
///
/// [`ExportError`] where the disk refuses, the artifact is damaged, or the format has no place for
/// a weight.
pub fn write_artifact_folder(
    dir: &Path,
    format: ExportFormat,
    config: &Value,
    artifact: &Artifact,
) -> Result<Vec<FolderWeight>, ExportError> {
    let source = Source {
        artifact,
        tensors: artifact.tensors()?,
        format,
        floats: folder_floats(artifact),
    };
    let config = artifact.header().config.hf_config_from(config)?;
    let specs = weight_specs(&artifact.header().config);
    let tensors = specs
        .iter()
        .map(|spec| source.planned(spec))
        .collect::<Result<Vec<_>, _>>()?;
    let folder = QuantizedFolder {
        format,
        floats: source.floats,
        config: &config,
        tensors: &tensors,
    };
    let mut report = Vec::with_capacity(specs.len());
    let mut rest = specs.iter();
    write_quantized_folder(dir, &folder, &mut |tensor| {
        let spec = rest.next().ok_or("it is asked for twice")?;
        let weight = source.content(spec, tensor.grid.is_some());
        let (weight, fidelity) = weight.map_err(|error| error.to_string())?;
        report.push(FolderWeight {
            name: spec.name.clone(),
            fidelity,
        });
        Ok(weight)
    })?;
    Ok(report)
}

struct Source<'a> {
    artifact: &'a Artifact,
    tensors: SafeTensors<'a>,
    format: ExportFormat,
    floats: FolderFloats,
}

impl Source<'_> {
    /// Name, shape and grid of a weight in the folder.
    fn planned(&self, spec: &WeightSpec) -> Result<ExportTensor, ExportError> {
        let grid = match spec.role {
            WeightRole::Linear if self.format != ExportFormat::Plain => self.grid(spec)?,
            _ => None,
        };
        let refused = |reason: &str| ExportError::Weight {
            name: spec.name.clone(),
            format: self.format.name(),
            reason: reason.to_owned(),
        };
        if grid.is_some() && spec.layout == Layout::Transposed {
            return Err(refused("the model's code wants it transposed, in floats"));
        }
        if grid.is_none() && self.wants_codes(spec) {
            let reason = "it is stored as floats, and a reader expects codes of every linear layer";
            return Err(refused(reason));
        }
        Ok(ExportTensor {
            name: spec.hf_name(),
            shape: spec.hf_shape(),
            grid,
        })
    }

    /// Whether readers of the format take the weight for codes, whatever the folder says.
    fn wants_codes(&self, spec: &WeightSpec) -> bool {
        let is_gptq = matches!(self.format, ExportFormat::Gptq | ExportFormat::GptqV2);
        let is_linear = match spec.role {
            WeightRole::Linear => true,
            WeightRole::Kept => !matches!(spec.place.part, Part::Positions | Part::Router),
            WeightRole::Embedding | WeightRole::Head | WeightRole::Vector => false,
        };
        is_gptq && is_linear
    }

    fn packed(&self, spec: &WeightSpec) -> Result<Option<Packed<'_>>, ArtifactError> {
        let Some(shape) = self.artifact.packed_shape(spec) else {
            return Ok(None);
        };
        let bytes = self.artifact.weight_in(&self.tensors, spec)?;
        Ok(Some((shape, bytes)))
    }

    fn grid(&self, spec: &WeightSpec) -> Result<Option<ExportGrid>, ArtifactError> {
        let stored = self.packed(spec)?;
        let Some(packed) = stored.as_ref().map(view) else {
            return Ok(None);
        };
        Ok(match packed.shape().format {
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => None,
            PackedFormat::Int8 { group_size, .. } => Some(ExportGrid {
                bits: 8,
                group_size,
                is_symmetric: true,
            }),
            PackedFormat::Int4 { group_size, .. } => Some(ExportGrid {
                bits: 4,
                group_size,
                is_symmetric: is_symmetric(&packed),
            }),
        })
    }

    /// The content of a weight in the order of the folder.
    fn content(
        &self,
        spec: &WeightSpec,
        as_codes: bool,
    ) -> Result<(ExportWeight, Fidelity), ArtifactError> {
        let stored = self.packed(spec)?;
        let packed = stored.as_ref().map(view);
        if let Some(grid) = packed
            .filter(|_| as_codes)
            .and_then(GridWeight::from_packed)
        {
            let grid = in_stored_order(grid, spec.layout);
            return Ok((ExportWeight::Grid(grid), Fidelity::Exact));
        }
        let values = if let Some(packed) = packed {
            dequantized(&packed)
        } else {
            let bytes = self.artifact.weight_in(&self.tensors, spec)?;
            let values = bytes.as_chunks::<4>().0.iter();
            values.map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        let survives = |value: &f32| self.floats.rounded(*value).to_bits() == value.to_bits();
        let fidelity = match values.iter().all(survives) {
            true => Fidelity::Exact,
            false => Fidelity::Rounded,
        };
        // A vector follows the rows of its weight.
        let (d_out, d_in) = match spec.place.is_bias {
            true => (spec.d_in, 1),
            false => (spec.d_out, spec.d_in),
        };
        let values = spec.layout.write(values, d_out, d_in);
        Ok((ExportWeight::Floats(values), fidelity))
    }
}

/// The floats that say the same as the artifact: bfloat16 where every matrix is, else halves.
fn folder_floats(artifact: &Artifact) -> FolderFloats {
    let specs = weight_specs(&artifact.header().config);
    let mut shapes = specs.iter().filter_map(|spec| artifact.packed_shape(spec));
    match shapes.all(|shape| shape.format == PackedFormat::Bf16) {
        true => FolderFloats::Bf16,
        false => FolderFloats::F16,
    }
}

fn dequantized(packed: &PackedView<'_>) -> Vec<f32> {
    let shape = packed.shape();
    let mut values = vec![0.0; shape.d_out * shape.d_in];
    for (row_idx, row) in values.chunks_exact_mut(shape.d_in).enumerate() {
        packed.dequantize_row_reference(row_idx, row);
    }
    values
}

/// The rows in the order of the file.
fn in_stored_order(grid: GridWeight, layout: Layout) -> GridWeight {
    if layout == Layout::Rows {
        return grid;
    }
    let n_groups = grid.n_groups();
    let parts = grid.into_parts();
    let mut stored = parts.clone();
    for row in 0..parts.d_out {
        let to = layout.stored_row(row, parts.d_out);
        copy_row(&parts.codes, &mut stored.codes, row, to, parts.d_in);
        copy_row(&parts.scales, &mut stored.scales, row, to, n_groups);
        let zero_points = &mut stored.zero_points;
        copy_row(&parts.zero_points, zero_points, row, to, n_groups);
    }
    GridWeight::new(stored).expect("the parts have the lengths that they had before")
}

fn copy_row<T: Copy>(from: &[T], to: &mut [T], row: usize, stored_row: usize, width: usize) {
    to[stored_row * width..][..width].copy_from_slice(&from[row * width..][..width]);
}

/// A weight as kernels read it.
fn view<'a>((shape, bytes): &'a Packed<'_>) -> PackedView<'a> {
    PackedView::new(*shape, bytes).expect("the artifact has compared length and shape")
}
