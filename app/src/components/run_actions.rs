//! Stop a run, or do what is left of it.

use super::ErrorNotice;
use crate::api::{CancelRun, ResumeRun};
use leptos::{form::ActionForm, prelude::*};
use trimtab_domain::{JobState, RunId};

/// The buttons that fit the state of a run; plain forms where wasm is missing.
#[component]
pub(crate) fn RunActions(
    /// The run.
    run_id: RunId,
    /// Where it stands.
    #[prop(into)]
    state: Signal<JobState>,
    /// Called when the server has answered.
    on_done: Callback<()>,
) -> impl IntoView {
    let cancel = ServerAction::<CancelRun>::new();
    let resume = ServerAction::<ResumeRun>::new();
    Effect::new(move || {
        if cancel.version().get() + resume.version().get() > 0 {
            on_done.run(());
        }
    });
    let error = move || {
        let failed = |answer: Option<Result<(), _>>| answer.and_then(Result::err);
        failed(cancel.value().get()).or_else(|| failed(resume.value().get()))
    };
    let can_cancel = move || !state.get().is_final();
    let can_resume = move || matches!(state.get(), JobState::Failed | JobState::Cancelled);
    view! {
        <div class="actions">
            <Show when=can_cancel>
                <ActionForm action=cancel>
                    <input type="hidden" name="run_id" value=run_id.to_string()/>
                    <button type="submit" class="button danger" disabled=cancel.pending()>
                        "Cancel the run"
                    </button>
                </ActionForm>
            </Show>
            <Show when=can_resume>
                <ActionForm action=resume>
                    <input type="hidden" name="run_id" value=run_id.to_string()/>
                    <button type="submit" class="button primary" disabled=resume.pending()>
                        "Do what is left"
                    </button>
                </ActionForm>
            </Show>
        </div>
        {move || error().map(|error| view! { <ErrorNotice error/> })}
    }
    .into_any()
}
