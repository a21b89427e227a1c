//! Products of activations with a packed weight.

use crate::{PackedView, PanelView, Simd, panel_product, team, token_tile::round_trip_reference};

/// `out = x · weightᵀ`.
///
/// # Shapes
///
/// - `weight`: `[d_out, d_in]`; `x`: `[n_tokens, d_in]`; `out`: `[n_tokens, d_out]`
///
/// # Numerics
///
/// Sums in f32, or of integers within 64 channels where weights are codes: activations are then
/// rounded to 8 bits, or to 16 where the format says floats, alike for one token and for many.
///
/// # Panics
///
/// If a slice does not fit the shape.
pub fn linear(simd: Simd, weight: &PanelView<'_>, x: &[f32], out: &mut [f32]) {
    let shape = weight.shape();
    assert!(shape.d_in > 0 && shape.d_out > 0, "a weight {shape:?}");
    let n_tokens = x.len() / shape.d_in;
    assert_eq!(x.len(), n_tokens * shape.d_in, "activations of {shape:?}");
    assert_eq!(out.len(), n_tokens * shape.d_out, "output of {shape:?}");
    panel_product::multiply(simd, weight, x, out);
}

/// Adds `bias` to every token.
///
/// # Shapes
///
/// - `bias`: `[d_out]`; `out`: `[n_tokens, d_out]`
pub(crate) fn add_bias(bias: &[f32], out: &mut [f32]) {
    assert!(
        out.len().is_multiple_of(bias.len()),
        "bias of {} channels",
        bias.len()
    );
    for token in out.chunks_exact_mut(bias.len()) {
        for (out, bias) in token.iter_mut().zip(bias) {
            *out += bias;
        }
    }
}

/// The plain form of [`linear`], on dequantised rows and in f64; other forms are tested against it.
pub fn linear_reference(weight: &PackedView<'_>, x: &[f32], out: &mut [f32]) {
    let shape = weight.shape();
    let mut x = x.to_vec();
    for token in x.chunks_exact_mut(shape.d_in) {
        round_trip_reference(&shape, token);
    }
    let mut row = vec![0.0; shape.d_in];
    for row_idx in 0..shape.d_out {
        weight.dequantize_row_reference(row_idx, &mut row);
        for (token_idx, token) in x.chunks_exact(shape.d_in).enumerate() {
            let sum: f64 = row
                .iter()
                .zip(token)
                .map(|(w, x)| f64::from(*w) * f64::from(*x))
                .sum();
            out[token_idx * shape.d_out + row_idx] = sum as f32;
        }
    }
}

/// Writes chosen rows as floats: the embedding of tokens.
///
/// # Shapes
///
/// - `weight`: `[vocab, d_model]`; `rows`: `[n_tokens]`; `out`: `[n_tokens, d_model]`
///
/// # Panics
///
/// If a row lies outside the weight.
pub fn gather_rows(weight: &PanelView<'_>, rows: &[usize], out: &mut [f32]) {
    assert_eq!(out.len(), rows.len() * weight.shape().d_in);
    assert!(
        rows.iter().all(|row| *row < weight.shape().d_out),
        "a token outside the vocabulary"
    );
    team::for_each_chunk(out, weight.shape().d_in, |idx, out| {
        weight.dequantize_row(rows[idx], out);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PackedFormat, PackedShape, pack_bf16, pack_f16, pack_f32, pack_int4, pack_int8};
    use half::f16;

    /// Share of Σ|w·x| that rounding in f32 may cost; measured 2e-6 over the shapes below.
    const MAX_ROUNDING: f32 = 1e-5;

    fn noise(n: usize, seed: u32) -> impl Iterator<Item = f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).max(1);
        (0..n).map(move |_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 - 0.5
        })
    }

    fn packed(shape: PackedShape) -> Vec<u8> {
        let n = shape.d_out * shape.d_in;
        let n_scales = shape.d_out * shape.n_groups();
        let scales: Vec<f16> = noise(n_scales, 3)
            .map(|v| f16::from_f32(0.01 + v.abs()))
            .collect();
        match shape.format {
            PackedFormat::F32 => pack_f32(&noise(n, 1).collect::<Vec<_>>()),
            PackedFormat::F16 => pack_f16(&noise(n, 1).collect::<Vec<_>>()),
            PackedFormat::Bf16 => pack_bf16(&noise(n, 1).collect::<Vec<_>>()),
            PackedFormat::Int8 { .. } => {
                let codes: Vec<i8> = noise(n, 1).map(|v| (v * 254.0) as i8).collect();
                pack_int8(shape, &codes, &scales)
            }
            PackedFormat::Int4 { .. } => {
                let codes: Vec<u8> = noise(n, 1).map(|v| ((v + 0.5) * 15.9) as u8).collect();
                let zeros: Vec<u8> = noise(n_scales, 5)
                    .map(|v| ((v + 0.5) * 15.9) as u8)
                    .collect();
                pack_int4(shape, &codes, &scales, &zeros)
            }
        }
    }

    fn formats() -> Vec<PackedFormat> {
        let mut formats = vec![PackedFormat::F32, PackedFormat::F16, PackedFormat::Bf16];
        for group_size in [64, 128, 448] {
            for int8_activations in [false, true] {
                formats.push(PackedFormat::Int8 {
                    group_size,
                    int8_activations,
                });
                formats.push(PackedFormat::Int4 {
                    group_size,
                    int8_activations,
                });
            }
        }
        formats
    }

    fn in_panels(shape: PackedShape, stored: &[u8]) -> Vec<i8> {
        let mut panels = bytemuck::cast_slice(stored).to_vec();
        crate::panel::into_panels(shape, &mut panels);
        panels
    }

    #[track_caller]
    fn check(simd: Simd, shape: PackedShape, n_tokens: usize) {
        let bytes = packed(shape);
        let weight = PackedView::new(shape, &bytes).unwrap();
        let x: Vec<f32> = noise(n_tokens * shape.d_in, 7).collect();
        let mut want = vec![0.0; n_tokens * shape.d_out];
        linear_reference(&weight, &x, &mut want);
        let mut got = vec![f32::NAN; want.len()];
        let panels = in_panels(shape, &bytes);
        let panels = PanelView::new(shape, bytemuck::cast_slice(&panels)).unwrap();
        linear(simd, &panels, &x, &mut got);
        let mut row = vec![0.0; shape.d_in];
        for (idx, (want, got)) in want.iter().zip(&got).enumerate() {
            weight.dequantize_row_reference(idx % shape.d_out, &mut row);
            // With zero points the sum is a difference of two larger ones; the largest weight bounds both.
            let largest = row.iter().fold(0.0_f32, |a, w| a.max(w.abs()));
            let bound = MAX_ROUNDING * largest.max(1e-3) * shape.d_in as f32;
            assert!(
                (want - got).abs() <= bound,
                "{simd:?} {shape:?} {idx}: {want} {got}"
            );
        }
    }

    #[test]
    fn every_format_and_path_agrees_with_the_reference_over_awkward_shapes() {
        for simd in Simd::available() {
            for format in formats() {
                for (d_out, d_in) in [(1, 1), (3, 63), (17, 64), (33, 65), (40, 576), (129, 900)] {
                    for n_tokens in [1, 2, 3, 5, 8, 9, 17, 40] {
                        check(
                            simd,
                            PackedShape {
                                d_out,
                                d_in,
                                format,
                            },
                            n_tokens,
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn weights_large_enough_to_be_shared_out_agree() {
        for simd in Simd::available() {
            for format in formats() {
                check(
                    simd,
                    PackedShape {
                        d_out: 301,
                        d_in: 640,
                        format,
                    },
                    1,
                );
                check(
                    simd,
                    PackedShape {
                        d_out: 301,
                        d_in: 640,
                        format,
                    },
                    33,
                );
            }
        }
    }

    #[test]
    fn gathered_rows_are_the_dequantised_rows() {
        for format in formats() {
            let shape = PackedShape {
                d_out: 9,
                d_in: 130,
                format,
            };
            let bytes = packed(shape);
            let weight = PackedView::new(shape, &bytes).unwrap();
            let panels = in_panels(shape, &bytes);
            let panels = PanelView::new(shape, bytemuck::cast_slice(&panels)).unwrap();
            let mut got = vec![0.0; 2 * 130];
            gather_rows(&panels, &[8, 2], &mut got);
            let mut want = vec![0.0; 130];
            for (row, got) in [8, 2].into_iter().zip(got.chunks_exact(130)) {
                weight.dequantize_row_reference(row, &mut want);
                assert_eq!(want, got, "{format:?}");
            }
        }
    }
}
