//! A layer as codes, with its scales in full precision.

use super::{GroupGrid, LayerError};
use rayon::prelude::*;
use trimtab_models::quantized::{GridParts, GridWeight};

/// A layer as codes: `w = scale · (code − zero_point)`.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerCodes {
    /// Output channels.
    pub d_out: usize,
    /// Input channels.
    pub d_in: usize,
    /// Width of a code.
    pub bits: u32,
    /// Input channels that share a scale; the last group may be smaller.
    pub group_size: usize,
    /// `[d_out, d_in]`, row-major.
    pub codes: Vec<u8>,
    /// `[d_out, n_groups]`
    pub scales: Vec<f64>,
    /// `[d_out, n_groups]`
    pub zero_points: Vec<i32>,
    /// Group of each input channel, `[d_in]`, where groups are not of consecutive channels.
    pub group_idx: Option<Vec<u32>>,
}

impl LayerCodes {
    /// The layer in the form that all quantised formats have in common; scales are rounded to f32,
    /// which is exact for those that were chosen as f16 or f32.
    pub fn into_grid_weight(self) -> GridWeight {
        let parts = GridParts {
            d_out: self.d_out,
            d_in: self.d_in,
            bits: self.bits,
            group_size: self.group_size,
            codes: self.codes,
            scales: self.scales.iter().map(|scale| *scale as f32).collect(),
            zero_points: self.zero_points,
            group_idx: self.group_idx,
        };
        GridWeight::new(parts).expect("codes, scales and groups were made for each other")
    }

    /// Groups a row.
    pub fn n_groups(&self) -> usize {
        self.d_in.div_ceil(self.group_size)
    }

    /// The weights that the codes stand for, `[d_out, d_in]`.
    pub fn dequantize(&self) -> Vec<f64> {
        let mut values = vec![0.0; self.codes.len()];
        values
            .par_chunks_exact_mut(self.d_in)
            .enumerate()
            .for_each(|(row_idx, values)| {
                for (channel, value) in values.iter_mut().enumerate() {
                    let group = self.group_idx.as_ref().map_or_else(
                        || channel / self.group_size,
                        |group_idx| group_idx[channel] as usize,
                    );
                    let at = row_idx * self.n_groups() + group;
                    let code = i32::from(self.codes[row_idx * self.d_in + channel]);
                    *value = self.scales[at] * f64::from(code - self.zero_points[at]);
                }
            });
        values
    }

    /// Writes the grids, `[d_out, n_groups]`, as scales and zero points.
    pub(super) fn with_grids(mut self, grids: &[GroupGrid]) -> Result<Self, LayerError> {
        if let Some(idx) = grids.iter().position(|grid| !grid.scale.is_finite()) {
            let row = idx / self.n_groups();
            return Err(LayerError::ScaleTooLarge { row });
        }
        self.scales = grids.iter().map(|grid| grid.scale).collect();
        self.zero_points = grids.iter().map(|grid| grid.zero_point as i32).collect();
        Ok(self)
    }
}
