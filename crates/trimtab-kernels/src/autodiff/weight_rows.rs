//! The one place where backward passes read a packed weight: part of its rows as floats.

use crate::{
    PackedFormat, PanelView,
    isa::Isa,
    panel::{CODE_UNIT, PANEL_ROWS, Panel, units_of_block},
    shape::BLOCK,
};
use std::ops::Range;

/// Reads rows of weights as floats; keeps its buffer between calls.
#[derive(Debug, Default)]
pub(super) struct WeightRows {
    floats: Vec<f32>,
}

/// Scales and zero points of a panel's rows in one group.
struct Group {
    scales: [f32; PANEL_ROWS],
    zero_points: [f32; PANEL_ROWS],
}

impl WeightRows {
    /// Channels `channels` of `rows` as floats, one channel after the other, and how far apart they
    /// are: `rows.len()` rounded up to whole panels.
    ///
    /// # Shapes
    ///
    /// - `rows` begins at a multiple of 16
    /// - result: `[channels.len(), stride]`
    #[inline(always)]
    pub(super) fn read<S: Isa>(
        &mut self,
        isa: S,
        weight: &PanelView<'_>,
        rows: Range<usize>,
        channels: Range<usize>,
    ) -> (&[f32], usize) {
        assert!(rows.start.is_multiple_of(PANEL_ROWS), "rows {rows:?}");
        let stride = rows.len().next_multiple_of(PANEL_ROWS);
        let n_values = channels.len() * stride;
        self.floats.resize(n_values.max(self.floats.len()), 0.0);
        let floats = &mut self.floats[..n_values];
        for panel_idx in 0..stride / PANEL_ROWS {
            let panel = weight.panel(rows.start / PANEL_ROWS + panel_idx);
            let mut places = floats.chunks_exact_mut(stride);
            let mut start = channels.start;
            while start < channels.end {
                let end = ((start / BLOCK + 1) * BLOCK).min(channels.end);
                let group = group_of(isa, weight, &panel, start);
                for channel in start..end {
                    let place = places.next().expect("one for each channel");
                    let place = &mut place[panel_idx * PANEL_ROWS..];
                    let place = place.first_chunk_mut().expect("a panel of rows");
                    match weight.shape().format {
                        PackedFormat::F32 => floats_of::<S, 4>(
                            isa,
                            &panel,
                            channel,
                            place,
                            #[inline(always)]
                            // SAFETY: `floats_of` hands out places of whole vectors.
                            |from| unsafe { isa.load(from.cast()) },
                        ),
                        PackedFormat::F16 => floats_of::<S, 2>(
                            isa,
                            &panel,
                            channel,
                            place,
                            #[inline(always)]
                            // SAFETY: as above.
                            |from| unsafe { isa.load_f16(from) },
                        ),
                        PackedFormat::Bf16 => floats_of::<S, 2>(
                            isa,
                            &panel,
                            channel,
                            place,
                            #[inline(always)]
                            // SAFETY: as above.
                            |from| unsafe { isa.load_bf16(from) },
                        ),
                        PackedFormat::Int8 { .. } => bytes_of(isa, &panel, channel, &group, place),
                        PackedFormat::Int4 { .. } => {
                            nibbles_of(isa, &panel, channel, &group, place);
                        }
                    }
                }
                start = end;
            }
        }
        (floats, stride)
    }
}

/// Scales and zero points at a channel; none are stored of floats.
#[inline(always)]
fn group_of<S: Isa>(isa: S, weight: &PanelView<'_>, panel: &Panel<'_>, channel: usize) -> Group {
    let mut group = Group {
        scales: [1.0; PANEL_ROWS],
        zero_points: [0.0; PANEL_ROWS],
    };
    let (PackedFormat::Int8 { group_size, .. } | PackedFormat::Int4 { group_size, .. }) =
        weight.shape().format
    else {
        return group;
    };
    let first = channel / group_size * PANEL_ROWS;
    let scales = &panel.scales[2 * first..][..2 * PANEL_ROWS];
    for at in (0..PANEL_ROWS).step_by(S::LANES) {
        // SAFETY: both hold sixteen numbers, and vectors divide sixteen.
        unsafe {
            let values = isa.load_f16(scales.as_ptr().add(2 * at));
            isa.store(group.scales.as_mut_ptr().add(at), values);
        }
    }
    if let Some(zero_points) = panel.zero_points.get(first..first + PANEL_ROWS) {
        for (to, from) in group.zero_points.iter_mut().zip(zero_points) {
            *to = f32::from(*from);
        }
    }
    group
}

/// One channel of float weights of `BYTES` bytes.
#[inline(always)]
fn floats_of<S: Isa, const BYTES: usize>(
    isa: S,
    panel: &Panel<'_>,
    channel: usize,
    out: &mut [f32; PANEL_ROWS],
    load: impl Fn(*const u8) -> S::F,
) {
    let from = &panel.codes[channel * PANEL_ROWS * BYTES..][..PANEL_ROWS * BYTES];
    for at in (0..PANEL_ROWS).step_by(S::LANES) {
        // SAFETY: both hold sixteen numbers, and vectors divide sixteen.
        unsafe {
            let values = load(from.as_ptr().add(at * BYTES));
            isa.store(out.as_mut_ptr().add(at), values);
        }
    }
}

/// One channel of 8-bit codes, picked out as their product with one.
#[inline(always)]
fn bytes_of<S: Isa>(
    isa: S,
    panel: &Panel<'_>,
    channel: usize,
    group: &Group,
    out: &mut [f32; PANEL_ROWS],
) {
    let unit = unit_of(panel, channel / CODE_UNIT);
    let one = isa.splat_bytes(1 << (8 * (channel % CODE_UNIT)));
    for at in (0..PANEL_ROWS).step_by(S::LANES) {
        // SAFETY: the unit holds four codes of each of sixteen rows, `out` and the group one number,
        // and vectors divide sixteen.
        unsafe {
            let codes = isa.load_bytes(unit[at..].as_ptr().cast());
            let codes = isa.dot_codes(isa.splat_int(-S::WEIGHT_OFFSET), codes, one);
            let scales = isa.load(group.scales.as_ptr().add(at));
            isa.store(
                out.as_mut_ptr().add(at),
                isa.mul(isa.to_float(codes), scales),
            );
        }
    }
}

/// One channel of 4-bit codes, picked out as their product with one.
#[inline(always)]
fn nibbles_of<S: Isa>(
    isa: S,
    panel: &Panel<'_>,
    channel: usize,
    group: &Group,
    out: &mut [f32; PANEL_ROWS],
) {
    let (block, at) = (channel / BLOCK, channel % BLOCK);
    let half = BLOCK / 2;
    let unit = unit_of(panel, block * units_of_block(4) + at % half / CODE_UNIT);
    let (is_high, one) = (at >= half, isa.splat_bytes(1 << (8 * (at % CODE_UNIT))));
    for at in (0..PANEL_ROWS).step_by(S::LANES) {
        // SAFETY: the unit holds four bytes of each of sixteen rows, `out` and the group one number,
        // and vectors divide sixteen.
        unsafe {
            let codes = isa.halves(isa.load_bytes(unit[at..].as_ptr().cast()), is_high);
            let codes = isa.to_float(isa.dot_nibbles(isa.splat_int(0), codes, one));
            let scales = isa.load(group.scales.as_ptr().add(at));
            let zero_points = isa.load(group.zero_points.as_ptr().add(at));
            isa.store(
                out.as_mut_ptr().add(at),
                isa.mul(isa.sub(codes, zero_points), scales),
            );
        }
    }
}

#[inline(always)]
fn unit_of<'a>(panel: &Panel<'a>, idx: usize) -> &'a [[u8; CODE_UNIT]] {
    let n_bytes = PANEL_ROWS * CODE_UNIT;
    let bytes = &panel.codes[idx * n_bytes..][..n_bytes];
    bytes.as_chunks::<CODE_UNIT>().0
}
