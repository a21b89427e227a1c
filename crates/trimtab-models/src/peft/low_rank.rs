//! The factors of one layer.

use rayon::prelude::*;
use std::sync::Arc;

/// A low-rank change of a linear layer; clones share the factors.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// First factor, `[rank, d_in]`, row-major.
    pub a: Arc<[f32]>,
    /// Second factor, `[d_out, rank]`, row-major.
    pub b: Arc<[f32]>,
    /// What their product is multiplied with.
    pub scaling: f32,
    /// Rank.
    pub rank: usize,
    /// Output channels.
    pub d_out: usize,
    /// Input channels.
    pub d_in: usize,
}

impl LowRank {
    /// `weight += scaling · B·A`, in f32.
    ///
    /// # Shapes
    ///
    /// - `weight`: `[d_out, d_in]`, row-major
    ///
    /// # Panics
    ///
    /// If `weight` has another length.
    pub fn add_to(&self, weight: &mut [f32]) {
        assert_eq!(weight.len(), self.d_out * self.d_in);
        let rows = weight.par_chunks_exact_mut(self.d_in).enumerate();
        rows.for_each_init(
            || vec![0.0; self.d_in],
            |change, (row_idx, row)| {
                self.change_of_row(row_idx, change);
                for (value, change) in row.iter_mut().zip(change) {
                    *value += self.scaling * *change;
                }
            },
        );
    }

    /// One row of `B·A`.
    fn change_of_row(&self, row_idx: usize, change: &mut [f32]) {
        change.fill(0.0);
        let factors = &self.b[row_idx * self.rank..][..self.rank];
        for (factor, row) in factors.iter().zip(self.a.chunks_exact(self.d_in)) {
            for (value, a) in change.iter_mut().zip(row) {
                *value += factor * a;
            }
        }
    }

    /// `y += scaling · (x·Aᵀ)·Bᵀ` for one token: the definition that faster ones are tested
    /// against. `B·A` is never made.
    ///
    /// # Shapes
    ///
    /// - `x`: `[d_in]`; `y`: `[d_out]`
    ///
    /// # Panics
    ///
    /// If a length differs.
    pub fn add_product_reference(&self, x: &[f32], y: &mut [f32]) {
        assert_eq!((x.len(), y.len()), (self.d_in, self.d_out));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let narrow: Vec<f32> = self
            .a
            .chunks_exact(self.d_in)
            .map(|row| dot(x, row))
            .collect();
        for (y, row) in y.iter_mut().zip(self.b.chunks_exact(self.rank)) {
            *y += self.scaling * dot(&narrow, row);
        }
    }
}
