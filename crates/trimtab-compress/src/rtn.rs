//! Round to nearest: every weight becomes the nearest code of its group's grid.
//!
//! The baseline of all quantisation methods; uses no calibration data.
//! Source: Nagel et al. 2021, "A White Paper on Neural Network Quantization",
//! <https://arxiv.org/abs/2106.08295>, on uniform affine quantisation.
//! Scales are stored as f16, so codes are chosen for the scale as it is stored.

use half::{bf16, f16};
use rayon::prelude::*;
use trimtab_kernels::{
    PackedFormat, PackedShape, pack_bf16, pack_f16, pack_f32, pack_int4, pack_int8,
};

/// The codes of one group: `w ≈ scale · (code − zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Distance of two codes.
    pub scale: f16,
    /// The code that stands for 0.
    pub zero_point: u8,
}

impl Grid {
    /// The 8-bit grid −127…127, centred on zero, of a group.
    pub fn int8(group: &[f32]) -> Self {
        let largest = group
            .iter()
            .fold(0.0_f32, |largest, w| largest.max(w.abs()));
        Self {
            scale: stored_scale(largest / 127.0),
            zero_point: 0,
        }
    }

    /// The 4-bit grid 0…15 of a group: centred on code 8, or spread from the smallest to the
    /// largest weight, with 0 always on the grid.
    pub fn int4(group: &[f32], symmetric: bool) -> Self {
        let low = group.iter().fold(0.0_f32, |low, w| low.min(*w));
        let high = group.iter().fold(0.0_f32, |high, w| high.max(*w));
        if symmetric {
            let largest = high.max(-low);
            return Self {
                scale: stored_scale(2.0 * largest / 15.0),
                zero_point: 8,
            };
        }
        let scale = stored_scale((high - low) / 15.0);
        let zero_point = (-low / scale.to_f32()).round_ties_even().clamp(0.0, 15.0) as u8;
        Self { scale, zero_point }
    }

    fn int8_code(self, weight: f32) -> i8 {
        (weight / self.scale.to_f32())
            .round_ties_even()
            .clamp(-127.0, 127.0) as i8
    }

    fn int4_code(self, weight: f32) -> u8 {
        let code = (weight / self.scale.to_f32()).round_ties_even() + f32::from(self.zero_point);
        code.clamp(0.0, 15.0) as u8
    }
}

/// The scale as it is stored; a constant group of zeros gets 1, so that nothing divides by zero.
fn stored_scale(scale: f32) -> f16 {
    if scale == 0.0 {
        f16::ONE
    } else {
        f16::from_f32(scale).max(f16::MIN_POSITIVE_SUBNORMAL)
    }
}

/// Rounds `weight` to the grid of `shape.format` and packs it.
///
/// # Shapes
///
/// - `weight`: `[d_out, d_in]`, row-major
///
/// # Errors
///
/// A sentence if a weight is too large for 16-bit floats, in which scales and f16 weights are stored.
pub fn round_to_nearest(
    weight: &[f32],
    shape: PackedShape,
    symmetric: bool,
) -> Result<Vec<u8>, String> {
    assert_eq!(
        weight.len(),
        shape.d_out * shape.d_in,
        "a weight of shape {shape:?}"
    );
    let limit = match shape.format {
        PackedFormat::F32 => f32::MAX,
        PackedFormat::F16 => f16::MAX.to_f32(),
        PackedFormat::Bf16 => bf16::MAX.to_f32(),
        PackedFormat::Int8 { .. } => 127.0 * f16::MAX.to_f32(),
        PackedFormat::Int4 { .. } => 7.0 * f16::MAX.to_f32(),
    };
    if let Some(w) = weight
        .par_iter()
        .find_any(|w| !w.is_finite() || w.abs() > limit)
    {
        return Err(format!("value {w} does not fit the number format"));
    }
    Ok(match shape.format {
        PackedFormat::F32 => pack_f32(weight),
        PackedFormat::F16 => pack_f16(weight),
        PackedFormat::Bf16 => pack_bf16(weight),
        PackedFormat::Int8 { group_size, .. } => {
            let mut codes = vec![0; weight.len()];
            let grids = code_rows(
                weight,
                shape.d_in,
                group_size,
                &mut codes,
                |group, codes| {
                    let grid = Grid::int8(group);
                    for (code, w) in codes.iter_mut().zip(group) {
                        *code = grid.int8_code(*w);
                    }
                    grid
                },
            );
            let scales: Vec<f16> = grids.iter().map(|grid| grid.scale).collect();
            pack_int8(shape, &codes, &scales)
        }
        PackedFormat::Int4 { group_size, .. } => {
            let mut codes = vec![0; weight.len()];
            let grids = code_rows(
                weight,
                shape.d_in,
                group_size,
                &mut codes,
                |group, codes| {
                    let grid = Grid::int4(group, symmetric);
                    for (code, w) in codes.iter_mut().zip(group) {
                        *code = grid.int4_code(*w);
                    }
                    grid
                },
            );
            let scales: Vec<f16> = grids.iter().map(|grid| grid.scale).collect();
            let zero_points: Vec<u8> = grids.iter().map(|grid| grid.zero_point).collect();
            pack_int4(shape, &codes, &scales, &zero_points)
        }
    })
}

/// Calls `code_group` on every group of every row, rows in parallel; grids in row order.
fn code_rows<Code: Send>(
    weight: &[f32],
    d_in: usize,
    group_size: usize,
    codes: &mut [Code],
    code_group: impl Fn(&[f32], &mut [Code]) -> Grid + Sync,
) -> Vec<Grid> {
    weight
        .par_chunks_exact(d_in)
        .zip(codes.par_chunks_exact_mut(d_in))
        .flat_map_iter(|(row, codes)| {
            let groups = row.chunks(group_size).zip(codes.chunks_mut(group_size));
            groups
                .map(|(group, codes)| code_group(group, codes))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_kernels::PackedView;

    /// Largest error in steps: half a step from rounding, and 15 codes of a scale that is stored
    /// with 11 bits (relative error 2⁻¹¹ at most), which clips the last code by up to 0.01.
    const MAX_STEPS: f32 = 0.51;

    fn dequantized(shape: PackedShape, bytes: &[u8]) -> Vec<f32> {
        let view = PackedView::new(shape, bytes).unwrap();
        let mut rows = vec![0.0; shape.d_out * shape.d_in];
        for (row_idx, row) in rows.chunks_exact_mut(shape.d_in).enumerate() {
            view.dequantize_row_reference(row_idx, row);
        }
        rows
    }

    #[track_caller]
    fn check_error(format: PackedFormat, symmetric: bool, step_of: impl Fn(&[f32]) -> f32) {
        let shape = PackedShape {
            d_out: 5,
            d_in: 150,
            format,
        };
        let weight: Vec<f32> = (0..750)
            .map(|i| (i as f32 * 0.731).sin() * 0.2 + (i as f32 * 0.01).cos() * 0.1)
            .collect();
        let bytes = round_to_nearest(&weight, shape, symmetric).unwrap();
        let rounded = dequantized(shape, &bytes);
        for (row, rounded) in weight.chunks(150).zip(rounded.chunks(150)) {
            for (group, rounded) in row.chunks(64).zip(rounded.chunks(64)) {
                let step = step_of(group);
                for (w, r) in group.iter().zip(rounded) {
                    assert!(
                        (w - r).abs() <= MAX_STEPS * step,
                        "{w} became {r}, step {step}"
                    );
                }
            }
        }
    }

    fn range(group: &[f32]) -> (f32, f32) {
        group
            .iter()
            .fold((0.0, 0.0), |(low, high), w| (w.min(low), w.max(high)))
    }

    #[test]
    fn no_weight_moves_more_than_half_a_step() {
        let int4 = PackedFormat::Int4 {
            group_size: 64,
            int8_activations: false,
        };
        let int8 = PackedFormat::Int8 {
            group_size: 64,
            int8_activations: false,
        };
        check_error(int8, true, |g| range(g).1.max(-range(g).0) / 127.0);
        check_error(int4, false, |g| (range(g).1 - range(g).0) / 15.0);
    }

    #[test]
    fn a_symmetric_grid_clips_only_the_positive_end() {
        let grid = Grid::int4(&[-1.0, 1.0], true);
        assert_eq!(
            (
                grid.int4_code(-1.0),
                grid.int4_code(0.0),
                grid.int4_code(1.0)
            ),
            (0, 8, 15)
        );
    }

    #[test]
    fn zeros_stay_zero_in_every_format() {
        for format in [
            PackedFormat::F32,
            PackedFormat::F16,
            PackedFormat::Bf16,
            PackedFormat::Int8 {
                group_size: 64,
                int8_activations: false,
            },
            PackedFormat::Int4 {
                group_size: 64,
                int8_activations: false,
            },
        ] {
            let shape = PackedShape {
                d_out: 1,
                d_in: 65,
                format,
            };
            let bytes = round_to_nearest(&[0.0; 65], shape, false).unwrap();
            assert!(
                dequantized(shape, &bytes).iter().all(|w| *w == 0.0),
                "{format:?}"
            );
        }
    }

    #[test]
    fn values_beyond_the_format_are_refused() {
        let shape = PackedShape {
            d_out: 1,
            d_in: 2,
            format: PackedFormat::F16,
        };
        assert!(round_to_nearest(&[1.0, 70_000.0], shape, true).is_err());
        assert!(round_to_nearest(&[1.0, f32::NAN], shape, true).is_err());
    }
}
