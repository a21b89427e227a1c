//! The factor of a layer's inverse Hessian, by which errors are spread over the columns to come.
//!
//! Linear layers that read the same input share it.

use super::{Hessian, LayerError, linalg};
use rayon::prelude::*;

/// In which order columns are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnOrder {
    /// As they are stored.
    Stored,
    /// By falling activation: the columns that matter most are rounded first, when most others are
    /// left to make up for their errors.
    Activation,
}

/// How a Hessian is made ready.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FactorOptions {
    /// In which order columns are treated.
    pub order: ColumnOrder,
    /// Share of the mean of the diagonal that is added to the diagonal.
    pub damping_ratio: f64,
}

/// What making a Hessian ready took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FactorReport {
    /// The share of the mean of the diagonal that was added in the end.
    pub damping_ratio: f64,
    /// How often the damping was raised because the matrix was not positive definite.
    pub n_retries: u32,
    /// Input channels that were 0 for all tokens.
    pub n_dead: usize,
}

/// `U` of `H⁻¹ = Uᵀ·U`, upper triangular, for the damped Hessian in its column order.
#[derive(Clone, Debug)]
pub struct InverseFactor {
    d_in: usize,
    order: ColumnOrder,
    /// `[d_in, d_in]`, row-major.
    factor: Vec<f64>,
    /// The column that each step treats, `[d_in]`.
    column_from_step: Vec<usize>,
    /// By column, `[d_in]`.
    is_dead: Vec<bool>,
    /// What was added to the diagonal.
    damping: f64,
    report: FactorReport,
}

/// By how much damping is raised when a matrix is not positive definite.
const DAMPING_STEP: f64 = 10.0;

/// The first damping that is tried after none.
const FIRST_DAMPING: f64 = 0.01;

/// More than the mean of the diagonal would drown what calibration has seen.
const MAX_DAMPING: f64 = 1.0;

impl InverseFactor {
    /// Damps and factors `hessian`. Where it is not positive definite, the damping grows tenfold,
    /// up to the mean of the diagonal.
    ///
    /// A channel that was never other than 0 gets 1 on the diagonal; its weights count as 0.
    ///
    /// # Errors
    ///
    /// [`LayerError::Damping`] for a negative damping or NaN, [`LayerError::Undampable`].
    ///
    /// # Source
    ///
    /// Frantar et al. 2022, <https://arxiv.org/abs/2210.17323>, section 4, step 3: 1 % of the mean
    /// of the diagonal is added. Raising it on failure is ours.
    ///
    /// # Cost
    ///
    /// `2/3 · d_in³` operations on all cores, once for every damping tried; as much memory as the Hessian.
    pub fn new(hessian: &Hessian, options: FactorOptions) -> Result<Self, LayerError> {
        if !(options.damping_ratio >= 0.0 && options.damping_ratio.is_finite()) {
            return Err(LayerError::Damping(options.damping_ratio));
        }
        let d_in = hessian.d_in();
        let is_dead: Vec<bool> = hessian.diagonal().map(|d| d == 0.0).collect();
        let diagonal: Vec<f64> = hessian
            .diagonal()
            .map(|d| if d == 0.0 { 1.0 } else { d })
            .collect();
        let mean = diagonal.iter().sum::<f64>() / d_in as f64;
        let column_from_step = sorted_columns(&diagonal, options.order);
        let mut factor = vec![0.0; d_in * d_in];
        let mut report = FactorReport {
            damping_ratio: options.damping_ratio,
            n_retries: 0,
            n_dead: is_dead.iter().filter(|is_dead| **is_dead).count(),
        };
        loop {
            let damping = report.damping_ratio * mean;
            fill_damped(&mut factor, hessian, &column_from_step, |column| {
                diagonal[column] + damping
            });
            if linalg::inverse_factor(&mut factor, d_in).is_ok() {
                return Ok(Self {
                    d_in,
                    order: options.order,
                    factor,
                    column_from_step,
                    is_dead,
                    damping,
                    report,
                });
            }
            if report.damping_ratio >= MAX_DAMPING {
                let damping_ratio = report.damping_ratio;
                return Err(LayerError::Undampable { damping_ratio });
            }
            let raised = (DAMPING_STEP * report.damping_ratio).max(FIRST_DAMPING);
            report.damping_ratio = raised.min(MAX_DAMPING);
            report.n_retries += 1;
        }
    }

    /// Input channels.
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// In which order columns are treated.
    pub fn order(&self) -> ColumnOrder {
        self.order
    }

    /// What making it took.
    pub fn report(&self) -> FactorReport {
        self.report
    }

    /// The column that each step treats, `[d_in]`.
    pub(super) fn column_from_step(&self) -> &[usize] {
        &self.column_from_step
    }

    pub(super) fn is_dead(&self, column: usize) -> bool {
        self.is_dead[column]
    }

    /// What was added to the diagonal.
    pub(super) fn damping(&self) -> f64 {
        self.damping
    }

    /// One row of `U`, from its diagonal on: `[d_in − step]`.
    pub(super) fn row_from_diagonal(&self, step: usize) -> &[f64] {
        &self.factor[step * self.d_in..][step..self.d_in]
    }

    /// `U`, `[d_in, d_in]`.
    pub(super) fn values(&self) -> &[f64] {
        &self.factor
    }
}

/// Columns in the order of their treatment; those of equal activation as they are stored.
fn sorted_columns(diagonal: &[f64], order: ColumnOrder) -> Vec<usize> {
    let mut columns: Vec<usize> = (0..diagonal.len()).collect();
    if order == ColumnOrder::Activation {
        columns.sort_by(|a, b| diagonal[*b].total_cmp(&diagonal[*a]));
    }
    columns
}

/// Writes the Hessian in the order of treatment, with another diagonal.
fn fill_damped(
    matrix: &mut [f64],
    hessian: &Hessian,
    column_from_step: &[usize],
    diagonal: impl Fn(usize) -> f64 + Sync,
) {
    matrix
        .par_chunks_exact_mut(hessian.d_in())
        .zip(column_from_step)
        .enumerate()
        .for_each(|(step, (row, &row_column))| {
            for (value, &column) in row.iter_mut().zip(column_from_step) {
                *value = hessian.at(row_column, column);
            }
            row[step] = diagonal(row_column);
        });
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    fn factor(d_in: usize, values: &[f64], options: FactorOptions) -> InverseFactor {
        InverseFactor::new(&Hessian::new(d_in, values.to_vec()).unwrap(), options).unwrap()
    }

    fn undamped(order: ColumnOrder) -> FactorOptions {
        FactorOptions {
            order,
            damping_ratio: 0.0,
        }
    }

    #[test]
    fn columns_are_sorted_by_activation_and_ties_stay() {
        let hessian = [
            1.0, 0.0, 0.0, 0.0, //
            0.0, 4.0, 0.0, 0.0, //
            0.0, 0.0, 1.0, 0.0, //
            0.0, 0.0, 0.0, 9.0,
        ];
        let stored = factor(4, &hessian, undamped(ColumnOrder::Stored));
        assert_eq!(stored.column_from_step(), [0, 1, 2, 3]);
        assert_eq!(stored.row_from_diagonal(1), [0.5, 0.0, 0.0]);
        let sorted = factor(4, &hessian, undamped(ColumnOrder::Activation));
        assert_eq!(sorted.column_from_step(), [3, 1, 0, 2]);
        assert_eq!(sorted.row_from_diagonal(0)[0], 1.0 / 3.0);
    }

    #[test]
    fn dead_channels_are_counted_and_do_not_matter() {
        let hessian = [4.0, 0.0, 0.0, 0.0];
        let factor = factor(2, &hessian, undamped(ColumnOrder::Stored));
        assert_eq!(factor.report().n_dead, 1);
        assert!(!factor.is_dead(0) && factor.is_dead(1));
        assert_eq!(factor.values(), [0.5, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn damping_grows_until_the_matrix_is_positive_definite() {
        let singular = [1.0, 1.0, 1.0, 1.0];
        let report = factor(2, &singular, undamped(ColumnOrder::Stored)).report();
        assert_eq!((report.n_retries, report.damping_ratio), (1, 0.01));
        let slightly_indefinite = [1.0, 1.05, 1.05, 1.0];
        let options = FactorOptions {
            order: ColumnOrder::Stored,
            damping_ratio: 0.01,
        };
        let report = factor(2, &slightly_indefinite, options).report();
        assert_eq!((report.n_retries, report.damping_ratio), (1, 0.1));
        let indefinite = Hessian::new(2, vec![1.0, 9.0, 9.0, 1.0]).unwrap();
        let error = LayerError::Undampable { damping_ratio: 1.0 };
        assert_eq!(InverseFactor::new(&indefinite, options).unwrap_err(), error);
        assert!(error.hint().is_some());
        for damping_ratio in [-0.1, f64::NAN, f64::INFINITY] {
            let options = FactorOptions {
                damping_ratio,
                ..options
            };
            assert!(matches!(
                InverseFactor::new(&indefinite, options),
                Err(LayerError::Damping(_))
            ));
        }
    }
}
