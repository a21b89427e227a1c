//! The trade-offs page: verdicts in words first, then the table, then the chart.

use super::costs::Costs;
use crate::{
    api::{get_tradeoffs, list_runs},
    components::{
        EmptyNotice, QuickstartButton, Term, TradeoffChart, TradeoffTable, VerdictBadge, loaded,
    },
    format,
    glossary::Word,
};
use leptos::{ev, prelude::*};
use leptos_meta::Title;
use leptos_router::{
    NavigateOptions,
    hooks::{use_navigate, use_query_map},
};
use trimtab_domain::{
    Comparison, Finding, QualityMeasure, RunId, RunSummary, TradeoffView, VariantName,
};

/// The trade-offs of the run in the address, or of the newest.
#[component]
pub(crate) fn Tradeoffs() -> impl IntoView {
    let query = use_query_map();
    let wanted = Memo::new(move |_| {
        query.with(|query| query.get("run").and_then(|id| id.parse().ok()).map(RunId))
    });
    let tradeoffs = Resource::new(move || wanted.get(), get_tradeoffs);
    let runs = Resource::new(|| (), |()| list_runs());
    view! {
        <Title text="Trade-offs"/>
        <h1>"Trade-offs"</h1>
        {loaded(tradeoffs, move |view: Option<TradeoffView>| {
            let shown = view.as_ref().map(|view| view.run_id).or(wanted.get_untracked());
            view! {
                {loaded(runs, move |runs| view! { <RunSelect runs shown/> })}
                {match view {
                    Some(view) => view! { <TradeoffBody view/> }.into_any(),
                    None => view! { <NoTradeoffs/> }.into_any(),
                }}
            }
        })}
    }
    .into_any()
}

#[component]
fn NoTradeoffs() -> impl IntoView {
    view! {
        <EmptyNotice title="No results to compare yet">
            <p>
                "A trade-off appears as soon as a run has graded its first answers. "
                "Start the quickstart, or look at the " <a href="/runs">"runs"</a> " that are going on."
            </p>
            <QuickstartButton label="Start the quickstart"/>
        </EmptyNotice>
    }
    .into_any()
}

/// A form of its own: without wasm, the button beside the list sends it.
#[component]
fn RunSelect(runs: Vec<RunSummary>, shown: Option<RunId>) -> impl IntoView {
    let navigate = use_navigate();
    let choose = move |event: ev::Event| {
        let address = format!("/tradeoffs?run={}", event_target_value(&event));
        navigate(&address, NavigateOptions::default());
    };
    let has_choice = !runs.is_empty();
    let options = runs
        .into_iter()
        .map(|run| {
            let label = format!(
                "{} · {} · {}",
                run.run_id,
                run.title,
                run.created_at.to_utc_text()
            );
            view! {
                <option value=run.run_id.to_string() selected=shown == Some(run.run_id)>
                    {label}
                </option>
            }
        })
        .collect_view();
    has_choice.then(|| {
        view! {
            <form class="run-select" method="get" action="/tradeoffs">
                <label class="field">
                    <span>"Run"</span>
                    <select name="run" on:change=choose>{options}</select>
                </label>
                <noscript><button type="submit" class="button">"Show"</button></noscript>
            </form>
        }
    })
}

#[component]
fn TradeoffBody(view: TradeoffView) -> impl IntoView {
    let selected = RwSignal::new(None::<VariantName>);
    let run_id = view.run_id;
    let unfinished = (!view.is_complete).then(|| {
        view! {
            <p class="notice info">
                "This run is not complete: the numbers rest on what has been graded so far. "
                <a href=format!("/runs/{run_id}")>"Watch the run"</a>
            </p>
        }
    });
    let verdicts = view.comparisons.clone();
    let findings = view.findings.clone();
    let baseline = view.baseline.to_string();
    let criterion = verdicts.first().map(|c| format::criterion(c.criterion));
    let created_at = view.created_at.to_utc_text();
    let cards = view.results.iter();
    let mut cards = cards.filter_map(|result| result.performance.as_ref()?.card_use.as_deref());
    let has_energy = cards.any(|card| card.energy_j.is_some());
    let view = StoredValue::new(view);
    view! {
        {unfinished}
        <section aria-labelledby="verdicts">
            <h2 id="verdicts">"Verdicts"</h2>
            <p class="fine">
                <a href=format!("/runs/{run_id}")>"Run " {run_id.to_string()}</a> ", " {created_at}
                ", all against " <strong>{baseline}</strong> "."
                {criterion.map(|text| view! {
                    " " <Term word=Word::Criterion label="Criterion"/> ": a variant " {text} "."
                })}
            </p>
            <VerdictList verdicts run_id/>
            <p class="fine">
                "What a " <Term word=Word::Verdict label="verdict"/> " rests on stands below it, with its "
                <Term word=Word::Power label="power"/> "."
            </p>
            <FindingList findings/>
        </section>
        <section aria-labelledby="numbers">
            <h2 id="numbers">"Numbers"</h2>
            <p class="fine">
                "Each number stands with its " <Term word=Word::Interval label="interval and n"/>
                "; latencies with their " <Term word=Word::Quantile label="tails"/>
                ". On the " <Term word=Word::ParetoFrontier label="frontier"/>
                " is what no other variant beats on quality, size and decode speed together."
            </p>
            <TradeoffTable view selected/>
        </section>
        <section aria-labelledby="chart">
            <h2 id="chart">"Chart"</h2>
            <p class="fine" role="status" id="picked">
                {move || match selected.get() {
                    Some(variant) => format!("Selected: {variant}; its row is marked in the table."),
                    None => "Point at a variant to see its numbers; press it to mark its row.".to_owned(),
                }}
            </p>
            <TradeoffChart view selected/>
        </section>
        <Costs run_id has_energy/>
    }
    .into_any()
}

#[component]
fn VerdictList(verdicts: Vec<Comparison>, run_id: RunId) -> impl IntoView {
    if verdicts.is_empty() {
        return view! { <p>"There is nothing to compare the baseline with yet."</p> }.into_any();
    }
    let items = verdicts.into_iter().map(move |comparison| {
        let flips = format!("/runs/{run_id}/flips?variant={}", comparison.variant);
        let (n_lost, n_won) = (comparison.n_lost, comparison.n_won);
        let has_flips = comparison.measure != QualityMeasure::CodeBleu;
        let link = has_flips.then(|| {
            let words = format!("See the {n_lost} lost and {n_won} won answers");
            view! { <a class="fine" href=flips>{words}</a> }
        });
        view! {
            <li>
                <VerdictBadge verdict=comparison.verdict/>
                <span>
                    {comparison.sentence}
                    <span class="basis fine">{comparison.basis}</span>
                    {link}
                </span>
            </li>
        }
    });
    view! { <ul class="verdict-list">{items.collect_view()}</ul> }.into_any()
}

/// What a reader should know before believing the numbers.
#[component]
fn FindingList(findings: Vec<Finding>) -> impl IntoView {
    let has_findings = !findings.is_empty();
    let items = findings
        .into_iter()
        .map(|finding| view! { <li>{finding.words}</li> })
        .collect_view();
    has_findings.then(|| {
        view! {
            <aside class="notice info" aria-labelledby="findings">
                <p class="notice-title" id="findings">
                    <span class="sign" aria-hidden="true">"⚑ "</span>
                    "Before you believe these numbers"
                </p>
                <ul>{items}</ul>
            </aside>
        }
    })
}
