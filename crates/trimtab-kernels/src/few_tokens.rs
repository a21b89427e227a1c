//! Products of one token, or of a few, with a packed weight: vectors run along the input channels.
//!
//! Bound by the memory that the weights are read from: each row is read once and multiplied with all
//! tokens, and rows are split over the threads.

use crate::{
    PackedFormat, PackedView, Simd,
    isa::{Isa, Kernel},
    quantized_activations::QuantizedTokens,
    shape::{BLOCK, f16_at},
    shared_out::SharedOut,
    unpack::{BlockScales, padded_blocks},
    vector::MAX_LANES,
};
use rayon::prelude::*;
use std::ops::Range;

/// Weights below this size are cheaper to read on one thread than to share out.
const SERIAL_BYTES: usize = 48 * 1024;

/// Tokens that one pass over the weight multiplies.
const MAX_TOKENS: usize = 8;

/// Rows whose scales are converted together.
const SCALE_ROWS: usize = 32;

/// `out = x · weightᵀ` for a few tokens.
///
/// # Shapes
///
/// - `weight`: `[d_out, d_in]`; `x`: `[n_tokens, d_in]`; `out`: `[n_tokens, d_out]`
pub(crate) fn multiply(simd: Simd, weight: &PackedView<'_>, x: &[f32], out: &mut [f32]) {
    let shape = weight.shape();
    let n_passes = (x.len() / shape.d_in).div_ceil(MAX_TOKENS);
    let inputs: Vec<Inputs> = x
        .chunks(MAX_TOKENS * shape.d_in)
        .map(|x| simd.run(Prepare { weight, x }))
        .collect();
    let out = SharedOut::new(out, shape.d_out);
    let rows = |rows: Range<usize>| {
        for (pass, inputs) in inputs.iter().enumerate() {
            simd.run(RowsJob {
                weight,
                range: rows.clone(),
                inputs,
                first_token: pass * MAX_TOKENS,
                out: &out,
            });
        }
    };
    if shape.n_bytes() * n_passes < SERIAL_BYTES {
        return rows(0..shape.d_out);
    }
    let n_chunks = 4 * rayon::current_num_threads();
    let n_rows = shape.d_out.div_ceil(n_chunks).max(16);
    (0..shape.d_out.div_ceil(n_rows))
        .into_par_iter()
        .for_each(|idx| rows(idx * n_rows..((idx + 1) * n_rows).min(shape.d_out)));
}

/// Tokens in the order that the kernels read them.
#[derive(Debug, Default)]
struct Inputs {
    n_tokens: usize,
    /// Tokens that are computed: 1, 2, 4 or 8.
    n_padded: usize,
    /// `[n_vectors, n_padded, LANES]`, padded to whole blocks; for one token and 4-bit codes in the
    /// order of their nibbles.
    values: Vec<f32>,
    /// `[n_padded, d_in]` codes, padded to whole vectors of blocks.
    codes: Vec<i8>,
    /// What sums of products with codes begin with: minus the weights' offset times the activations.
    starts: Vec<i32>,
    /// `[n_padded, padded blocks]`: scale of each block's codes.
    scales: Vec<f32>,
    /// `[n_padded, padded blocks]`: sum of each block's values.
    sums: Vec<f32>,
}

/// Brings tokens into the order that a weight's rows need.
struct Prepare<'a> {
    weight: &'a PackedView<'a>,
    x: &'a [f32],
}

impl Kernel for Prepare<'_> {
    type Out = Inputs;

    #[inline(always)]
    fn run<S: Isa>(self, _: S) -> Inputs {
        let shape = self.weight.shape();
        let n_tokens = self.x.len() / shape.d_in;
        let mut inputs = Inputs {
            n_tokens,
            n_padded: n_tokens.next_power_of_two(),
            ..Inputs::default()
        };
        let is_int4 = matches!(shape.format, PackedFormat::Int4 { .. });
        if shape.format.has_int8_activations() {
            inputs.quantize::<S>(self.x, shape.d_in, is_int4);
        } else {
            inputs.pad::<S>(self.x, shape.d_in, is_int4 && n_tokens == 1);
        }
        inputs
    }
}

impl Inputs {
    /// Pads floats, and for 4-bit codes sorts them as nibbles of words and sums blocks.
    fn pad<S: Isa>(&mut self, x: &[f32], d_in: usize, as_nibbles: bool) {
        let d_padded = d_in.next_multiple_of(8 * S::LANES).next_multiple_of(BLOCK);
        self.values.resize(self.n_padded * d_padded, 0.0);
        for (token_idx, token) in x.chunks_exact(d_in).enumerate() {
            let places = self.values.chunks_exact_mut(self.n_padded * S::LANES);
            for (vector, place) in token.chunks(S::LANES).zip(places) {
                place[token_idx * S::LANES..][..vector.len()].copy_from_slice(vector);
            }
        }
        if as_nibbles {
            let plain = self.values.clone();
            for (idx, value) in self.values.iter_mut().enumerate() {
                *value = plain[nibble_channel::<S>(idx)];
            }
            self.sums = plain
                .chunks(BLOCK)
                .map(|block| block.iter().sum())
                .collect();
            self.sums.resize(padded_blocks(d_in.div_ceil(BLOCK)), 0.0);
        }
    }

    /// Quantises, and for 4-bit codes sorts the codes as halves of bytes.
    fn quantize<S: Isa>(&mut self, x: &[f32], d_in: usize, is_int4: bool) {
        let quantized = QuantizedTokens::new(x, d_in);
        let n_blocks = d_in.div_ceil(BLOCK);
        let d_padded = d_in.next_multiple_of(8 * S::LANES).next_multiple_of(BLOCK);
        let n_padded_blocks = padded_blocks(n_blocks);
        self.codes.resize(self.n_padded * d_padded, 0);
        self.scales.resize(self.n_padded * n_padded_blocks, 0.0);
        self.sums.resize(self.n_padded * n_padded_blocks, 0.0);
        let tokens = quantized.codes.chunks_exact(n_blocks * BLOCK);
        for (token_idx, token) in tokens.enumerate() {
            let codes = &mut self.codes[token_idx * d_padded..][..d_padded];
            if is_int4 {
                for (idx, code) in codes.iter_mut().enumerate() {
                    *code = token.get(half_channel::<S>(idx)).copied().unwrap_or(0);
                }
            } else {
                codes[..token.len()].copy_from_slice(token);
            }
            for block in 0..n_blocks {
                let (from, to) = (
                    token_idx * n_blocks + block,
                    token_idx * n_padded_blocks + block,
                );
                self.scales[to] = quantized.scales[from];
                self.sums[to] = quantized.scales[from] * quantized.sums[from] as f32;
            }
        }
        if !is_int4 && S::WEIGHT_OFFSET != 0 {
            let words = self.codes.as_chunks::<4>().0.iter();
            let sum = |word: &[i8; 4]| word.iter().map(|code| i32::from(*code)).sum::<i32>();
            self.starts = words.map(|word| -S::WEIGHT_OFFSET * sum(word)).collect();
        }
    }
}

/// The channel that [`Isa::nibble`] meets at place `idx` of a row: vectors of words, eight nibbles
/// of each word, then the words.
fn nibble_channel<S: Isa>(idx: usize) -> usize {
    let (vector, nibble, lane) = (idx / (8 * S::LANES), idx / S::LANES % 8, idx % S::LANES);
    let byte = 4 * (vector * S::LANES + lane) + nibble / 2;
    byte / 32 * BLOCK + byte % 32 + 32 * (nibble % 2)
}

/// The channel that [`Isa::halves`] meets at place `idx` of a row: vectors of bytes, low halves
/// before high ones.
fn half_channel<S: Isa>(idx: usize) -> usize {
    let width = 4 * S::LANES;
    let byte = idx / (2 * width) * width + idx % width;
    byte / 32 * BLOCK + byte % 32 + 32 * (idx / width % 2)
}

/// Products of some rows with all tokens of a pass.
struct RowsJob<'a> {
    weight: &'a PackedView<'a>,
    range: Range<usize>,
    inputs: &'a Inputs,
    first_token: usize,
    out: &'a SharedOut<'a>,
}

impl Kernel for RowsJob<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        match self.inputs.n_padded {
            1 => self.each_tile::<S, 1, 1>(isa),
            2 => self.each_tile::<S, 1, 2>(isa),
            4 if self.weight.shape().format.has_int8_activations() => {
                self.each_tile::<S, 1, 4>(isa);
            }
            4 => self.each_tile::<S, 2, 4>(isa),
            _ if S::HAS_MANY_REGISTERS => self.each_tile::<S, 2, 8>(isa),
            _ => self.each_tile::<S, 1, 8>(isa),
        }
    }
}

impl RowsJob<'_> {
    /// Computes tiles of `R` rows and `T` tokens; a row beyond the last repeats the last.
    #[inline(always)]
    fn each_tile<S: Isa, const R: usize, const T: usize>(&self, isa: S) {
        let mut scales = BlockScales::default();
        for start in self.range.clone().step_by(SCALE_ROWS) {
            let rows = start..(start + SCALE_ROWS).min(self.range.end);
            scales.read(isa, self.weight, rows.clone());
            self.each_tile_of::<S, R, T>(isa, rows, &scales);
        }
    }

    #[inline(always)]
    fn each_tile_of<S: Isa, const R: usize, const T: usize>(
        &self,
        isa: S,
        all_rows: Range<usize>,
        scales: &BlockScales,
    ) {
        for first in all_rows.clone().step_by(R) {
            let mut rows = [self.weight.row(first); R];
            let mut scale_rows = [first - all_rows.start; R];
            for r in 1..R {
                let row = (first + r).min(all_rows.end - 1);
                rows[r] = self.weight.row(row);
                scale_rows[r] = row - all_rows.start;
            }
            let tile = Tile::<R, T> {
                rows,
                scale_rows,
                scales,
                inputs: self.inputs,
                d_in: self.weight.shape().d_in,
            };
            let sums = match self.weight.shape().format {
                PackedFormat::F32 => tile.f32(isa),
                PackedFormat::F16 => tile.f16(isa),
                PackedFormat::Int8 {
                    int8_activations, ..
                } => match int8_activations {
                    true => tile.int8_codes(isa),
                    false => tile.int8(isa),
                },
                PackedFormat::Int4 {
                    int8_activations, ..
                } => match (int8_activations, T) {
                    (true, _) => tile.int4_codes(isa),
                    (false, 1) => tile.int4_one(isa),
                    (false, _) => tile.int4(isa),
                },
            };
            let n_rows = R.min(all_rows.end - first);
            for (token, sums) in sums.iter().enumerate().take(self.inputs.n_tokens) {
                // SAFETY: every job has rows of its own.
                unsafe {
                    self.out
                        .write(self.first_token + token, first, &sums[..n_rows]);
                }
            }
        }
    }
}

/// Some rows and the tokens they are multiplied with.
struct Tile<'a, const R: usize, const T: usize> {
    rows: [&'a [u8]; R],
    /// Which of the rows read into `scales` they are.
    scale_rows: [usize; R],
    scales: &'a BlockScales,
    inputs: &'a Inputs,
    d_in: usize,
}

impl<const R: usize, const T: usize> Tile<'_, R, T> {
    /// Sums over whole blocks of `decode(row, block, first channel in it) · token`.
    #[inline(always)]
    fn sum_blocks<S: Isa>(
        &self,
        isa: S,
        n_blocks: usize,
        decode: impl Fn(usize, usize, usize) -> S::F,
    ) -> [[f32; R]; T] {
        assert!(n_blocks * BLOCK * T <= self.inputs.values.len());
        let x = self.inputs.values.as_ptr();
        let mut sums = [[isa.splat(0.0); R]; T];
        for block in 0..n_blocks {
            self.prefetch_block(isa, block);
            for at in (0..BLOCK).step_by(S::LANES) {
                let mut weights = [isa.splat(0.0); R];
                for (row, weights) in weights.iter_mut().enumerate() {
                    *weights = decode(row, block, at);
                }
                for (token, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: the assertion holds every whole block of every token.
                    let x = unsafe { isa.load(x.add((block * BLOCK + at) * T + token * S::LANES)) };
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = isa.fma(weight, x, *sum);
                    }
                }
            }
        }
        horizontal_sums(isa, &sums)
    }

    /// Asks for this block of the next tile's rows: the processor foresees one row, but not several.
    #[inline(always)]
    fn prefetch_block<S: Isa>(&self, isa: S, block: usize) {
        const LINE: usize = 64;
        if R == 1 {
            return;
        }
        let row_bytes = self.rows[0].len();
        let block_bytes = row_bytes * BLOCK / self.d_in.next_multiple_of(BLOCK);
        for row in self.rows {
            let next = row
                .as_ptr()
                .wrapping_add(R * row_bytes + block * block_bytes);
            for line in (0..block_bytes).step_by(LINE) {
                isa.prefetch(next.wrapping_add(line));
            }
        }
    }

    /// [`Self::sum_blocks`] of one row and token, with the scales of blocks applied to their sums.
    #[inline(always)]
    fn sum_one<S: Isa>(
        &self,
        isa: S,
        n_blocks: usize,
        decode: impl Fn(usize, usize) -> S::F,
        scales: Option<&[f32]>,
    ) -> [[f32; R]; T] {
        assert!(n_blocks * BLOCK <= self.inputs.values.len());
        let x = self.inputs.values.as_ptr();
        // Four sums for neighbouring vectors: one alone would wait for itself.
        let mut totals = [isa.splat(0.0); 4];
        for block in 0..n_blocks {
            let mut sums = if scales.is_some() {
                [isa.splat(0.0); 4]
            } else {
                totals
            };
            for at in (0..BLOCK).step_by(4 * S::LANES) {
                for (part, sum) in sums.iter_mut().enumerate() {
                    let at = at + part * S::LANES;
                    // SAFETY: the assertion holds every whole block.
                    let x = unsafe { isa.load(x.add(block * BLOCK + at)) };
                    *sum = isa.fma(decode(block, at), x, *sum);
                }
            }
            match scales {
                None => totals = sums,
                Some(scales) => {
                    let sum = isa.add(isa.add(sums[0], sums[1]), isa.add(sums[2], sums[3]));
                    totals[0] = isa.fma(sum, isa.splat(scales[block]), totals[0]);
                }
            }
        }
        let sum = isa.add(isa.add(totals[0], totals[1]), isa.add(totals[2], totals[3]));
        [[isa.sum(sum); R]; T]
    }

    /// Adds the products of the channels after the last whole block.
    #[inline(always)]
    fn add_tail<S: Isa>(
        &self,
        _: S,
        sums: &mut [[f32; R]; T],
        weight: impl Fn(&[u8], usize) -> f32,
    ) {
        for (token, sums) in sums.iter_mut().enumerate() {
            for (sum, row) in sums.iter_mut().zip(self.rows) {
                for channel in self.d_in / BLOCK * BLOCK..self.d_in {
                    let vector = (channel / S::LANES * T + token) * S::LANES;
                    *sum += weight(row, channel) * self.inputs.values[vector + channel % S::LANES];
                }
            }
        }
    }

    #[inline(always)]
    fn f32<S: Isa>(&self, isa: S) -> [[f32; R]; T] {
        assert!(self.rows.iter().all(|row| row.len() == 4 * self.d_in));
        let mut sums = self.sum_floats(
            isa,
            #[inline(always)]
            |row, channel| {
                // SAFETY: the row holds four bytes a channel, and whole blocks are read.
                unsafe { isa.load(self.rows[row].as_ptr().add(4 * channel).cast()) }
            },
        );
        self.add_tail(
            isa,
            &mut sums,
            #[inline(always)]
            |row, channel| {
                let bytes = row[4 * channel..].first_chunk();
                f32::from_le_bytes(*bytes.expect("four bytes a channel"))
            },
        );
        sums
    }

    #[inline(always)]
    fn f16<S: Isa>(&self, isa: S) -> [[f32; R]; T] {
        assert!(self.rows.iter().all(|row| row.len() == 2 * self.d_in));
        let mut sums = self.sum_floats(
            isa,
            #[inline(always)]
            |row, channel| {
                // SAFETY: the row holds two bytes a channel, and whole blocks are read.
                unsafe { isa.load_f16(self.rows[row].as_ptr().add(2 * channel)) }
            },
        );
        self.add_tail(isa, &mut sums, f16_at);
        sums
    }

    /// Sums over whole blocks of weights without scales.
    #[inline(always)]
    fn sum_floats<S: Isa>(&self, isa: S, weight: impl Fn(usize, usize) -> S::F) -> [[f32; R]; T] {
        let n_blocks = self.d_in / BLOCK;
        if R * T == 1 {
            return self.sum_one(
                isa,
                n_blocks,
                #[inline(always)]
                |block, at| weight(0, block * BLOCK + at),
                None,
            );
        }
        self.sum_blocks(
            isa,
            n_blocks,
            #[inline(always)]
            |row, block, at| weight(row, block * BLOCK + at),
        )
    }

    #[inline(always)]
    fn int8<S: Isa>(&self, isa: S) -> [[f32; R]; T] {
        let n_blocks = self.d_in.div_ceil(BLOCK);
        assert!(self.rows.iter().all(|row| row.len() == n_blocks * BLOCK));
        let scales = self.scale_rows.map(|row| &self.scales.row(row)[..n_blocks]);
        if R * T == 1 {
            return self.sum_one(
                isa,
                n_blocks,
                #[inline(always)]
                |block, at| {
                    // SAFETY: the row holds whole blocks of one byte a channel.
                    unsafe { isa.load_i8(self.rows[0].as_ptr().add(block * BLOCK + at)) }
                },
                Some(scales[0]),
            );
        }
        self.sum_blocks(
            isa,
            n_blocks,
            #[inline(always)]
            |row, block, at| {
                // SAFETY: the row holds whole blocks of one byte a channel.
                let codes = unsafe { isa.load_i8(self.rows[row].as_ptr().add(block * BLOCK + at)) };
                isa.mul(codes, isa.splat(scales[row][block]))
            },
        )
    }

    #[inline(always)]
    fn int4<S: Isa>(&self, isa: S) -> [[f32; R]; T] {
        let n_blocks = self.d_in.div_ceil(BLOCK);
        assert!(
            self.rows
                .iter()
                .all(|row| row.len() == n_blocks * BLOCK / 2)
        );
        let scales = self.scale_rows.map(|row| &self.scales.row(row)[..n_blocks]);
        let zeros = self
            .scale_rows
            .map(|row| &self.scales.row_zero_points(row)[..n_blocks]);
        self.sum_blocks(
            isa,
            n_blocks,
            #[inline(always)]
            |row, block, at| {
                let from = self.rows[row].as_ptr();
                // SAFETY: the row holds whole blocks of half a byte a channel; lanes divide 32.
                let codes = unsafe { isa.load_u4(from.add(block * BLOCK / 2 + at % 32), at >= 32) };
                let scale = scales[row][block];
                isa.fma(
                    codes,
                    isa.splat(scale),
                    isa.splat(-scale * zeros[row][block]),
                )
            },
        )
    }

    /// One token: scales are applied to sums of blocks, and zero points to the token's sums.
    #[inline(always)]
    fn int4_one<S: Isa>(&self, isa: S) -> [[f32; R]; T] {
        let n_bytes = self.d_in.div_ceil(BLOCK) * BLOCK / 2;
        let n_vectors = n_bytes.div_ceil(4 * S::LANES);
        assert!(self.rows.iter().all(|row| row.len() == n_bytes));
        assert!(n_vectors * 8 * S::LANES <= self.inputs.values.len());
        let x = self.inputs.values.as_ptr();
        let mut totals = [isa.splat(0.0); R];
        for vector in 0..n_vectors {
            let at = vector * 4 * S::LANES;
            let len = (n_bytes - at).min(4 * S::LANES);
            for (row, total) in totals.iter_mut().enumerate() {
                // SAFETY: the row holds `len` bytes from `at`, the token eight vectors of floats for
                // each of bytes, and the scales are padded.
                unsafe {
                    let words = isa.words(isa.load_bytes(self.rows[row].as_ptr().add(at), len));
                    let mut sums = [isa.splat(0.0); 2];
                    for nibble in 0..8 {
                        let x = isa.load(x.add((vector * 8 + nibble) * S::LANES));
                        let code = isa.nibble(words, nibble);
                        sums[nibble % 2] = isa.fma(code, x, sums[nibble % 2]);
                    }
                    let scale =
                        isa.load_each_eight(self.scales.row(self.scale_rows[row]).as_ptr(), vector);
                    *total = isa.fma(isa.add(sums[0], sums[1]), scale, *total);
                }
            }
        }
        let mut sums = horizontal_sums(isa, &[totals; T]);
        for (row, sum) in sums.iter_mut().flatten().enumerate() {
            let offset = self.offset(isa, row, 0, S::NIBBLE_ZERO / S::NIBBLE_STEP);
            *sum = *sum / S::NIBBLE_STEP - offset;
        }
        sums
    }

    /// Σ scale · (zero point + `more`) · sum of activations, over blocks.
    #[inline(always)]
    fn offset<S: Isa>(&self, isa: S, row: usize, token: usize, more: f32) -> f32 {
        let row = self.scale_rows[row];
        let (scales, zeros) = (self.scales.row(row), self.scales.row_zero_points(row));
        let n_sums = padded_blocks(self.scales.stride);
        let sums = &self.inputs.sums[token * n_sums..][..n_sums];
        let mut total = isa.splat(0.0);
        assert!(scales.len().min(zeros.len()) >= padded_blocks(self.scales.stride) - MAX_LANES);
        for at in (0..self.scales.stride).step_by(S::LANES) {
            // What lies behind the row's own scales meets sums that are zero.
            // SAFETY: by the assertion the slices hold whole vectors up to the last block.
            unsafe {
                let zero = isa.add(isa.load(zeros.as_ptr().add(at)), isa.splat(more));
                let scaled = isa.mul(isa.load(scales.as_ptr().add(at)), zero);
                total = isa.fma(scaled, isa.load(sums.as_ptr().add(at)), total);
            }
        }
        isa.sum(total)
    }

    #[inline(always)]
    fn int8_codes<S: Isa>(&self, isa: S) -> [[f32; R]; T] {
        let n_blocks = self.d_in.div_ceil(BLOCK);
        let width = 4 * S::LANES;
        let stride = self.inputs.codes.len() / T;
        assert!(self.rows.iter().all(|row| row.len() == n_blocks * BLOCK));
        assert!(self.inputs.codes.len() == T * stride && n_blocks * BLOCK <= stride);
        // A block begins with its starts: where there are any, it is one vector.
        assert!(S::WEIGHT_OFFSET == 0 || width == BLOCK);
        assert!(S::WEIGHT_OFFSET == 0 || 4 * self.inputs.starts.len() == T * stride);
        let n_scales = self.inputs.scales.len() / T;
        let mut totals = [[isa.splat(0.0); R]; T];
        for block in 0..n_blocks {
            for (token, totals) in totals.iter_mut().enumerate() {
                let x_scale = self.inputs.scales[token * n_scales + block];
                for (row, total) in totals.iter_mut().enumerate() {
                    let mut sums = isa.splat_int(0);
                    for at in (block * BLOCK..(block + 1) * BLOCK).step_by(width) {
                        // SAFETY: rows and tokens hold whole blocks, and starts a word for four.
                        unsafe {
                            let x = self.inputs.codes.as_ptr().add(token * stride + at);
                            if S::WEIGHT_OFFSET != 0 {
                                let start = (token * stride + at) / 4;
                                sums = isa.load_ints(self.inputs.starts.as_ptr().add(start));
                            }
                            let weights = isa.load_bytes(self.rows[row].as_ptr().add(at), width);
                            sums = isa.dot_codes(sums, weights, isa.load_bytes(x.cast(), width));
                        }
                    }
                    let scale = isa.splat(self.scales.row(self.scale_rows[row])[block] * x_scale);
                    *total = isa.fma(isa.to_float(sums), scale, *total);
                }
            }
        }
        horizontal_sums(isa, &totals)
    }

    #[inline(always)]
    fn int4_codes<S: Isa>(&self, isa: S) -> [[f32; R]; T] {
        let n_bytes = self.d_in.div_ceil(BLOCK) * BLOCK / 2;
        let width = 4 * S::LANES;
        let stride = self.inputs.codes.len() / T;
        let n_scales = self.inputs.scales.len() / T;
        assert!(self.rows.iter().all(|row| row.len() == n_bytes));
        assert!(self.inputs.codes.len() == T * stride);
        assert!(
            n_bytes.div_ceil(width) * 2 * width <= stride
                && n_scales == padded_blocks(self.scales.stride)
        );
        let mut totals = [[isa.splat(0.0); R]; T];
        for vector in 0..n_bytes.div_ceil(width) {
            let len = (n_bytes - vector * width).min(width);
            for (row, bytes) in self.rows.iter().enumerate() {
                // SAFETY: the row holds `len` bytes, every token two vectors of codes for each of
                // bytes, and scales are padded.
                unsafe {
                    let bytes = isa.load_bytes(bytes.as_ptr().add(vector * width), len);
                    let halves = [isa.halves(bytes, false), isa.halves(bytes, true)];
                    let scale =
                        isa.load_each_eight(self.scales.row(self.scale_rows[row]).as_ptr(), vector);
                    for (token, totals) in totals.iter_mut().enumerate() {
                        let x = self.inputs.codes.as_ptr();
                        let x = x.add(token * stride + 2 * vector * width).cast::<u8>();
                        let mut sums = isa.splat_int(0);
                        for (half, codes) in halves.into_iter().enumerate() {
                            let x = isa.load_bytes(x.add(half * width), width);
                            sums = isa.dot_nibbles(sums, codes, x);
                        }
                        let x_scales = self.inputs.scales.as_ptr().add(token * n_scales);
                        let scale = isa.mul(scale, isa.load_each_eight(x_scales, vector));
                        totals[row] = isa.fma(isa.to_float(sums), scale, totals[row]);
                    }
                }
            }
        }
        let mut sums = horizontal_sums(isa, &totals);
        for (token, sums) in sums.iter_mut().enumerate() {
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum -= self.offset(isa, row, token, 0.0);
            }
        }
        sums
    }
}

#[inline(always)]
fn horizontal_sums<S: Isa, const R: usize, const T: usize>(
    isa: S,
    sums: &[[S::F; R]; T],
) -> [[f32; R]; T] {
    let mut out = [[0.0; R]; T];
    for (out, sums) in out.iter_mut().zip(sums) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = isa.sum(*sum);
        }
    }
    out
}
