//! The backward pass of a product with a packed weight: `dX = dY · W`.
//!
//! The weight stays packed. Threads take blocks of input channels; each unpacks some rows of
//! its block, multiplies it with every token, and goes on to the next rows, so that no float form of
//! the whole weight exists. Sums run over the rows in one order, whatever the number of threads.
//! The rounding of activations in formats with 8-bit activations counts as the identity.

use super::weight_rows::WeightRows;
use crate::{
    PackedView, PanelView, Simd,
    isa::{Isa, Kernel},
    product_tile::{ColumnFactor, RowFactor, Sums, multiply},
    shared_out::SharedOut,
};
use rayon::prelude::*;
use std::ops::Range;

/// Input channels that a thread takes at once: a block of codes.
const JOB_CHANNELS: usize = 64;

/// Rows that are unpacked at once: 64 KiB with [`JOB_CHANNELS`].
const PART_ROWS: usize = 256;

/// Tokens of a call that are handled together; bounds the sums of a thread to 128 KiB.
const CHUNK_TOKENS: usize = 512;

/// Jobs for each thread, at least, where tokens are many enough to be shared out too.
const JOBS_PER_THREAD: usize = 4;

/// `d_x = d_out · weight`.
///
/// # Shapes
///
/// - `weight`: `[d_out, d_in]`; `d_out`: `[n_tokens, d_out]`; `d_x`: `[n_tokens, d_in]`
///
/// # Panics
///
/// If a slice does not fit the shape.
pub fn linear_backward(simd: Simd, weight: &PanelView<'_>, d_out: &[f32], d_x: &mut [f32]) {
    let shape = weight.shape();
    assert!(shape.d_in > 0 && shape.d_out > 0, "a weight {shape:?}");
    let n_tokens = d_out.len() / shape.d_out;
    assert_eq!(d_out.len(), n_tokens * shape.d_out, "outputs of {shape:?}");
    assert_eq!(d_x.len(), n_tokens * shape.d_in, "inputs of {shape:?}");
    let chunks = d_out.chunks(CHUNK_TOKENS * shape.d_out);
    for (d_out, d_x) in chunks.zip(d_x.chunks_mut(CHUNK_TOKENS * shape.d_in)) {
        simd.run(Chunk {
            simd,
            weight,
            d_out,
            d_x,
        });
    }
}

/// The plain form of [`linear_backward`], on dequantised rows and in f64.
pub fn linear_backward_reference(weight: &PackedView<'_>, d_out: &[f32], d_x: &mut [f32]) {
    let shape = weight.shape();
    let mut sums = vec![0.0_f64; d_x.len()];
    let mut row = vec![0.0; shape.d_in];
    for row_idx in 0..shape.d_out {
        weight.dequantize_row_reference(row_idx, &mut row);
        let tokens = d_out.chunks_exact(shape.d_out);
        for (d_out, sums) in tokens.zip(sums.chunks_exact_mut(shape.d_in)) {
            for (sum, weight) in sums.iter_mut().zip(&row) {
                *sum += f64::from(d_out[row_idx]) * f64::from(*weight);
            }
        }
    }
    for (d_x, sum) in d_x.iter_mut().zip(sums) {
        *d_x = sum as f32;
    }
}

/// Some tokens, as many as are handled together.
struct Chunk<'a> {
    simd: Simd,
    weight: &'a PanelView<'a>,
    d_out: &'a [f32],
    d_x: &'a mut [f32],
}

impl Kernel for Chunk<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let shape = self.weight.shape();
        let n_tokens = self.d_out.len() / shape.d_out;
        // A second vector would be empty.
        let width = if n_tokens <= S::LANES { 1 } else { 2 } * S::LANES;
        let panels = token_panels(self.d_out, shape.d_out, width);
        let n_panels = n_tokens.div_ceil(width);
        let n_blocks = shape.d_in.div_ceil(JOB_CHANNELS);
        let wanted = JOBS_PER_THREAD * rayon::current_num_threads();
        let n_groups = wanted.div_ceil(n_blocks).min(n_panels);
        let group = n_panels.div_ceil(n_groups);
        let (simd, weight) = (self.simd, self.weight);
        let out = SharedOut::new(self.d_x, shape.d_in);
        (0..n_blocks * n_groups)
            .into_par_iter()
            .for_each_init(Scratch::default, |scratch, idx| {
                let (block, start) = (idx / n_groups, idx % n_groups * group);
                simd.run(Job {
                    weight,
                    channels: block * JOB_CHANNELS..((block + 1) * JOB_CHANNELS).min(shape.d_in),
                    panels: &panels,
                    panel_idxs: start.min(n_panels)..(start + group).min(n_panels),
                    n_tokens,
                    width,
                    out: &out,
                    scratch,
                });
            });
    }
}

/// `[n_tokens, n_channels]` to `[n_panels, n_channels, width]`, the last panel padded with zeros.
fn token_panels(values: &[f32], n_channels: usize, width: usize) -> Vec<f32> {
    let n_panels = (values.len() / n_channels).div_ceil(width);
    let mut panels = vec![0.0; n_panels * n_channels * width];
    panels
        .par_chunks_exact_mut(n_channels * width)
        .zip(values.par_chunks(width * n_channels))
        .for_each(|(panel, tokens)| {
            for (token_idx, token) in tokens.chunks_exact(n_channels).enumerate() {
                for (lanes, value) in panel.chunks_exact_mut(width).zip(token) {
                    lanes[token_idx] = *value;
                }
            }
        });
    panels
}

/// Buffers that jobs of a thread use one after the other.
#[derive(Default)]
struct Scratch {
    rows: WeightRows,
    sums: Vec<f32>,
}

/// Gradients of some channels of some tokens.
struct Job<'a> {
    weight: &'a PanelView<'a>,
    channels: Range<usize>,
    /// `[n_panels, d_out, width]`
    panels: &'a [f32],
    panel_idxs: Range<usize>,
    n_tokens: usize,
    width: usize,
    out: &'a SharedOut<'a>,
    scratch: &'a mut Scratch,
}

impl Kernel for Job<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let Scratch { rows, sums } = self.scratch;
        let sums_stride = self.panel_idxs.len() * self.width;
        sums.clear();
        sums.resize(self.channels.len() * sums_stride, 0.0);
        let d_out = self.weight.shape().d_out;
        for start in (0..d_out).step_by(PART_ROWS) {
            let row_idxs = start..(start + PART_ROWS).min(d_out);
            let (values, row_stride) =
                rows.read(isa, self.weight, row_idxs.clone(), self.channels.clone());
            let factor = RowFactor {
                values,
                n_rows: self.channels.len(),
                row_stride,
                step: 1,
            };
            for (idx, panel_idx) in self.panel_idxs.clone().enumerate() {
                let panel = &self.panels[panel_idx * d_out * self.width..];
                let columns = ColumnFactor {
                    values: &panel[row_idxs.start * self.width..row_idxs.end * self.width],
                    depth: row_idxs.len(),
                    step: self.width,
                };
                let sums = Sums {
                    values: &mut sums[idx * self.width..],
                    row_stride: sums_stride,
                    accumulate: true,
                };
                if self.width == S::LANES {
                    multiply::<S, 1>(isa, factor, columns, sums);
                } else {
                    multiply::<S, 2>(isa, factor, columns, sums);
                }
            }
        }
        let first_token = self.panel_idxs.start * self.width;
        let n_tokens = self.n_tokens.saturating_sub(first_token).min(sums_stride);
        let mut line = [0.0; JOB_CHANNELS];
        for token in 0..n_tokens {
            for (value, sums) in line.iter_mut().zip(sums.chunks_exact(sums_stride)) {
                *value = sums[token];
            }
            let line = &line[..self.channels.len()];
            // SAFETY: every job has channels of its own, or tokens.
            unsafe {
                self.out
                    .write(first_token + token, self.channels.start, line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PackedFormat, PackedShape, pack_bf16, pack_f16, pack_f32, pack_int4, pack_int8};
    use half::f16;

    /// Share of Σ|w·dy| that rounding in f32 may cost.
    const MAX_ROUNDING: f64 = 2e-6;

    fn wave(n: usize, speed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * speed).sin()).collect()
    }

    fn packed(shape: PackedShape) -> Vec<u8> {
        let n = shape.d_out * shape.d_in;
        let n_scales = shape.d_out * shape.n_groups();
        let scales: Vec<f16> = wave(n_scales, 0.31)
            .iter()
            .map(|v| f16::from_f32(0.01 + 0.01 * v.abs()))
            .collect();
        let codes = wave(n, 0.77);
        match shape.format {
            PackedFormat::F32 => pack_f32(&codes),
            PackedFormat::F16 => pack_f16(&codes),
            PackedFormat::Bf16 => pack_bf16(&codes),
            PackedFormat::Int8 { .. } => {
                let codes: Vec<i8> = codes.iter().map(|v| (v * 127.0) as i8).collect();
                pack_int8(shape, &codes, &scales)
            }
            PackedFormat::Int4 { .. } => {
                let codes: Vec<u8> = codes.iter().map(|v| (v * 7.4 + 7.5) as u8).collect();
                let zeros: Vec<u8> = (0..n_scales).map(|i| (i % 16) as u8).collect();
                pack_int4(shape, &codes, &scales, &zeros)
            }
        }
    }

    #[track_caller]
    fn check(simd: Simd, shape: PackedShape, n_tokens: usize) {
        let bytes = packed(shape);
        let weight = PackedView::new(shape, &bytes).unwrap();
        let d_out = wave(n_tokens * shape.d_out, 0.613);
        let mut want = vec![0.0; n_tokens * shape.d_in];
        linear_backward_reference(&weight, &d_out, &mut want);
        let mut got = vec![f32::NAN; want.len()];
        let mut panels = bytemuck::cast_slice(&bytes).to_vec();
        crate::panel::into_panels(shape, &mut panels);
        let panels = PanelView::new(shape, bytemuck::cast_slice(&panels)).unwrap();
        linear_backward(simd, &panels, &d_out, &mut got);
        let mut row = vec![0.0; shape.d_in];
        let mut largest = 1e-3_f32;
        for row_idx in 0..shape.d_out {
            weight.dequantize_row_reference(row_idx, &mut row);
            largest = row.iter().fold(largest, |a, w| a.max(w.abs()));
        }
        let bound = MAX_ROUNDING * f64::from(largest) * shape.d_out as f64;
        for (idx, (want, got)) in want.iter().zip(&got).enumerate() {
            let difference = f64::from((want - got).abs());
            assert!(
                difference <= bound.max(1e-6),
                "{simd:?} {shape:?} {idx}: {want} {got}"
            );
        }
    }

    #[test]
    fn every_format_agrees_with_the_reference_over_awkward_shapes() {
        let mut formats = vec![PackedFormat::F32, PackedFormat::F16, PackedFormat::Bf16];
        for (group_size, int8_activations) in [(64, false), (128, true)] {
            formats.push(PackedFormat::Int8 {
                group_size,
                int8_activations,
            });
            formats.push(PackedFormat::Int4 {
                group_size,
                int8_activations,
            });
        }
        for simd in Simd::available() {
            for format in formats.iter().copied() {
                for (d_out, d_in) in [(1, 1), (3, 63), (70, 65), (40, 576), (601, 130)] {
                    for n_tokens in [1, 7, 17, 40] {
                        let shape = PackedShape {
                            d_out,
                            d_in,
                            format,
                        };
                        check(simd, shape, n_tokens);
                    }
                }
            }
        }
    }

    #[test]
    fn more_tokens_than_are_handled_together_agree() {
        let shape = PackedShape {
            d_out: 33,
            d_in: 100,
            format: PackedFormat::F32,
        };
        check(Simd::detect(), shape, 2 * CHUNK_TOKENS + 5);
    }
}
