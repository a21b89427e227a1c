//! Zero points as GPTQ and compressed-tensors pack them: down the output channels, a column of words
//! for each group.

use super::{
    bit_stream::{n_words, pack_row, unpack_row},
    module::transposed,
};

/// Reads the words `[n_groups, words of a column]` of `d_out` zero points a group.
///
/// # Shapes
///
/// - result: `[d_out, n_groups]`
pub(super) fn unpack_columns(words: &[i32], d_out: usize, bits: u32) -> Vec<i32> {
    let n_words = n_words(d_out, bits);
    let n_groups = words.len() / n_words;
    let mut codes = vec![0_u8; n_groups * d_out];
    let columns = words
        .chunks_exact(n_words)
        .zip(codes.chunks_exact_mut(d_out));
    for (words, codes) in columns {
        unpack_row(words, bits, codes);
    }
    let codes: Vec<i32> = codes.into_iter().map(i32::from).collect();
    transposed(&codes, n_groups, d_out)
}

/// The words of zero points `[d_out, n_groups]`, column by column.
pub(super) fn pack_columns(zero_points: &[u8], d_out: usize, bits: u32) -> Vec<u32> {
    let columns = transposed(zero_points, d_out, zero_points.len() / d_out);
    let columns = columns.chunks_exact(d_out);
    columns.flat_map(|column| pack_row(column, bits)).collect()
}
