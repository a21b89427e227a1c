//! The bootstrap: an interval for any statistic, by drawing the same units again and again.
//!
//! A unit is what was drawn independently: a problem with its values on both sides. Drawing whole
//! units keeps the pairing. The seed comes in as an argument, so that the same data, statistic and
//! seed always give the same interval.
//!
//! Sources: Efron 1987, "Better bootstrap confidence intervals", Journal of the American
//! Statistical Association 82; Efron & Tibshirani 1993, "An Introduction to the Bootstrap",
//! §13.3 (percentile) and §14.3 (BCa).

use crate::{
    normal::{Z_95, normal_cdf, normal_upper_quantile},
    quantiles::interpolate,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trimtab_domain::Estimate;

/// The ends of a 95 % interval are read off the tails: fewer resamples leave too little there.
const MIN_RESAMPLES: u32 = 200;

/// Units drawn in all; about ten seconds of work.
const MAX_DRAWS: u64 = 1_000_000_000;

/// Which interval is read off the resamples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootstrapMethod {
    /// The middle 95 % of the resamples.
    Percentile,
    /// Bias-corrected and accelerated: shifted for bias and for a spread that changes with the value.
    Bca,
}

/// How to resample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// How often all units are drawn anew; 10,000 leave little noise in the ends.
    pub n_resamples: u32,
    /// Seed of the draws.
    pub seed: u64,
    /// Which interval.
    pub method: BootstrapMethod,
}

impl Bootstrap {
    /// BCa from 10,000 resamples.
    pub fn new(seed: u64) -> Self {
        Self {
            n_resamples: 10_000,
            seed,
            method: BootstrapMethod::Bca,
        }
    }
}

/// Why there is no bootstrap interval.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BootstrapError {
    /// One unit varies with nothing.
    #[error("a bootstrap needs at least 2 units, got {0}")]
    TooFewUnits(usize),
    /// Too few for the tails.
    #[error("a bootstrap needs at least {least} resamples, got {0}", least = MIN_RESAMPLES)]
    TooFewResamples(usize),
    /// More work than anyone would wait for.
    #[error(
        "{n_units} units in {n_resamples} resamples are too many to draw; take fewer resamples"
    )]
    TooMuchWork {
        /// Units.
        n_units: usize,
        /// Resamples.
        n_resamples: u32,
    },
    /// The statistic has no value, for example a ratio whose denominator is zero.
    #[error("the statistic is undefined on {0}")]
    Undefined(UndefinedOn),
    /// All resamples agree: the bootstrap would claim to be certain.
    #[error(
        "every resample gives {value}: these units do not vary, so they cannot show how sure the value is"
    )]
    NoVariation {
        /// The value.
        value: f64,
    },
    /// All resamples lie on one side of the value.
    #[error(
        "all resamples lie on one side of {value}: BCa has no correction for that; use the percentile interval"
    )]
    OneSided {
        /// The value.
        value: f64,
    },
    /// Leaving out any unit gives the same value, so there is no acceleration.
    #[error(
        "leaving out a unit never changes {value}: BCa has no acceleration; use the percentile interval"
    )]
    NoInfluence {
        /// The value.
        value: f64,
    },
}

/// Where a statistic was undefined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndefinedOn {
    /// All units.
    Data,
    /// All units but one.
    WithoutUnit(usize),
    /// A draw.
    Resample(u32),
}

impl std::fmt::Display for UndefinedOn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Data => write!(f, "the data"),
            Self::WithoutUnit(idx) => write!(f, "the data without unit {idx}"),
            Self::Resample(idx) => write!(f, "resample {idx}, as too few units carry it"),
        }
    }
}

/// The value of `statistic` on `units` with its 95 % bootstrap interval; `n` counts the units.
///
/// `statistic` gets units in any order, may reorder them, and returns `None` where it is undefined.
///
/// # Errors
///
/// [`BootstrapError`] names every case in which the interval would be wrong or empty.
///
/// # Cost
///
/// `n_resamples` calls of `statistic`, and one more for each unit with BCa.
///
/// ```
/// use trimtab_metrics::{Bootstrap, PairedValues, bootstrap, mean_difference};
/// let pairs: Vec<PairedValues> = (0..40)
///     .map(|i| PairedValues { base: f64::from(i), variant: f64::from(i + i % 3) })
///     .collect();
/// let e = bootstrap(&pairs, mean_difference, Bootstrap::new(7)).expect("the pairs vary");
/// assert!(e.low < e.value && e.value < e.high && e.n == 40);
/// ```
pub fn bootstrap<T: Clone>(
    units: &[T],
    statistic: impl Fn(&mut [T]) -> Option<f64>,
    settings: Bootstrap,
) -> Result<Estimate, BootstrapError> {
    let n_units = units.len();
    let n_jackknife = match settings.method {
        BootstrapMethod::Percentile => 0,
        BootstrapMethod::Bca => n_units,
    };
    if n_units < 2 {
        return Err(BootstrapError::TooFewUnits(n_units));
    }
    let n_draws =
        (u64::from(settings.n_resamples) + n_jackknife as u64).saturating_mul(n_units as u64);
    if n_draws > MAX_DRAWS {
        return Err(BootstrapError::TooMuchWork {
            n_units,
            n_resamples: settings.n_resamples,
        });
    }
    let mut drawn = units.to_vec();
    let value = defined(statistic(&mut drawn), UndefinedOn::Data)?;
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut resampled = Vec::with_capacity(settings.n_resamples as usize);
    for idx in 0..settings.n_resamples {
        for unit in &mut drawn {
            unit.clone_from(&units[rng.random_range(0..n_units)]);
        }
        resampled.push(defined(statistic(&mut drawn), UndefinedOn::Resample(idx))?);
    }
    let without_each = jackknife(&units[..n_jackknife], &statistic)?;
    let [low, high] = match settings.method {
        BootstrapMethod::Percentile => percentile_interval(value, &mut resampled)?,
        BootstrapMethod::Bca => bca_interval(value, &mut resampled, &without_each)?,
    };
    Ok(Estimate {
        value,
        low,
        high,
        n: n_units as u32,
    })
}

/// The statistic without each unit in turn.
fn jackknife<T: Clone>(
    units: &[T],
    statistic: &impl Fn(&mut [T]) -> Option<f64>,
) -> Result<Vec<f64>, BootstrapError> {
    let mut others = Vec::with_capacity(units.len());
    (0..units.len())
        .map(|left_out| {
            others.clear();
            others.extend_from_slice(&units[..left_out]);
            others.extend_from_slice(&units[left_out + 1..]);
            defined(statistic(&mut others), UndefinedOn::WithoutUnit(left_out))
        })
        .collect()
}

fn defined(value: Option<f64>, on: UndefinedOn) -> Result<f64, BootstrapError> {
    value
        .filter(|value| value.is_finite())
        .ok_or(BootstrapError::Undefined(on))
}

/// The middle 95 % of `resampled`, which is sorted on the way.
///
/// # Errors
///
/// [`BootstrapError::TooFewResamples`] and [`BootstrapError::NoVariation`].
pub fn percentile_interval(value: f64, resampled: &mut [f64]) -> Result<[f64; 2], BootstrapError> {
    sort_varied(value, resampled)?;
    Ok([0.025, 0.975].map(|share| interpolate(resampled, share)))
}

/// The BCa interval from resampled values, which are sorted on the way, and the values without
/// each unit.
///
/// With z₀ the normal point of the share of resamples below `value` (ties count half) and the
/// acceleration a = Σ uᵢ³ / (6 (Σ uᵢ²)^1.5), uᵢ the mean of `without_each` minus its i-th value,
/// the ends are the resamples' quantiles at Φ(z₀ + (z₀ ± 1.96) / (1 − a (z₀ ± 1.96))).
///
/// # Errors
///
/// All of [`BootstrapError`] that is about values.
pub fn bca_interval(
    value: f64,
    resampled: &mut [f64],
    without_each: &[f64],
) -> Result<[f64; 2], BootstrapError> {
    sort_varied(value, resampled)?;
    let n_below = resampled.partition_point(|&other| other < value);
    let n_to_value = resampled.partition_point(|&other| other <= value);
    let share_below = (n_below + n_to_value) as f64 / (2 * resampled.len()) as f64;
    let bias = normal_upper_quantile(share_below)
        .map(|z| -z)
        .ok_or(BootstrapError::OneSided { value })?;
    let acceleration = acceleration(without_each).ok_or(BootstrapError::NoInfluence { value })?;
    let share = |z: f64| {
        let shifted = bias + z;
        normal_cdf(bias + shifted / (1.0 - acceleration * shifted))
    };
    Ok([share(-Z_95), share(Z_95)].map(|share| interpolate(resampled, share)))
}

fn sort_varied(value: f64, resampled: &mut [f64]) -> Result<(), BootstrapError> {
    if resampled.len() < MIN_RESAMPLES as usize {
        return Err(BootstrapError::TooFewResamples(resampled.len()));
    }
    resampled.sort_by(f64::total_cmp);
    // Sums in another order differ in their last digits: that is no variation.
    let spread = resampled[resampled.len() - 1] - resampled[0];
    if spread <= 1e-12 * value.abs().max(f64::MIN_POSITIVE) {
        return Err(BootstrapError::NoVariation { value });
    }
    Ok(())
}

fn acceleration(without_each: &[f64]) -> Option<f64> {
    let mean = without_each.iter().sum::<f64>() / without_each.len() as f64;
    let (mut squares, mut cubes) = (0.0, 0.0);
    for value in without_each {
        let u = mean - value;
        squares += u * u;
        cubes += u * u * u;
    }
    // Only rounding is left where no unit matters.
    let is_flat = squares.sqrt() <= 1e-12 * mean.abs() * (without_each.len() as f64).sqrt();
    (!is_flat && squares > 0.0).then(|| cubes / (6.0 * squares.powf(1.5)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PairedValues, mean_difference, ratio_of_medians};

    fn pairs(n: u32) -> Vec<PairedValues> {
        (0..n)
            .map(|i| PairedValues {
                base: 10.0 + f64::from(i * 7 % 13),
                variant: 9.0 + f64::from(i * 5 % 11),
            })
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_another_does_not() {
        let draw = |seed| bootstrap(&pairs(50), mean_difference, Bootstrap::new(seed)).unwrap();
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3).low.to_bits(), draw(4).low.to_bits());
    }

    #[test]
    fn both_methods_lie_near_the_normal_interval_of_a_mean() {
        let pairs = pairs(143);
        let mean = pairs.iter().map(|p| p.variant - p.base).sum::<f64>() / 143.0;
        let square = |p: &PairedValues| (p.variant - p.base - mean).powi(2);
        let error = (pairs.iter().map(square).sum::<f64>() / 143.0 / 143.0).sqrt();
        for method in [BootstrapMethod::Percentile, BootstrapMethod::Bca] {
            let settings = Bootstrap {
                method,
                ..Bootstrap::new(1)
            };
            let e = bootstrap(&pairs, mean_difference, settings).unwrap();
            assert!((e.value - mean).abs() < 1e-12);
            assert!(
                (e.low - (mean - Z_95 * error)).abs() < 0.06 * error,
                "{e:?}"
            );
            assert!(
                (e.high - (mean + Z_95 * error)).abs() < 0.06 * error,
                "{e:?}"
            );
        }
    }

    #[test]
    fn degenerate_inputs_are_named() {
        let run = |pairs: &[PairedValues], statistic: fn(&mut [PairedValues]) -> Option<f64>| {
            bootstrap(pairs, statistic, Bootstrap::new(1)).unwrap_err()
        };
        assert_eq!(
            run(&pairs(1), mean_difference),
            BootstrapError::TooFewUnits(1)
        );
        let same = vec![
            PairedValues {
                base: 0.1,
                variant: 0.4
            };
            30
        ];
        assert!(matches!(
            run(&same, mean_difference),
            BootstrapError::NoVariation { .. }
        ));
        let zero = vec![
            PairedValues {
                base: 0.0,
                variant: 1.0
            };
            9
        ];
        assert_eq!(
            run(&zero, ratio_of_medians),
            BootstrapError::Undefined(UndefinedOn::Data)
        );
        let mut rare = zero;
        rare[0..5].fill(PairedValues {
            base: 1.0,
            variant: 1.0,
        });
        assert!(matches!(
            run(&rare, ratio_of_medians),
            BootstrapError::Undefined(UndefinedOn::Resample(_))
        ));
        let few = Bootstrap {
            n_resamples: 10,
            ..Bootstrap::new(1)
        };
        assert_eq!(
            bootstrap(&pairs(9), mean_difference, few),
            Err(BootstrapError::TooFewResamples(10))
        );
        let many = Bootstrap {
            n_resamples: u32::MAX,
            ..Bootstrap::new(1)
        };
        assert!(matches!(
            bootstrap(&pairs(9), mean_difference, many),
            Err(BootstrapError::TooMuchWork { .. })
        ));
    }

    #[test]
    fn bca_names_what_it_cannot_correct() {
        let mut above: Vec<f64> = (0..500).map(f64::from).collect();
        assert_eq!(
            bca_interval(-1.0, &mut above, &[1.0, 2.0]),
            Err(BootstrapError::OneSided { value: -1.0 })
        );
        assert_eq!(
            bca_interval(250.0, &mut above, &[2.0, 2.0]),
            Err(BootstrapError::NoInfluence { value: 250.0 })
        );
        assert!(bca_interval(250.0, &mut above, &[1.0, 2.0]).is_ok());
    }
}
