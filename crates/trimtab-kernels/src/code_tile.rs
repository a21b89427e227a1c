//! The innermost loop of products of codes: integer sums over each block of 64 channels, scaled and
//! added to float sums.

use crate::{isa::Isa, product_tile::Sums, shape::BLOCK, unpack::BlockScales};

/// Weights as words of codes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeRows<'a> {
    /// `[n_rows, n_blocks · BLOCK / WORD_CODES]`
    pub words: &'a [i32],
    pub n_rows: usize,
    pub n_blocks: usize,
    /// Scales and zero points of these rows.
    pub scales: &'a BlockScales,
}

/// A panel of tokens as words of codes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeColumns<'a> {
    /// `[n_blocks · BLOCK / WORD_CODES, width]`
    pub words: &'a [i32],
    /// `[n_blocks, 2, width]`: scales, and scales times sums of codes.
    pub scales: &'a [f32],
}

/// Adds to `sums[r][c]` the products of rows and columns, `W` vectors of columns wide:
/// Σ over blocks of `w_scale · x_scale · (Σ w · x − zero point · Σ x)`.
///
/// # Panics
///
/// If a slice does not fit.
#[inline(always)]
pub(crate) fn multiply_codes<S: Isa, const W: usize>(
    isa: S,
    rows: CodeRows<'_>,
    columns: CodeColumns<'_>,
    sums: Sums<'_>,
) {
    let n_words = rows.n_blocks * BLOCK / S::WORD_CODES;
    let width = W * S::LANES;
    assert!(rows.words.len() == rows.n_rows * n_words && rows.n_rows > 0);
    assert!(columns.words.len() == n_words * width);
    assert!(columns.scales.len() == rows.n_blocks * 2 * width);
    assert!(rows.scales.scales.len() >= rows.n_rows * rows.scales.stride);
    assert!(rows.scales.zero_points.len() >= rows.n_rows * rows.scales.stride);
    assert!(rows.n_blocks <= rows.scales.stride);
    assert!((rows.n_rows - 1) * sums.row_stride + width <= sums.values.len());
    let mut row = 0;
    while row < rows.n_rows {
        let tile = CodeTile {
            rows,
            columns,
            first_row: row,
            sums: sums.values.as_mut_ptr(),
            sums_stride: sums.row_stride,
        };
        // SAFETY: the assertions above hold for every row and block.
        row += unsafe {
            match rows.n_rows - row {
                8.. if S::HAS_MANY_REGISTERS => tile.run::<S, 8, W>(isa),
                4.. => tile.run::<S, 4, W>(isa),
                2.. => tile.run::<S, 2, W>(isa),
                _ => tile.run::<S, 1, W>(isa),
            }
        };
    }
}

struct CodeTile<'a> {
    rows: CodeRows<'a>,
    columns: CodeColumns<'a>,
    first_row: usize,
    sums: *mut f32,
    sums_stride: usize,
}

impl CodeTile<'_> {
    /// One tile; returns its rows.
    ///
    /// # Safety
    ///
    /// `ROWS` rows from `first_row` on and `W` vectors of columns lie inside the slices.
    #[inline(always)]
    unsafe fn run<S: Isa, const ROWS: usize, const W: usize>(&self, isa: S) -> usize {
        let (n_steps, width) = (BLOCK / S::WORD_CODES, W * S::LANES);
        let n_words = self.rows.n_blocks * n_steps;
        let mut totals = [[isa.splat(0.0); W]; ROWS];
        for block in 0..self.rows.n_blocks {
            let mut sums = [[isa.splat_int(0); W]; ROWS];
            // SAFETY: the caller vouches for rows, blocks and columns.
            unsafe {
                let weights = self.rows.words.as_ptr();
                let weights = weights.add(self.first_row * n_words + block * n_steps);
                let x = self.columns.words.as_ptr().add(block * n_steps * width);
                for step in 0..n_steps {
                    let mut loaded = [isa.splat_int(0); W];
                    for (w, loaded) in loaded.iter_mut().enumerate() {
                        *loaded = isa.load_ints(x.add(step * width + w * S::LANES));
                    }
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let weight = isa.splat_int(*weights.add(row * n_words + step));
                        for (sum, x) in sums.iter_mut().zip(loaded) {
                            *sum = isa.dot_words(*sum, weight, x);
                        }
                    }
                }
                let scales = self.columns.scales.as_ptr().add(block * 2 * width);
                for (row, (totals, sums)) in totals.iter_mut().zip(sums).enumerate() {
                    let at = (self.first_row + row) * self.rows.scales.stride + block;
                    let scale = *self.rows.scales.scales.as_ptr().add(at);
                    let zero_point = *self.rows.scales.zero_points.as_ptr().add(at);
                    let offset = isa.splat(-scale * (zero_point + S::WEIGHT_OFFSET as f32));
                    for (w, (total, sum)) in totals.iter_mut().zip(sums).enumerate() {
                        let x_scale = isa.load(scales.add(w * S::LANES));
                        let x_sum = isa.load(scales.add(width + w * S::LANES));
                        let scaled = isa.mul(isa.splat(scale), x_scale);
                        *total = isa.fma(isa.to_float(sum), scaled, *total);
                        *total = isa.fma(offset, x_sum, *total);
                    }
                }
            }
        }
        for (row, totals) in totals.iter().enumerate() {
            for (w, total) in totals.iter().enumerate() {
                // SAFETY: the caller vouches for rows and columns of the sums.
                unsafe {
                    let to = self.sums.add((self.first_row + row) * self.sums_stride);
                    let to = to.add(w * S::LANES);
                    isa.store(to, isa.add(*total, isa.load(to)));
                }
            }
        }
        ROWS
    }
}
