//! Models and their variants.

use super::ApiError;
use leptos::prelude::*;
use trimtab_domain::ModelView;

/// The catalog and everything imported, with all variants.
#[server(prefix = "/rpc", endpoint = "list_models")]
pub async fn list_models() -> Result<Vec<ModelView>, ApiError> {
    super::service()?.models().await.map_err(super::failed)
}
