//! Where the parts of a stored weight lie in its block of bytes: files, exports and cards have it so.
//! A processor brings the rows into panels when it loads them ([`crate::PanelView`]).
//!
//! A block holds codes, then scales, then zero points, each part row by row:
//! - codes: one row an output channel, input channels padded to a multiple of [`BLOCK`] when quantised;
//!   4-bit rows keep each run of 64 codes in 32 bytes, the first 32 codes in the low halves;
//! - scales: f16, one a group and row;
//! - zero points: one byte a group and row, 4-bit only.
//!
//! `w ≈ scale · (code − zero_point)`, with zero point 0 for 8-bit codes.

use std::ops::Range;

/// Channels that a quantised kernel handles at once; rows are padded to a multiple of it.
pub(crate) const BLOCK: usize = 64;

/// Number format of a packed weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedFormat {
    /// 32-bit floats.
    F32,
    /// 16-bit floats (IEEE half).
    F16,
    /// The upper 16 bits of 32-bit floats (bfloat16): their range, with 8 significant bits.
    Bf16,
    /// Signed 8-bit codes with one scale a group.
    Int8 {
        /// Input channels that share a scale; a multiple of 64, the last group may be shorter.
        group_size: usize,
        /// Whether products quantise the activations to 8 bits too.
        int8_activations: bool,
    },
    /// Unsigned 4-bit codes with one scale and zero point a group.
    Int4 {
        /// Input channels that share a scale; a multiple of 64, the last group may be shorter.
        group_size: usize,
        /// Whether products quantise the activations to 8 bits too.
        int8_activations: bool,
    },
}

impl PackedFormat {
    /// Whether products quantise the activations to 8 bits.
    pub fn has_int8_activations(self) -> bool {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => false,
            Self::Int8 {
                int8_activations, ..
            }
            | Self::Int4 {
                int8_activations, ..
            } => int8_activations,
        }
    }
}

/// Shape and format of a packed weight `[d_out, d_in]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedShape {
    /// Output channels.
    pub d_out: usize,
    /// Input channels.
    pub d_in: usize,
    /// Number format.
    pub format: PackedFormat,
}

/// A block of bytes that does not fit its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a weight of shape {shape:?} takes {expected} bytes, not {got}")]
pub struct SizeMismatch {
    /// The shape.
    pub shape: PackedShape,
    /// Bytes that the shape takes.
    pub expected: usize,
    /// Bytes that were given.
    pub got: usize,
}

impl PackedShape {
    /// Input channels with padding.
    pub fn d_in_padded(&self) -> usize {
        match self.format {
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => self.d_in,
            PackedFormat::Int8 { .. } | PackedFormat::Int4 { .. } => {
                self.d_in.next_multiple_of(BLOCK)
            }
        }
    }

    /// Groups a row; 0 for float formats.
    pub fn n_groups(&self) -> usize {
        match self.format {
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => 0,
            PackedFormat::Int8 { group_size, .. } | PackedFormat::Int4 { group_size, .. } => {
                self.d_in.div_ceil(group_size)
            }
        }
    }

    /// Bytes of the codes of one row.
    pub fn row_bytes(&self) -> usize {
        match self.format {
            PackedFormat::F32 => 4 * self.d_in,
            PackedFormat::F16 | PackedFormat::Bf16 => 2 * self.d_in,
            PackedFormat::Int8 { .. } => self.d_in_padded(),
            PackedFormat::Int4 { .. } => self.d_in_padded() / 2,
        }
    }

    pub(crate) fn codes(&self) -> Range<usize> {
        0..self.d_out * self.row_bytes()
    }

    pub(crate) fn scales(&self) -> Range<usize> {
        let start = self.codes().end;
        start..start + 2 * self.d_out * self.n_groups()
    }

    pub(crate) fn zero_points(&self) -> Range<usize> {
        let start = self.scales().end;
        match self.format {
            PackedFormat::Int4 { .. } => start..start + self.d_out * self.n_groups(),
            PackedFormat::F32
            | PackedFormat::F16
            | PackedFormat::Bf16
            | PackedFormat::Int8 { .. } => start..start,
        }
    }

    /// Bytes of the whole block.
    pub fn n_bytes(&self) -> usize {
        self.zero_points().end
    }
}

/// A packed weight, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct PackedView<'a> {
    shape: PackedShape,
    codes: &'a [u8],
    scales: &'a [u8],
    zero_points: &'a [u8],
}

impl<'a> PackedView<'a> {
    /// Reads `bytes` as a weight of `shape`.
    ///
    /// # Errors
    ///
    /// [`SizeMismatch`] if `bytes` is not exactly as long as the shape says.
    pub fn new(shape: PackedShape, bytes: &'a [u8]) -> Result<Self, SizeMismatch> {
        let expected = shape.n_bytes();
        if bytes.len() != expected {
            return Err(SizeMismatch {
                shape,
                expected,
                got: bytes.len(),
            });
        }
        Ok(Self {
            shape,
            codes: &bytes[shape.codes()],
            scales: &bytes[shape.scales()],
            zero_points: &bytes[shape.zero_points()],
        })
    }

    /// Shape and format.
    pub fn shape(&self) -> PackedShape {
        self.shape
    }

    /// The stored code of one weight, signed where the format is 8-bit; `None` for float formats.
    ///
    /// # Panics
    ///
    /// If the weight has no such row or channel.
    pub fn code(&self, row_idx: usize, channel: usize) -> Option<i16> {
        assert!(
            channel < self.shape.d_in,
            "channel {channel} of {:?}",
            self.shape
        );
        let row = self.row(row_idx);
        match self.shape.format {
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => None,
            PackedFormat::Int8 { .. } => Some(i16::from(row[channel].cast_signed())),
            PackedFormat::Int4 { .. } => Some(i16::from(int4_at(row, channel))),
        }
    }

    /// Scale and zero point of one group of a row; `None` for float formats.
    ///
    /// # Panics
    ///
    /// If the weight has no such row or group.
    pub fn group(&self, row_idx: usize, group: usize) -> Option<(f32, u8)> {
        let zero_point = match self.shape.format {
            PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => return None,
            PackedFormat::Int8 { .. } => 0,
            PackedFormat::Int4 { .. } => self.zero_points_of(row_idx..row_idx + 1)[group],
        };
        Some((
            f16_at(self.scales_of(row_idx..row_idx + 1), group),
            zero_point,
        ))
    }

    /// Codes of one row.
    #[inline]
    pub(crate) fn row(&self, row_idx: usize) -> &'a [u8] {
        let n = self.shape.row_bytes();
        &self.codes[row_idx * n..][..n]
    }

    /// Scales of some rows: little-endian f16.
    #[inline]
    pub(crate) fn scales_of(&self, rows: Range<usize>) -> &'a [u8] {
        let n = 2 * self.shape.n_groups();
        &self.scales[rows.start * n..rows.end * n]
    }

    /// Zero points of some rows; none for 8-bit codes.
    #[inline]
    pub(crate) fn zero_points_of(&self, rows: Range<usize>) -> &'a [u8] {
        let n = self.zero_points.len() / self.shape.d_out;
        &self.zero_points[rows.start * n..rows.end * n]
    }

    /// Writes one row as f32; the definition that every kernel is tested against.
    ///
    /// # Shapes
    ///
    /// - `out`: `[d_in]`
    pub fn dequantize_row_reference(&self, row_idx: usize, out: &mut [f32]) {
        let row = self.row(row_idx);
        let scale = |group: usize| f16_at(self.scales_of(row_idx..row_idx + 1), group);
        for (channel, value) in out.iter_mut().enumerate() {
            *value = match self.shape.format {
                PackedFormat::F32 => f32::from_le_bytes(
                    row[4 * channel..][..4]
                        .try_into()
                        .expect("four bytes were sliced"),
                ),
                PackedFormat::F16 => f16_at(row, channel),
                PackedFormat::Bf16 => bf16_at(row, channel),
                PackedFormat::Int8 { group_size, .. } => {
                    scale(channel / group_size) * f32::from(row[channel].cast_signed())
                }
                PackedFormat::Int4 { group_size, .. } => {
                    let group = channel / group_size;
                    let zero_point = f32::from(self.zero_points_of(row_idx..row_idx + 1)[group]);
                    scale(group) * (f32::from(int4_at(row, channel)) - zero_point)
                }
            };
        }
    }
}

/// The f16 number `idx` of a byte slice.
#[inline]
pub(crate) fn f16_at(bytes: &[u8], idx: usize) -> f32 {
    half::f16::from_le_bytes([bytes[2 * idx], bytes[2 * idx + 1]]).to_f32()
}

/// The bf16 number `idx` of a byte slice.
#[inline]
pub(crate) fn bf16_at(bytes: &[u8], idx: usize) -> f32 {
    half::bf16::from_le_bytes([bytes[2 * idx], bytes[2 * idx + 1]]).to_f32()
}

/// The 4-bit code `channel` of a row.
#[inline]
pub(crate) fn int4_at(row: &[u8], channel: usize) -> u8 {
    let byte = row[channel / 64 * 32 + channel % 32];
    if channel % 64 < 32 {
        byte & 15
    } else {
        byte >> 4
    }
}
