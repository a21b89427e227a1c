//! What every request and answer passes: origin check, size limit, security headers.

use super::{AppState, error::Refusal};
use axum::{
    RequestExt, Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use trimtab_domain::Failure;

/// Largest body of a request; a list of variants and settings is far smaller.
pub(super) const MAX_BODY_BYTES: usize = 256 * 1024;

/// For answers that are no pages: nothing in them may load anything.
const STRICT_CSP: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'";

/// Refuses requests of other sites and bodies that are too large.
pub(super) fn protect(app: Router<AppState>) -> Router<AppState> {
    app.layer(middleware::from_fn(limit_body))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(refuse_other_sites))
}

/// Adds the headers that tell a browser what it must not do.
pub(super) async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut add = |name: HeaderName, value| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    // Pages bring their own policy, with the nonce of their scripts.
    add(header::CONTENT_SECURITY_POLICY, STRICT_CSP);
    add(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(header::X_FRAME_OPTIONS, "DENY");
    // Forms that work without scripts lead back to the page that the referrer names.
    add(header::REFERRER_POLICY, "same-origin");
    add(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    add(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    add(
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    );
    // What changes with every run must not be kept; static files name their own rule.
    add(header::CACHE_CONTROL, "no-store");
    response
}

/// A page of another site must not start or stop anything here in its visitor's name.
///
/// Browsers say where a request comes from; programs that are no browsers say nothing and pass.
async fn refuse_other_sites(request: Request, next: Next) -> Response {
    if request.method().is_safe() || is_same_site(request.headers()) {
        return next.run(request).await;
    }
    let failure = Failure::bad_input("the request comes from another site")
        .with_hint("open the dashboard under the address that it is served from");
    Refusal {
        status: StatusCode::FORBIDDEN,
        failure,
    }
    .into_response()
}

fn is_same_site(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == b"same-origin" || site == b"none";
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            // `Origin` is scheme://host[:port]; `null` has no host and never matches.
            let start = origin.windows(3).position(|three| three == b"://");
            start.is_some_and(|start| &origin[start + 3..] == host)
        }
        (Some(_), None) => false,
    }
}

async fn limit_body(request: Request, next: Next) -> Response {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        let failure = Failure::bad_input(format!("the body is larger than {MAX_BODY_BYTES} bytes"));
        return Refusal {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            failure,
        }
        .into_response();
    }
    // A body of unannounced length breaks off at the limit.
    next.run(request.with_limited_body()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &'static str)], is_same: bool) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        assert_eq!(is_same_site(&headers), is_same, "{headers:?}");
    }

    #[test]
    fn only_the_own_origin_may_change_things() {
        let host = ("host", "127.0.0.1:3000");
        check(&[host], true);
        check(&[host, ("origin", "http://127.0.0.1:3000")], true);
        check(&[host, ("origin", "http://127.0.0.1:3001")], false);
        check(&[host, ("origin", "http://evil.example")], false);
        check(&[host, ("origin", "null")], false);
        check(&[host, ("sec-fetch-site", "same-origin")], true);
        check(&[host, ("sec-fetch-site", "none")], true);
        check(&[host, ("sec-fetch-site", "same-site")], false);
        check(&[host, ("sec-fetch-site", "cross-site")], false);
        check(&[("origin", "http://127.0.0.1:3000")], false);
    }
}
