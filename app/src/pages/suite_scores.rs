//! Scores of a run beyond pass@1: likeness to references, repairs, several answers to a problem, and
//! the problems that are left out. Each stands only where the run has it.

use super::run::RunState;
use crate::{
    components::{FigureCell, Term, VariantLabel},
    format::{self, Figure},
    glossary::Word,
};
use leptos::prelude::*;
use trimtab_domain::{ExcludedProblem, LikenessScore, RepairScore, VariantName, VariantResult};

/// Problems left out that are listed; the log has them all.
const N_LISTED: usize = 20;

/// All of them, in one section each.
#[component]
pub(super) fn SuiteScores(state: RunState) -> impl IntoView {
    let results = Memo::new(move |_| state.detail.with(|detail| detail.results.clone()));
    move || {
        let results = results.get();
        view! {
            <LikenessTable rows=likeness_rows(&results)/>
            <RepairTable results=results.clone()/>
            <PassAtKTable results=results.clone()/>
            <LeftOut results/>
        }
    }
}

type LikenessRow = (VariantName, LikenessScore);

fn likeness_rows(results: &[VariantResult]) -> Vec<LikenessRow> {
    let rows = results.iter().flat_map(|result| {
        let scores = result.likeness.iter().cloned();
        scores.map(|score| (result.variant.clone(), score))
    });
    rows.collect()
}

#[component]
fn LikenessTable(rows: Vec<LikenessRow>) -> impl IntoView {
    if rows.is_empty() {
        return ().into_any();
    }
    let mut notes: Vec<String> = Vec::new();
    for (variant, score) in &rows {
        notes.extend(
            score
                .notes
                .iter()
                .map(|note| format!("{variant}, {}: {note}", score.track)),
        );
    }
    let mut signatures: Vec<String> = rows
        .iter()
        .flat_map(|(_, s)| s.signatures.clone())
        .collect();
    signatures.sort();
    signatures.dedup();
    let body = rows.into_iter().map(|(variant, score)| {
        let figures = likeness_figures(&score).map(|figure| view! { <FigureCell figure/> });
        view! {
            <tr>
                <th scope="row"><VariantLabel name=variant/></th>
                <td>{score.suite} <span class="detail">{score.track}</span></td>
                {figures.into_iter().collect_view()}
            </tr>
        }
    });
    view! {
        <h3 id="likeness">"Answers beside their references"</h3>
        <div class="table-scroll" tabindex="0" role="region" aria-labelledby="likeness">
            <table class="wide">
                <thead>
                    <tr>
                        <th scope="col"><Term word=Word::Variant/></th>
                        <th scope="col">"Suite, track"</th>
                        <th scope="col"><Term word=Word::CodeBleu/></th>
                        <th scope="col"><Term word=Word::Bleu/></th>
                        <th scope="col"><Term word=Word::ExactMatch/></th>
                        <th scope="col"><Term word=Word::ExactMatch label="Same but for layout"/></th>
                        <th scope="col"><Term word=Word::EditSimilarity/></th>
                        <th scope="col"><Term word=Word::CompileRate/></th>
                    </tr>
                </thead>
                <tbody>{body.collect_view()}</tbody>
            </table>
        </div>
        {(!notes.is_empty()).then(|| view! {
            <details class="fine">
                <summary>{format!("What to know about these numbers ({})", notes.len())}</summary>
                <ul>{notes.into_iter().map(|note| view! { <li>{note}</li> }).collect_view()}</ul>
            </details>
        })}
        <details>
            <summary>"What these numbers are made with"</summary>
            <pre class="log" tabindex="0" role="region" aria-label="Signatures of the metrics">
                {signatures.join("\n")}
            </pre>
        </details>
    }
    .into_any()
}

fn likeness_figures(score: &LikenessScore) -> [Figure; 6] {
    let or_missing = |figure: Option<Figure>| figure.unwrap_or_else(Figure::missing);
    [
        or_missing(score.codebleu.map(format::score)),
        or_missing(score.bleu.map(format::score)),
        format::share(score.exact_match),
        or_missing(score.same_tree.map(format::share)),
        or_missing(score.edit_similarity.map(format::score)),
        or_missing(score.compile_rate.map(format::share)),
    ]
}

#[component]
fn RepairTable(results: Vec<VariantResult>) -> impl IntoView {
    let rows: Vec<(VariantName, RepairScore)> = results
        .into_iter()
        .filter_map(|result| Some((result.variant, result.repair?)))
        .collect();
    if rows.is_empty() {
        return ().into_any();
    }
    let body = rows.into_iter().map(|(variant, score)| {
        let regression = score.regression.map_or_else(Figure::missing, format::share);
        let mut correct = format::share(score.correct);
        if score.n_with_extended < score.correct.n {
            correct.detail.push_str(" · a lower bound");
        }
        view! {
            <tr>
                <th scope="row"><VariantLabel name=variant/></th>
                <FigureCell figure=format::share(score.plausible)/>
                <FigureCell figure=correct/>
                <FigureCell figure=regression/>
            </tr>
        }
    });
    view! {
        <h3 id="repairs"><Term word=Word::Repair label="Repairs"/></h3>
        <div class="table-scroll" tabindex="0" role="region" aria-labelledby="repairs">
            <table>
                <thead>
                    <tr>
                        <th scope="col"><Term word=Word::Variant/></th>
                        <th scope="col">"Plausible"</th>
                        <th scope="col">"Correct"</th>
                        <th scope="col">"Regression"</th>
                    </tr>
                </thead>
                <tbody>{body.collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

#[component]
fn PassAtKTable(results: Vec<VariantResult>) -> impl IntoView {
    let heads: Vec<u32> = results
        .iter()
        .map(|result| result.pass_at_k.iter().map(|at| at.k).collect::<Vec<_>>())
        .max_by_key(Vec::len)
        .unwrap_or_default();
    if heads.is_empty() {
        return ().into_any();
    }
    let body = results.into_iter().map(|result| {
        let cells = heads.iter().map(|k| {
            let at = result.pass_at_k.iter().find(|at| at.k == *k);
            let figure = at.map_or_else(Figure::missing, |at| format::share(at.estimate));
            view! { <FigureCell figure/> }
        });
        let cells = cells.collect_view();
        view! { <tr><th scope="row"><VariantLabel name=result.variant/></th>{cells}</tr> }
    });
    let body = body.collect_view();
    let heads = heads
        .into_iter()
        .map(|k| view! { <th scope="col">{format!("pass@{k}")}</th> });
    view! {
        <h3 id="pass-at-k"><Term word=Word::PassAtK/></h3>
        <div class="table-scroll" tabindex="0" role="region" aria-labelledby="pass-at-k">
            <table>
                <thead>
                    <tr><th scope="col"><Term word=Word::Variant/></th>{heads.collect_view()}</tr>
                </thead>
                <tbody>{body}</tbody>
            </table>
        </div>
    }
    .into_any()
}

#[component]
fn LeftOut(results: Vec<VariantResult>) -> impl IntoView {
    let mut problems: Vec<ExcludedProblem> = Vec::new();
    for problem in results.into_iter().flat_map(|result| result.excluded) {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    if problems.is_empty() {
        return ().into_any();
    }
    let n = problems.len();
    let title = match n {
        1 => "1 problem is left out".to_owned(),
        n => format!("{n} problems are left out"),
    };
    let more = n.saturating_sub(N_LISTED);
    let items = problems.into_iter().take(N_LISTED).map(|problem| {
        let ExcludedProblem {
            suite,
            problem_id,
            reason,
        } = problem;
        view! { <li><code>{problem_id}</code> " of " {suite} ": " {reason}</li> }
    });
    view! {
        <details class="notice info">
            <summary><Term word=Word::LeftOut label="Left out"/> ": " {title}</summary>
            <ul>
                {items.collect_view()}
                {(more > 0).then(|| view! { <li>{format!("and {more} more, which the log names")}</li> })}
            </ul>
        </details>
    }
    .into_any()
}
