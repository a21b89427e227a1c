//! `/api/tradeoffs`: what variants lose and gain against their base.

use super::{error::HttpError, extract::Parameters};
use axum::{Json, extract::State};
use serde::Deserialize;
use trimtab_domain::{Failure, RunId, TradeoffView};
use trimtab_service::Service;

/// Which run.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TradeoffParameters {
    /// The run; the newest with results when absent.
    run: Option<RunId>,
}

/// The trade-offs of a run.
pub(super) async fn show(
    State(service): State<Service>,
    Parameters(TradeoffParameters { run }): Parameters<TradeoffParameters>,
) -> Result<Json<TradeoffView>, HttpError> {
    let tradeoff = service.tradeoffs(run).await?.ok_or_else(|| match run {
        Some(run_id) => Failure::not_found(format!("run `{run_id}` has no results yet")),
        None => Failure::not_found("no run has results yet")
            .with_hint("start one with `POST /api/runs` or `trimtab evaluate`"),
    })?;
    Ok(Json(tradeoff))
}
