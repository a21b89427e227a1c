//! How a failure reaches a page: whole, with its hint, also when the server is out of reach.

use leptos::server_fn::{
    codec::JsonEncoding,
    error::{FromServerFnError, ServerFnErrorErr},
};
use serde::{Deserialize, Serialize};
use trimtab_domain::{Failure, FailureKind};

/// A failure of a server function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(transparent)]
#[error("{0}")]
pub struct ApiError(pub Failure);

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl FromServerFnError for ApiError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        let failure = match error {
            ServerFnErrorErr::Request(reason) => {
                Failure::failed(format!("the server did not answer: {reason}"))
                    .with_hint("check that `trimtab serve` is running, then reload the page")
            }
            ServerFnErrorErr::Deserialization(reason) => Failure::new(
                FailureKind::Bug,
                format!("the server's answer is not understood: {reason}"),
            )
            .with_hint("reload the page; it may be older than the server"),
            ServerFnErrorErr::Args(reason) | ServerFnErrorErr::MissingArg(reason) => {
                Failure::bad_input(format!("the request is not understood: {reason}"))
            }
            other => Failure::new(FailureKind::Bug, other),
        };
        Self(failure)
    }
}

/// The service of this request.
#[cfg(feature = "ssr")]
pub(crate) fn service() -> Result<trimtab_service::Service, ApiError> {
    leptos::prelude::use_context().ok_or_else(|| {
        ApiError(Failure::new(
            FailureKind::Bug,
            "the request carries no service",
        ))
    })
}

/// Passes a failure on; a page that cannot be rendered for it answers with the fitting status.
///
/// Only `GET` requests, that is pages: the status of a form post belongs to its redirect.
#[cfg(feature = "ssr")]
pub(crate) fn failed(failure: Failure) -> ApiError {
    use http::{Method, StatusCode, request::Parts};
    use leptos::prelude::use_context;
    let is_page = use_context::<Parts>().is_some_and(|parts| parts.method == Method::GET);
    if let (true, Some(response)) = (is_page, use_context::<leptos_axum::ResponseOptions>()) {
        response.set_status(match failure.kind {
            FailureKind::BadInput => StatusCode::BAD_REQUEST,
            FailureKind::NotFound => StatusCode::NOT_FOUND,
            FailureKind::Conflict => StatusCode::CONFLICT,
            FailureKind::Failed | FailureKind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        });
    }
    ApiError(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_crosses_the_wire_with_its_hint() {
        let failure = Failure::not_found("run `9` does not exist").with_hint("see `/runs`");
        let sent = serde_json::to_string(&ApiError(failure.clone())).unwrap();
        assert_eq!(serde_json::from_str::<ApiError>(&sent).unwrap().0, failure);
    }

    #[test]
    fn a_server_out_of_reach_says_what_to_check() {
        let error = ApiError::from_server_fn_error(ServerFnErrorErr::Request("refused".into()));
        assert!(error.0.message.contains("refused"));
        assert!(
            error
                .0
                .hint
                .is_some_and(|hint| hint.contains("trimtab serve"))
        );
    }
}
