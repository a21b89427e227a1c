//! Runs: list, look, stop, go on.

use super::ApiError;
use leptos::prelude::*;
use trimtab_domain::{CompletionScore, Flips, RunDetail, RunId, RunSummary, VariantName};

/// All runs, newest first.
#[server(prefix = "/rpc", endpoint = "list_runs")]
pub async fn list_runs() -> Result<Vec<RunSummary>, ApiError> {
    super::service()?.list_runs().await.map_err(super::failed)
}

/// One run with all it knows.
#[server(prefix = "/rpc", endpoint = "get_run")]
pub async fn get_run(run_id: RunId) -> Result<RunDetail, ApiError> {
    super::service()?.run(run_id).await.map_err(super::failed)
}

/// The graded answers of one variant in a run.
#[server(prefix = "/rpc", endpoint = "get_scores")]
pub async fn get_scores(
    run_id: RunId,
    variant: VariantName,
) -> Result<Vec<CompletionScore>, ApiError> {
    super::service()?
        .scores(run_id, variant)
        .await
        .map_err(super::failed)
}

/// The problems on which a variant and the baseline of its run part.
#[server(prefix = "/rpc", endpoint = "get_flips")]
pub async fn get_flips(run_id: RunId, variant: VariantName) -> Result<Flips, ApiError> {
    super::service()?
        .flips(run_id, variant)
        .await
        .map_err(super::failed)
}

/// Stops a run; what has landed stays.
#[server(prefix = "/rpc", endpoint = "cancel_run")]
pub async fn cancel_run(run_id: RunId) -> Result<(), ApiError> {
    super::service()?
        .cancel_run(run_id)
        .await
        .map_err(super::failed)?;
    leptos_axum::redirect(&format!("/runs/{run_id}"));
    Ok(())
}

/// Does what is left of a cancelled or failed run.
#[server(prefix = "/rpc", endpoint = "resume_run")]
pub async fn resume_run(run_id: RunId) -> Result<(), ApiError> {
    super::service()?
        .resume_run(run_id)
        .await
        .map_err(super::failed)?;
    leptos_axum::redirect(&format!("/runs/{run_id}"));
    Ok(())
}
