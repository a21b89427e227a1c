//! How weights lie in the memory of a CPU: panels of sixteen output channels side by side.
//!
//! Stored weights have one row after the other. A product that reads them so has to add up the lanes
//! of a vector for every row, and several rows at once come from several places. In a panel one
//! vector holds the same input channels of neighbouring rows: sums stay in their lanes, and the whole
//! panel is one stream. The bytes are those of the stored rows, transposed in [`PackedFormat`]'s
//! smallest unit: one float, or four bytes of codes.
//!
//! Panel after panel, each part by itself: codes `[n_panels, n_units, 16]`, scales
//! `[n_panels, n_groups, 16]`, zero points `[n_panels, n_groups, 16]`. The rows of the last panel are
//! padded with zeros.

use crate::{
    PackedFormat, PackedShape, PackedView, SizeMismatch, join::huge_page_vec, shape::BLOCK,
};
use bytemuck::Pod;
use rayon::prelude::*;

/// Output channels of a panel.
pub(crate) const PANEL_ROWS: usize = 16;

/// Bytes of a unit of codes, for each row.
pub(crate) const CODE_UNIT: usize = 4;

impl PackedShape {
    /// Panels of sixteen rows; the last may be padded.
    pub(crate) fn n_panels(&self) -> usize {
        self.d_out.div_ceil(PANEL_ROWS)
    }

    /// The shape with its rows padded to whole panels.
    fn padded(&self) -> Self {
        Self {
            d_out: self.n_panels() * PANEL_ROWS,
            ..*self
        }
    }

    /// Bytes of the weight in panels.
    pub(crate) fn panel_bytes(&self) -> usize {
        self.padded().n_bytes()
    }
}

/// Brings a stored weight into panels; in place where the rows fill them.
///
/// # Panics
///
/// If `bytes` does not have the length that `shape` says.
pub(crate) fn into_panels(shape: PackedShape, bytes: &mut Vec<i8>) {
    assert_eq!(bytes.len(), shape.n_bytes(), "a stored weight {shape:?}");
    let padded = shape.padded();
    if padded != shape {
        let mut wide = huge_page_vec(padded.n_bytes());
        for part in [
            PackedShape::codes,
            PackedShape::scales,
            PackedShape::zero_points,
        ] {
            wide.extend_from_slice(&bytes[part(&shape)]);
            wide.resize(part(&padded).end, 0);
        }
        *bytes = wide;
    }
    let (row_bytes, group_bytes) = (shape.row_bytes(), 2 * shape.n_groups());
    let transpose = match shape.format {
        PackedFormat::F16 | PackedFormat::Bf16 => transpose_panels::<[i8; 2]>,
        PackedFormat::F32 | PackedFormat::Int8 { .. } | PackedFormat::Int4 { .. } => {
            transpose_panels::<[i8; CODE_UNIT]>
        }
    };
    transpose(&mut bytes[padded.codes()], row_bytes);
    transpose_panels::<[i8; 2]>(&mut bytes[padded.scales()], group_bytes);
    transpose_panels::<i8>(&mut bytes[padded.zero_points()], shape.n_groups());
}

/// `[16, n]` units to `[n, 16]` in every panel.
fn transpose_panels<U: Pod + Send + Sync>(bytes: &mut [i8], row_bytes: usize) {
    if row_bytes == 0 {
        return;
    }
    let units: &mut [U] = bytemuck::cast_slice_mut(bytes);
    let n_units = row_bytes / size_of::<U>();
    units
        .par_chunks_exact_mut(PANEL_ROWS * n_units)
        .for_each_init(Vec::new, |rows, panel| {
            rows.clear();
            rows.extend_from_slice(panel);
            for (idx, column) in panel.as_chunks_mut::<PANEL_ROWS>().0.iter_mut().enumerate() {
                for (row, unit) in column.iter_mut().enumerate() {
                    *unit = rows[row * n_units + idx];
                }
            }
        });
}

/// A weight in panels, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct PanelView<'a> {
    shape: PackedShape,
    codes: &'a [u8],
    scales: &'a [u8],
    zero_points: &'a [u8],
}

/// One panel: sixteen rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel<'a> {
    /// `[n_units, 16]` units: floats, or four bytes of codes.
    pub codes: &'a [u8],
    /// `[n_groups, 16]` halves; empty for float formats.
    pub scales: &'a [u8],
    /// `[n_groups, 16]` bytes; 4-bit only.
    pub zero_points: &'a [u8],
}

impl<'a> PanelView<'a> {
    /// Reads `bytes` as a weight of `shape` in panels.
    ///
    /// # Errors
    ///
    /// [`SizeMismatch`] if `bytes` is not exactly as long as the shape says.
    pub fn new(shape: PackedShape, bytes: &'a [u8]) -> Result<Self, SizeMismatch> {
        let padded = shape.padded();
        if bytes.len() != padded.n_bytes() {
            return Err(SizeMismatch {
                shape,
                expected: padded.n_bytes(),
                got: bytes.len(),
            });
        }
        Ok(Self {
            shape,
            codes: &bytes[padded.codes()],
            scales: &bytes[padded.scales()],
            zero_points: &bytes[padded.zero_points()],
        })
    }

    /// Shape and format; rows of padding are not counted.
    pub fn shape(&self) -> PackedShape {
        self.shape
    }

    /// One panel.
    #[inline(always)]
    pub(crate) fn panel(&self, idx: usize) -> Panel<'a> {
        let of = |part: &'a [u8], row_bytes: usize| {
            let n_bytes = PANEL_ROWS * row_bytes;
            &part[idx * n_bytes..][..n_bytes]
        };
        let n_groups = self.shape.n_groups();
        Panel {
            codes: of(self.codes, self.shape.row_bytes()),
            scales: of(self.scales, 2 * n_groups),
            zero_points: match self.zero_points {
                [] => &[],
                zero_points => of(zero_points, n_groups),
            },
        }
    }

    /// Writes one row as floats.
    ///
    /// # Shapes
    ///
    /// - `out`: `[d_in]`
    ///
    /// # Panics
    ///
    /// If there is no such row, or `out` is not as long as it.
    pub fn dequantize_row(&self, row_idx: usize, out: &mut [f32]) {
        assert!(row_idx < self.shape.d_out && out.len() == self.shape.d_in);
        let (panel, row) = (self.panel(row_idx / PANEL_ROWS), row_idx % PANEL_ROWS);
        let shape = PackedShape {
            d_out: 1,
            ..self.shape
        };
        let mut stored = Vec::with_capacity(shape.n_bytes());
        let unit = match shape.format {
            PackedFormat::F16 | PackedFormat::Bf16 => 2,
            PackedFormat::F32 | PackedFormat::Int8 { .. } | PackedFormat::Int4 { .. } => CODE_UNIT,
        };
        for (part, unit) in [
            (panel.codes, unit),
            (panel.scales, 2),
            (panel.zero_points, 1),
        ] {
            for units in part.chunks_exact(PANEL_ROWS * unit) {
                stored.extend_from_slice(&units[row * unit..][..unit]);
            }
        }
        let view = PackedView::new(shape, &stored).expect("all parts of one row");
        view.dequantize_row_reference(0, out);
    }
}

/// Units of codes in a block of channels.
pub(crate) const fn units_of_block(bits: usize) -> usize {
    BLOCK * bits / 8 / CODE_UNIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pack_bf16, pack_f16, pack_f32, pack_int4, pack_int8};
    use half::f16;

    #[test]
    fn rows_in_panels_read_as_the_stored_rows() {
        let (group_size, int8_activations) = (64, false);
        for format in [
            PackedFormat::F32,
            PackedFormat::F16,
            PackedFormat::Bf16,
            PackedFormat::Int8 {
                group_size,
                int8_activations,
            },
            PackedFormat::Int4 {
                group_size,
                int8_activations,
            },
        ] {
            for (d_out, d_in) in [(16, 64), (1, 3), (35, 130)] {
                let shape = PackedShape {
                    d_out,
                    d_in,
                    format,
                };
                let stored = numbered(shape);
                let view = PackedView::new(shape, &stored).unwrap();
                let mut panels = bytemuck::cast_slice(&stored).to_vec();
                into_panels(shape, &mut panels);
                let panels = PanelView::new(shape, bytemuck::cast_slice(&panels)).unwrap();
                let (mut want, mut got) = (vec![0.0; d_in], vec![0.0; d_in]);
                for row in 0..d_out {
                    view.dequantize_row_reference(row, &mut want);
                    panels.dequantize_row(row, &mut got);
                    assert_eq!(want, got, "{shape:?} row {row}");
                }
            }
        }
    }

    /// A weight whose codes, scales and zero points differ from place to place.
    fn numbered(shape: PackedShape) -> Vec<u8> {
        let n = shape.d_out * shape.d_in;
        let floats: Vec<f32> = (0..n).map(|i| i as f32 * 0.25 - 7.0).collect();
        let n_scales = shape.d_out * shape.n_groups();
        let scales: Vec<f16> = (1..=n_scales).map(|i| f16::from_f32(i as f32)).collect();
        match shape.format {
            PackedFormat::F32 => pack_f32(&floats),
            PackedFormat::F16 => pack_f16(&floats),
            PackedFormat::Bf16 => pack_bf16(&floats),
            PackedFormat::Int8 { .. } => {
                let codes: Vec<i8> = (0..n).map(|i| (i % 251) as i8).collect();
                pack_int8(shape, &codes, &scales)
            }
            PackedFormat::Int4 { .. } => {
                let codes: Vec<u8> = (0..n).map(|i| (i % 13) as u8).collect();
                let zeros: Vec<u8> = (0..n_scales).map(|i| (i % 16) as u8).collect();
                pack_int4(shape, &codes, &scales, &zeros)
            }
        }
    }
}
