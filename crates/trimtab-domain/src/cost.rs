//! What running a variant costs, by prices that the user owns, and when compressing has paid off.

use crate::VariantName;
use serde::{Deserialize, Serialize};

/// The user's prices. Trimtab knows none of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    /// Name of the currency, only shown.
    pub currency: String,
    /// Price of one hour of the machine.
    pub machine_hour: f64,
    /// Price of one kilowatt-hour, where energy is paid apart from the machine.
    #[serde(default)]
    pub kilowatt_hour: f64,
}

/// What one query takes on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryUse {
    /// Seconds from request to last token.
    pub seconds: f64,
    /// Queries that the machine answers side by side.
    pub n_concurrent: f64,
    /// Energy of one query in joules; absent where it is not measured, and then it costs nothing.
    pub joules: Option<f64>,
}

/// When compressing has paid for itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BreakEven {
    /// Cost of 1,000 queries to the base.
    pub base_per_1000: f64,
    /// Cost of 1,000 queries to the variant.
    pub variant_per_1000: f64,
    /// Cost of making the variant.
    pub compression: f64,
    /// Queries after which the savings exceed it; absent when the variant saves nothing.
    pub n_queries: Option<f64>,
}

/// What a variant of a run costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantCost {
    /// The variant.
    pub variant: VariantName,
    /// Seconds from request to last token of a query of the run's mean length, one at a time.
    pub seconds_per_query: f64,
    /// Energy of such a query in joules; absent where it was not measured, and then it is not in the
    /// cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joules_per_query: Option<f64>,
    /// Cost of 1,000 such queries.
    pub per_1000: f64,
    /// Against the baseline; absent for the baseline itself, and where the cost of making the variant
    /// is not known: another run made it, or energy has a price and that of making was not measured.
    pub break_even: Option<BreakEven>,
}
