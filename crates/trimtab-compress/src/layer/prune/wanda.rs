//! Wanda: the weights go that add least to the outputs, judged one by one.
//!
//! Source: Sun et al. 2023, "A Simple and Effective Pruning Approach for Large Language Models",
//! <https://arxiv.org/abs/2306.11695>, section 3: the score of a weight is |w| · ‖x‖, compared
//! within each output channel.

use super::{KeepMask, Sparsity, magnitude::mask_by_row};
use crate::layer::{
    LayerError, WeightFloat, WeightView,
    weight::{check_finite, check_size},
};

/// Removes, in every row, the weights of the smallest |w| · ‖x‖.
///
/// # Shapes
///
/// - `norms`: `[d_in]`: the norm of each input channel over the calibration tokens, up to a factor
///   that all have in common
///
/// # Errors
///
/// [`LayerError`] for norms of another number or that are not finite, or a sparsity that makes no
/// sense or does not fit.
pub fn wanda<T: WeightFloat>(
    weight: WeightView<'_, T>,
    norms: &[f64],
    sparsity: Sparsity,
) -> Result<KeepMask, LayerError> {
    check_size("the channels' norms", weight.d_in(), norms.len())?;
    check_finite("the channels' norms", norms)?;
    mask_by_row(weight, sparsity, |column, w| w.abs() * norms[column])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_loud_channels_stay() {
        let weight = [1.0_f32, 2.0, -3.0, 4.0, 1.0, 1.0, 1.0, 1.0];
        let weight = WeightView::new(2, 4, &weight).unwrap();
        let mask = wanda(weight, &[9.0, 1.0, 1.0, 1.0], Sparsity::Share(0.5)).unwrap();
        let want = [true, false, false, true, true, false, false, true];
        assert_eq!(mask.keeps(), want);
        assert!(wanda(weight, &[1.0; 3], Sparsity::Share(0.5)).is_err());
        let with_nan = [1.0, 1.0, f64::NAN, 1.0];
        assert!(wanda(weight, &with_nan, Sparsity::Share(0.5)).is_err());
        assert!(wanda(weight, &[1.0; 4], Sparsity::Share(1.0)).is_err());
    }
}
