//! The jobs of a run: state, stage, progress, remaining time, failure.

use super::run::{RunState, Stage};
use crate::{
    components::{FailureNotice, ProgressBar, StateBadge},
    format,
};
use leptos::prelude::*;
use trimtab_domain::{JobId, JobState, JobSummary};

/// All jobs in the order in which they run.
#[component]
pub(super) fn JobList(state: RunState) -> impl IntoView {
    let ids = Memo::new(move |_| {
        state
            .detail
            .with(|detail| detail.jobs.iter().map(|job| job.job_id).collect::<Vec<_>>())
    });
    view! {
        <ol class="job-list">
            <For each=move || ids.get() key=|id| *id children=move |id| view! { <JobItem id state/> }/>
        </ol>
        <Show when=move || ids.with(Vec::is_empty)>
            <p class="fine">"No jobs: everything this run needs was there already."</p>
        </Show>
    }
    .into_any()
}

#[component]
fn JobItem(id: JobId, state: RunState) -> impl IntoView {
    let job = Memo::new(move |_| {
        state
            .detail
            .with(|detail| detail.jobs.iter().find(|job| job.job_id == id).cloned())
    });
    let job_state = Signal::derive(move || job.get().map_or(JobState::Queued, |job| job.state));
    let stage = Memo::new(move |_| {
        let is_running = job_state.get() == JobState::Running;
        state
            .stages
            .with(|stages| stages.get(&id).cloned())
            .filter(|_| is_running)
    });
    let failure = move || job.get().and_then(|job| Some((job.error?, job.hint)));
    view! {
        <li class="job">
            <div class="job-line">
                <span class="job-title">{move || job.get().map(|job| job.spec.title())}</span>
                <StateBadge state=job_state/>
                <span class="fine">{move || job.get().map(|job| job_note(&job))}</span>
            </div>
            <Show when=move || stage.with(Option::is_some)>
                <StageProgress stage/>
            </Show>
            {move || failure().map(|(message, hint)| view! { <FailureNotice message hint/> })}
        </li>
    }
    .into_any()
}

#[component]
fn StageProgress(stage: Memo<Option<Stage>>) -> impl IntoView {
    let number = move |part: fn(&Stage) -> u64| stage.with(|stage| stage.as_ref().map_or(0, part));
    let words = move || {
        stage.with(|stage| {
            let stage = stage.as_ref()?;
            let left = stage.pace.remaining_text(stage.n_total);
            Some(left.map_or_else(
                || stage.words.clone(),
                |left| format!("{} · {left}", stage.words),
            ))
        })
    };
    let label = move || stage.with(|s| s.as_ref().map_or_else(String::new, |s| s.words.clone()));
    view! {
        <ProgressBar
            label=Signal::derive(label)
            n_done=Signal::derive(move || number(|stage| stage.n_done))
            n_total=Signal::derive(move || number(|stage| stage.n_total))
            note=Signal::derive(words)
        />
    }
    .into_any()
}

/// Attempts and duration, where there is something to say.
fn job_note(job: &JobSummary) -> String {
    let took = format::elapsed(job.started_at, job.finished_at).map(|took| format!("took {took}"));
    let attempts = (job.n_attempts > 1).then(|| format!("{} attempts", job.n_attempts));
    took.into_iter()
        .chain(attempts)
        .collect::<Vec<_>>()
        .join(" · ")
}
