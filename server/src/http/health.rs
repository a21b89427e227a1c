//! `GET /health`: whether the server can do its work, for load balancers and containers.

use super::error::Refusal;
use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use trimtab_service::Service;

/// A healthy answer.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
    version: &'static str,
    n_runs: usize,
}

/// Reads the store; an answer that is not 200 means that nothing works.
pub(super) async fn show(State(service): State<Service>) -> Result<Json<Health>, Refusal> {
    match service.list_runs().await {
        Ok(runs) => Ok(Json(Health {
            status: "ok",
            version: env!("CARGO_PKG_VERSION"),
            n_runs: runs.len(),
        })),
        Err(failure) => Err(Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            failure,
        }),
    }
}
