//! Products of tokens with a weight in panels: one token, a few, or a whole prompt.
//!
//! Tokens are taken a few at a time, so that their sums stay in registers; a panel is read once for
//! each such tile of tokens. With one token that is the speed of memory; with many, panels stay in the
//! cache while the tiles pass. Panels are split over the threads.

use crate::{
    PackedFormat, PanelView, Simd,
    isa::{Isa, Kernel},
    panel::PANEL_ROWS,
    panel_codes::{ByteCodes, BytePairs, CodeTile, Codes, NibbleCodes, NibblePairs},
    panel_floats::FloatTile,
    shared_out::SharedOut,
    team,
    token_tile::{MakeTile, Scheme, TokenTile},
};
use std::ops::Range;

/// Products that read fewer bytes are cheaper on one thread than to share out.
const SERIAL_BYTES: usize = 48 * 1024;

/// Bytes of weight that a job reads again for every tile of tokens: what a core's cache keeps.
const JOB_BYTES: usize = 128 * 1024;

/// Tokens of a call that are handled together; bounds the memory of their tiles.
const CHUNK_TOKENS: usize = 512;

/// `out = x · weightᵀ`.
///
/// # Shapes
///
/// - `weight`: `[d_out, d_in]`; `x`: `[n_tokens, d_in]`; `out`: `[n_tokens, d_out]`
pub(crate) fn multiply(simd: Simd, weight: &PanelView<'_>, x: &[f32], out: &mut [f32]) {
    let shape = weight.shape();
    let chunks = x.chunks(CHUNK_TOKENS * shape.d_in);
    for (x, out) in chunks.zip(out.chunks_mut(CHUNK_TOKENS * shape.d_out)) {
        multiply_chunk(simd, weight, x, out);
    }
}

fn multiply_chunk(simd: Simd, weight: &PanelView<'_>, x: &[f32], out: &mut [f32]) {
    let shape = weight.shape();
    let cuts = tile_cuts(simd, x.len() / shape.d_in);
    let tile = |tokens: &Range<usize>| {
        let x = &x[tokens.start * shape.d_in..tokens.end * shape.d_in];
        simd.run(MakeTile {
            shape,
            first: tokens.start,
            x,
        })
    };
    let tiles: Vec<TokenTile> = match cuts.len() {
        0..3 => cuts.iter().map(tile).collect(),
        n_tiles => team::map(n_tiles, |idx| tile(&cuts[idx])),
    };
    let out = SharedOut::new(out, shape.d_out);
    let (n_panels, n_bytes) = (shape.n_panels(), shape.panel_bytes());
    let job = |panels: Range<usize>| {
        simd.run(Job {
            weight,
            panels,
            tiles: &tiles,
            out: &out,
        });
    };
    if n_bytes * tiles.len() < SERIAL_BYTES {
        return job(0..n_panels);
    }
    let mut job_panels = n_panels.div_ceil(4 * rayon::current_num_threads());
    if tiles.len() > 1 {
        job_panels = job_panels.min((JOB_BYTES * n_panels / n_bytes).max(1));
    }
    // Two at once where vectors are as wide as a panel.
    let job_panels = job_panels.next_multiple_of(2);
    team::for_each(n_panels.div_ceil(job_panels), |idx| {
        job(idx * job_panels..((idx + 1) * job_panels).min(n_panels));
    });
}

/// Cuts tokens into tiles of the sizes that kernels are compiled for.
fn tile_cuts(simd: Simd, n_tokens: usize) -> Vec<Range<usize>> {
    let largest = simd.run(LargestTile);
    let mut cuts = Vec::with_capacity(n_tokens / largest + 2);
    let mut start = 0;
    while start < n_tokens {
        let sizes = [8, 6, 4, 2, 1].into_iter();
        let size = sizes
            .filter(|size| *size <= largest.min(n_tokens - start))
            .find(|size| *size != 6 || largest == 6)
            .expect("one token is left at least");
        cuts.push(start..start + size);
        start += size;
    }
    cuts
}

/// Tokens of the largest tile whose sums fit the registers.
struct LargestTile;

impl Kernel for LargestTile {
    type Out = usize;

    #[inline(always)]
    fn run<S: Isa>(self, _: S) -> usize {
        if S::HAS_MANY_REGISTERS { 8 } else { 6 }
    }
}

/// Products of some panels with all tiles of tokens.
struct Job<'a> {
    weight: &'a PanelView<'a>,
    panels: Range<usize>,
    tiles: &'a [TokenTile],
    out: &'a SharedOut<'a>,
}

impl Kernel for Job<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        match S::LANES {
            16 => self.each_tile::<S, 1>(isa),
            8 => self.each_tile::<S, 2>(isa),
            _ => self.each_tile::<S, 4>(isa),
        }
    }
}

impl Job<'_> {
    /// `V` vectors make a panel.
    #[inline(always)]
    fn each_tile<S: Isa, const V: usize>(&self, isa: S) {
        assert_eq!(V * S::LANES, PANEL_ROWS);
        for tile in self.tiles {
            match tile.n_tokens {
                1 => self.tile::<S, V, 1>(isa, tile),
                2 => self.tile::<S, V, 2>(isa, tile),
                4 => self.tile::<S, V, 4>(isa, tile),
                6 => self.tile::<S, V, 6>(isa, tile),
                8 => self.tile::<S, V, 8>(isa, tile),
                n_tokens => unreachable!("no tile has {n_tokens} tokens"),
            }
        }
    }

    #[inline(always)]
    fn tile<S: Isa, const V: usize, const T: usize>(&self, isa: S, tile: &TokenTile) {
        match Scheme::of(&self.weight.shape()) {
            Scheme::Floats => self.floats::<S, V, T>(isa, tile),
            Scheme::Codes { bits: 8, x_bits: 8 } => self.codes::<S, ByteCodes, V, T>(isa, tile),
            Scheme::Codes { bits: 8, .. } => self.codes::<S, BytePairs, V, T>(isa, tile),
            Scheme::Codes { x_bits: 8, .. } => self.codes::<S, NibbleCodes, V, T>(isa, tile),
            Scheme::Codes { .. } => self.codes::<S, NibblePairs, V, T>(isa, tile),
        }
    }

    #[inline(always)]
    fn floats<S: Isa, const V: usize, const T: usize>(&self, isa: S, tile: &TokenTile) {
        let mut panel_idx = self.panels.start;
        while panel_idx < self.panels.end {
            let panels = panel_idx..(panel_idx + 2).min(self.panels.end);
            let is_pair = V == 1 && T > 2 && panels.len() == 2;
            let first = self.weight.panel(panel_idx);
            let tile = FloatTile {
                panels: [first, self.weight.panel(panels.end - 1)],
                x: &tile.floats,
                tile,
            };
            match is_pair {
                true => self.float_panels::<S, 2, T>(isa, panel_idx, tile),
                false => self.float_panels::<S, V, T>(isa, panel_idx, tile),
            }
            panel_idx += if is_pair { 2 } else { 1 };
        }
    }

    #[inline(always)]
    fn float_panels<S: Isa, const V: usize, const T: usize>(
        &self,
        isa: S,
        panel_idx: usize,
        tile: FloatTile<'_>,
    ) {
        let sums = match self.weight.shape().format {
            PackedFormat::F16 => tile.f16::<S, V, T>(isa),
            PackedFormat::Bf16 => tile.bf16::<S, V, T>(isa),
            _ => tile.f32::<S, V, T>(isa),
        };
        self.write(isa, panel_idx, tile.tile, &sums);
    }

    #[inline(always)]
    fn codes<S: Isa, C: Codes, const V: usize, const T: usize>(&self, isa: S, tile: &TokenTile) {
        let shape = self.weight.shape();
        for panel_idx in self.panels.clone() {
            let panel = self.weight.panel(panel_idx);
            let sums = CodeTile { shape, panel, tile }.sums::<S, C, V, T>(isa);
            self.write(isa, panel_idx, tile, &sums);
        }
    }

    /// Writes sums of neighbouring rows from a panel's first on; rows of padding are left out.
    #[inline(always)]
    fn write<S: Isa, const V: usize, const T: usize>(
        &self,
        isa: S,
        panel_idx: usize,
        tile: &TokenTile,
        sums: &[[S::F; V]; T],
    ) {
        const MOST: usize = 2 * PANEL_ROWS;
        let first_row = panel_idx * PANEL_ROWS;
        let n_rows = (V * S::LANES).min(self.weight.shape().d_out - first_row);
        for (token, sums) in sums.iter().enumerate() {
            let mut rows = [0.0; MOST];
            for (v, sum) in sums.iter().enumerate() {
                let place = &mut rows[v * S::LANES..][..S::LANES];
                // SAFETY: the slice is as long as a vector.
                unsafe { isa.store(place.as_mut_ptr(), *sum) }
            }
            // SAFETY: every job has rows, here columns, of its own.
            unsafe {
                self.out
                    .write(tile.first + token, first_row, &rows[..n_rows]);
            }
        }
    }
}
