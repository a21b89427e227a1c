//! One run, live: progress, results as they land, log, cancel and resume.

use super::{
    answers::Answers, run_cards::CardSection, run_jobs::JobList, run_of_address::run_of_address,
    run_results::ResultTable, run_speed::SpeedSection, suite_scores::SuiteScores,
};
use crate::{
    api::{ApiError, get_run},
    components::{ErrorNotice, FailureNotice, ProgressBar, RunActions, StateBadge, Term, loaded},
    format,
    glossary::Word,
    live::{LiveState, Refresh, watch_run},
};
use leptos::{prelude::*, task::spawn_local};
use leptos_meta::Title;
use std::collections::HashMap;
use trimtab_domain::{
    CompletionScore, JobEvent, JobId, Manifest, Pace, RunDetail, RunEvent, RunId, RunKind,
    Timestamp,
};

/// How far a job's stage is, as its worker last said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stage {
    pub(super) words: String,
    pub(super) n_done: u64,
    pub(super) n_total: u64,
    pub(super) pace: Pace,
}

/// What the page knows of a run, fed by the server and by live events.
#[derive(Clone, Copy)]
pub(super) struct RunState {
    pub(super) detail: RwSignal<RunDetail>,
    pub(super) stages: RwSignal<HashMap<JobId, Stage>>,
    /// Answers in the order in which they landed while the page was open.
    pub(super) landed: RwSignal<Vec<CompletionScore>>,
    pace: RwSignal<Option<Pace>>,
    /// Why the newest look at the server failed, if it did.
    trouble: RwSignal<Option<ApiError>>,
}

impl RunState {
    fn new(detail: RunDetail) -> Self {
        Self {
            detail: RwSignal::new(detail),
            stages: RwSignal::new(HashMap::new()),
            landed: RwSignal::new(Vec::new()),
            pace: RwSignal::new(None),
            trouble: RwSignal::new(None),
        }
    }

    /// Takes in one event; `true` if the server knows more than the event says.
    fn take(self, event: RunEvent) -> bool {
        let RunEvent::Job {
            job_id, at, event, ..
        } = event
        else {
            return true;
        };
        match event {
            JobEvent::Progress {
                stage,
                n_done,
                n_total,
            } => {
                self.stages
                    .update(|stages| note_stage(stages, job_id, (stage, n_done, n_total), at));
                false
            }
            JobEvent::ProblemScored { score } => {
                self.landed.update(|landed| landed.push(*score));
                self.note_pace(at);
                true
            }
            _ => true,
        }
    }

    fn note_pace(self, at: Timestamp) {
        let n_landed = self.landed.with_untracked(Vec::len) as u64;
        self.pace.update(|pace| {
            *pace = Some(pace.map_or(Pace::starting(at, n_landed), |pace| pace.seen(at, n_landed)));
        });
    }

    /// `about 6 min left`, once answers have landed while the page was open.
    fn remaining_text(self) -> Option<String> {
        let n_landed = self.landed.with(Vec::len) as u64;
        let n_missing = self.detail.with(|detail| {
            u64::from(
                detail
                    .summary
                    .n_problems
                    .saturating_sub(detail.summary.n_scored),
            )
        });
        let is_final = self.detail.with(|detail| detail.summary.state.is_final());
        self.pace
            .get()
            .filter(|_| !is_final)?
            .remaining_text(n_landed + n_missing)
    }
}

fn note_stage(
    stages: &mut HashMap<JobId, Stage>,
    job_id: JobId,
    (stage, n_done, n_total): (String, u64, u64),
    at: Timestamp,
) {
    let known = stages.get(&job_id).filter(|known| known.words == stage);
    let pace = known.map_or(Pace::starting(at, n_done), |known| {
        known.pace.seen(at, n_done)
    });
    stages.insert(
        job_id,
        Stage {
            words: stage,
            n_done,
            n_total,
            pace,
        },
    );
}

/// The page of one run.
#[component]
pub(crate) fn Run() -> impl IntoView {
    let detail = run_of_address();
    view! {
        <Title text="Run"/>
        {loaded(detail, |detail: RunDetail| view! { <RunBody detail/> })}
    }
    .into_any()
}

#[component]
fn RunBody(detail: RunDetail) -> impl IntoView {
    let (run_id, kind) = (detail.summary.run_id, detail.summary.kind);
    let title = format!("Run {run_id}: {}", detail.summary.title);
    let manifest = detail.manifest.clone();
    let state = RunState::new(detail);
    let live = RwSignal::new(LiveState::Idle);
    let refresh = follow(run_id, state, live);
    let run_state = Signal::derive(move || state.detail.with(|detail| detail.summary.state));
    view! {
        <Title text=title.clone()/>
        <div class="title-line">
            <h1>{title}</h1>
            <StateBadge state=run_state/>
        </div>
        {(kind == RunKind::Compression).then(|| view! {
            <p class="notice info">
                "This run makes a variant and evaluates nothing: "
                <a href=format!("/compress/{run_id}")>"see what it does layer by layer"</a> "."
            </p>
        })}
        <RunHead state live/>
        <RunActions run_id state=run_state on_done=Callback::new(move |()| refresh.wish())/>
        <section aria-labelledby="jobs">
            <h2 id="jobs"><Term word=Word::Job label="Jobs"/></h2>
            <JobList state/>
        </section>
        <section aria-labelledby="results">
            <h2 id="results">"Results so far"</h2>
            <ResultTable state/>
            <p class="fine">
                "TTFT and TPOT are those of the run's answers, of which up to 16 are written side by side; "
                "prefill and decode speed are of one sequence alone."
            </p>
            <SuiteScores state/>
            <p><a class="button" href=format!("/tradeoffs?run={run_id}")>"Compare the variants"</a></p>
        </section>
        <SpeedSection state/>
        <CardSection state/>
        <section aria-labelledby="log">
            <h2 id="log">"Log"</h2>
            <RunLog state/>
        </section>
        <Answers run_id state/>
        <Reproductions state/>
        {manifest.map(|manifest| view! { <ManifestDetails manifest/> })}
    }
    .into_any()
}

/// Follows the run's events while it is not over, and looks at the server at most once a second.
fn follow(run_id: RunId, state: RunState, live: RwSignal<LiveState>) -> Refresh {
    let refresh = Refresh::new(move || {
        spawn_local(async move {
            match get_run(run_id).await {
                Ok(detail) => {
                    state.detail.try_set(detail);
                    state.trouble.try_set(None);
                }
                Err(error) => {
                    state.trouble.try_set(Some(error));
                }
            }
        });
    });
    let is_over = Memo::new(move |_| state.detail.with(|detail| detail.summary.state.is_final()));
    Effect::new(move || {
        if is_over.get() {
            return;
        }
        let on_event = move |event| {
            if state.take(event) {
                refresh.wish();
            }
        };
        watch_run(run_id, live, on_event, move || refresh.wish());
    });
    refresh
}

#[component]
fn RunHead(state: RunState, live: RwSignal<LiveState>) -> impl IntoView {
    let RunState { detail, .. } = state;
    let times = move || {
        detail.with(|detail| {
            let summary = &detail.summary;
            let took = format::elapsed(Some(summary.created_at), summary.finished_at);
            let took = took.map_or_else(String::new, |took| format!(", took {took}"));
            format!("Created {}{took}.", summary.created_at.to_utc_text())
        })
    };
    let settings = detail.with_untracked(|detail| {
        let spec = &detail.spec;
        let limit = spec
            .limit
            .map_or_else(String::new, |n| format!(", first {n} problems of each"));
        format!(
            "Suite {}{limit}; baseline {}; {}.",
            spec.suites.join(", "),
            spec.baseline,
            spec.settings_in_words()
        )
    });
    let failure = move || {
        detail.with(|detail| {
            let summary = &detail.summary;
            summary
                .error
                .clone()
                .map(|message| (message, summary.hint.clone()))
        })
    };
    let connection = move || match live.get() {
        LiveState::Idle => None,
        LiveState::Live => Some("Live: results appear as they land."),
        LiveState::Broken => Some("The live connection broke; trying again."),
    };
    view! {
        <p class="fine">{times} " " {settings}</p>
        {move || failure().map(|(message, hint)| view! { <FailureNotice message hint/> })}
        {move || state.trouble.get().map(|error| view! { <ErrorNotice error/> })}
        <ProgressBar
            label="Answers graded, over all variants"
            n_done=Signal::derive(move || detail.with(|d| u64::from(d.summary.n_scored)))
            n_total=Signal::derive(move || detail.with(|d| u64::from(d.summary.n_problems)))
            note=Signal::derive(move || {
                let graded = "answers graded".to_owned();
                Some(state.remaining_text().map_or(graded.clone(), |left| format!("{graded} · {left}")))
            })
        />
        <p class="live-state fine" role="status">{connection}</p>
    }
    .into_any()
}

#[component]
fn RunLog(state: RunState) -> impl IntoView {
    let lines = move || {
        state.detail.with(|detail| {
            let line = |(at, text): &(Timestamp, String)| format!("{}  {text}", at.to_utc_text());
            detail.log.iter().map(line).collect::<Vec<_>>().join("\n")
        })
    };
    let is_empty = move || state.detail.with(|detail| detail.log.is_empty());
    view! {
        <Show
            when=move || !is_empty()
            fallback=|| view! { <p class="fine">"Nothing has been logged yet."</p> }
        >
            <pre class="log" tabindex="0" role="region" aria-label="Log lines, oldest first">{lines}</pre>
        </Show>
    }
    .into_any()
}

/// What became of doing the run again.
#[component]
fn Reproductions(state: RunState) -> impl IntoView {
    let stamps = Memo::new(move |_| state.detail.with(|detail| detail.reproductions.clone()));
    move || {
        let stamps = stamps.get();
        let items = stamps.iter().map(|stamp| {
            let (class, sign) = match stamp.is_reproduced {
                true => ("badge outcome-passed", "✓"),
                false => ("badge outcome-other", "≠"),
            };
            let word = if stamp.is_reproduced { "reproduced" } else { "differs" };
            let href = format!("/runs/{}", stamp.by);
            let circumstances = (!stamp.circumstances.is_empty())
                .then(|| format!("Not as it was: {}.", stamp.circumstances.join("; ")));
            view! {
                <li>
                    <span class=class><span class="sign" aria-hidden="true">{sign}</span> {word}</span>
                    " " {stamp.sentence()} " "
                    <a href=href>{format!("Run {}, {}", stamp.by, stamp.at.to_utc_text())}</a>
                    {circumstances.map(|words| view! { <p class="fine">{words}</p> })}
                </li>
            }
        });
        let items = items.collect_view();
        (!stamps.is_empty()).then(|| {
            view! {
                <section aria-labelledby="again">
                    <h2 id="again">"Done again"</h2>
                    <ul>{items}</ul>
                </section>
            }
        })
    }
}

#[component]
fn ManifestDetails(manifest: Manifest) -> impl IntoView {
    let text = serde_json::to_string_pretty(&manifest)
        .unwrap_or_else(|error| format!("the manifest cannot be shown: {error}"));
    let machine = &manifest.hardware;
    let summary = format!(
        "{} with {} threads ({}), {}",
        machine.cpu, machine.n_threads, machine.simd, machine.os
    );
    view! {
        <section aria-labelledby="manifest">
            <h2 id="manifest"><Term word=Word::Manifest/></h2>
            <p class="fine">"Measured on " {summary} "."</p>
            <details>
                <summary>"Show the whole manifest"</summary>
                <pre class="log" tabindex="0" role="region" aria-label="Manifest as JSON">{text}</pre>
            </details>
        </section>
    }
    .into_any()
}
