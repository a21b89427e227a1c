//! Which block type holds each weight of an artifact as it is.

use super::TypeByWeight;
use crate::{Artifact, ArtifactError, WeightRole, gguf::GgmlType, weight_specs};
use trimtab_kernels::{PackedFormat, PackedView};

/// Types that there is an encoder for, from the most exact to the smallest.
pub const WRITABLE_TYPES: [GgmlType; 7] = [
    GgmlType::F32,
    GgmlType::F16,
    GgmlType::Bf16,
    GgmlType::Q8_0,
    GgmlType::Q4_1,
    GgmlType::Q4_0,
    GgmlType::Q4K,
];

/// The type of every matrix of an artifact.
///
/// Without `wanted`, the one that says the same: `F32`, `F16` and `BF16` for floats, `Q8_0` for 8-bit
/// codes, `Q4_0` for 4-bit codes around the middle and `Q4_1` for others, whose minima may be
/// [`Fidelity::Rounded`](super::Fidelity::Rounded). With `wanted`, that one; embedding and head, which suffer most, take
/// `Q8_0` in place of 4-bit types. Rows that do not divide into blocks take `Q8_0` or, where that
/// does not fit either, `F16`.
///
/// # Errors
///
/// [`ArtifactError`] if the file is damaged.
pub fn types_of_artifact(
    artifact: &Artifact,
    wanted: Option<GgmlType>,
) -> Result<TypeByWeight, ArtifactError> {
    let tensors = artifact.tensors()?;
    let mut types = TypeByWeight::new();
    for spec in weight_specs(&artifact.header().config) {
        let Some(shape) = artifact.packed_shape(&spec) else {
            continue;
        };
        let is_outer = matches!(spec.role, WeightRole::Embedding | WeightRole::Head);
        let ggml_type = match wanted {
            Some(wanted) if is_outer && is_4_bit(wanted) => GgmlType::Q8_0,
            Some(wanted) => wanted,
            None => match shape.format {
                PackedFormat::F32 => GgmlType::F32,
                PackedFormat::F16 => GgmlType::F16,
                PackedFormat::Bf16 => GgmlType::Bf16,
                PackedFormat::Int8 { .. } => GgmlType::Q8_0,
                PackedFormat::Int4 { .. } => {
                    let bytes = artifact.weight_in(&tensors, &spec)?;
                    let packed = PackedView::new(shape, &bytes)
                        .expect("the artifact has compared length and shape");
                    int4_type(&packed)
                }
            },
        };
        types.insert(spec.name, for_rows(ggml_type, spec.d_in));
    }
    Ok(types)
}

fn is_4_bit(ggml_type: GgmlType) -> bool {
    matches!(ggml_type, GgmlType::Q4_0 | GgmlType::Q4_1 | GgmlType::Q4K)
}

fn int4_type(packed: &PackedView<'_>) -> GgmlType {
    match is_symmetric(packed) {
        true => GgmlType::Q4_0,
        false => GgmlType::Q4_1,
    }
}

/// Whether every zero point is the middle code; 8-bit codes always are around theirs.
pub(crate) fn is_symmetric(packed: &PackedView<'_>) -> bool {
    let shape = packed.shape();
    let PackedFormat::Int4 { .. } = shape.format else {
        return true;
    };
    let groups = (0..shape.d_out).flat_map(|row| (0..shape.n_groups()).map(move |g| (row, g)));
    groups
        .filter_map(|(row, group)| packed.group(row, group))
        .all(|(_, zero_point)| zero_point == 8)
}

fn for_rows(ggml_type: GgmlType, d_in: usize) -> GgmlType {
    let fits = |ggml_type: &GgmlType| {
        let block = ggml_type.block();
        block.is_none_or(|block| d_in.is_multiple_of(block.n_elements))
    };
    [ggml_type, GgmlType::Q8_0]
        .into_iter()
        .find(fits)
        .unwrap_or(GgmlType::F16)
}
