//! What queries cost by the user's prices, when compressing has paid off, and what routing saves.

use trimtab_domain::{BreakEven, PriceTable, QueryUse};

const SECONDS_PER_HOUR: f64 = 3600.0;
const JOULES_PER_KILOWATT_HOUR: f64 = 3.6e6;

/// Why a cost cannot be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidCost {
    /// A quantity that is not a number of at least 0.
    #[error("{what} has to be a number of at least 0, got {value}")]
    Negative {
        /// Which quantity.
        what: &'static str,
        /// What was given.
        value: f64,
    },
    /// A quantity that has to be above 0.
    #[error("{what} has to be above 0, got {value}")]
    NotPositive {
        /// Which quantity.
        what: &'static str,
        /// What was given.
        value: f64,
    },
    /// A share outside of 0 to 1.
    #[error("the share of queries sent to the full model has to be between 0 and 1, got {0}")]
    NotAShare(f64),
}

fn at_least_zero(what: &'static str, value: f64) -> Result<f64, InvalidCost> {
    if value >= 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(InvalidCost::Negative { what, value })
    }
}

fn positive(what: &'static str, value: f64) -> Result<f64, InvalidCost> {
    if value > 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(InvalidCost::NotPositive { what, value })
    }
}

/// Cost of `seconds` of a machine together with `joules` of energy.
fn cost(prices: &PriceTable, seconds: f64, joules: f64) -> Result<f64, InvalidCost> {
    let hour = at_least_zero("the price of a machine hour", prices.machine_hour)?;
    let energy = at_least_zero("the price of a kilowatt-hour", prices.kilowatt_hour)?;
    Ok(seconds / SECONDS_PER_HOUR * hour + joules / JOULES_PER_KILOWATT_HOUR * energy)
}

/// Cost of 1,000 queries: the machine's time, shared by the queries that it answers side by side,
/// and the energy.
///
/// # Errors
///
/// [`InvalidCost`] names the number that makes no sense.
pub fn cost_per_1000_queries(prices: &PriceTable, query: QueryUse) -> Result<f64, InvalidCost> {
    let seconds = at_least_zero("the time of a query", query.seconds)?;
    let n_concurrent = positive("the number of concurrent queries", query.n_concurrent)?;
    let joules = at_least_zero("the energy of a query", query.joules.unwrap_or(0.0))?;
    cost(prices, 1000.0 * seconds / n_concurrent, 1000.0 * joules)
}

/// After how many queries the variant's savings exceed what making it took:
/// compression cost / (base's cost − variant's cost of a query).
///
/// `seconds` is the time that compressing kept the machine busy, at the same price of an hour, and
/// `joules` the energy; absent where it was not measured, and then it costs nothing.
///
/// # Errors
///
/// [`InvalidCost`] names the number that makes no sense.
pub fn break_even(
    prices: &PriceTable,
    base: QueryUse,
    variant: QueryUse,
    (seconds, joules): (f64, Option<f64>),
) -> Result<BreakEven, InvalidCost> {
    let base_per_1000 = cost_per_1000_queries(prices, base)?;
    let variant_per_1000 = cost_per_1000_queries(prices, variant)?;
    let seconds = at_least_zero("the time of the compression", seconds)?;
    let joules = at_least_zero("the energy of the compression", joules.unwrap_or(0.0))?;
    let compression = cost(prices, seconds, joules)?;
    let saved = (base_per_1000 - variant_per_1000) / 1000.0;
    Ok(BreakEven {
        base_per_1000,
        variant_per_1000,
        compression,
        n_queries: (saved > 0.0).then(|| (compression / saved).ceil()),
    })
}

/// Cost of routing, in parameters per query: P·ε + p·(1 − ε).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoutedCost {
    /// Mean parameters that a routed query uses.
    pub parameters_per_query: f64,
    /// The same over what the full model uses; below 1 is cheaper.
    pub share_of_full: f64,
    /// log₁₀(P / p): by how many powers of ten the compressed model is smaller.
    pub log10_reduction: f64,
}

/// The cost model C ∝ P·ε + p·(1 − ε) against C ∝ P: `full` and `compressed` are the models'
/// parameters P and p, `share_to_full` is ε, the share of queries sent to the full model.
///
/// # Errors
///
/// [`InvalidCost`] when a model has no parameters or ε is no share.
///
/// ```
/// let routed = trimtab_metrics::routed_cost(1e10, 1e9, 0.3).expect("a share");
/// assert!((routed.share_of_full - 0.37).abs() < 1e-12);
/// assert!((routed.log10_reduction - 1.0).abs() < 1e-12);
/// ```
pub fn routed_cost(
    full: f64,
    compressed: f64,
    share_to_full: f64,
) -> Result<RoutedCost, InvalidCost> {
    let full = positive("the size of the full model", full)?;
    let compressed = positive("the size of the compressed model", compressed)?;
    if !(0.0..=1.0).contains(&share_to_full) {
        return Err(InvalidCost::NotAShare(share_to_full));
    }
    let parameters_per_query = full * share_to_full + compressed * (1.0 - share_to_full);
    Ok(RoutedCost {
        parameters_per_query,
        share_of_full: parameters_per_query / full,
        log10_reduction: (full / compressed).log10(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> PriceTable {
        PriceTable {
            currency: "EUR".into(),
            machine_hour: 3.6,
            kilowatt_hour: 0.36,
        }
    }

    fn query(seconds: f64) -> QueryUse {
        QueryUse {
            seconds,
            n_concurrent: 1.0,
            joules: None,
        }
    }

    #[test]
    fn a_thousand_queries_cost_time_and_energy() {
        assert!((cost_per_1000_queries(&prices(), query(2.0)).unwrap() - 2.0).abs() < 1e-12);
        let shared = QueryUse {
            n_concurrent: 4.0,
            joules: Some(100.0),
            ..query(2.0)
        };
        let got = cost_per_1000_queries(&prices(), shared).unwrap();
        assert!((got - (0.5 + 0.01)).abs() < 1e-12);
    }

    #[test]
    fn compressing_pays_off_after_its_cost_is_saved() {
        let got = break_even(&prices(), query(2.0), query(0.5), (3000.0, None)).unwrap();
        assert!((got.compression - 3.0).abs() < 1e-12);
        assert_eq!(got.n_queries, Some(2000.0));
        // 10 kWh more at 0.36.
        let warm = break_even(&prices(), query(2.0), query(0.5), (3000.0, Some(3.6e7))).unwrap();
        assert!((warm.compression - 6.6).abs() < 1e-12);
        assert_eq!(warm.n_queries, Some(4400.0));
        let slower = break_even(&prices(), query(2.0), query(2.0), (3000.0, None)).unwrap();
        assert_eq!(slower.n_queries, None);
    }

    #[test]
    fn numbers_that_make_no_sense_are_named() {
        assert!(cost_per_1000_queries(&prices(), query(f64::NAN)).is_err());
        assert!(cost_per_1000_queries(&prices(), query(-1.0)).is_err());
        let nobody = QueryUse {
            n_concurrent: 0.0,
            ..query(1.0)
        };
        assert!(matches!(
            cost_per_1000_queries(&prices(), nobody),
            Err(InvalidCost::NotPositive { .. })
        ));
        let mut wrong = prices();
        wrong.machine_hour = -3.0;
        assert!(cost_per_1000_queries(&wrong, query(1.0)).is_err());
        assert!(break_even(&prices(), query(1.0), query(1.0), (f64::INFINITY, None)).is_err());
        assert!(routed_cost(0.0, 1.0, 0.5).is_err());
        assert!(routed_cost(1.0, 0.0, 0.5).is_err());
        assert_eq!(routed_cost(2.0, 1.0, 1.5), Err(InvalidCost::NotAShare(1.5)));
    }

    #[test]
    fn routing_everything_costs_what_the_full_model_costs() {
        let all = routed_cost(7e9, 5e8, 1.0).unwrap();
        assert!((all.share_of_full - 1.0).abs() < 1e-15);
        let none = routed_cost(7e9, 5e8, 0.0).unwrap();
        assert!((none.parameters_per_query - 5e8).abs() < 1e-3);
    }
}
