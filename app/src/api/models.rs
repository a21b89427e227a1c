//! Models and their variants.

use super::ApiError;
use leptos::prelude::*;
use trimtab_domain::{CapacityView, ModelView};

/// The catalog and everything imported, with all variants.
#[server(prefix = "/rpc", endpoint = "list_models")]
pub async fn list_models() -> Result<Vec<ModelView>, ApiError> {
    super::service()?.models().await.map_err(super::failed)
}

/// What each model needs in memory, and whether that fits this machine.
#[server(prefix = "/rpc", endpoint = "list_capacities")]
pub async fn list_capacities() -> Result<Vec<CapacityView>, ApiError> {
    super::service()?.capacities().await.map_err(super::failed)
}
