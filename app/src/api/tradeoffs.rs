//! The trade-offs of a run.

use super::ApiError;
use leptos::prelude::*;
use trimtab_domain::{PriceTable, RunId, TradeoffView, VariantCost};

/// The trade-offs of `run_id`, or of the newest run with results.
#[server(prefix = "/rpc", endpoint = "get_tradeoffs")]
pub async fn get_tradeoffs(run_id: Option<RunId>) -> Result<Option<TradeoffView>, ApiError> {
    super::service()?
        .tradeoffs(run_id)
        .await
        .map_err(super::failed)
}

/// What the variants of a run cost by the prices of whoever asks.
#[server(prefix = "/rpc", endpoint = "get_costs")]
pub async fn get_costs(run_id: RunId, prices: PriceTable) -> Result<Vec<VariantCost>, ApiError> {
    super::service()?
        .costs(run_id, &prices)
        .await
        .map_err(super::failed)
}
