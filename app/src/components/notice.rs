//! What a page says when there is nothing to show, or when something failed.

use crate::api::ApiError;
use leptos::prelude::*;

/// A failure in words, with what the reader can do.
#[component]
pub(crate) fn ErrorNotice(
    /// The failure.
    error: ApiError,
) -> impl IntoView {
    view! { <FailureNotice message=error.0.message hint=error.0.hint/> }
}

/// A failure in words, as runs and jobs record it.
#[component]
pub(crate) fn FailureNotice(
    /// What failed.
    #[prop(into)]
    message: String,
    /// What the reader can do about it.
    hint: Option<String>,
) -> impl IntoView {
    let hint = hint.map(|hint| view! { <p class="hint"><strong>"What to do: "</strong>{hint}</p> });
    view! {
        <div class="notice error" role="alert">
            <p><strong>"Error: "</strong>{message}</p>
            {hint}
        </div>
    }
}

/// An empty place that says what belongs there and how it comes about.
#[component]
pub(crate) fn EmptyNotice(
    /// What is missing.
    title: &'static str,
    /// What to do.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="notice empty">
            <p class="notice-title">{title}</p>
            {children()}
        </div>
    }
}
