//! The graded answers of one variant, each with what the model wrote and what the tests said.

use super::run::RunState;
use crate::{
    api::get_scores,
    components::{OutcomeBadge, Term, loaded},
    glossary::Word,
};
use leptos::{ev, prelude::*};
use leptos_router::{
    NavigateOptions,
    hooks::{use_navigate, use_query_map},
};
use trimtab_domain::{
    AnswerDetail, CompletionScore, FinishReason, RunId, VariantName, Verdict, format_duration_ms,
};

/// Choose a variant, see its answers. The choice is part of the address.
#[component]
pub(super) fn Answers(run_id: RunId, state: RunState) -> impl IntoView {
    let query = use_query_map();
    let first = state
        .detail
        .with_untracked(|detail| detail.summary.variants.first().cloned());
    let chosen = Memo::new(move |_| {
        let named = query.with(|query| query.get("answers").and_then(|name| name.parse().ok()));
        named.or_else(|| first.clone())
    });
    let scores = Resource::new(
        move || chosen.get(),
        move |chosen: Option<VariantName>| async move {
            match chosen {
                Some(variant) => get_scores(run_id, variant).await,
                None => Ok(Vec::new()),
            }
        },
    );
    view! {
        <section aria-labelledby="answers">
            <h2 id="answers"><Term word=Word::Completion label="Answers"/></h2>
            <VariantSelect run_id state chosen/>
            {loaded(scores, move |scores: Vec<CompletionScore>| {
                view! { <AnswerList scores variant=chosen.get_untracked() state/> }
            })}
        </section>
    }
    .into_any()
}

/// A form of its own: without wasm, the button beside the list sends it.
#[component]
fn VariantSelect(
    run_id: RunId,
    state: RunState,
    chosen: Memo<Option<VariantName>>,
) -> impl IntoView {
    let navigate = use_navigate();
    let choose = move |event: ev::Event| {
        let address = format!("/runs/{run_id}?answers={}", event_target_value(&event));
        navigate(
            &address,
            NavigateOptions {
                scroll: false,
                ..NavigateOptions::default()
            },
        );
    };
    let variants = state
        .detail
        .with_untracked(|detail| detail.summary.variants.clone());
    let options = variants.into_iter().map(|variant| {
        let name = variant.to_string();
        view! {
            <option value=name.clone() selected=move || chosen.get().as_ref() == Some(&variant)>
                {name.clone()}
            </option>
        }
    });
    view! {
        <form method="get" action=format!("/runs/{run_id}")>
            <label class="field">
                <span>"Variant"</span>
                <select name="answers" on:change=choose>{options.collect_view()}</select>
            </label>
            <noscript><button type="submit" class="button">"Show"</button></noscript>
        </form>
    }
    .into_any()
}

type Key = (String, String, u32);

fn key(score: &CompletionScore) -> Key {
    (
        score.suite.clone(),
        score.problem_id.clone(),
        score.sample_idx,
    )
}

/// What was there when the page came, then what landed since; each answer once.
fn merged(
    scores: &[CompletionScore],
    landed: &[CompletionScore],
    variant: Option<&VariantName>,
) -> Vec<CompletionScore> {
    let mut all = scores.to_vec();
    for score in landed
        .iter()
        .filter(|score| Some(&score.variant) == variant)
    {
        if !all.iter().any(|known| key(known) == key(score)) {
            all.push(score.clone());
        }
    }
    all
}

#[component]
fn AnswerList(
    scores: Vec<CompletionScore>,
    variant: Option<VariantName>,
    state: RunState,
) -> impl IntoView {
    let only_unsolved = RwSignal::new(false);
    let all = Memo::new(move |_| state.landed.with(|l| merged(&scores, l, variant.as_ref())));
    let shown = move || {
        let is_shown = |s: &CompletionScore| !only_unsolved.get() || s.verdict != Verdict::Passed;
        all.get().into_iter().filter(is_shown).collect::<Vec<_>>()
    };
    let count = move || {
        all.with(|all| {
            let by_tests = all.iter().filter(|score| score.verdict.is_of_tests());
            let n_by_tests = by_tests.clone().count();
            let n_passed = by_tests.filter(|score| score.verdict == Verdict::Passed).count();
            let n_compared = all.len() - n_by_tests;
            match (n_by_tests, n_compared) {
                (_, 0) => format!("{n_passed} of {n_by_tests} answers passed all tests"),
                (0, _) => format!("{n_compared} answers were compared with references"),
                _ => format!(
                    "{n_passed} of {n_by_tests} answers passed all tests; {n_compared} were compared \
                     with references"
                ),
            }
        })
    };
    view! {
        <div class="table-tools">
            <label class="check">
                <input type="checkbox" on:change=move |e| only_unsolved.set(event_target_checked(&e))/>
                "Only those that did not pass"
            </label>
            <span class="count" role="status">{count}</span>
        </div>
        <Show when=move || all.with(Vec::is_empty)>
            <p class="fine">"No answer of this variant has been graded yet."</p>
        </Show>
        <ul class="answer-list">
            <For each=shown key=key children=|score| view! { <Answer score/> }/>
        </ul>
    }
    .into_any()
}

#[component]
fn Answer(score: CompletionScore) -> impl IntoView {
    let tpot = score
        .tpot_ms
        .map_or_else(|| "–".to_owned(), format_duration_ms);
    let end = match score.finish_reason {
        FinishReason::Stop => "",
        FinishReason::Length => " · cut at the token limit",
    };
    let numbers = format!(
        "{} prompt + {} answer tokens · TTFT {} · TPOT {tpot} · graded in {}{end}",
        score.n_prompt_tokens,
        score.n_output_tokens,
        format_duration_ms(score.ttft_ms),
        format_duration_ms(score.grading_ms),
    );
    let found = detail_words(&score.detail).map(|words| view! { <p class="fine">{words}</p> });
    let output = if score.output.trim().is_empty() {
        "(nothing)".to_owned()
    } else {
        score.output
    };
    view! {
        <li>
            <details class="answer">
                <summary>
                    <span class="answer-head">
                        <code>{score.problem_id.clone()}</code>
                        <span class="fine">{score.track}</span>
                        <OutcomeBadge verdict=score.verdict/>
                    </span>
                    <span class="detail">{numbers}</span>
                </summary>
                {found}
                <h3>"What the model wrote"</h3>
                <pre class="code" tabindex="0" role="region"
                    aria-label=format!("Answer to {}", score.problem_id)>{score.completion}</pre>
                <h3>"What the tests printed"</h3>
                <pre class="code" tabindex="0" role="region"
                    aria-label=format!("Test output of {}", score.problem_id)>{output}</pre>
            </details>
        </li>
    }
    .into_any()
}

/// What was found beyond the verdict; `None` where there is nothing.
fn detail_words(detail: &AnswerDetail) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    if let Some(likeness) = &detail.likeness {
        words.push(match (likeness.is_exact, likeness.is_same_tree) {
            (true, _) => "equals the reference".to_owned(),
            (false, Some(true)) => "equals the reference but for layout and comments".to_owned(),
            (false, Some(false)) => "differs from the reference".to_owned(),
            (false, None) => "does not parse, or the reference does not".to_owned(),
        });
        words.extend(
            likeness
                .edit_similarity
                .map(|share| format!("edit similarity {share:.3}")),
        );
        words.extend(likeness.compiles.map(|compiles| {
            if compiles {
                "compiles"
            } else {
                "does not compile"
            }
            .to_owned()
        }));
    }
    if let Some(repair) = detail.repair {
        if repair.is_same_tree {
            words.push("equals the known fix but for layout and comments".to_owned());
        }
        words.extend(repair.passes_extended.map(|passes| {
            let word = if passes { "passes" } else { "does not pass" };
            format!("{word} the tests that were kept back")
        }));
        if repair.n_passed_before > 0 {
            words.push(format!(
                "breaks {} of {} test cases that passed before",
                repair.n_regressed, repair.n_passed_before
            ));
        }
    }
    if detail.cases.len() > 1 {
        let n_passed = detail
            .cases
            .iter()
            .filter(|case| **case == Verdict::Passed)
            .count();
        words.push(format!(
            "{n_passed} of {} test cases pass",
            detail.cases.len()
        ));
    }
    (!words.is_empty()).then(|| format!("Found: {}.", words.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(variant: &str, problem_id: &str) -> CompletionScore {
        CompletionScore {
            variant: variant.parse().unwrap(),
            suite: "starter".into(),
            problem_id: problem_id.into(),
            track: "write".into(),
            sample_idx: 0,
            verdict: Verdict::Passed,
            completion: String::new(),
            output: String::new(),
            n_prompt_tokens: 1,
            n_output_tokens: 1,
            finish_reason: FinishReason::Stop,
            ttft_ms: 1.0,
            tpot_ms: None,
            grading_ms: 1.0,
            detail: AnswerDetail::default(),
        }
    }

    #[test]
    fn what_was_found_is_told_in_words() {
        assert_eq!(detail_words(&AnswerDetail::default()), None);
        let detail = AnswerDetail {
            cases: vec![Verdict::Passed, Verdict::Failed],
            repair: Some(trimtab_domain::Repair {
                is_same_tree: false,
                passes_extended: Some(false),
                n_passed_before: 3,
                n_regressed: 1,
            }),
            ..AnswerDetail::default()
        };
        assert_eq!(
            detail_words(&detail).unwrap(),
            "Found: does not pass the tests that were kept back; breaks 1 of 3 test cases that \
             passed before; 1 of 2 test cases pass."
        );
    }

    #[test]
    fn an_answer_that_landed_twice_is_shown_once() {
        let variant: VariantName = "m:int4".parse().unwrap();
        let there = [score("m:int4", "a")];
        let landed = [
            score("m:int4", "a"),
            score("m:int4", "b"),
            score("m:f16", "c"),
        ];
        let shown = merged(&there, &landed, Some(&variant));
        let ids: Vec<&str> = shown
            .iter()
            .map(|score| score.problem_id.as_str())
            .collect();
        assert_eq!(ids, ["a", "b"]);
    }
}
