//! The trade-offs of a run.

use super::ApiError;
use leptos::prelude::*;
use trimtab_domain::{RunId, TradeoffView};

/// The trade-offs of `run_id`, or of the newest run with results.
#[server(prefix = "/rpc", endpoint = "get_tradeoffs")]
pub async fn get_tradeoffs(run_id: Option<RunId>) -> Result<Option<TradeoffView>, ApiError> {
    super::service()?
        .tradeoffs(run_id)
        .await
        .map_err(super::failed)
}
