//! The button that starts the quickstart experiment.

use super::ErrorNotice;
use crate::api::StartQuickstart;
use leptos::{form::ActionForm, prelude::*};

/// Starts the quickstart and leads to its run; a plain form where wasm is missing.
#[component]
pub(crate) fn QuickstartButton(
    /// What stands on the button.
    label: &'static str,
) -> impl IntoView {
    let start = ServerAction::<StartQuickstart>::new();
    let is_pending = start.pending();
    let error = move || start.value().get().and_then(Result::err);
    view! {
        <ActionForm action=start>
            <button type="submit" class="button primary" disabled=is_pending>
                {move || if is_pending.get() { "Starting…" } else { label }}
            </button>
        </ActionForm>
        {move || error().map(|error| view! { <ErrorNotice error/> })}
    }
}
