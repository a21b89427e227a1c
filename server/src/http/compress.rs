//! `/api/v1/compress`: make a variant, without evaluating it; watch, cancel and resume that.

use super::{
    AppState,
    error::HttpError,
    events,
    extract::{Body, RunPath},
};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trimtab_domain::{
    CompressionPreview, CompressionRequest, CompressionSummary, CompressionView, Failure,
    LayerReport, ModelName, RunId, VariantName,
};
use trimtab_service::Service;

/// Where compressions are.
const PATH: &str = "/api/v1/compress";

/// The routes below `/api/v1/compress`.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(list).post(start))
        .route("/preview", post(preview))
        .route("/{run_id}", get(show))
        .route("/{run_id}/cancel", post(cancel))
        .route("/{run_id}/resume", post(resume))
        .route("/{run_id}/events", get(events::stream))
}

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompressBody {
    /// The model.
    model: ModelName,
    /// Name of a preset, a recipe as TOML text, or a recipe as JSON.
    recipe: Value,
    /// Name of the variant.
    #[serde(default)]
    name: Option<VariantName>,
}

impl CompressBody {
    fn into_request(self) -> Result<CompressionRequest, Failure> {
        let recipe = match self.recipe {
            Value::String(text) => text,
            Value::Object(fields) => Value::Object(fields).to_string(),
            _ => {
                return Err(Failure::bad_input("`recipe` is neither text nor an object")
                    .with_hint(
                        "name a preset, for example `int4`, or send `{\"name\", \"steps\"}`",
                    ));
            }
        };
        Ok(CompressionRequest {
            model: self.model,
            recipe,
            name: self.name,
        })
    }
}

/// The answer to a compression that was started.
#[derive(Debug, Serialize)]
struct Started {
    run_id: RunId,
    variant: VariantName,
    /// Where its state is.
    state: String,
    /// Where its events are.
    events: String,
}

/// A compression with what it did to each weight.
#[derive(Debug, Serialize)]
struct Detail {
    #[serde(flatten)]
    view: CompressionView,
    layers: Vec<LayerReport>,
}

/// Starts a compression; also answers `POST /compress`.
pub(super) async fn start(
    State(service): State<Service>,
    Body(body): Body<CompressBody>,
) -> Result<impl IntoResponse, HttpError> {
    let run_id = service.start_compression(body.into_request()?).await?;
    let state = format!("{PATH}/{run_id}");
    let started = Started {
        run_id,
        variant: service.compression(run_id).await?.summary.variant,
        events: format!("{state}/events"),
        state: state.clone(),
    };
    let location = [(header::LOCATION, state)];
    Ok((StatusCode::CREATED, location, Json(started)))
}

async fn preview(
    State(service): State<Service>,
    Body(body): Body<CompressBody>,
) -> Result<Json<CompressionPreview>, HttpError> {
    let request = body.into_request()?;
    Ok(Json(service.preview_compression(request).await?))
}

async fn list(State(service): State<Service>) -> Result<Json<Vec<CompressionSummary>>, HttpError> {
    Ok(Json(service.compressions().await?))
}

async fn show(
    State(service): State<Service>,
    RunPath(run_id): RunPath,
) -> Result<Json<Detail>, HttpError> {
    Ok(Json(Detail {
        view: service.compression(run_id).await?,
        layers: service.compression_layers(run_id).await?,
    }))
}

async fn cancel(
    State(service): State<Service>,
    RunPath(run_id): RunPath,
) -> Result<Json<CompressionSummary>, HttpError> {
    // Refuses runs of the other kind.
    service.compression(run_id).await?;
    service.cancel_run(run_id).await?;
    Ok(Json(service.compression(run_id).await?.summary))
}

async fn resume(
    State(service): State<Service>,
    RunPath(run_id): RunPath,
) -> Result<Json<CompressionSummary>, HttpError> {
    service.compression(run_id).await?;
    service.resume_run(run_id).await?;
    Ok(Json(service.compression(run_id).await?.summary))
}
