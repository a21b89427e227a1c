//! GPTQ checkpoints: codes packed along the input channels, zero points along the output channels.
//!
//! Tensors of a module: `qweight` `[d_in · bits / 32, d_out]`, `qzeros` `[n_groups, d_out · bits / 32]`,
//! `scales` `[n_groups, d_out]`, `g_idx` `[d_in]`. Format `gptq` stores zero points less one, `gptq_v2` as they are.
//!
//! Source: Frantar et al. 2022, "GPTQ", <https://arxiv.org/abs/2210.17323>, for the method;
//! the storage follows the packages `AutoGPTQ` and `GPTQModel`.

use super::{
    GptqFormat, GridParts, GridWeight, QuantizedError,
    bit_stream::{PERIOD, n_words, pack_period, pack_row, unpack_period, unpack_row},
    export::{Plan, Scheme, StoredTensor},
    module::{ModuleSizes, ModuleTensors, transposed},
    safetensors_file::{exact_f16_bytes, i32_bytes},
    zero_points,
};
use crate::StoredType;
use rayon::prelude::*;
use safetensors::Dtype;

/// The tensor by which a quantised module is known.
pub(super) const CODES: &str = "qweight";

/// Its other tensors.
pub(super) const COMPANIONS: [&str; 3] = ["qzeros", "scales", "g_idx"];

/// Output channels that one thread unpacks together, so that it reads whole cache lines of words.
const PANEL: usize = 16;

/// Sizes of a module, by the shapes of its tensors.
pub(super) fn sizes(
    tensors: ModuleTensors<'_>,
    format: &GptqFormat,
) -> Result<ModuleSizes, QuantizedError> {
    let codes = tensors.matrix(CODES, StoredType::Integer)?;
    let scales = tensors.matrix("scales", StoredType::Float)?;
    let zeros = tensors.shape("qzeros", StoredType::Integer)?;
    let (bits, d_in) = width(tensors, format, codes)?;
    let [n_groups, d_out] = [scales[0], codes[1]];
    tensors.check_shape("scales", &scales, &[n_groups, d_out])?;
    tensors.check_shape("qzeros", &zeros, &[n_groups, n_words(d_out, bits)])?;
    let effective = |size: &Option<usize>| size.unwrap_or(d_in).min(d_in);
    let mut fitting: Vec<usize> = format
        .group_sizes
        .iter()
        .map(effective)
        .filter(|size| d_in.div_ceil(*size) == n_groups)
        .collect();
    fitting.sort_unstable();
    fitting.dedup();
    let &[group_size] = &fitting[..] else {
        let reason = format!(
            "{n_groups} groups of {d_in} channels fit {} of the group sizes {:?}",
            if fitting.is_empty() {
                "none"
            } else {
                "several"
            },
            format
                .group_sizes
                .iter()
                .map(|size| size.map_or(-1, |size| size as i64))
                .collect::<Vec<_>>()
        );
        return Err(tensors.wrong_shape("scales", &scales, reason));
    };
    Ok(ModuleSizes {
        d_out,
        d_in,
        bits,
        group_size,
    })
}

/// Width of the codes, and input channels.
fn width(
    tensors: ModuleTensors<'_>,
    format: &GptqFormat,
    codes: [usize; 2],
) -> Result<(u32, usize), QuantizedError> {
    let Some(group_idx) = tensors.find_shape("g_idx", StoredType::Integer)? else {
        let &[bits] = &format.bits[..] else {
            let hint = "a checkpoint whose modules differ in bits needs `g_idx` in each";
            return Err(tensors.wrong_shape(CODES, &codes, hint.to_owned()));
        };
        let n_bits = codes[0] as u64 * 32;
        let d_in = usize::try_from(n_bits / u64::from(bits)).unwrap_or(usize::MAX);
        if !n_bits.is_multiple_of(u64::from(bits)) {
            let reason = format!(
                "{} words a column hold no whole number of {bits}-bit codes",
                codes[0]
            );
            return Err(tensors.wrong_shape(CODES, &codes, reason));
        }
        return Ok((bits, d_in));
    };
    let &[d_in] = &group_idx[..] else {
        return Err(tensors.wrong_shape("g_idx", &group_idx, "it has to be a vector".to_owned()));
    };
    let fits = |bits: &&u32| d_in > 0 && n_words(d_in, **bits) == codes[0];
    if let Some(bits) = format.bits.iter().find(fits) {
        return Ok((*bits, d_in));
    }
    let reason = format!(
        "{d_in} codes a column (`g_idx`) of {:?} bits need another number of words",
        format.bits
    );
    Err(tensors.wrong_shape(CODES, &codes, reason))
}

/// Reads the weight of a module.
pub(super) fn read(
    tensors: ModuleTensors<'_>,
    format: &GptqFormat,
    sizes: ModuleSizes,
) -> Result<GridWeight, QuantizedError> {
    let ModuleSizes {
        d_out,
        d_in,
        bits,
        group_size,
        ..
    } = sizes;
    let n_groups = sizes.n_groups();
    let words = tensors.integers(CODES)?;
    let mut zero_words = tensors.integers("qzeros")?;
    let scales = tensors.floats("scales")?;
    if words.len() != n_words(d_in, bits) * d_out
        || zero_words.len() != n_words(d_out, bits) * n_groups
        || scales.len() != d_out * n_groups
    {
        return Err(tensors.wrong_value(
            CODES,
            "it has another length than its shape says".to_owned(),
        ));
    }
    if !format.is_v2 {
        for words in zero_words.chunks_exact_mut(n_words(d_out, bits)) {
            add_one(words, bits);
        }
    }
    let group_idx = match tensors.find_shape("g_idx", StoredType::Integer)? {
        Some(_) => Some(tensors.group_idx("g_idx", n_groups)?),
        None => None,
    };
    GridWeight::new(GridParts {
        d_out,
        d_in,
        bits,
        group_size,
        codes: unpack_codes(&words, d_out, d_in, bits),
        scales: transposed(&scales, n_groups, d_out),
        zero_points: zero_points::unpack_columns(&zero_words, d_out, bits),
        group_idx,
    })
}

/// Adds one to every zero point of a row that format `gptq` stored less one.
///
/// Widths that divide 32 are added word by word with the carry, which undoes `GPTQModel`'s subtraction
/// from whole words; there a zero point 0 borrowed from its neighbour. Three-bit ones wrap one by one.
fn add_one(words: &mut [i32], bits: u32) {
    if 32 % bits == 0 {
        let ones = u32::MAX / ((1 << bits) - 1);
        for word in words {
            *word = word.cast_unsigned().wrapping_add(ones).cast_signed();
        }
        return;
    }
    let mask = ((1_u16 << bits) - 1) as u8;
    let mut codes = vec![0; words.len() * 32 / bits as usize];
    unpack_row(words, bits, &mut codes);
    for code in &mut codes {
        *code = (*code + 1) & mask;
    }
    for (word, shifted) in words.iter_mut().zip(pack_row(&codes, bits)) {
        *word = shifted.cast_signed();
    }
}

/// Codes `[d_out, d_in]` of words `[d_in · bits / 32, d_out]`.
fn unpack_codes(words: &[i32], d_out: usize, d_in: usize, bits: u32) -> Vec<u8> {
    let mut codes = vec![0; d_out * d_in];
    codes
        .par_chunks_mut(PANEL * d_in)
        .enumerate()
        .for_each(|(panel, codes)| {
            let mut period = [0_u32; 8];
            for (idx, rows) in words.chunks(bits as usize * d_out).enumerate() {
                for (lane, codes) in codes.chunks_exact_mut(d_in).enumerate() {
                    let column = panel * PANEL + lane;
                    let stored = rows.iter().skip(column).step_by(d_out);
                    let mut n = 0;
                    for (word, stored) in period.iter_mut().zip(stored) {
                        *word = stored.cast_unsigned();
                        n += 1;
                    }
                    let end = d_in.min((idx + 1) * PERIOD);
                    unpack_period(&period[..n], bits, &mut codes[idx * PERIOD..end]);
                }
            }
        });
    codes
}

/// Words `[d_in · bits / 32, d_out]` of codes `[d_out, d_in]`.
fn pack_codes(codes: &[u8], d_out: usize, d_in: usize, bits: u32) -> Vec<u32> {
    let mut words = vec![0; n_words(d_in, bits) * d_out];
    words
        .par_chunks_mut(bits as usize * d_out)
        .enumerate()
        .for_each(|(idx, rows)| {
            for (column, codes) in codes.chunks_exact(d_in).enumerate() {
                let mut period = [0_u32; 8];
                pack_period(
                    &codes[idx * PERIOD..d_in.min((idx + 1) * PERIOD)],
                    bits,
                    &mut period,
                );
                for (word, packed) in rows.iter_mut().skip(column).step_by(d_out).zip(period) {
                    *word = packed;
                }
            }
        });
    words
}

/// The tensors that a weight is written as.
pub(super) fn plan(plan: Plan) -> Result<Vec<StoredTensor>, String> {
    let Plan { d_out, d_in, .. } = plan;
    let bits = plan.scheme.bits;
    if !matches!(bits, 2 | 3 | 4 | 8) {
        return Err(format!("{bits} bits: the format has 2, 3, 4 and 8"));
    }
    if !d_in.is_multiple_of(32) || !d_out.is_multiple_of(32) {
        return Err(format!("{d_out} × {d_in}: both have to be multiples of 32"));
    }
    let n_groups = plan.n_groups();
    Ok(vec![
        StoredTensor::new("g_idx", Dtype::I32, &[d_in]),
        StoredTensor::new(CODES, Dtype::I32, &[n_words(d_in, bits), d_out]),
        StoredTensor::new("qzeros", Dtype::I32, &[n_groups, n_words(d_out, bits)]),
        StoredTensor::new("scales", Dtype::F16, &[n_groups, d_out]),
    ])
}

/// The bytes of the tensors of [`plan`], in its order.
pub(super) fn encode(weight: &GridWeight, is_v2: bool) -> Result<Vec<Vec<u8>>, String> {
    let parts = weight.parts();
    let (n_groups, bits) = (weight.n_groups(), parts.bits);
    let lowest = i32::from(!is_v2);
    let zero_point = |zero_point: &i32| match *zero_point {
        stored if (lowest..1 << bits).contains(&stored) => Ok((stored - lowest) as u8),
        0 => Err("a zero point 0 cannot be stored less one; write `gptq_v2`".to_owned()),
        other => Err(format!("zero point {other} is no {bits}-bit number")),
    };
    let zero_points = parts
        .zero_points
        .iter()
        .map(zero_point)
        .collect::<Result<Vec<u8>, _>>()?;
    let zero_words = zero_points::pack_columns(&zero_points, parts.d_out, bits);
    let group_idx = (0..parts.d_in).map(|channel| weight.group_of(channel) as u32);
    Ok(vec![
        i32_bytes(group_idx),
        i32_bytes(pack_codes(&parts.codes, parts.d_out, parts.d_in, bits)),
        i32_bytes(zero_words),
        exact_f16_bytes(&transposed(&parts.scales, parts.d_out, n_groups))?,
    ])
}

/// `quantization_config` of a checkpoint of such weights.
pub(super) fn config(scheme: Scheme, is_v2: bool, sorts_by_activation: bool) -> serde_json::Value {
    let format = if is_v2 { "gptq_v2" } else { "gptq" };
    serde_json::json!({
        "quant_method": "gptq",
        "bits": scheme.bits,
        "group_size": scheme.group_size.map_or(-1, |size| size as i64),
        "desc_act": sorts_by_activation,
        "sym": scheme.is_symmetric,
        "lm_head": false,
        "checkpoint_format": format,
        "pack_dtype": "int32",
        "meta": { "quantizer": [format!("trimtab:{}", env!("CARGO_PKG_VERSION"))] },
    })
}
