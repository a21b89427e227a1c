//! Writes packed weights.

use crate::{PackedFormat, PackedShape, shape::BLOCK};
use half::{bf16, f16};

/// Packs `weight` as 32-bit floats.
pub fn pack_f32(weight: &[f32]) -> Vec<u8> {
    weight
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Packs `weight` as 16-bit floats; values beyond 65,504 become infinite, so callers check first.
pub fn pack_f16(weight: &[f32]) -> Vec<u8> {
    weight
        .iter()
        .flat_map(|value| f16::from_f32(*value).to_le_bytes())
        .collect()
}

/// Packs `weight` as bfloat16, rounded to nearest, ties to even; values beyond 3.39e38 become
/// infinite, so callers check first.
pub fn pack_bf16(weight: &[f32]) -> Vec<u8> {
    weight
        .iter()
        .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
        .collect()
}

/// Packs 8-bit codes.
///
/// # Shapes
///
/// - `codes`: `[d_out, d_in]`; `scales`: `[d_out, n_groups]`
///
/// # Panics
///
/// If a slice does not fit `shape` or its format is not 8-bit.
pub fn pack_int8(shape: PackedShape, codes: &[i8], scales: &[f16]) -> Vec<u8> {
    assert!(
        matches!(shape.format, PackedFormat::Int8 { .. }),
        "8-bit codes need an 8-bit format"
    );
    assert_eq!(codes.len(), shape.d_out * shape.d_in);
    assert_eq!(scales.len(), shape.d_out * shape.n_groups());
    let mut bytes = Vec::with_capacity(shape.n_bytes());
    for row in codes.chunks_exact(shape.d_in) {
        bytes.extend(row.iter().map(|code| code.cast_unsigned()));
        bytes.resize(bytes.len() + shape.d_in_padded() - shape.d_in, 0);
    }
    bytes.extend(scales.iter().flat_map(|scale| scale.to_le_bytes()));
    bytes
}

/// Packs 4-bit codes, one a byte in `codes`.
///
/// # Shapes
///
/// - `codes`: `[d_out, d_in]`; `scales`, `zero_points`: `[d_out, n_groups]`
///
/// # Panics
///
/// If a slice does not fit `shape`, its format is not 4-bit, or a code is above 15.
pub fn pack_int4(shape: PackedShape, codes: &[u8], scales: &[f16], zero_points: &[u8]) -> Vec<u8> {
    assert!(
        matches!(shape.format, PackedFormat::Int4 { .. }),
        "4-bit codes need a 4-bit format"
    );
    assert_eq!(codes.len(), shape.d_out * shape.d_in);
    assert_eq!(scales.len(), shape.d_out * shape.n_groups());
    assert_eq!(zero_points.len(), scales.len());
    let mut bytes = Vec::with_capacity(shape.n_bytes());
    for row in codes.chunks_exact(shape.d_in) {
        assert!(
            row.iter().all(|code| *code < 16),
            "a 4-bit code is at most 15"
        );
        for block in row.chunks(BLOCK) {
            let at = |idx: usize| block.get(idx).copied().unwrap_or(0);
            bytes.extend((0..BLOCK / 2).map(|idx| at(idx) | at(idx + BLOCK / 2) << 4));
        }
    }
    bytes.extend(scales.iter().flat_map(|scale| scale.to_le_bytes()));
    bytes.extend(zero_points);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PackedView;

    #[test]
    #[expect(clippy::float_cmp, reason = "both sides do the same arithmetic")]
    fn int4_rows_that_do_not_fill_a_block_read_back() {
        let format = PackedFormat::Int4 {
            group_size: 64,
            int8_activations: false,
        };
        let shape = PackedShape {
            d_out: 2,
            d_in: 70,
            format,
        };
        let codes: Vec<u8> = (0..140).map(|i| (i * 7 % 16) as u8).collect();
        let scales = vec![f16::from_f32(0.5); 4];
        let zero_points = [3, 8, 0, 15];
        let bytes = pack_int4(shape, &codes, &scales, &zero_points);
        let view = PackedView::new(shape, &bytes).unwrap();
        let mut row = vec![0.0; 70];
        for row_idx in 0..2 {
            view.dequantize_row_reference(row_idx, &mut row);
            for (channel, value) in row.iter().enumerate() {
                let zero_point = f32::from(zero_points[row_idx * 2 + channel / 64]);
                let code = f32::from(codes[row_idx * 70 + channel]);
                assert_eq!(
                    *value,
                    0.5 * (code - zero_point),
                    "row {row_idx} channel {channel}"
                );
            }
        }
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "the numbers are exact in the format")]
    fn bf16_rounds_to_nearest_even_and_keeps_its_own_numbers() {
        let format = PackedFormat::Bf16;
        let shape = PackedShape {
            d_out: 1,
            d_in: 7,
            format,
        };
        // Eight significant bits: 257 and 259 lie in the middle of two of them.
        let weight = [257.0, 259.0, -257.0, 1.0 / 3.0, 1e38, 0.15625, 1e-40];
        let mut row = [0.0; 7];
        let bytes = pack_bf16(&weight);
        let view = PackedView::new(shape, &bytes).unwrap();
        view.dequantize_row_reference(0, &mut row);
        for (rounded, want) in row.iter().zip([256.0, 260.0, -256.0]) {
            assert_eq!(*rounded, want);
        }
        for (weight, rounded) in weight.iter().zip(row) {
            assert!((weight - rounded).abs() <= weight.abs() / 256.0 + 1e-40);
        }
        assert_eq!(pack_bf16(&row), bytes);
    }

    #[test]
    fn a_block_of_another_length_is_refused() {
        let shape = PackedShape {
            d_out: 2,
            d_in: 3,
            format: PackedFormat::F16,
        };
        assert!(PackedView::new(shape, &[0; 12]).is_ok());
        let error = PackedView::new(shape, &[0; 13]).unwrap_err();
        assert_eq!((error.expected, error.got), (12, 13));
    }
}
