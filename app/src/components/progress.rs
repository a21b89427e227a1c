//! A progress bar with its numbers in words.

use leptos::prelude::*;

/// How far something is: `12 of 48`.
#[component]
pub(crate) fn ProgressBar(
    /// What is counted, for people who cannot see the bar.
    #[prop(into)]
    label: Signal<String>,
    /// Units done.
    #[prop(into)]
    n_done: Signal<u64>,
    /// Units in all; 0 while it is not known.
    #[prop(into)]
    n_total: Signal<u64>,
    /// What stands behind the numbers, for example the time that remains.
    #[prop(into)]
    note: Signal<Option<String>>,
) -> impl IntoView {
    let numbers = move || match (n_done.get(), n_total.get()) {
        (_, 0) => "not started".to_owned(),
        (n_done, n_total) => format!("{n_done} of {n_total}"),
    };
    view! {
        <div class="progress">
            <progress
                aria-label=move || label.get()
                value=move || n_done.get().to_string()
                max=move || n_total.get().max(1).to_string()
            ></progress>
            <span class="progress-text">
                {numbers} {move || note.get().map(|note| format!(" · {note}"))}
            </span>
        </div>
    }
    .into_any()
}
