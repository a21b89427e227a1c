//! `/api/models`: the catalog, what was imported, and all variants.

use super::error::HttpError;
use axum::{Json, extract::State};
use trimtab_domain::ModelView;
use trimtab_service::Service;

/// All models with their variants.
pub(super) async fn list(
    State(service): State<Service>,
) -> Result<Json<Vec<ModelView>>, HttpError> {
    Ok(Json(service.models().await?))
}
