//! The dashboard: pages rendered by Leptos, and the files that its pages load.

use super::AppState;
use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use leptos::prelude::{provide_context, use_context};
use leptos_axum::{LeptosRoutes, ResponseOptions, generate_route_list};
use tower_http::services::ServeDir;

/// Pages, server functions and static files. What is no page and no file is the page "not found".
pub(super) fn routes(state: &AppState) -> Router<AppState> {
    let context = page_context(state);
    let shell = {
        let options = state.leptos_options.clone();
        move || app::shell(options.clone())
    };
    let not_found = get(leptos_axum::render_app_async_with_context(
        context.clone(),
        shell.clone(),
    ));
    let files = ServeDir::new(&*state.leptos_options.site_root)
        .append_index_html_on_directories(false)
        .precompressed_br()
        .precompressed_gzip()
        .not_found_service(not_found.with_state(()));
    let files = Router::new()
        .fallback_service(files)
        .layer(middleware::from_fn(cache_files));
    Router::new()
        .leptos_routes_with_context(state, generate_route_list(app::App), context, shell)
        .fallback_service(files)
}

/// What pages and server functions find in their context, and the policy of the page.
fn page_context(state: &AppState) -> impl Fn() + Clone + Send + Sync + 'static {
    let service = state.service.clone();
    move || {
        provide_context(service.clone());
        let response = use_context::<ResponseOptions>();
        if let (Some(nonce), Some(response)) = (leptos::nonce::use_nonce(), response) {
            let policy = format!(
                "default-src 'self'; \
                 script-src 'nonce-{nonce}' 'strict-dynamic' 'wasm-unsafe-eval'; \
                 style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; connect-src 'self'; \
                 form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
            );
            let policy = HeaderValue::from_str(&policy).expect("a nonce is plain letters");
            response.insert_header(header::CONTENT_SECURITY_POLICY, policy);
        }
    }
}

/// Files keep their names from build to build: a browser keeps them but asks whether they changed.
async fn cache_files(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let status = response.status();
    let is_page = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !is_page && (status.is_success() || status.is_redirection()) {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    response
}
