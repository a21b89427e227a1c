//! `/api/runs`: list, plan, start, look, cancel, resume, listen.

use super::{
    AppState,
    error::HttpError,
    events,
    extract::{Body, Parameters, RunPath},
};
use crate::run_request::RunRequest;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use trimtab_domain::{EvaluationPlan, Flips, RunDetail, RunId, RunSummary, VariantName};
use trimtab_service::Service;

/// The routes below `/api/runs`.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(list).post(start))
        .route("/plan", post(plan))
        .route("/{run_id}", get(show))
        .route("/{run_id}/cancel", post(cancel))
        .route("/{run_id}/resume", post(resume))
        .route("/{run_id}/flips", get(flips))
        .route("/{run_id}/events", get(events::stream))
}

/// The answer to a run that was started.
#[derive(Debug, Serialize)]
struct StartedRun {
    run_id: RunId,
}

async fn list(State(service): State<Service>) -> Result<Json<Vec<RunSummary>>, HttpError> {
    Ok(Json(service.list_runs().await?))
}

async fn start(
    State(service): State<Service>,
    Body(request): Body<RunRequest>,
) -> Result<impl IntoResponse, HttpError> {
    let run_id = service.start_run(request.into_spec()?).await?;
    let location = [(header::LOCATION, format!("/api/runs/{run_id}"))];
    Ok((StatusCode::CREATED, location, Json(StartedRun { run_id })))
}

/// What a run is likely to show, how long it takes and what to add; nothing is started.
async fn plan(
    State(service): State<Service>,
    Body(request): Body<RunRequest>,
) -> Result<Json<EvaluationPlan>, HttpError> {
    Ok(Json(service.plan_run(&request.into_spec()?).await?))
}

async fn show(
    State(service): State<Service>,
    RunPath(run_id): RunPath,
) -> Result<Json<RunDetail>, HttpError> {
    Ok(Json(service.run(run_id).await?))
}

/// Whose flips.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlipParameters {
    /// The variant that is compared with the baseline of the run.
    variant: VariantName,
}

async fn flips(
    State(service): State<Service>,
    RunPath(run_id): RunPath,
    Parameters(FlipParameters { variant }): Parameters<FlipParameters>,
) -> Result<Json<Flips>, HttpError> {
    Ok(Json(service.flips(run_id, variant).await?))
}

async fn cancel(
    State(service): State<Service>,
    RunPath(run_id): RunPath,
) -> Result<Json<RunSummary>, HttpError> {
    service.cancel_run(run_id).await?;
    Ok(Json(service.run(run_id).await?.summary))
}

async fn resume(
    State(service): State<Service>,
    RunPath(run_id): RunPath,
) -> Result<Json<RunSummary>, HttpError> {
    service.resume_run(run_id).await?;
    Ok(Json(service.run(run_id).await?.summary))
}
