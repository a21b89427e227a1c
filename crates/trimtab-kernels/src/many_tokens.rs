//! Products of many tokens with a packed weight: vectors run along the tokens. Bound by arithmetic.
//!
//! Tokens are brought into panels of one or two vectors once a call. Each thread then takes some rows
//! of the weight, unpacks a part that fits its cache, and multiplies it with every panel, as floats,
//! or as codes where activations are quantised. The sums of a few rows and all tokens stay in the
//! cache, and are transposed into the output at the end.

use crate::{
    PackedView, Simd,
    code_tile::{CodeColumns, CodeRows, multiply_codes},
    isa::{Isa, Kernel},
    product_tile::{ColumnFactor, RowFactor, Sums, multiply},
    quantized_activations::QuantizedTokens,
    shape::BLOCK,
    shared_out::SharedOut,
    unpack::{BlockScales, Dequantize, WeightWords, codes_to_words},
};
use rayon::prelude::*;
use std::ops::Range;

/// Rows that a thread takes at once: a multiple of every tile.
const JOB_ROWS: usize = 48;

/// Channels of rows that are unpacked to floats at once: 96 KiB with [`JOB_ROWS`].
const PART_CHANNELS: usize = 512;

/// Tokens of a call that are handled together; bounds the sums of a thread to 100 KiB.
const CHUNK_TOKENS: usize = 512;

/// `out = x · weightᵀ` for many tokens.
///
/// # Shapes
///
/// - `weight`: `[d_out, d_in]`; `x`: `[n_tokens, d_in]`; `out`: `[n_tokens, d_out]`
pub(crate) fn multiply_many(simd: Simd, weight: &PackedView<'_>, x: &[f32], out: &mut [f32]) {
    let shape = weight.shape();
    let chunks = x.chunks(CHUNK_TOKENS * shape.d_in);
    for (x, out) in chunks.zip(out.chunks_mut(CHUNK_TOKENS * shape.d_out)) {
        simd.run(Chunk {
            simd,
            weight,
            x,
            out,
        });
    }
}

/// Tokens in panels of `width`; the last panel is padded with zeros.
struct Panels {
    n_tokens: usize,
    /// Tokens of a panel.
    width: usize,
    content: Content,
}

enum Content {
    /// `[n_panels, d_in, width]`
    Floats(Vec<f32>),
    /// Codes and what belongs to each block of them.
    Codes {
        /// `[n_panels, d_in_padded / WORD_CODES, width]`
        words: Vec<i32>,
        /// `[n_panels, n_blocks, 2, width]`: scales, and scales times sums of codes.
        scales: Vec<f32>,
    },
}

/// Some tokens, as many as are handled together.
struct Chunk<'a> {
    simd: Simd,
    weight: &'a PackedView<'a>,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Chunk<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self, _: S) {
        let shape = self.weight.shape();
        let n_tokens = self.x.len() / shape.d_in;
        // A second vector would be empty.
        let n_vectors = if n_tokens <= S::LANES { 1 } else { 2 };
        let width = n_vectors * S::LANES;
        let content = match shape.format.has_int8_activations() {
            true => code_panels::<S>(self.x, shape.d_in, width),
            false => Content::Floats(float_panels(self.x, shape.d_in, width)),
        };
        let panels = Panels {
            n_tokens,
            width,
            content,
        };
        let (simd, weight) = (self.simd, self.weight);
        let out = SharedOut::new(self.out, shape.d_out);
        (0..shape.d_out.div_ceil(JOB_ROWS))
            .into_par_iter()
            .for_each_init(Scratch::default, |scratch, idx| {
                let rows = idx * JOB_ROWS..((idx + 1) * JOB_ROWS).min(shape.d_out);
                simd.run(Job {
                    weight,
                    rows,
                    panels: &panels,
                    out: &out,
                    scratch,
                });
            });
    }
}

/// `[n_tokens, d_in]` to `[n_panels, d_in, width]`.
fn float_panels(x: &[f32], d_in: usize, width: usize) -> Vec<f32> {
    let n_panels = (x.len() / d_in).div_ceil(width);
    let mut panels = vec![0.0; n_panels * d_in * width];
    panels
        .par_chunks_exact_mut(d_in * width)
        .zip(x.par_chunks(width * d_in))
        .for_each(|(panel, tokens)| transpose(tokens, d_in, panel, width));
    panels
}

/// Writes `to[c][r] = from[r][c]`, in squares that stay in the cache.
fn transpose<T: Copy>(from: &[T], from_stride: usize, to: &mut [T], to_stride: usize) {
    const SIDE: usize = 16;
    let n_rows = from.len() / from_stride;
    for first in (0..n_rows).step_by(SIDE) {
        let rows = first..(first + SIDE).min(n_rows);
        for start in (0..from_stride).step_by(SIDE) {
            let n_columns = SIDE.min(from_stride - start);
            for row in rows.clone() {
                let from = &from[row * from_stride + start..][..n_columns];
                for (from, to) in from
                    .iter()
                    .zip(to[start * to_stride..].chunks_mut(to_stride))
                {
                    to[row] = *from;
                }
            }
        }
    }
}

/// Quantised tokens as panels of words.
fn code_panels<S: Isa>(x: &[f32], d_in: usize, width: usize) -> Content {
    let n_panels = (x.len() / d_in).div_ceil(width);
    let n_blocks = d_in.div_ceil(BLOCK);
    let n_words = n_blocks * BLOCK / S::WORD_CODES;
    let mut words = vec![0; n_panels * n_words * width];
    let mut scales = vec![0.0; n_panels * n_blocks * 2 * width];
    words
        .par_chunks_exact_mut(n_words * width)
        .zip(scales.par_chunks_exact_mut(n_blocks * 2 * width))
        .zip(x.par_chunks(width * d_in))
        .for_each(|((words, scales), tokens)| {
            let quantized = QuantizedTokens::new(tokens, d_in);
            let mut token_words = vec![0; quantized.codes.len() / S::WORD_CODES];
            codes_to_words::<S>(&quantized.codes, 0, &mut token_words);
            transpose(&token_words, n_words, words, width);
            for token in 0..tokens.len() / d_in {
                for block in 0..n_blocks {
                    let from = token * n_blocks + block;
                    let to = &mut scales[block * 2 * width..][..2 * width];
                    to[token] = quantized.scales[from];
                    to[width + token] = quantized.scales[from] * quantized.sums[from] as f32;
                }
            }
        });
    Content::Codes { words, scales }
}

/// Buffers that jobs of a thread use one after the other.
#[derive(Default)]
struct Scratch {
    block_scales: BlockScales,
    floats: Vec<f32>,
    words: Vec<i32>,
    sums: Vec<f32>,
}

/// Products of some rows with all panels.
struct Job<'a> {
    weight: &'a PackedView<'a>,
    rows: Range<usize>,
    panels: &'a Panels,
    out: &'a SharedOut<'a>,
    scratch: &'a mut Scratch,
}

impl Kernel for Job<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let n_panels = self.panels.n_tokens.div_ceil(self.panels.width);
        let sums_stride = n_panels * self.panels.width;
        self.scratch.sums.clear();
        self.scratch.sums.resize(self.rows.len() * sums_stride, 0.0);
        match (&self.panels.content, self.panels.width == S::LANES) {
            (Content::Floats(panels), true) => self.floats::<S, 1>(isa, panels),
            (Content::Floats(panels), false) => self.floats::<S, 2>(isa, panels),
            (Content::Codes { words, scales }, true) => self.codes::<S, 1>(isa, words, scales),
            (Content::Codes { words, scales }, false) => self.codes::<S, 2>(isa, words, scales),
        }
        self.write_out(sums_stride);
    }
}

impl Job<'_> {
    #[inline(always)]
    fn floats<S: Isa, const W: usize>(&mut self, isa: S, panels: &[f32]) {
        let (d_in, width) = (self.weight.shape().d_in, W * S::LANES);
        let scratch = &mut *self.scratch;
        let sums_stride = scratch.sums.len() / self.rows.len();
        // Parts of even length, in whole blocks.
        let n_parts = d_in.div_ceil(PART_CHANNELS);
        let part = d_in.div_ceil(n_parts).next_multiple_of(BLOCK);
        for start in (0..d_in).step_by(part) {
            let channels = start..(start + part).min(d_in);
            let depth = channels.len();
            scratch.floats.resize(self.rows.len() * depth, 0.0);
            Dequantize {
                weight: self.weight,
                first_row: self.rows.start,
                channels: channels.clone(),
                scales: &mut scratch.block_scales,
                out: &mut scratch.floats,
            }
            .run(isa);
            for (idx, panel) in panels.chunks_exact(d_in * width).enumerate() {
                multiply::<S, W>(
                    isa,
                    RowFactor {
                        values: &scratch.floats,
                        n_rows: self.rows.len(),
                        row_stride: depth,
                        step: 1,
                    },
                    ColumnFactor {
                        values: &panel[channels.start * width..channels.end * width],
                        depth,
                        step: width,
                    },
                    Sums {
                        values: &mut scratch.sums[idx * width..],
                        row_stride: sums_stride,
                        accumulate: true,
                    },
                );
            }
        }
    }

    #[inline(always)]
    fn codes<S: Isa, const W: usize>(&mut self, isa: S, words: &[i32], x_scales: &[f32]) {
        let shape = self.weight.shape();
        let (n_blocks, width) = (shape.d_in_padded() / BLOCK, W * S::LANES);
        let n_words = shape.d_in_padded() / S::WORD_CODES;
        let scratch = &mut *self.scratch;
        let sums_stride = scratch.sums.len() / self.rows.len();
        scratch.words.resize(self.rows.len() * n_words, 0);
        scratch
            .block_scales
            .read(isa, self.weight, self.rows.clone());
        WeightWords {
            weight: self.weight,
            first_row: self.rows.start,
            out: &mut scratch.words,
        }
        .write(isa);
        let panels = words
            .chunks_exact(n_words * width)
            .zip(x_scales.chunks_exact(n_blocks * 2 * width));
        for (idx, (words, scales)) in panels.enumerate() {
            multiply_codes::<S, W>(
                isa,
                CodeRows {
                    words: &scratch.words,
                    n_rows: self.rows.len(),
                    n_blocks,
                    scales: &scratch.block_scales,
                },
                CodeColumns { words, scales },
                Sums {
                    values: &mut scratch.sums[idx * width..],
                    row_stride: sums_stride,
                    accumulate: true,
                },
            );
        }
    }

    /// Transposes `[rows, tokens]` into the output.
    fn write_out(&self, sums_stride: usize) {
        const SIDE: usize = 16;
        let (sums, n_tokens) = (&self.scratch.sums, self.panels.n_tokens);
        for first in (0..self.rows.len()).step_by(SIDE) {
            let n_rows = SIDE.min(self.rows.len() - first);
            for start in (0..n_tokens).step_by(SIDE) {
                let n_columns = SIDE.min(n_tokens - start);
                let mut square = [[0.0; SIDE]; SIDE];
                for row in 0..n_rows {
                    let from = &sums[(first + row) * sums_stride + start..][..n_columns];
                    for (value, line) in from.iter().zip(&mut square) {
                        line[row] = *value;
                    }
                }
                for (token, line) in (start..).zip(&square[..n_columns]) {
                    let column = self.rows.start + first;
                    // SAFETY: every job has rows, here columns, of its own.
                    unsafe { self.out.write(token, column, &line[..n_rows]) }
                }
            }
        }
    }
}
