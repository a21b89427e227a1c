//! What pages under `/runs/:id` and `/compress/:id` show: that of the number in their address.

use crate::api::{ApiError, get_run};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;
use serde::{Serialize, de::DeserializeOwned};
use trimtab_domain::{Failure, RunDetail, RunId};

/// What `get` brings for the number in the address; `missing` where there is no number.
pub(super) fn of_address<T, Fut>(
    get: fn(RunId) -> Fut,
    missing: fn() -> Failure,
) -> Resource<Result<T, ApiError>>
where
    T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    Fut: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    let params = use_params_map();
    let run_id = Memo::new(move |_| {
        params.with(|params| params.get("id").and_then(|id| id.parse().ok()).map(RunId))
    });
    Resource::new(
        move || run_id.get(),
        move |run_id| async move {
            match run_id {
                Some(run_id) => get(run_id).await,
                None => Err(missing().into()),
            }
        },
    )
}

/// The run of the address.
pub(super) fn run_of_address() -> Resource<Result<RunDetail, ApiError>> {
    of_address(get_run, || {
        Failure::bad_input("the address names no run")
            .with_hint("runs are numbered: choose one from the list of runs")
    })
}
