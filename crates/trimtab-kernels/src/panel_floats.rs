//! The innermost loop of products with float panels: one vector of weights and one number of each
//! token at a time.

use crate::{
    isa::Isa,
    panel::{PANEL_ROWS, Panel},
    token_tile::TokenTile,
};

/// Sums that neighbouring channels have of their own where few alone would wait for themselves.
const PARTS: usize = 4;

/// One panel, or two, and the tokens they are multiplied with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FloatTile<'a> {
    /// The second is used where two are asked for.
    pub panels: [Panel<'a>; 2],
    /// `[d_in, n_tokens]`
    pub x: &'a [f32],
    pub tile: &'a TokenTile,
}

impl FloatTile<'_> {
    /// Sums of `V` vectors of rows for `T` tokens, of 32-bit weights.
    #[inline(always)]
    pub(crate) fn f32<S: Isa, const V: usize, const T: usize>(self, isa: S) -> [[S::F; V]; T] {
        self.sums::<S, V, T, 4>(
            isa,
            #[inline(always)]
            // SAFETY: `sums` hands out places of whole vectors.
            |from| unsafe { isa.load(from.cast()) },
        )
    }

    /// Sums of `V` vectors of rows for `T` tokens, of 16-bit weights.
    #[inline(always)]
    pub(crate) fn f16<S: Isa, const V: usize, const T: usize>(self, isa: S) -> [[S::F; V]; T] {
        self.sums::<S, V, T, 2>(
            isa,
            #[inline(always)]
            // SAFETY: `sums` hands out places of whole vectors.
            |from| unsafe { isa.load_f16(from) },
        )
    }

    /// As [`FloatTile::f16`], of the other kind of 16-bit weights.
    #[inline(always)]
    pub(crate) fn bf16<S: Isa, const V: usize, const T: usize>(self, isa: S) -> [[S::F; V]; T] {
        self.sums::<S, V, T, 2>(
            isa,
            #[inline(always)]
            // SAFETY: `sums` hands out places of whole vectors.
            |from| unsafe { isa.load_bf16(from) },
        )
    }

    #[inline(always)]
    fn sums<S: Isa, const V: usize, const T: usize, const BYTES: usize>(
        self,
        isa: S,
        decode: impl Fn(*const u8) -> S::F,
    ) -> [[S::F; V]; T] {
        let d_in = self.x.len() / T;
        let per_panel = PANEL_ROWS / S::LANES;
        let step = PANEL_ROWS * BYTES;
        assert!(self.x.len() == d_in * T && V <= 2 * per_panel);
        assert!(self.panels.iter().all(|p| p.codes.len() == d_in * step));
        let weights: [*const u8; V] = std::array::from_fn(|v| {
            let panel = self.panels[v / per_panel].codes.as_ptr();
            panel.wrapping_add(v % per_panel * S::LANES * BYTES)
        });
        let mut channels = Channels::<S, V> {
            isa,
            weights,
            step,
            x: self.x.as_ptr(),
        };
        let mut parts = [[[isa.splat(0.0); V]; T]; PARTS];
        let n_parts = if T * V < 8 { PARTS } else { 1 };
        let n_whole = d_in / PARTS * PARTS;
        if n_parts == 1 {
            for _ in 0..n_whole {
                // SAFETY: by the assertions every panel has a step a channel, `x` has `T` numbers.
                unsafe { channels.add_next(&decode, &mut parts[0]) }
            }
        } else {
            for _ in 0..n_whole / PARTS {
                for sums in &mut parts {
                    // SAFETY: as above.
                    unsafe { channels.add_next(&decode, sums) }
                }
            }
        }
        for _ in n_whole..d_in {
            // SAFETY: as above.
            unsafe { channels.add_next(&decode, &mut parts[0]) }
        }
        let [mut total, rest @ ..] = parts;
        if n_parts > 1 {
            for part in rest {
                for (total, part) in total.as_flattened_mut().iter_mut().zip(part.as_flattened()) {
                    *total = isa.add(*total, *part);
                }
            }
        }
        total
    }
}

/// Where the next channel of weights and tokens lies.
struct Channels<S, const V: usize> {
    isa: S,
    weights: [*const u8; V],
    step: usize,
    x: *const f32,
}

impl<S: Isa, const V: usize> Channels<S, V> {
    /// Adds the products of one channel.
    ///
    /// # Safety
    ///
    /// There is one more channel of weights, and `T` more numbers.
    #[inline(always)]
    unsafe fn add_next<const T: usize>(
        &mut self,
        decode: &impl Fn(*const u8) -> S::F,
        sums: &mut [[S::F; V]; T],
    ) {
        let loaded = self.weights.map(decode);
        for (token, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller vouches for the numbers.
            let x = self.isa.splat(unsafe { *self.x.add(token) });
            for (sum, weight) in sums.iter_mut().zip(loaded) {
                *sum = self.isa.fma(weight, x, *sum);
            }
        }
        self.x = self.x.wrapping_add(T);
        for from in &mut self.weights {
            *from = from.wrapping_add(self.step);
        }
    }
}
