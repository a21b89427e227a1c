//! The first page, and the one button that starts everything.

use super::ApiError;
use leptos::prelude::*;
use trimtab_domain::{OverviewView, RunId};

/// What the first page shows.
#[server(prefix = "/rpc", endpoint = "overview")]
pub async fn overview() -> Result<OverviewView, ApiError> {
    super::service()?.overview().await.map_err(super::failed)
}

/// Starts the quickstart experiment and leads to its page.
#[server(prefix = "/rpc", endpoint = "start_quickstart")]
pub async fn start_quickstart() -> Result<RunId, ApiError> {
    let run_id = super::service()?
        .start_quickstart()
        .await
        .map_err(super::failed)?;
    leptos_axum::redirect(&format!("/runs/{run_id}"));
    Ok(run_id)
}
