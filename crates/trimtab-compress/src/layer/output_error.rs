//! How far a changed layer's outputs are from the original's, on the calibration data.

use super::{Hessian, LayerError, WeightFloat, WeightView};
use rayon::prelude::*;
use trimtab_kernels::matrix_product::{MatrixMut, MatrixRef, set_product};

/// Rows of a weight that one task takes.
pub(super) const ROWS_PER_TASK: usize = 64;

/// `tr((W − Q)·H·(W − Q)ᵀ)`: twice the squared error of the outputs, summed over output channels
/// and averaged over tokens.
///
/// # Errors
///
/// [`LayerError::Size`] if the shapes differ.
///
/// # Cost
///
/// `2 · d_out · d_in²` operations on all cores: as much as solving the layer. [`gptq()`] and
/// [`prune::sparsegpt`] return this error without that work.
///
/// [`gptq()`]: super::gptq()
/// [`prune::sparsegpt`]: super::prune::sparsegpt
pub fn output_error<T: WeightFloat, S: WeightFloat>(
    weight: WeightView<'_, T>,
    changed: WeightView<'_, S>,
    hessian: &Hessian,
) -> Result<f64, LayerError> {
    let d_in = hessian.d_in();
    weight.check_d_in("the Hessian's channels", d_in)?;
    changed.check_d_in("the Hessian's channels", d_in)?;
    super::weight::check_size(
        "the changed weight",
        weight.values().len(),
        changed.values().len(),
    )?;
    let matrix = MatrixRef::new(hessian.values(), d_in, d_in, d_in);
    let errors: Vec<f64> = weight
        .values()
        .par_chunks(ROWS_PER_TASK * d_in)
        .zip(changed.values().par_chunks(ROWS_PER_TASK * d_in))
        .map(|(weight, changed)| {
            let difference: Vec<f64> = weight
                .iter()
                .zip(changed)
                .map(|(w, q)| (*w).into() - (*q).into())
                .collect();
            let n_rows = difference.len() / d_in;
            let mut product = vec![0.0; difference.len()];
            set_product(
                MatrixMut::new(&mut product, n_rows, d_in, d_in),
                MatrixRef::new(&difference, n_rows, d_in, d_in),
                matrix,
            );
            difference.iter().zip(&product).map(|(a, b)| a * b).sum()
        })
        .collect();
    // Summed in order, so that the number of cores does not change the last digit.
    Ok(errors.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_of_the_outputs() {
        let hessian = Hessian::new(2, vec![2.0, 1.0, 1.0, 3.0]).unwrap();
        let (weight, changed) = ([1.0_f32, 2.0, 3.0, 4.0], [1.0_f64, 1.0, 5.0, 4.0]);
        let weight = WeightView::new(2, 2, &weight).unwrap();
        let changed = WeightView::new(2, 2, &changed).unwrap();
        assert_eq!(output_error(weight, changed, &hessian), Ok(3.0 + 8.0));
        assert_eq!(output_error(weight, weight, &hessian), Ok(0.0));
        let other = [0.0_f32; 3];
        let other = WeightView::new(1, 3, &other).unwrap();
        assert!(output_error(weight, other, &hessian).is_err());
        assert!(output_error(other, other, &hessian).is_err());
    }
}
