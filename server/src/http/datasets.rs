//! `/api/datasets`: where suites come from, and where they stand.

use super::error::HttpError;
use axum::{Json, extract::State};
use trimtab_domain::DatasetView;
use trimtab_service::Service;

/// All data sets: those of the program, those in the data folder, then the rest of the catalog.
pub(super) async fn list(
    State(service): State<Service>,
) -> Result<Json<Vec<DatasetView>>, HttpError> {
    Ok(Json(service.datasets().await?))
}
