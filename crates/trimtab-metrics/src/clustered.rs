//! Means, shares and quantiles of values that come in windows, with honest standard errors.
//!
//! Tokens of one window of text are alike: counting each as an independent observation makes
//! intervals too narrow. Windows are taken as what was drawn; within them anything may be related.
//! With G windows and N values, the mean ȳ has the variance
//! `G/(G − 1) · Σ_g (Σ_{i in g} (yᵢ − ȳ))² / N²`, and intervals use Student's t with G − 1 degrees
//! of freedom.
//!
//! Sources: Liang & Zeger 1986, "Longitudinal data analysis using generalized linear models",
//! Biometrika 73 (the variance, with the usual G/(G − 1)); Woodruff 1952, "Confidence intervals for
//! medians and other position measures", Journal of the American Statistical Association 47.

use crate::{normal::student_t_95, quantiles::interpolate, wilson::wilson_ends};
use trimtab_domain::ClusteredEstimate;

/// Windows in the order of their values; at least two, none empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows<'a> {
    /// Values in each window; their sum is the number of values.
    pub(crate) lengths: &'a [usize],
}

impl Windows<'_> {
    /// The 5 % point of |t| with one degree of freedom less than there are windows.
    fn critical(self) -> f64 {
        student_t_95((self.lengths.len() - 1) as f64)
    }

    /// The mean and its standard error.
    fn mean(self, values: &[f64]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let (mut squares, mut start) = (0.0, 0);
        for length in self.lengths {
            let window = &values[start..start + length];
            squares += window.iter().map(|value| value - mean).sum::<f64>().powi(2);
            start += length;
        }
        let n_windows = self.lengths.len() as f64;
        (mean, (n_windows / (n_windows - 1.0) * squares).sqrt() / n)
    }

    /// The mean with its interval.
    pub(crate) fn mean_estimate(self, values: &[f64]) -> ClusteredEstimate {
        let (value, standard_error) = self.mean(values);
        let reach = self.critical() * standard_error;
        ClusteredEstimate {
            value,
            standard_error,
            low: value - reach,
            high: value + reach,
        }
    }

    /// exp of the mean, with the interval's ends carried over and the error by the delta method.
    pub(crate) fn exp_mean_estimate(self, values: &[f64]) -> ClusteredEstimate {
        let mean = self.mean_estimate(values);
        ClusteredEstimate {
            value: mean.value.exp(),
            standard_error: mean.value.exp() * mean.standard_error,
            low: mean.low.exp(),
            high: mean.high.exp(),
        }
    }

    /// The value below which a `share` of the values lies: the share of values up to it gets an
    /// interval, whose ends are read off as values (Woodruff's method). The standard error is
    /// the interval's width over that of a t interval.
    pub(crate) fn quantile_estimate(self, values: &[f64], share: f64) -> ClusteredEstimate {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let value = interpolate(&sorted, share);
        let is_up_to: Vec<f64> = values
            .iter()
            .map(|other| f64::from(u8::from(*other <= value)))
            .collect();
        let critical = self.critical();
        let reach = critical * self.mean(&is_up_to).1;
        let [low, high] =
            [share - reach, share + reach].map(|share| interpolate(&sorted, share.clamp(0.0, 1.0)));
        ClusteredEstimate {
            value,
            standard_error: (high - low) / (2.0 * critical),
            low,
            high,
        }
    }

    /// A share of yes and no: Wilson's interval at the number of independent answers that would
    /// have the same standard error. Where all answers agree, that number is the number of windows.
    pub(crate) fn share_estimate(self, answers: &[f64]) -> ClusteredEstimate {
        let (value, standard_error) = self.mean(answers);
        let n_windows = self.lengths.len() as f64;
        let n_effective = if standard_error > 0.0 {
            (value * (1.0 - value) / standard_error.powi(2)).min(answers.len() as f64)
        } else {
            n_windows
        };
        let [low, high] = wilson_ends(value, n_effective.max(1.0), self.critical());
        ClusteredEstimate {
            value,
            standard_error,
            low,
            high,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_one_value_give_the_ordinary_standard_error() {
        let values = [1.0, 4.0, 2.0, 9.0, 5.0];
        let windows = Windows { lengths: &[1; 5] };
        let (mean, error) = windows.mean(&values);
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        assert!((error - (squares / 4.0 / 5.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn values_that_repeat_within_windows_are_no_new_information() {
        let once = [1.0, 4.0, 2.0, 9.0];
        let repeated: Vec<f64> = once.iter().flat_map(|v| [*v; 6]).collect();
        let a = Windows { lengths: &[1; 4] }.mean_estimate(&once);
        let b = Windows { lengths: &[6; 4] }.mean_estimate(&repeated);
        assert!((a.standard_error - b.standard_error).abs() < 1e-12);
        assert!((a.low - b.low).abs() < 1e-9);
    }

    #[test]
    fn agreement_everywhere_is_not_certainty() {
        let all = Windows { lengths: &[10; 8] }.share_estimate(&[1.0; 80]);
        assert!((all.value - 1.0).abs() < 1e-15 && all.high >= 1.0);
        assert!(all.low < 0.75, "{all:?}");
    }

    #[test]
    fn quantiles_lie_within_their_interval() {
        let values: Vec<f64> = (0..300).map(|i| f64::from(i * 37 % 300)).collect();
        let windows = Windows { lengths: &[30; 10] };
        let median = windows.quantile_estimate(&values, 0.5);
        assert!((median.value - 149.5).abs() < 1e-9);
        assert!(median.low < median.value && median.value < median.high);
        let p99 = windows.quantile_estimate(&values, 0.99);
        assert!(p99.low <= p99.value && p99.value <= p99.high && p99.high <= 299.0);
    }
}
