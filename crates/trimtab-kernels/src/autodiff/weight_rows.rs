//! The one place where backward passes read a packed weight: part of its rows as floats.

use crate::{
    PackedView,
    isa::{Isa, Kernel},
    unpack::{BlockScales, Dequantize},
};
use std::ops::Range;

/// Reads rows of weights as floats; keeps its buffers between calls.
#[derive(Debug, Default)]
pub(super) struct WeightRows {
    scales: BlockScales,
    floats: Vec<f32>,
}

impl WeightRows {
    /// Channels `channels` of `rows` as floats.
    ///
    /// # Shapes
    ///
    /// - `channels` begins at a multiple of 64 and ends at one, or at the end of the row
    /// - result: `[rows.len(), channels.len()]`
    #[inline(always)]
    pub(super) fn read<S: Isa>(
        &mut self,
        isa: S,
        weight: &PackedView<'_>,
        rows: Range<usize>,
        channels: Range<usize>,
    ) -> &[f32] {
        let n_values = rows.len() * channels.len();
        self.floats.resize(n_values.max(self.floats.len()), 0.0);
        let out = &mut self.floats[..n_values];
        Dequantize {
            weight,
            first_row: rows.start,
            channels,
            scales: &mut self.scales,
            out,
        }
        .run(isa);
        out
    }
}
