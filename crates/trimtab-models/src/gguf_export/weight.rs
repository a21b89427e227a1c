//! One weight to the blocks of its tensor.

use super::{
    GgufExportError, Unmappable,
    grid_rows::{Minima, blocks_from_grid_row},
    model::TensorPlan,
};
use crate::{
    WeightRole,
    gguf::{
        GgmlType,
        encode::{TooLarge, encode_blocks},
    },
};
use half::{bf16, f16};
use rayon::prelude::*;
use std::borrow::Cow;
use trimtab_kernels::{GridRow, PackedFormat, PackedView};

/// A weight as the caller has it, rows in half-rotated order.
#[derive(Clone, Debug)]
pub enum ExportWeight<'a> {
    /// Floats, `[d_out, d_in]`, row-major.
    Floats(Cow<'a, [f32]>),
    /// A packed weight, `[d_out, d_in]`.
    Packed(PackedView<'a>),
}

/// What may happen to weights that their type cannot hold as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// They are an error: the file must stand for the same numbers.
    Exact,
    /// They become the nearest that the type has, and the report says so.
    Nearest,
}

/// How near a written weight is to the one that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fidelity {
    /// The same numbers.
    Exact,
    /// The same codes; values, or minima of groups, rounded to 16-bit floats.
    Rounded,
    /// Other codes, with an error of up to half a step.
    Requantised,
}

/// Memory for one row that is used for many.
#[derive(Default)]
struct Scratch {
    grid: GridRow,
    values: Vec<f32>,
}

/// The bytes of a tensor.
pub(super) fn tensor_bytes(
    plan: &TensorPlan,
    weight: &ExportWeight<'_>,
    transfer: Transfer,
) -> Result<(Vec<u8>, Fidelity), GgufExportError> {
    check_shape(plan, weight)?;
    let mut bytes = vec![0; n_bytes(plan)];
    let stored_vector;
    let weight = match (plan.spec.role, weight) {
        (WeightRole::Vector, ExportWeight::Floats(values)) => {
            stored_vector = ExportWeight::Floats(plan.stored_vector(values).into());
            &stored_vector
        }
        _ => weight,
    };
    let fidelity = match weight {
        ExportWeight::Packed(packed) if has_codes(packed) && is_quantised(plan.ggml_type) => {
            from_codes(plan, packed, transfer, &mut bytes)?
        }
        weight => from_values(plan, weight, transfer, &mut bytes)?,
    };
    Ok((bytes, fidelity))
}

/// Bytes of the tensor in the file; callers have checked that its rows divide into blocks.
pub(super) fn n_bytes(plan: &TensorPlan) -> usize {
    plan.spec.d_out * row_bytes(plan)
}

fn row_bytes(plan: &TensorPlan) -> usize {
    let block = plan.ggml_type.block().expect("types to write have blocks");
    plan.spec.d_in / block.n_elements * block.n_bytes
}

fn check_shape(plan: &TensorPlan, weight: &ExportWeight<'_>) -> Result<(), GgufExportError> {
    let (d_out, d_in) = (plan.spec.d_out, plan.spec.d_in);
    let (fits, got) = match weight {
        ExportWeight::Floats(values) => (values.len() == d_out * d_in, values.len()),
        ExportWeight::Packed(packed) => {
            let shape = packed.shape();
            let fits = (shape.d_out, shape.d_in) == (d_out, d_in);
            (fits, shape.d_out * shape.d_in)
        }
    };
    if fits {
        return Ok(());
    }
    let name = plan.spec.name.clone();
    Err(GgufExportError::Shape {
        name,
        got,
        d_out,
        d_in,
    })
}

fn has_codes(packed: &PackedView<'_>) -> bool {
    match packed.shape().format {
        PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => false,
        PackedFormat::Int8 { .. } | PackedFormat::Int4 { .. } => true,
    }
}

fn is_quantised(ggml_type: GgmlType) -> bool {
    !matches!(ggml_type, GgmlType::F32 | GgmlType::F16 | GgmlType::Bf16)
}

/// Code by code; where that does not work, as `transfer` says.
fn from_codes(
    plan: &TensorPlan,
    packed: &PackedView<'_>,
    transfer: Transfer,
    bytes: &mut [u8],
) -> Result<Fidelity, GgufExportError> {
    let mut copy = |minima| -> Result<(), Unmappable> {
        each_row(plan, bytes, |row_idx, scratch, stored| {
            packed
                .read_grid_row(row_idx, &mut scratch.grid)
                .expect("the caller looked for codes");
            blocks_from_grid_row(plan.ggml_type, &scratch.grid, minima, stored)?;
            Ok(Fidelity::Exact)
        })
        .map(|_| ())
    };
    match (copy(Minima::Exact), transfer) {
        (Ok(()), _) => Ok(Fidelity::Exact),
        (Err(reason), Transfer::Exact) => Err(inexact(plan, reason.to_string())),
        (Err(Unmappable::Minimum { .. }), Transfer::Nearest) if copy(Minima::Rounded).is_ok() => {
            Ok(Fidelity::Rounded)
        }
        (Err(_), Transfer::Nearest) => {
            from_values(plan, &ExportWeight::Packed(*packed), transfer, bytes)
        }
    }
}

/// Value by value.
fn from_values(
    plan: &TensorPlan,
    weight: &ExportWeight<'_>,
    transfer: Transfer,
    bytes: &mut [u8],
) -> Result<Fidelity, GgufExportError> {
    if transfer == Transfer::Exact && is_quantised(plan.ggml_type) {
        return Err(inexact(plan, "it would be quantised".to_owned()));
    }
    let d_in = plan.spec.d_in;
    let fidelity = each_row(plan, bytes, |row_idx, scratch, stored| {
        let values: &[f32] = match weight {
            ExportWeight::Floats(values) => &values[row_idx * d_in..][..d_in],
            ExportWeight::Packed(packed) => {
                scratch.values.resize(d_in, 0.0);
                packed.dequantize_row_reference(row_idx, &mut scratch.values);
                &scratch.values
            }
        };
        encode_row(plan, row_idx, values, stored)
    })?;
    if transfer == Transfer::Exact && fidelity != Fidelity::Exact {
        return Err(inexact(plan, "its values would be rounded".to_owned()));
    }
    Ok(fidelity)
}

fn encode_row(
    plan: &TensorPlan,
    row: usize,
    values: &[f32],
    stored: &mut [u8],
) -> Result<Fidelity, GgufExportError> {
    let (name, ggml_type) = (|| plan.spec.name.clone(), plan.ggml_type);
    if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
        let name = name();
        return Err(GgufExportError::NotFinite { name, row, value });
    }
    encode_blocks(ggml_type, values, stored).map_err(|TooLarge(value)| {
        let name = name();
        GgufExportError::TooLarge {
            name,
            value,
            ggml_type,
        }
    })?;
    let survives = |round: fn(f32) -> f32| {
        let is_same = |value: &f32| round(*value).to_bits() == value.to_bits();
        values.iter().all(is_same)
    };
    Ok(match ggml_type {
        GgmlType::F32 => Fidelity::Exact,
        GgmlType::F16 if survives(|value| f16::from_f32(value).to_f32()) => Fidelity::Exact,
        GgmlType::Bf16 if survives(|value| bf16::from_f32(value).to_f32()) => Fidelity::Exact,
        GgmlType::F16 | GgmlType::Bf16 => Fidelity::Rounded,
        _ => Fidelity::Requantised,
    })
}

fn inexact(plan: &TensorPlan, reason: String) -> GgufExportError {
    GgufExportError::Inexact {
        name: plan.spec.name.clone(),
        ggml_type: plan.ggml_type,
        reason,
    }
}

/// Calls `encode` for every row of the file with the row of the weight that belongs there.
fn each_row<E: Send>(
    plan: &TensorPlan,
    bytes: &mut [u8],
    encode: impl Fn(usize, &mut Scratch, &mut [u8]) -> Result<Fidelity, E> + Sync,
) -> Result<Fidelity, E> {
    bytes
        .par_chunks_exact_mut(row_bytes(plan))
        .enumerate()
        .map_init(Scratch::default, |scratch, (row_idx, stored)| {
            encode(plan.source_row(row_idx), scratch, stored)
        })
        .try_reduce(|| Fidelity::Exact, |a, b| Ok(a.max(b)))
}
