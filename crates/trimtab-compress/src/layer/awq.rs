//! Activation-aware scaling: input channels that carry large activations are stored larger, so that
//! rounding takes less from them, and whatever makes the input is divided by the same.
//!
//! Source: Lin et al. 2023, <https://arxiv.org/abs/2306.00978>, section 3.2: `s = mean|x|^α` with
//! the α of the least output error, found on a grid.

use super::{
    GridSpec, Hessian, InputStats, LayerError, WeightFloat, WeightView,
    output_error::ROWS_PER_TASK,
    round_to_nearest,
    weight::{check_finite, check_size},
};
use rayon::prelude::*;
use trimtab_kernels::matrix_product::{MatrixMut, MatrixRef, set_product};

/// Exponents that are tried: 0, 1/20, …, 19/20. The first changes nothing, so that the result is
/// never worse than plain rounding.
const N_EXPONENTS: u32 = 20;

/// Channels that were hardly ever other than 0 count as this loud, so that nothing is divided by 0.
const QUIETEST: f64 = 1e-4;

/// How to scale the input channels of linear layers that read the same input.
#[derive(Clone, Debug, PartialEq)]
pub struct AwqScales {
    /// By what each input channel's weights are multiplied, `[d_in]`, above 0.
    pub scales: Vec<f64>,
    /// The exponent they come from.
    pub exponent: f64,
    /// Output error of rounding the scaled weights, as [`output_error()`](super::output_error()).
    pub error: f64,
    /// Output error of rounding the weights as they are.
    pub error_unscaled: f64,
}

/// Searches the scales under which rounding `weights` to nearest, each on its grid, hurts the outputs
/// least.
///
/// # Shapes
///
/// - `weights`: all linear layers that read the same input, `[d_out of each, d_in]`
///
/// # Errors
///
/// [`LayerError`] for no weights, sizes that differ, or a grid that is not offered.
///
/// # Numerics
///
/// Errors are summed in f64 from products in f32.
///
/// # Cost
///
/// Twenty times `2 · d_out · d_in²` operations on all cores; extra memory 30 bytes a weight.
pub fn awq_scales<T: WeightFloat>(
    weights: &[(WeightView<'_, T>, GridSpec)],
    stats: &InputStats,
    hessian: &Hessian,
) -> Result<AwqScales, LayerError> {
    if weights.is_empty() {
        return Err(LayerError::Empty("the list of weights"));
    }
    check_size("the channels' means", hessian.d_in(), stats.mean_abs.len())?;
    check_finite("the channels' means", &stats.mean_abs)?;
    for (weight, spec) in weights {
        spec.check()?;
        weight.check_d_in("the Hessian's channels", hessian.d_in())?;
    }
    let hessian: Vec<f32> = hessian.values().iter().map(|h| *h as f32).collect();
    let mut best: Option<AwqScales> = None;
    for step in 0..N_EXPONENTS {
        let exponent = f64::from(step) / f64::from(N_EXPONENTS);
        let scales = scales_of(&stats.mean_abs, exponent);
        let mut error = 0.0;
        for (weight, spec) in weights {
            error += scaled_error(*weight, &scales, &hessian, spec)?;
        }
        let error_unscaled = best.as_ref().map_or(error, |best| best.error_unscaled);
        if best.as_ref().is_none_or(|best| error < best.error) {
            best = Some(AwqScales {
                scales,
                exponent,
                error,
                error_unscaled,
            });
        }
    }
    Ok(best.expect("more than one exponent is tried"))
}

/// Scales whose smallest and largest multiply to 1.
fn scales_of(mean_abs: &[f64], exponent: f64) -> Vec<f64> {
    let scales: Vec<f64> = mean_abs
        .iter()
        .map(|mean| mean.powf(exponent).max(QUIETEST))
        .collect();
    let (low, high) = scales
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(low, high), scale| {
            (low.min(*scale), high.max(*scale))
        });
    let middle = (low * high).sqrt();
    scales.iter().map(|scale| scale / middle).collect()
}

/// `tr(D·H·Dᵀ)` for `D = round(W·s)/s − W`.
fn scaled_error<T: WeightFloat>(
    weight: WeightView<'_, T>,
    scales: &[f64],
    hessian: &[f32],
    spec: &GridSpec,
) -> Result<f64, LayerError> {
    let d_in = weight.d_in();
    let mut scaled: Vec<f64> = weight.values().iter().map(|w| (*w).into()).collect();
    multiply_columns(&mut scaled, scales)?;
    let rounded = round_to_nearest(WeightView::new(weight.d_out(), d_in, &scaled)?, spec)?;
    let rounded = rounded.dequantize();
    let errors: Vec<f64> = scaled
        .par_chunks(ROWS_PER_TASK * d_in)
        .zip(rounded.par_chunks(ROWS_PER_TASK * d_in))
        .map(|(scaled, rounded)| {
            let difference: Vec<f32> = scaled
                .iter()
                .zip(rounded)
                .zip(scales.iter().cycle())
                .map(|((w, q), scale)| ((q - w) / scale) as f32)
                .collect();
            let n_rows = difference.len() / d_in;
            let mut product = vec![0.0; difference.len()];
            set_product(
                MatrixMut::new(&mut product, n_rows, d_in, d_in),
                MatrixRef::new(&difference, n_rows, d_in, d_in),
                MatrixRef::new(hessian, d_in, d_in, d_in),
            );
            let products = difference.iter().zip(&product);
            products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        })
        .collect();
    Ok(errors.iter().sum())
}

/// Multiplies input channel `i` of a weight, `[d_out, d_in]`, by `scales[i]`: done to every layer
/// that reads the scaled input.
///
/// # Errors
///
/// [`LayerError`] if the weight is not made of rows of as many values as there are scales, or a
/// scale is not finite and above 0; nothing is changed then.
pub fn multiply_columns<T: ScaledFloat>(
    weight: &mut [T],
    scales: &[f64],
) -> Result<(), LayerError> {
    check_scales(weight.len(), scales)?;
    weight.par_chunks_mut(scales.len()).for_each(|row| {
        for (w, scale) in row.iter_mut().zip(scales) {
            *w = T::from_f64((*w).into() * scale);
        }
    });
    Ok(())
}

/// Divides row `i` of a producer, `[scales, columns]`, by `scales[i]`: done to what makes the scaled
/// input, be it the weight of a norm (one column), a linear layer, or its bias (one column).
///
/// # Errors
///
/// As [`multiply_columns`].
pub fn divide_rows<T: ScaledFloat>(producer: &mut [T], scales: &[f64]) -> Result<(), LayerError> {
    check_scales(producer.len(), scales)?;
    let n_columns = producer.len() / scales.len();
    if n_columns == 0 {
        return Ok(());
    }
    let rows = producer.par_chunks_mut(n_columns).zip(scales);
    rows.for_each(|(row, scale)| {
        for w in row {
            *w = T::from_f64((*w).into() / scale);
        }
    });
    Ok(())
}

/// A float that scales are folded into.
pub trait ScaledFloat: WeightFloat {
    /// Rounds to the type.
    fn from_f64(value: f64) -> Self;
}

impl ScaledFloat for f32 {
    fn from_f64(value: f64) -> Self {
        value as Self
    }
}

impl ScaledFloat for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
}

fn check_scales(n_values: usize, scales: &[f64]) -> Result<(), LayerError> {
    if scales.is_empty() {
        return Err(LayerError::Empty("the list of scales"));
    }
    let whole = n_values / scales.len() * scales.len();
    check_size("the weight to be scaled", whole, n_values)?;
    let is_wrong = |scale: &f64| !(scale.is_finite() && *scale > 0.0);
    match scales.iter().position(is_wrong) {
        None => Ok(()),
        Some(index) => Err(LayerError::Scale {
            index,
            value: scales[index],
        }),
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;
    use crate::layer::{Grouping, HessianSum, RangeSearch, ScaleFormat, output_error};

    const SPEC: GridSpec = GridSpec {
        bits: 3,
        grouping: Grouping::Size(16),
        symmetric: false,
        search: RangeSearch::FullRange,
        scale_format: ScaleFormat::F16,
    };

    /// Inputs with three loud channels of 48.
    fn inputs() -> Vec<f32> {
        (0..48 * 200)
            .map(|i| {
                let loud = if matches!(i % 48, 3 | 17 | 40) {
                    20.0
                } else {
                    1.0
                };
                loud * ((i as f32 * 1.618).sin() + (i as f32 * 0.37).cos())
            })
            .collect()
    }

    fn weight(d_out: usize) -> Vec<f32> {
        (0..d_out * 48)
            .map(|i| (i as f32 * 0.731).sin() * 0.1)
            .collect()
    }

    #[test]
    fn scaling_loud_channels_takes_less_from_the_outputs() {
        let mut sum = HessianSum::new(48).unwrap();
        sum.add(&inputs()).unwrap();
        let (hessian, stats) = sum.finish().unwrap();
        let (first, second) = (weight(70), weight(9));
        let weights = [(70, &first), (9, &second)]
            .map(|(d_out, values)| (WeightView::new(d_out, 48, values).unwrap(), SPEC));
        let found = awq_scales(&weights, &stats, &hessian).unwrap();
        assert!(found.exponent > 0.0 && found.error < 0.7 * found.error_unscaled);
        assert!(found.scales[3] > 2.0 * found.scales[4]);
        let unscaled: f64 = weights
            .iter()
            .map(|(weight, spec)| {
                let rounded = round_to_nearest(*weight, spec).unwrap().dequantize();
                let rounded = WeightView::new(weight.d_out(), 48, &rounded).unwrap();
                output_error(*weight, rounded, &hessian).unwrap()
            })
            .sum();
        // Products in f32.
        assert!((found.error_unscaled - unscaled).abs() < 1e-4 * unscaled);
    }

    #[test]
    fn folded_scales_leave_the_outputs_alone() {
        let scales = [0.5, 2.0, 4.0];
        let mut reader = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        multiply_columns(&mut reader, &scales).unwrap();
        assert_eq!(reader, [0.5, 4.0, 12.0, 2.0, 10.0, 24.0]);
        let mut norm = [1.0_f32, 1.0, 1.0];
        divide_rows(&mut norm, &scales).unwrap();
        assert_eq!(norm, [2.0, 0.5, 0.25]);
        let mut producer = [1.0_f32; 6];
        divide_rows(&mut producer, &scales).unwrap();
        assert_eq!(producer, [2.0, 2.0, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn scales_that_do_not_fit_are_refused() {
        let mut weight = [1.0_f32; 4];
        assert!(multiply_columns(&mut weight, &[]).is_err());
        assert!(multiply_columns(&mut weight, &[1.0; 3]).is_err());
        assert!(divide_rows(&mut weight, &[1.0; 3]).is_err());
        for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = divide_rows(&mut weight, &[1.0, scale]).unwrap_err();
            assert!(matches!(error, LayerError::Scale { index: 1, .. }));
        }
        let hessian = Hessian::new(1, vec![1.0]).unwrap();
        let stats = InputStats {
            n_tokens: 1,
            mean_abs: vec![1.0],
            mean_square: vec![1.0],
        };
        let none: [(WeightView<'_, f32>, GridSpec); 0] = [];
        assert!(awq_scales(&none, &stats, &hessian).is_err());
        let values = [1.0_f32; 4];
        let other = WeightView::new(1, 4, &values).unwrap();
        assert!(awq_scales(&[(other, SPEC)], &stats, &hessian).is_err());
    }
}
