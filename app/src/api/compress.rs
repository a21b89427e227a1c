//! Compressions: foresee, start, list, look.

use super::ApiError;
use leptos::prelude::*;
use trimtab_domain::{CompressionPreview, CompressionSummary, CompressionView, ModelName, RunId};

/// What a recipe will make of a model, or what is wrong with it.
#[server(prefix = "/rpc", endpoint = "preview_compression")]
pub async fn preview_compression(
    model: ModelName,
    recipe: String,
    name: String,
) -> Result<CompressionPreview, ApiError> {
    let request = request(model, recipe, &name).map_err(super::failed)?;
    super::service()?
        .preview_compression(request)
        .await
        .map_err(super::failed)
}

/// Starts making a variant, by the preset or, for `own`, by the recipe, and leads to its page.
#[server(prefix = "/rpc", endpoint = "start_compression")]
pub async fn start_compression(
    model: ModelName,
    preset: String,
    recipe: String,
    name: String,
) -> Result<RunId, ApiError> {
    let recipe = if preset == "own" { recipe } else { preset };
    let request = request(model, recipe, &name).map_err(super::failed)?;
    let run_id = super::service()?
        .start_compression(request)
        .await
        .map_err(super::failed)?;
    leptos_axum::redirect(&format!("/compress/{run_id}"));
    Ok(run_id)
}

/// All compressions, newest first.
#[server(prefix = "/rpc", endpoint = "list_compressions")]
pub async fn list_compressions() -> Result<Vec<CompressionSummary>, ApiError> {
    super::service()?
        .compressions()
        .await
        .map_err(super::failed)
}

/// One compression with all that is known of it.
#[server(prefix = "/rpc", endpoint = "get_compression")]
pub async fn get_compression(run_id: RunId) -> Result<CompressionView, ApiError> {
    super::service()?
        .compression(run_id)
        .await
        .map_err(super::failed)
}

/// An empty name is none.
#[cfg(feature = "ssr")]
fn request(
    model: ModelName,
    recipe: String,
    name: &str,
) -> Result<trimtab_domain::CompressionRequest, trimtab_domain::Failure> {
    let name = match name.trim() {
        "" => None,
        name => Some(name.parse().map_err(trimtab_domain::Failure::bad_input)?),
    };
    Ok(trimtab_domain::CompressionRequest {
        model,
        recipe,
        name,
    })
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::*;

    #[test]
    fn an_empty_name_is_none_and_an_odd_one_is_refused() {
        let with = |name: &str| request("m".parse().unwrap(), "int8".into(), name);
        assert_eq!(with(" ").unwrap().name, None);
        assert_eq!(with("mine").unwrap().name, Some("mine".parse().unwrap()));
        assert!(with("../x").is_err());
    }
}
