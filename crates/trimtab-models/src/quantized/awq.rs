//! AWQ checkpoints in the layout `gemm`: 4-bit codes and zero points packed along the output channels,
//! eight a word, in the order 0, 2, 4, 6, 1, 3, 5, 7.
//!
//! Tensors of a module: `qweight` `[d_in, d_out / 8]`, `qzeros` `[n_groups, d_out / 8]`, `scales` `[n_groups, d_out]`.
//!
//! Source: Lin et al. 2023, "AWQ", <https://arxiv.org/abs/2306.00978>; the storage follows the package `AutoAWQ`.

use super::{
    AwqFormat, GridParts, GridWeight, QuantizedError,
    module::{ModuleSizes, ModuleTensors, transposed},
};
use crate::StoredType;

/// The tensor by which a quantised module is known.
pub(super) const CODES: &str = "qweight";

/// Its other tensors.
pub(super) const COMPANIONS: [&str; 2] = ["qzeros", "scales"];

/// Output channel of each four bits of a word, low bits first.
const ORDER: [usize; 8] = [0, 2, 4, 6, 1, 3, 5, 7];

const BITS: u32 = 4;

/// Sizes of a module, by the shapes of its tensors.
pub(super) fn sizes(
    tensors: ModuleTensors<'_>,
    format: &AwqFormat,
) -> Result<ModuleSizes, QuantizedError> {
    let [d_in, n_words] = tensors.matrix(CODES, StoredType::Integer)?;
    let scales = tensors.matrix("scales", StoredType::Float)?;
    let zeros = tensors.shape("qzeros", StoredType::Integer)?;
    let Some(d_out) = n_words.checked_mul(ORDER.len()) else {
        return Err(tensors.wrong_shape(CODES, &[d_in, n_words], "too many channels".to_owned()));
    };
    let group_size = format.group_size.unwrap_or(d_in).min(d_in);
    if !d_in.is_multiple_of(group_size) {
        let reason = format!("groups of {group_size} do not divide {d_in} channels");
        return Err(tensors.wrong_shape(CODES, &[d_in, n_words], reason));
    }
    let n_groups = d_in / group_size;
    tensors.check_shape("scales", &scales, &[n_groups, d_out])?;
    tensors.check_shape("qzeros", &zeros, &[n_groups, n_words])?;
    Ok(ModuleSizes {
        d_out,
        d_in,
        bits: BITS,
        group_size,
    })
}

/// Reads the weight of a module.
pub(super) fn read(
    tensors: ModuleTensors<'_>,
    sizes: ModuleSizes,
) -> Result<GridWeight, QuantizedError> {
    let ModuleSizes { d_out, d_in, .. } = sizes;
    let n_groups = sizes.n_groups();
    let words = tensors.integers(CODES)?;
    let zero_words = tensors.integers("qzeros")?;
    let scales = tensors.floats("scales")?;
    let n_words = d_out / ORDER.len();
    if words.len() != d_in * n_words
        || zero_words.len() != n_groups * n_words
        || scales.len() != n_groups * d_out
    {
        return Err(tensors.wrong_value(
            CODES,
            "it has another length than its shape says".to_owned(),
        ));
    }
    let zero_points: Vec<i32> = unpack(&zero_words, n_groups, d_out)
        .into_iter()
        .map(i32::from)
        .collect();
    GridWeight::new(GridParts {
        d_out,
        d_in,
        bits: BITS,
        group_size: sizes.group_size,
        codes: unpack(&words, d_in, d_out),
        scales: transposed(&scales, n_groups, d_out),
        zero_points,
        group_idx: None,
    })
}

/// `[d_out, n_rows]` of words `[n_rows, d_out / 8]`.
fn unpack(words: &[i32], n_rows: usize, d_out: usize) -> Vec<u8> {
    let n_words = d_out / ORDER.len();
    let mut codes = vec![0; n_rows * d_out];
    for (row, words) in words.chunks_exact(n_words).enumerate() {
        for (idx, word) in words.iter().enumerate() {
            for (place, channel) in ORDER.iter().enumerate() {
                let code = word.cast_unsigned() >> (BITS as usize * place) & 15;
                codes[(idx * ORDER.len() + channel) * n_rows + row] = code as u8;
            }
        }
    }
    codes
}
