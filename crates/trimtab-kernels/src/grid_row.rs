//! Reads packed weights back as codes, scales and zero points, for writers of other formats.

use crate::{
    PackedFormat, PackedView,
    shape::{f16_at, int4_at},
};
use half::f16;

/// One row of a quantised weight: `w = scale · (code − zero_point)`, a scale and a zero point for
/// each group of channels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GridRow {
    /// Codes, `[d_in]`: −128…127 for 8-bit weights, 0…15 for 4-bit ones.
    pub codes: Vec<i16>,
    /// Scales, `[n_groups]`.
    pub scales: Vec<f16>,
    /// Zero points, `[n_groups]`; 0 for 8-bit weights.
    pub zero_points: Vec<u8>,
    /// Channels of a group; the last may have fewer.
    pub group_size: usize,
}

impl PackedView<'_> {
    /// Reads one row as codes, into memory that is used again; `None` for float formats.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn read_grid_row(&self, row_idx: usize, row: &mut GridRow) -> Option<()> {
        let shape = self.shape();
        let stored = self.row(row_idx);
        row.codes.clear();
        row.zero_points.clear();
        row.group_size = match shape.format {
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => return None,
            PackedFormat::Int8 { group_size, .. } => {
                let codes = stored[..shape.d_in].iter();
                row.codes
                    .extend(codes.map(|code| i16::from(code.cast_signed())));
                row.zero_points.resize(shape.n_groups(), 0);
                group_size
            }
            PackedFormat::Int4 { group_size, .. } => {
                let codes = (0..shape.d_in).map(|channel| i16::from(int4_at(stored, channel)));
                row.codes.extend(codes);
                row.zero_points
                    .extend(self.zero_points_of(row_idx..row_idx + 1));
                group_size
            }
        };
        let scales = self.scales_of(row_idx..row_idx + 1);
        row.scales.clear();
        let groups = 0..shape.n_groups();
        row.scales
            .extend(groups.map(|group| f16::from_f32(f16_at(scales, group))));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PackedShape, pack_f16, pack_int4, pack_int8};

    fn view(format: PackedFormat, bytes: &[u8]) -> PackedView<'_> {
        let shape = PackedShape {
            d_out: 2,
            d_in: 70,
            format,
        };
        PackedView::new(shape, bytes).unwrap()
    }

    #[test]
    fn packed_codes_are_read_back() {
        let (group_size, int8_activations) = (64, false);
        let scales: Vec<f16> = [0.5, 0.25, -1.0, 2.0].map(f16::from_f32).to_vec();
        let int4 = PackedFormat::Int4 {
            group_size,
            int8_activations,
        };
        let codes: Vec<u8> = (0..140).map(|idx| (idx * 7 % 16) as u8).collect();
        let zero_points = [3, 8, 0, 15];
        let shape = PackedShape {
            d_out: 2,
            d_in: 70,
            format: int4,
        };
        let bytes = pack_int4(shape, &codes, &scales, &zero_points);
        let mut row = GridRow::default();
        view(int4, &bytes).read_grid_row(1, &mut row).unwrap();
        let expected: Vec<i16> = codes[70..].iter().map(|&code| i16::from(code)).collect();
        assert_eq!(row.codes, expected);
        assert_eq!((row.scales.as_slice(), row.group_size), (&scales[2..], 64));
        assert_eq!(row.zero_points, [0, 15]);

        let int8 = PackedFormat::Int8 {
            group_size,
            int8_activations,
        };
        let codes: Vec<i8> = (0..140).map(|idx| (idx - 70) as i8).collect();
        let shape = PackedShape {
            format: int8,
            ..shape
        };
        let bytes = pack_int8(shape, &codes, &scales);
        view(int8, &bytes).read_grid_row(0, &mut row).unwrap();
        let expected: Vec<i16> = codes[..70].iter().map(|&code| i16::from(code)).collect();
        assert_eq!((row.codes, row.zero_points), (expected, vec![0, 0]));
    }

    #[test]
    fn float_formats_have_no_codes() {
        let bytes = pack_f16(&[0.0; 140]);
        let read = view(PackedFormat::F16, &bytes).read_grid_row(0, &mut GridRow::default());
        assert_eq!(read, None);
    }
}
