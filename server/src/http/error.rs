//! Failures as HTTP answers: a status and `{"error", "hint"}`.

use axum::{
    Json,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use trimtab_domain::{Failure, FailureKind};

/// A failure on its way to an HTTP client.
#[derive(Debug)]
pub(super) struct HttpError(pub(super) Failure);

/// A failure whose status says more than its kind.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) failure: Failure,
}

impl Refusal {
    /// The answer to a method that a resource does not know.
    pub(super) fn method_not_allowed(method: &Method, path: &str) -> Self {
        let failure = Failure::bad_input(format!("`{method}` is not a method of `{path}`"));
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            failure,
        }
    }
}

impl From<Failure> for HttpError {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let status = match self.0.kind {
            FailureKind::BadInput => StatusCode::BAD_REQUEST,
            FailureKind::NotFound => StatusCode::NOT_FOUND,
            FailureKind::Conflict => StatusCode::CONFLICT,
            FailureKind::Failed | FailureKind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal {
            status,
            failure: self.0,
        }
        .into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // What the client did wrong is its own to know; what failed here is ours.
        if self.status.is_server_error() {
            tracing::error!(status = self.status.as_u16(), "{}", self.failure);
        }
        (self.status, Json(self.failure.to_body())).into_response()
    }
}
