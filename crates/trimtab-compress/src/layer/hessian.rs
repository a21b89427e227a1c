//! The Hessian of a layer's output error: which directions of its inputs calibration has seen.
//!
//! Source: Frantar et al. 2022, <https://arxiv.org/abs/2210.17323>, section 3: the squared error of
//! a row's output has the Hessian `2·X·Xᵀ`; here divided by the number of tokens.

use super::{
    InputStats, InputStatsSum, LayerError,
    weight::{check_finite, check_size},
};
use rayon::prelude::*;
use trimtab_kernels::matrix_product::{MatrixMut, MatrixRef, set_product};

/// `H = 2/n · Σ x·xᵀ` over n tokens, symmetric and finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Hessian {
    d_in: usize,
    values: Vec<f64>,
}

/// The two halves of a Hessian may differ by this share of the diagonal: the rounding of f32.
const MAX_ASYMMETRY: f64 = 1e-5;

impl Hessian {
    /// Takes over a Hessian that was made elsewhere.
    ///
    /// # Shapes
    ///
    /// - `values`: `[d_in, d_in]`
    ///
    /// # Errors
    ///
    /// [`LayerError`] for a wrong size, NaN or infinite values, or halves that differ.
    pub fn new(d_in: usize, values: Vec<f64>) -> Result<Self, LayerError> {
        if d_in == 0 {
            return Err(LayerError::Empty("the Hessian"));
        }
        check_size("the Hessian", d_in.saturating_mul(d_in), values.len())?;
        check_finite("the Hessian", &values)?;
        let hessian = Self { d_in, values };
        hessian.check_symmetric()?;
        Ok(hessian)
    }

    fn check_symmetric(&self) -> Result<(), LayerError> {
        let diagonal: Vec<f64> = self.diagonal().collect();
        let first_difference = |row: usize| {
            (0..row).find_map(|column| {
                let (value, mirror) = (self.at(row, column), self.at(column, row));
                let size = diagonal[row].abs().max(diagonal[column].abs());
                let differs = (value - mirror).abs() > MAX_ASYMMETRY * size;
                differs.then_some(LayerError::NotSymmetric {
                    row,
                    column,
                    value,
                    mirror,
                })
            })
        };
        let found = (0..self.d_in)
            .into_par_iter()
            .filter_map(first_difference)
            .find_first(|_| true);
        found.map_or(Ok(()), Err)
    }

    /// Input channels.
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// `[d_in, d_in]`
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// `[d_in]`: twice the mean of x².
    pub fn diagonal(&self) -> impl Iterator<Item = f64> {
        self.values.iter().step_by(self.d_in + 1).copied()
    }

    pub(super) fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.d_in + column]
    }
}

/// A [`Hessian`] in the making.
#[derive(Clone, Debug)]
pub struct HessianSum {
    d_in: usize,
    /// `[d_in, d_in]`; tiles above the diagonal stay 0 until the end.
    values: Vec<f64>,
    stats: InputStatsSum,
}

/// Rows and columns of a tile: its f32 sums stay in a core's cache.
const TILE: usize = 256;

/// Tokens summed in f32 before they are added in f64, which takes as long as the products of a
/// hundred. A sum of that many products has a relative error of a few 1e-6, far below the damping
/// of 1e-2.
const TOKENS_IN_F32: usize = 2048;

impl HessianSum {
    /// No token yet.
    ///
    /// # Errors
    ///
    /// [`LayerError::Empty`] for no channels.
    pub fn new(d_in: usize) -> Result<Self, LayerError> {
        Ok(Self {
            d_in,
            stats: InputStatsSum::new(d_in)?,
            values: vec![0.0; d_in * d_in],
        })
    }

    /// Adds `inputs`, `[n_tokens, d_in]`, row-major. A few thousand tokens a call are fastest.
    ///
    /// # Errors
    ///
    /// [`LayerError`] for a part of a row, NaN or an infinite value, or values so large that their
    /// products overflow; nothing is to be done with the sum then.
    ///
    /// # Cost
    ///
    /// `n_tokens · d_in²` operations on all cores.
    pub fn add(&mut self, inputs: &[f32]) -> Result<(), LayerError> {
        self.stats.check(inputs)?;
        self.stats.add_checked(inputs);
        for tokens in inputs.chunks(TOKENS_IN_F32 * self.d_in) {
            self.add_tokens(tokens);
        }
        Ok(())
    }

    fn add_tokens(&mut self, tokens: &[f32]) {
        let d_in = self.d_in;
        let n_tokens = tokens.len() / d_in;
        let columns = |first: usize, n: usize| MatrixRef::new(&tokens[first..], n_tokens, n, d_in);
        self.values
            .par_chunks_mut(TILE * d_in)
            .enumerate()
            // The last rows have most tiles: started first, they leave no core waiting at the end.
            .rev()
            .for_each_init(Vec::new, |tile, (chunk_idx, rows)| {
                let (first, n_rows) = (chunk_idx * TILE, rows.len() / d_in);
                for column in (0..=first).step_by(TILE) {
                    let n_columns = TILE.min(d_in - column);
                    tile.resize(n_rows * n_columns, 0.0_f32);
                    set_product(
                        MatrixMut::new(tile, n_rows, n_columns, n_columns),
                        columns(first, n_rows).transposed(),
                        columns(column, n_columns),
                    );
                    let sums = rows.chunks_exact_mut(d_in);
                    for (row, products) in sums.zip(tile.chunks_exact(n_columns)) {
                        for (sum, product) in row[column..].iter_mut().zip(products) {
                            *sum += f64::from(*product);
                        }
                    }
                }
            });
    }

    /// [`HessianSum::add`] in f64, product by product.
    ///
    /// # Errors
    ///
    /// As [`HessianSum::add`].
    pub fn add_reference(&mut self, inputs: &[f32]) -> Result<(), LayerError> {
        self.stats.add(inputs)?;
        for token in inputs.chunks_exact(self.d_in) {
            for (row, x) in self.values.chunks_exact_mut(self.d_in).zip(token) {
                for (sum, y) in row.iter_mut().zip(token) {
                    *sum += f64::from(*x) * f64::from(*y);
                }
            }
        }
        Ok(())
    }

    /// The mean over all tokens, and what was learnt of each channel.
    ///
    /// # Errors
    ///
    /// [`LayerError::NoTokens`], or [`LayerError::NotFinite`] where sums overflowed.
    pub fn finish(mut self) -> Result<(Hessian, InputStats), LayerError> {
        let stats = self.stats.finish()?;
        let scale = 2.0 / stats.n_tokens as f64;
        let d_in = self.d_in;
        self.values.par_iter_mut().for_each(|sum| *sum *= scale);
        for row in 0..d_in {
            for column in 0..row {
                self.values[column * d_in + row] = self.values[row * d_in + column];
            }
        }
        check_finite("the Hessian", &self.values)?;
        let hessian = Hessian {
            d_in,
            values: self.values,
        };
        Ok((hessian, stats))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.731).sin() * 3.0).collect()
    }

    /// Sums of 700 products of numbers up to 3 in f32; measured 4e-6.
    const TOLERANCE: f64 = 2e-5;

    #[test]
    fn the_sum_is_that_of_the_reference() {
        for (d_in, n_tokens) in [(1, 1), (3, 700), (255, 10), (257, 513), (600, 30)] {
            let inputs = inputs(d_in * n_tokens);
            let (mut fast, mut reference) = (
                HessianSum::new(d_in).unwrap(),
                HessianSum::new(d_in).unwrap(),
            );
            let (first, rest) = inputs.split_at(n_tokens / 3 * d_in);
            for part in [first, rest] {
                fast.add(part).unwrap();
                reference.add_reference(part).unwrap();
            }
            let (got, got_stats) = fast.finish().unwrap();
            let (want, want_stats) = reference.finish().unwrap();
            assert_eq!(got_stats, want_stats);
            for (got, want) in got.values().iter().zip(want.values()) {
                assert!((got - want).abs() < TOLERANCE, "{got}, not {want}");
            }
            assert!(Hessian::new(d_in, got.values().to_vec()).is_ok());
        }
    }

    #[test]
    fn a_hessian_is_twice_the_mean_product() {
        let mut sum = HessianSum::new(2).unwrap();
        sum.add(&[1.0, 2.0, 3.0, -1.0]).unwrap();
        let (hessian, stats) = sum.finish().unwrap();
        assert_eq!(hessian.values(), [10.0, -1.0, -1.0, 5.0]);
        assert_eq!(stats.mean_square, [5.0, 2.5]);
        assert_eq!(hessian.diagonal().collect::<Vec<_>>(), [10.0, 5.0]);
    }

    #[test]
    fn what_is_no_hessian_is_refused() {
        let refused = |d_in, values: &[f64]| Hessian::new(d_in, values.to_vec()).unwrap_err();
        assert!(matches!(refused(0, &[]), LayerError::Empty(_)));
        assert!(matches!(refused(2, &[1.0; 3]), LayerError::Size { .. }));
        assert!(matches!(
            refused(2, &[1.0, f64::NAN, f64::NAN, 1.0]),
            LayerError::NotFinite { index: 1, .. }
        ));
        assert!(matches!(
            refused(2, &[1.0, 0.5, 0.4, 1.0]),
            LayerError::NotSymmetric {
                row: 1,
                column: 0,
                ..
            }
        ));
    }

    #[test]
    fn inputs_without_a_hessian_are_refused() {
        let mut sum = HessianSum::new(2).unwrap();
        assert!(matches!(
            sum.add(&[1.0, f32::NAN]),
            Err(LayerError::NotFinite { index: 1, .. })
        ));
        assert_eq!(sum.clone().finish(), Err(LayerError::NoTokens));
        sum.add(&[1e30, 1.0]).unwrap();
        assert!(matches!(sum.finish(), Err(LayerError::NotFinite { .. })));
    }
}
