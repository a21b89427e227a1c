//! The first page: what this is, the latest trade-off, what is going on.

use crate::{
    api::{ApiError, get_run, overview},
    components::{
        EmptyNotice, ErrorNotice, ProgressBar, QuickstartButton, StateBadge, VerdictCard, loaded,
    },
    live::{LiveState, Refresh, watch_run},
};
use leptos::{prelude::*, task::spawn_local};
use leptos_meta::Title;
use trimtab_domain::{OverviewView, RunEvent, RunSummary, TradeoffView};

/// The first page.
#[component]
pub(crate) fn Overview() -> impl IntoView {
    let view = Resource::new(|| (), |()| overview());
    let look_again = Callback::new(move |()| view.refetch());
    view! {
        <Title text=""/>
        <h1>"Which compressed model may I use?"</h1>
        <p class="lead">
            "Trimtab compresses a language model in several ways, lets each variant solve programming problems, and runs the answers to see whether they work. "
            "It then says, with statistics, what each variant loses and gains against the base model."
        </p>
        {loaded(view, move |view: OverviewView| view! { <OverviewBody view look_again/> })}
    }
    .into_any()
}

#[component]
fn OverviewBody(view: OverviewView, look_again: Callback<()>) -> impl IntoView {
    let OverviewView {
        latest,
        advice,
        active,
        n_runs,
        n_variants,
        ..
    } = view;
    let is_idle = active.is_none();
    let active = active.map(|run| view! { <ActiveRun run look_again/> });
    let advice = advice.map(|advice| {
        view! {
            <section class="advice" aria-labelledby="advice">
                <h2 id="advice">"What this means for you"</h2>
                <p>{advice}</p>
            </section>
        }
    });
    let latest = match latest {
        Some(latest) => view! { <Latest latest/> }.into_any(),
        None if is_idle => view! { <FirstSteps n_runs/> }.into_any(),
        None => ().into_any(),
    };
    view! {
        {active}
        {advice}
        {latest}
        <p class="fine">
            "In the store: " <a href="/runs">{n_runs} " runs"</a> ", "
            <a href="/models">{n_variants} " variants"</a> "."
        </p>
    }
    .into_any()
}

#[component]
fn FirstSteps(n_runs: u32) -> impl IntoView {
    let title = if n_runs == 0 {
        "Nothing has been measured yet"
    } else {
        "No run has results yet"
    };
    view! {
        <EmptyNotice title>
            <p>
                "The quickstart fetches a small code model once (491 MB), makes an 8-bit and a 4-bit variant of it, "
                "lets all three solve the same programming problems, and compares them. "
                "It takes some ten minutes on two cores; results appear as they land."
            </p>
            <QuickstartButton label="Start the quickstart"/>
        </EmptyNotice>
    }
    .into_any()
}

#[component]
fn Latest(latest: TradeoffView) -> impl IntoView {
    let TradeoffView {
        run_id,
        title,
        created_at,
        is_complete,
        baseline,
        comparisons,
        ..
    } = latest;
    let state = if is_complete {
        ""
    } else {
        ", not complete yet"
    };
    let cards = comparisons
        .into_iter()
        .map(|comparison| view! { <VerdictCard comparison baseline=baseline.clone()/> });
    view! {
        <section aria-labelledby="latest">
            <h2 id="latest">"Latest trade-off"</h2>
            <p class="fine">
                <a href=format!("/runs/{run_id}")>"Run " {run_id.to_string()} " · " {title}</a> ", "
                {created_at.to_utc_text()} {state}
            </p>
            <div class="cards">{cards.collect_view()}</div>
            <p>
                <a class="button" href=format!("/tradeoffs?run={run_id}")>"All numbers and the chart"</a>
            </p>
        </section>
    }
    .into_any()
}

/// The run that is going on; follows its events and looks again when it ends.
#[component]
fn ActiveRun(run: RunSummary, look_again: Callback<()>) -> impl IntoView {
    let run_id = run.run_id;
    let title = run.title.clone();
    let summary = RwSignal::new(run);
    let live = RwSignal::new(LiveState::Idle);
    let trouble = RwSignal::new(None::<ApiError>);
    let refresh = Refresh::new(move || {
        spawn_local(async move {
            let detail = match get_run(run_id).await {
                Ok(detail) => detail,
                Err(error) => {
                    trouble.try_set(Some(error));
                    return;
                }
            };
            trouble.try_set(None);
            let has_ended = detail.summary.state.is_final();
            summary.try_set(detail.summary);
            if has_ended {
                look_again.try_run(());
            }
        });
    });
    Effect::new(move || {
        watch_run(
            run_id,
            live,
            move |_: RunEvent| refresh.wish(),
            move || refresh.wish(),
        );
    });
    view! {
        <section class="card active-run" aria-labelledby="active">
            <div class="title-line">
                <h2 id="active">"Going on: " <a href=format!("/runs/{run_id}")>{title}</a></h2>
                <StateBadge state=Signal::derive(move || summary.with(|run| run.state))/>
            </div>
            {move || trouble.get().map(|error| view! { <ErrorNotice error/> })}
            <ProgressBar
                label="Answers graded"
                n_done=Signal::derive(move || summary.with(|run| u64::from(run.n_scored)))
                n_total=Signal::derive(move || summary.with(|run| u64::from(run.n_problems)))
                note=Signal::derive(|| Some("answers graded".to_owned()))
            />
        </section>
    }
    .into_any()
}
