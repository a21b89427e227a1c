//! What a resource brings, or its failure in words; never nothing.

use super::ErrorNotice;
use crate::api::ApiError;
use leptos::prelude::*;

/// Shows the value of `resource` through `show`; while a new one loads, the old one stays.
pub(crate) fn loaded<T, V>(
    resource: Resource<Result<T, ApiError>>,
    show: impl Fn(T) -> V + Clone + Send + Sync + 'static,
) -> impl IntoView
where
    T: Clone + Send + Sync + 'static,
    V: IntoView + 'static,
{
    view! {
        <Transition fallback=|| view! { <p class="loading">"Loading…"</p> }>
            {move || {
                let show = show.clone();
                Suspend::new(async move {
                    match resource.await {
                        Ok(value) => show(value).into_any(),
                        Err(error) => view! { <ErrorNotice error/> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
}
