//! Between [`GridWeight`] and the block of bytes that our kernels read, where that is exact.

use super::{GridParts, GridWeight};
use half::f16;
use trimtab_kernels::{PackedFormat, PackedShape, PackedView, pack_int4, pack_int8};

/// Groups of kernels are multiples of this.
const KERNEL_GROUP: usize = 64;

/// The largest group that artifacts store.
const LARGEST_GROUP: usize = 4096;

/// Why a weight of codes has no exact form in our kernels' format; it then has to be dequantised.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Inexact {
    /// 64 channels that a kernel takes together are of groups with different scales.
    #[error("channels {first} to {last} of row {row} do not share a scale and zero point")]
    Groups {
        /// The row.
        row: usize,
        /// The first channel.
        first: usize,
        /// The last channel.
        last: usize,
    },
    /// A scale that is no 16-bit float.
    #[error("scale {0} is not a 16-bit float")]
    Scale(f32),
    /// A 4-bit zero point that is no byte.
    #[error("zero point {0} is not a byte")]
    ZeroPoint(i32),
    /// A code that lies too far from its zero point for signed 8-bit codes.
    #[error("code {code} lies too far from its zero point {zero_point}")]
    Distance {
        /// The code.
        code: u8,
        /// The zero point.
        zero_point: i32,
    },
}

impl GridWeight {
    /// Reads a packed weight; `None` for float formats.
    ///
    /// Signed 8-bit codes become unsigned ones around zero point 128.
    pub fn from_packed(view: PackedView<'_>) -> Option<Self> {
        let shape = view.shape();
        let (bits, group_size, offset) = match shape.format {
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => return None,
            PackedFormat::Int8 { group_size, .. } => (8, group_size, 128),
            PackedFormat::Int4 { group_size, .. } => (4, group_size, 0),
        };
        let n_groups = shape.n_groups();
        let mut codes = Vec::with_capacity(shape.d_out * shape.d_in);
        let mut scales = Vec::with_capacity(shape.d_out * n_groups);
        let mut zero_points = Vec::with_capacity(scales.capacity());
        for row in 0..shape.d_out {
            codes.extend(
                (0..shape.d_in)
                    .filter_map(|channel| Some((view.code(row, channel)? + offset) as u8)),
            );
            for (scale, zero_point) in (0..n_groups).filter_map(|group| view.group(row, group)) {
                scales.push(scale);
                zero_points.push(i32::from(zero_point) + i32::from(offset));
            }
        }
        let parts = GridParts {
            d_out: shape.d_out,
            d_in: shape.d_in,
            bits,
            group_size,
            codes,
            scales,
            zero_points,
            group_idx: None,
        };
        Some(Self::new(parts).expect("a packed weight has as many parts as its shape says"))
    }

    /// The weight as our kernels read it, standing for the same floats bit by bit.
    ///
    /// Codes of up to 4 bits go into the 4-bit format, wider ones into the 8-bit format as distances
    /// from their zero point. Groups are split, or joined where neighbours agree.
    /// Products of the format keep float activations.
    ///
    /// # Errors
    ///
    /// [`Inexact`] where the format cannot hold this weight.
    pub fn to_packed(&self) -> Result<(PackedShape, Vec<u8>), Inexact> {
        let group_size = self.kernel_group();
        let parts = self.parts();
        let format = match parts.bits <= 4 {
            true => PackedFormat::Int4 {
                group_size,
                int8_activations: false,
            },
            false => PackedFormat::Int8 {
                group_size,
                int8_activations: false,
            },
        };
        let shape = PackedShape {
            d_out: parts.d_out,
            d_in: parts.d_in,
            format,
        };
        let (scales, zero_points) = self.kernel_grids(group_size)?;
        if parts.bits <= 4 {
            let byte = |zero_point: &i32| {
                u8::try_from(*zero_point).map_err(|_| Inexact::ZeroPoint(*zero_point))
            };
            let zero_points = zero_points
                .iter()
                .map(byte)
                .collect::<Result<Vec<_>, _>>()?;
            return Ok((shape, pack_int4(shape, &parts.codes, &scales, &zero_points)));
        }
        let n_groups = shape.n_groups();
        let mut codes = Vec::with_capacity(parts.codes.len());
        for (row, zero_points) in parts
            .codes
            .chunks(parts.d_in)
            .zip(zero_points.chunks(n_groups))
        {
            for (codes_of_group, zero_point) in row.chunks(group_size).zip(zero_points) {
                for code in codes_of_group {
                    codes.push(distance(*code, *zero_point)?);
                }
            }
        }
        Ok((shape, pack_int8(shape, &codes, &scales)))
    }

    /// The group size that the packed form takes.
    fn kernel_group(&self) -> usize {
        let (group_size, d_in) = (self.parts().group_size, self.parts().d_in);
        if self.n_groups() == 1 {
            return d_in.next_multiple_of(KERNEL_GROUP).min(LARGEST_GROUP);
        }
        if self.parts().group_idx.is_some() || !group_size.is_multiple_of(KERNEL_GROUP) {
            return KERNEL_GROUP;
        }
        let mut fitting = (KERNEL_GROUP..=LARGEST_GROUP).rev().step_by(KERNEL_GROUP);
        fitting
            .find(|size| group_size.is_multiple_of(*size))
            .unwrap_or(KERNEL_GROUP)
    }

    /// Scales and zero points `[d_out, kernel groups]`, where the channels of each agree.
    fn kernel_grids(&self, kernel_group: usize) -> Result<(Vec<f16>, Vec<i32>), Inexact> {
        let parts = self.parts();
        let covered: Vec<Vec<usize>> = (0..parts.d_in)
            .step_by(kernel_group)
            .map(|first| {
                let channels = first..parts.d_in.min(first + kernel_group);
                let mut groups: Vec<usize> =
                    channels.map(|channel| self.group_of(channel)).collect();
                groups.sort_unstable();
                groups.dedup();
                groups
            })
            .collect();
        let n_groups = self.n_groups();
        let mut scales = Vec::with_capacity(parts.d_out * covered.len());
        let mut zero_points = Vec::with_capacity(scales.capacity());
        for row in 0..parts.d_out {
            let row_scales = &parts.scales[row * n_groups..][..n_groups];
            let row_zero_points = &parts.zero_points[row * n_groups..][..n_groups];
            let grid = |group: usize| (row_scales[group].to_bits(), row_zero_points[group]);
            for (idx, groups) in covered.iter().enumerate() {
                let (first_group, first) = (groups[0], idx * kernel_group);
                if groups.iter().any(|group| grid(*group) != grid(first_group)) {
                    let last = parts.d_in.min(first + kernel_group) - 1;
                    return Err(Inexact::Groups { row, first, last });
                }
                scales.push(exact_half(row_scales[first_group])?);
                zero_points.push(row_zero_points[first_group]);
            }
        }
        Ok((scales, zero_points))
    }
}

fn exact_half(scale: f32) -> Result<f16, Inexact> {
    let half = f16::from_f32(scale);
    match half.to_f32().to_bits() == scale.to_bits() {
        true => Ok(half),
        false => Err(Inexact::Scale(scale)),
    }
}

fn distance(code: u8, zero_point: i32) -> Result<i8, Inexact> {
    let distance = i64::from(code) - i64::from(zero_point);
    i8::try_from(distance).map_err(|_| Inexact::Distance { code, zero_point })
}
