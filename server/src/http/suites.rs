//! `/api/suites`: the problems that variants are evaluated on.

use super::error::HttpError;
use axum::{Json, extract::State};
use trimtab_domain::SuiteView;
use trimtab_service::Service;

/// All suites.
pub(super) async fn list(
    State(service): State<Service>,
) -> Result<Json<Vec<SuiteView>>, HttpError> {
    Ok(Json(service.suites().await?))
}
