//! Badges for states and outcomes: a sign and a word, so that colour is never alone.

use leptos::prelude::*;
use trimtab_domain::{JobState, Verdict};

/// Where a run or job stands.
#[component]
pub(crate) fn StateBadge(
    /// The state.
    #[prop(into)]
    state: Signal<JobState>,
) -> impl IntoView {
    let sign = move || match state.get() {
        JobState::Queued => "…",
        JobState::Running => "▶",
        JobState::Done => "✓",
        JobState::Failed => "✕",
        JobState::Cancelled => "■",
    };
    view! {
        <span class=move || format!("badge state-{}", state.get().as_str())>
            <span class="sign" aria-hidden="true">{sign}</span>
            {move || state.get().as_str()}
        </span>
    }
}

/// How an answer's program ended.
#[component]
pub(crate) fn OutcomeBadge(
    /// The outcome.
    verdict: Verdict,
) -> impl IntoView {
    let (sign, word) = match verdict {
        Verdict::Passed => ("✓", "passed"),
        Verdict::Failed => ("✕", "failed"),
        Verdict::TimedOut => ("!", "ran too long"),
        Verdict::Crashed => ("!", "crashed"),
        Verdict::OutOfMemory => ("!", "out of memory"),
        Verdict::Refused => ("!", "was refused something"),
        Verdict::OutputFlood => ("!", "printed too much"),
        Verdict::NoProgram => ("–", "no program"),
        Verdict::Compared => ("≈", "compared"),
    };
    let class = match verdict {
        Verdict::Passed => "badge outcome-passed",
        Verdict::Compared => "badge",
        _ => "badge outcome-other",
    };
    view! {
        <span class=class>
            <span class="sign" aria-hidden="true">{sign}</span>
            {word}
        </span>
    }
}
