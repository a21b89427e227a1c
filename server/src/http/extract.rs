//! Parts of a request, parsed; what does not parse is answered as every other failure is.

use super::error::Refusal;
use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;
use trimtab_domain::{Failure, RunId};

/// The run whose number stands in the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunPath(pub(super) RunId);

impl<S: Send + Sync> FromRequestParts<S> for RunPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let parsed = Path::<RunId>::from_request_parts(parts, state).await;
        parsed
            .map(|Path(run_id)| Self(run_id))
            .map_err(|_| Refusal {
                status: StatusCode::NOT_FOUND,
                failure: Failure::not_found(format!("`{}` names no run", parts.uri.path()))
                    .with_hint("runs have numbers; `/api/runs` lists them"),
            })
    }
}

/// The parameters after the question mark.
#[derive(Clone, Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let parsed = Query::<T>::from_request_parts(parts, state).await;
        parsed
            .map(|Query(parameters)| Self(parameters))
            .map_err(|rejection| Refusal {
                status: StatusCode::BAD_REQUEST,
                failure: Failure::bad_input(one_line(&rejection.body_text())),
            })
    }
}

/// A JSON body.
#[derive(Clone, Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let parsed = axum::Json::<T>::from_request(request, state).await;
        parsed
            .map(|axum::Json(body)| Self(body))
            .map_err(refuse_body)
    }
}

fn refuse_body(rejection: JsonRejection) -> Refusal {
    let failure = Failure::bad_input(one_line(&rejection.body_text()));
    match rejection {
        JsonRejection::MissingJsonContentType(_) => Refusal {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            failure: failure
                .with_hint("send JSON with the header `content-type: application/json`"),
        },
        other => Refusal {
            // A body that is JSON but not what was asked for is wrong input as well.
            status: match other.status() {
                StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                status => status,
            },
            failure,
        },
    }
}

/// The message as our errors are written: one line, lower-case at the start, no full stop.
fn one_line(message: &str) -> String {
    let line = message
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    let mut letters = line.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}
