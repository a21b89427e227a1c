//! compressed-tensors checkpoints: `pack-quantized` (codes in words along the input channels) and
//! `int-quantized` (one signed byte a code).
//!
//! Tensors of a packed module: `weight_packed` `[d_out, d_in · bits / 32]`, `weight_scale`, `weight_shape` `[2]`,
//! and where the scheme is not symmetric `weight_zero_point` `[d_out · bits / 32, n_groups]`; `weight_g_idx` `[d_in]`
//! in older files. Codes are stored plus `2^(bits − 1)`, zero points too.
//!
//! Source: the package compressed-tensors, <https://github.com/vllm-project/compressed-tensors>.

use super::{
    CompressedTensorsFormat, GridParts, GridWeight, GroupScheme, Packing, QuantizedError,
    bit_stream::{n_words, pack_row, unpack_row},
    export::{Plan, Scheme, StoredTensor},
    format::SharedBy,
    module::{ModuleSizes, ModuleTensors, transposed},
    safetensors_file::{exact_f16_bytes, i32_bytes},
    zero_points::{pack_columns, unpack_columns},
};
use crate::StoredType;
use rayon::prelude::*;
use safetensors::Dtype;

/// The tensor by which a quantised module is known.
pub(super) fn codes_name(packing: Packing) -> &'static str {
    match packing {
        Packing::Words => "weight_packed",
        Packing::Bytes => "weight",
    }
}

/// Its other tensors.
pub(super) const COMPANIONS: [&str; 4] = [
    "weight_scale",
    "weight_zero_point",
    "weight_shape",
    "weight_g_idx",
];

const ZERO_POINTS: &str = "weight_zero_point";

/// Sizes of a module, by the shapes of its tensors.
pub(super) fn sizes(
    tensors: ModuleTensors<'_>,
    format: &CompressedTensorsFormat,
) -> Result<ModuleSizes, QuantizedError> {
    let name = codes_name(format.packing);
    let codes = tensors.matrix(name, StoredType::Integer)?;
    let scales = tensors.shape("weight_scale", StoredType::Float)?;
    let has_zero_points = tensors
        .find_shape(ZERO_POINTS, StoredType::Integer)?
        .is_some();
    let [d_out, d_in] = match format.packing {
        Packing::Words => full_shape(tensors, codes)?,
        Packing::Bytes => codes,
    };
    let fits = |scheme: &GroupScheme| {
        let fits_codes = match format.packing {
            Packing::Words => n_words(d_in, scheme.bits) == codes[1],
            Packing::Bytes => scheme.bits == 8,
        };
        fits_codes && scale_shapes(scheme.shared_by, d_out, d_in).contains(&scales)
    };
    let Some(scheme) = format
        .groups
        .iter()
        .find(|scheme| fits(scheme) && scheme.is_symmetric != has_zero_points)
    else {
        return Err(no_scheme(
            tensors,
            format,
            (&codes, &scales),
            format.groups.iter().any(fits),
        ));
    };
    let group_size = match scheme.shared_by {
        SharedBy::Tensor | SharedBy::Channel => d_in,
        SharedBy::Group(size) => size.min(d_in),
    };
    let sizes = ModuleSizes {
        d_out,
        d_in,
        bits: scheme.bits,
        group_size,
    };
    if let Some(got) = tensors.find_shape(ZERO_POINTS, StoredType::Integer)? {
        let packed = vec![n_words(d_out, scheme.bits), sizes.n_groups()];
        let fits = match (format.packing, scheme.shared_by) {
            (Packing::Words, SharedBy::Group(_) | SharedBy::Channel) => got == packed,
            (Packing::Words, SharedBy::Tensor) | (Packing::Bytes, _) => {
                scale_shapes(scheme.shared_by, d_out, d_in).contains(&got)
            }
        };
        if !fits {
            let reason = format!(
                "it does not fit {d_out} × {} groups of {} bits",
                sizes.n_groups(),
                scheme.bits
            );
            return Err(tensors.wrong_shape(ZERO_POINTS, &got, reason));
        }
    }
    if let Some(got) = tensors.find_shape("weight_g_idx", StoredType::Integer)? {
        tensors.check_shape("weight_g_idx", &got, &[d_in])?;
    }
    Ok(sizes)
}

/// The error for a module that no group of the configuration describes.
fn no_scheme(
    tensors: ModuleTensors<'_>,
    format: &CompressedTensorsFormat,
    (codes, scales): (&[usize], &[usize]),
    differs_in_symmetry: bool,
) -> QuantizedError {
    if differs_in_symmetry {
        let reason = "that it is there, or missing, is not what `symmetric` says";
        return tensors.wrong_value(ZERO_POINTS, reason.to_owned());
    }
    let reason = format!(
        "with scales of shape {scales:?} it fits no group of the configuration: {:?}",
        format.groups
    );
    tensors.wrong_shape(codes_name(format.packing), codes, reason)
}

/// `[d_out, d_in]` as `weight_shape` tells it.
fn full_shape(tensors: ModuleTensors<'_>, codes: [usize; 2]) -> Result<[usize; 2], QuantizedError> {
    let shape = tensors.shape("weight_shape", StoredType::Integer)?;
    tensors.check_shape("weight_shape", &shape, &[2])?;
    let stored = tensors.integers("weight_shape")?;
    let sizes: Vec<usize> = stored
        .iter()
        .filter_map(|size| usize::try_from(*size).ok())
        .collect();
    match sizes[..] {
        // A word holds at most 16 codes of 2 bits, so this bounds what the file can claim.
        [d_out, d_in] if d_out == codes[0] && d_in > 0 && d_in.div_ceil(16) <= codes[1] => {
            Ok([d_out, d_in])
        }
        _ => Err(tensors.wrong_value(
            "weight_shape",
            format!("{stored:?} does not fit words of shape {codes:?}"),
        )),
    }
}

/// Shapes in which scales are stored.
fn scale_shapes(shared_by: SharedBy, d_out: usize, d_in: usize) -> Vec<Vec<usize>> {
    match shared_by {
        SharedBy::Tensor => vec![vec![], vec![1], vec![1, 1]],
        SharedBy::Channel => vec![vec![d_out, 1], vec![d_out]],
        SharedBy::Group(size) if d_in.is_multiple_of(size.min(d_in)) => {
            vec![vec![d_out, d_in / size.min(d_in)]]
        }
        SharedBy::Group(_) => vec![],
    }
}

/// Reads the weight of a module.
pub(super) fn read(
    tensors: ModuleTensors<'_>,
    format: &CompressedTensorsFormat,
    sizes: ModuleSizes,
) -> Result<GridWeight, QuantizedError> {
    let ModuleSizes {
        d_out,
        d_in,
        bits,
        group_size,
        ..
    } = sizes;
    let n_scales = d_out * sizes.n_groups();
    let name = codes_name(format.packing);
    let stored = tensors.integers(name)?;
    let mut codes = vec![0; d_out * d_in];
    match format.packing {
        Packing::Words => {
            let n_words = n_words(d_in, bits);
            check_len(tensors, name, stored.len(), d_out * n_words)?;
            let rows = codes
                .par_chunks_exact_mut(d_in)
                .zip(stored.par_chunks_exact(n_words));
            rows.for_each(|(codes, words)| unpack_row(words, bits, codes));
        }
        Packing::Bytes => {
            check_len(tensors, name, stored.len(), d_out * d_in)?;
            for (code, stored) in codes.iter_mut().zip(stored) {
                *code = unsigned(tensors, name, stored, bits)?;
            }
        }
    }
    let group_idx = match tensors.find_shape("weight_g_idx", StoredType::Integer)? {
        // −1 marks a vector that was never filled in: the groups are in order.
        Some(_) if tensors.integers("weight_g_idx")?.contains(&-1) => None,
        Some(_) => Some(tensors.group_idx("weight_g_idx", sizes.n_groups())?),
        None => None,
    };
    GridWeight::new(GridParts {
        d_out,
        d_in,
        bits,
        group_size,
        codes,
        scales: spread(
            tensors,
            "weight_scale",
            tensors.floats("weight_scale")?,
            n_scales,
        )?,
        zero_points: zero_points(tensors, format.packing, sizes)?,
        group_idx,
    })
}

fn zero_points(
    tensors: ModuleTensors<'_>,
    packing: Packing,
    sizes: ModuleSizes,
) -> Result<Vec<i32>, QuantizedError> {
    let ModuleSizes { d_out, bits, .. } = sizes;
    let n_groups = sizes.n_groups();
    let Some(shape) = tensors.find_shape(ZERO_POINTS, StoredType::Integer)? else {
        return Ok(vec![1 << (bits - 1); d_out * n_groups]);
    };
    let stored = tensors.integers(ZERO_POINTS)?;
    let is_packed = packing == Packing::Words && shape == [n_words(d_out, bits), n_groups];
    if !is_packed {
        let codes = stored
            .into_iter()
            .map(|stored| unsigned(tensors, ZERO_POINTS, stored, bits).map(i32::from));
        return spread(
            tensors,
            ZERO_POINTS,
            codes.collect::<Result<_, _>>()?,
            d_out * n_groups,
        );
    }
    let n_words = n_words(d_out, bits);
    check_len(tensors, ZERO_POINTS, stored.len(), n_words * n_groups)?;
    let columns = transposed(&stored, n_words, n_groups);
    Ok(unpack_columns(&columns, d_out, bits))
}

/// A signed code or zero point plus `2^(bits − 1)`.
fn unsigned(
    tensors: ModuleTensors<'_>,
    part: &str,
    stored: i32,
    bits: u32,
) -> Result<u8, QuantizedError> {
    let middle = 1_i64 << (bits - 1);
    let code = i64::from(stored) + middle;
    if (0..2 * middle).contains(&code) {
        return Ok(code as u8);
    }
    Err(tensors.wrong_value(part, format!("{stored} is no signed number of {bits} bits")))
}

/// One value for all groups, or as many as there are.
fn spread<T: Copy>(
    tensors: ModuleTensors<'_>,
    part: &str,
    values: Vec<T>,
    n: usize,
) -> Result<Vec<T>, QuantizedError> {
    if let [value] = values[..] {
        return Ok(vec![value; n]);
    }
    check_len(tensors, part, values.len(), n)?;
    Ok(values)
}

fn check_len(
    tensors: ModuleTensors<'_>,
    part: &str,
    got: usize,
    expected: usize,
) -> Result<(), QuantizedError> {
    if got == expected {
        return Ok(());
    }
    Err(tensors.wrong_value(
        part,
        format!("it has {got} elements, not {expected} as its shape says"),
    ))
}

/// The tensors that a weight is written as.
pub(super) fn plan(plan: Plan) -> Vec<StoredTensor> {
    let Plan {
        d_out,
        d_in,
        scheme,
    } = plan;
    let (n_groups, bits) = (plan.n_groups(), scheme.bits);
    let mut tensors = vec![
        StoredTensor::new("weight_packed", Dtype::I32, &[d_out, n_words(d_in, bits)]),
        StoredTensor::new("weight_scale", Dtype::F16, &[d_out, n_groups]),
        StoredTensor::new("weight_shape", Dtype::I64, &[2]),
    ];
    if !plan.scheme.is_symmetric {
        tensors.push(StoredTensor::new(
            ZERO_POINTS,
            Dtype::I32,
            &[n_words(d_out, bits), n_groups],
        ));
    }
    tensors
}

/// The bytes of the tensors of [`plan`], in its order.
pub(super) fn encode(weight: &GridWeight, plan: Plan) -> Result<Vec<Vec<u8>>, String> {
    let parts = weight.parts();
    if parts.group_idx.is_some() {
        return Err(
            "its channels are in activation order, which the format has given up".to_owned(),
        );
    }
    let (n_groups, bits) = (weight.n_groups(), parts.bits);
    let rows: Vec<Vec<u32>> = parts
        .codes
        .par_chunks_exact(parts.d_in)
        .map(|row| pack_row(row, bits))
        .collect();
    let shape = [parts.d_out as i64, parts.d_in as i64];
    let mut bytes = vec![
        i32_bytes(rows.into_iter().flatten()),
        exact_f16_bytes(&parts.scales)?,
        shape.iter().flat_map(|size| size.to_le_bytes()).collect(),
    ];
    if !plan.scheme.is_symmetric {
        let code = |zero_point: &i32| match *zero_point {
            stored if (0..1 << bits).contains(&stored) => Ok(stored as u8),
            other => Err(format!("zero point {other} is no {bits}-bit number")),
        };
        let zero_points = parts
            .zero_points
            .iter()
            .map(code)
            .collect::<Result<Vec<u8>, _>>()?;
        let words = pack_columns(&zero_points, parts.d_out, bits);
        bytes.push(i32_bytes(transposed(
            &words,
            n_groups,
            n_words(parts.d_out, bits),
        )));
    }
    Ok(bytes)
}

/// `quantization_config` of a checkpoint of such weights; `ignored` modules stay floats.
pub(super) fn config(scheme: Scheme, ignored: &[String]) -> serde_json::Value {
    serde_json::json!({
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": { "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": scheme.bits,
                "type": "int",
                "symmetric": scheme.is_symmetric,
                "strategy": if scheme.group_size.is_some() { "group" } else { "channel" },
                "group_size": scheme.group_size,
                "dynamic": false,
            },
            "input_activations": null,
            "output_activations": null,
        } },
        "ignore": ignored,
        "kv_cache_scheme": null,
    })
}
