//! From values and codes to the bytes that kernels read.

use crate::layer::LayerCodes;
use half::{bf16, f16};
use rayon::prelude::*;
use trimtab_kernels::{
    PackedFormat, PackedShape, pack_bf16, pack_f16, pack_f32, pack_int4, pack_int8,
};

/// Packs floats as they are.
///
/// # Errors
///
/// A sentence for a value that the format cannot hold.
///
/// # Panics
///
/// If the format is one of codes.
pub(crate) fn pack_floats(format: PackedFormat, values: &[f32]) -> Result<Vec<u8>, String> {
    let limit = match format {
        PackedFormat::F32 => f32::MAX,
        PackedFormat::Bf16 => bf16::MAX.to_f32(),
        _ => f16::MAX.to_f32(),
    };
    let is_beyond = |value: &&f32| !value.is_finite() || value.abs() > limit;
    if let Some(value) = values.par_iter().find_any(is_beyond) {
        return Err(format!("value {value} does not fit the number format"));
    }
    match format {
        PackedFormat::F32 => Ok(pack_f32(values)),
        PackedFormat::F16 => Ok(pack_f16(values)),
        PackedFormat::Bf16 => Ok(pack_bf16(values)),
        PackedFormat::Int8 { .. } | PackedFormat::Int4 { .. } => {
            panic!("floats are not packed as codes")
        }
    }
}

/// Packs codes in the planned format, whose groups divide or hold those of the codes; in a float
/// format, the values that they stand for.
///
/// # Errors
///
/// A sentence for a scale or code that the format cannot hold.
pub(crate) fn pack_codes(shape: PackedShape, codes: &LayerCodes) -> Result<Vec<u8>, String> {
    let group_size = match shape.format {
        PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => {
            let values: Vec<f32> = codes.dequantize().iter().map(|w| *w as f32).collect();
            return pack_floats(shape.format, &values);
        }
        PackedFormat::Int8 { group_size, .. } | PackedFormat::Int4 { group_size, .. } => group_size,
    };
    if codes.group_idx.is_some() {
        return Err("groups in the order of activations cannot be stored".to_owned());
    }
    let n_stored = codes.d_in.div_ceil(codes.group_size);
    // The group of the codes that each packed group lies in.
    let groups: Vec<usize> = (0..shape.n_groups())
        .map(|group| group * group_size / codes.group_size)
        .collect();
    let (mut scales, mut zero_points) = (Vec::new(), Vec::new());
    for row in 0..shape.d_out {
        for group in &groups {
            let scale = codes.scales[row * n_stored + group];
            let stored = f16::from_f64(scale);
            if !stored.is_finite() {
                return Err(format!("scale {scale} does not fit 16-bit floats"));
            }
            scales.push(stored);
            zero_points.push(codes.zero_points[row * n_stored + group]);
        }
    }
    if let PackedFormat::Int4 { .. } = shape.format {
        let zero_points: Vec<u8> = zero_points
            .into_iter()
            .map(|zero| u8::try_from(zero).map_err(|_| format!("zero point {zero} is no byte")))
            .collect::<Result<_, _>>()?;
        Ok(pack_int4(shape, &codes.codes, &scales, &zero_points))
    } else {
        // Signed codes have the zero point 0.
        let n_groups = groups.len();
        let signed = |(idx, code): (usize, &u8)| {
            let (row, channel) = (idx / shape.d_in, idx % shape.d_in);
            let zero = zero_points[row * n_groups + channel / group_size];
            i8::try_from(i32::from(*code) - zero)
                .map_err(|_| format!("code {code} is too far from its zero point {zero}"))
        };
        let signed: Vec<i8> = codes
            .codes
            .par_iter()
            .enumerate()
            .map(signed)
            .collect::<Result<_, _>>()?;
        Ok(pack_int8(shape, &signed, &scales))
    }
}
