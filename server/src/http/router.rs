//! All routes, and the layers that every request passes.

use super::{
    compress, datasets,
    error::{HttpError, Refusal},
    health, models, pages, runs, security, suites, tradeoffs,
};
use crate::site::{OUTPUT_NAME, SiteDir};
use axum::{
    Router,
    extract::FromRef,
    middleware,
    routing::{get, post},
};
use leptos::config::{Env, LeptosOptions};
use tokio::sync::watch;
use tower_http::trace::TraceLayer;
use trimtab_domain::Failure;
use trimtab_service::Service;

/// What handlers share.
#[derive(Clone, Debug, FromRef)]
pub struct AppState {
    /// The use cases.
    pub service: Service,
    /// What the dashboard's shell has to know.
    pub leptos_options: LeptosOptions,
    /// Turns `true` when the server is about to end; streams end then.
    pub is_ending: watch::Receiver<bool>,
}

impl AppState {
    /// The state of a server that shows the pages of `site`.
    pub fn new(service: Service, site: &SiteDir, is_ending: watch::Receiver<bool>) -> Self {
        let leptos_options = LeptosOptions::builder()
            .output_name(OUTPUT_NAME)
            .site_root(site.path().to_string_lossy())
            .site_pkg_dir("pkg")
            .env(Env::PROD)
            .build();
        Self {
            service,
            leptos_options,
            is_ending,
        }
    }
}

/// The whole application.
pub fn router(state: AppState) -> Router {
    let api = Router::new()
        .nest("/runs", runs::routes())
        .nest("/v1/compress", compress::routes())
        .route("/models", get(models::list))
        .route("/suites", get(suites::list))
        .route("/datasets", get(datasets::list))
        .route("/tradeoffs", get(tradeoffs::show))
        .fallback(no_such_resource)
        .method_not_allowed_fallback(no_such_method);
    let app = Router::new()
        .route("/health", get(health::show))
        // The page of that address answers `GET`.
        .route("/compress", post(compress::start))
        .nest("/api", api)
        .merge(pages::routes(&state));
    security::protect(app)
        .layer(middleware::from_fn(security::add_headers))
        .layer(TraceLayer::new_for_http())
        .with_state(state)
}

async fn no_such_resource(uri: axum::http::Uri) -> HttpError {
    HttpError(
        Failure::not_found(format!("`{}` is not a resource of this API", uri.path())).with_hint(
            "resources are `/api/runs`, `/api/models`, `/api/suites`, `/api/datasets`, \
             `/api/tradeoffs`, `/api/v1/compress`",
        ),
    )
}

async fn no_such_method(method: axum::http::Method, uri: axum::http::Uri) -> Refusal {
    Refusal::method_not_allowed(&method, uri.path())
}
