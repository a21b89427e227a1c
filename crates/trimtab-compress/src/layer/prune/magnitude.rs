//! Magnitude pruning: the smallest weights go. The baseline; uses no calibration data.
//!
//! Source: Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks",
//! <https://arxiv.org/abs/1506.02626>, section 3; here without retraining.

use super::{
    KeepMask, Sparsity,
    mask::{remove_by_pattern, remove_lowest, share_of},
};
use crate::layer::{LayerError, WeightFloat, WeightView};
use rayon::prelude::*;

/// Among which weights the smallest are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskScope {
    /// Among all of the layer, so that some rows lose more than others.
    Layer,
    /// Among those of each output channel.
    Row,
}

/// Removes the smallest weights; `scope` is for shares, a pattern holds in every row anyway.
///
/// # Errors
///
/// [`LayerError`] for a sparsity that makes no sense or does not fit.
pub fn magnitude<T: WeightFloat>(
    weight: WeightView<'_, T>,
    sparsity: Sparsity,
    scope: MaskScope,
) -> Result<KeepMask, LayerError> {
    if let (Sparsity::Share(share), MaskScope::Layer) = (sparsity, scope) {
        sparsity.check(weight.d_in())?;
        let mut mask = KeepMask::all(weight.d_out(), weight.d_in());
        let scores: Vec<f64> = weight.values().iter().map(|w| (*w).into().abs()).collect();
        remove_lowest(&scores, share_of(scores.len(), share), mask.keeps_mut());
        return Ok(mask);
    }
    mask_by_row(weight, sparsity, |_, w| w.abs())
}

/// Removes the weights of the lowest `score(column, weight)` of every row.
pub(super) fn mask_by_row<T: WeightFloat>(
    weight: WeightView<'_, T>,
    sparsity: Sparsity,
    score: impl Fn(usize, f64) -> f64 + Sync,
) -> Result<KeepMask, LayerError> {
    let d_in = weight.d_in();
    sparsity.check(d_in)?;
    let mut mask = KeepMask::all(weight.d_out(), d_in);
    mask.keeps_mut()
        .par_chunks_exact_mut(d_in)
        .enumerate()
        .for_each(|(row_idx, keeps)| {
            let row = weight.row(row_idx).iter().enumerate();
            let scores: Vec<f64> = row.map(|(column, w)| score(column, (*w).into())).collect();
            match sparsity {
                Sparsity::Share(share) => remove_lowest(&scores, share_of(d_in, share), keeps),
                Sparsity::Pattern(pattern) => remove_by_pattern(&scores, pattern, keeps),
            }
        });
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::super::Pattern;
    use super::*;

    const WEIGHT: [f32; 8] = [1.0, -4.0, 2.0, -3.0, 0.1, 0.2, -0.3, 9.0];

    fn kept(sparsity: Sparsity, scope: MaskScope) -> Vec<usize> {
        let weight = WeightView::new(2, 4, &WEIGHT).unwrap();
        let mask = magnitude(weight, sparsity, scope).unwrap();
        let keeps = mask.keeps().iter().enumerate();
        keeps.filter(|(_, keep)| **keep).map(|(i, _)| i).collect()
    }

    #[test]
    fn the_smallest_of_the_layer_or_of_each_row_go() {
        assert_eq!(kept(Sparsity::Share(0.5), MaskScope::Layer), [1, 2, 3, 7]);
        assert_eq!(kept(Sparsity::Share(0.5), MaskScope::Row), [1, 3, 6, 7]);
        assert_eq!(kept(Sparsity::Share(0.99), MaskScope::Layer), [7]);
        let pattern = Sparsity::Pattern(Pattern { kept: 1, of: 2 });
        assert_eq!(kept(pattern, MaskScope::Layer), [1, 3, 5, 7]);
    }

    #[test]
    fn sparsities_are_checked() {
        let weight = WeightView::new(2, 4, &WEIGHT).unwrap();
        for scope in [MaskScope::Layer, MaskScope::Row] {
            for share in [1.0, f64::NAN] {
                assert!(magnitude(weight, Sparsity::Share(share), scope).is_err());
            }
            let pattern = Sparsity::Pattern(Pattern { kept: 5, of: 4 });
            assert!(magnitude(weight, pattern, scope).is_err());
        }
    }
}
