//! Problems on which a variant and the baseline of its run part, with both answers side by side.

use super::run_of_address::run_of_address;
use crate::{
    api::get_flips,
    components::{EmptyNotice, OutcomeBadge, Term, loaded},
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
    CompletionScore, Flip, Flips, RunDetail, RunId, TokenDifference, TokenPiece, VariantName,
};

/// The page: `/runs/:id/flips?variant=NAME`, of the first variant where none is named.
#[component]
pub(crate) fn FlipsPage() -> impl IntoView {
    let detail = run_of_address();
    view! {
        <Title text="Flips"/>
        {loaded(detail, |detail: RunDetail| view! { <FlipsBody detail/> })}
    }
    .into_any()
}

#[component]
fn FlipsBody(detail: RunDetail) -> impl IntoView {
    let run_id = detail.summary.run_id;
    let baseline = detail.spec.baseline.clone();
    let of_run = detail.spec.variants.into_iter();
    let variants: Vec<VariantName> = of_run.filter(|name| *name != baseline).collect();
    let first = variants.first().cloned();
    let query = use_query_map();
    let chosen = Memo::new(move |_| {
        let named = query.with(|query| query.get("variant").and_then(|name| name.parse().ok()));
        named.or_else(|| first.clone())
    });
    let flips = Resource::new(
        move || chosen.get(),
        move |chosen: Option<VariantName>| async move {
            match chosen {
                Some(variant) => get_flips(run_id, variant).await,
                None => Ok(Flips::default()),
            }
        },
    );
    let name = baseline.to_string();
    view! {
        <p class="fine">
            <a href=format!("/runs/{run_id}")>"Run " {run_id.to_string()}</a> " / flips"
        </p>
        <h1>"Flips"</h1>
        <p class="lead">
            "A " <Term word=Word::Flip label="flip"/> " is a problem that either " <strong>{name}</strong>
            " or the variant solves, and the other does not. What the numbers count is shown here."
        </p>
        <VariantSelect run_id variants chosen/>
        {loaded(flips, move |flips: Flips| view! { <FlipLists flips/> })}
    }
    .into_any()
}

/// A form of its own: without wasm, the button beside the list sends it.
#[component]
fn VariantSelect(
    run_id: RunId,
    variants: Vec<VariantName>,
    chosen: Memo<Option<VariantName>>,
) -> impl IntoView {
    let navigate = use_navigate();
    let action = format!("/runs/{run_id}/flips");
    let base = action.clone();
    let choose = move |event: ev::Event| {
        let address = format!("{base}?variant={}", event_target_value(&event));
        let options = NavigateOptions {
            scroll: false,
            ..NavigateOptions::default()
        };
        navigate(&address, options);
    };
    let options = variants.into_iter().map(|variant| {
        let name = variant.to_string();
        view! {
            <option value=name.clone() selected=move || chosen.get().as_ref() == Some(&variant)>
                {name.clone()}
            </option>
        }
    });
    view! {
        <form method="get" action=action>
            <label class="field">
                <span>"Variant"</span>
                <select name="variant" on:change=choose>{options.collect_view()}</select>
            </label>
            <noscript><button type="submit" class="button">"Show"</button></noscript>
        </form>
    }
    .into_any()
}

#[component]
fn FlipLists(flips: Flips) -> impl IntoView {
    let Flips {
        lost,
        won,
        n_compared,
        n_unpaired,
    } = flips;
    if n_compared == 0 {
        return view! {
            <EmptyNotice title="Nothing to compare yet">
                <p>"Flips appear as soon as both the baseline and this variant have answered a problem."</p>
            </EmptyNotice>
        }
        .into_any();
    }
    let unpaired = (n_unpaired > 0).then(|| {
        view! {
            <p class="notice info">
                {format!("{n_unpaired} answers of one side are not compared, because the other side has not answered.")}
            </p>
        }
    });
    view! {
        <p class="fine" role="status">
            {format!(
                "n = {n_compared} problems that both answered: {} lost, {} won, {} alike.",
                lost.len(),
                won.len(),
                (n_compared as usize).saturating_sub(lost.len() + won.len()),
            )}
        </p>
        {unpaired}
        <FlipList id="lost" title="Lost: solved before, not now" flips=lost/>
        <FlipList id="won" title="Won: not solved before, solved now" flips=won/>
    }
    .into_any()
}

#[component]
fn FlipList(id: &'static str, title: &'static str, flips: Vec<Flip>) -> impl IntoView {
    let list = if flips.is_empty() {
        view! { <p class="fine">"None."</p> }.into_any()
    } else {
        let items = flips.into_iter().map(|flip| view! { <FlipItem flip/> });
        view! { <ul class="answer-list">{items.collect_view()}</ul> }.into_any()
    };
    view! {
        <section aria-labelledby=id>
            <h2 id=id>{title}</h2>
            {list}
        </section>
    }
    .into_any()
}

#[component]
fn FlipItem(flip: Flip) -> impl IntoView {
    let Flip {
        base,
        variant,
        n_same_chars,
        first_difference,
    } = flip;
    let parting = match &first_difference {
        Some(difference) => token_parting(difference),
        None => parting(&base, &variant, n_same_chars as usize),
    };
    let n_same = n_same_chars as usize;
    view! {
        <li>
            <details class="answer">
                <summary>
                    <span class="answer-head">
                        <code>{variant.problem_id.clone()}</code>
                        <span class="fine">{variant.track.clone()}</span>
                        <OutcomeBadge verdict=variant.verdict/>
                    </span>
                    <span class="detail">{parting}</span>
                </summary>
                <div class="flip-sides">
                    <Side score=base n_same/>
                    <Side score=variant n_same/>
                </div>
            </details>
        </li>
    }
    .into_any()
}

/// One side's answer, with what it shares with the other side set apart.
#[component]
fn Side(score: CompletionScore, n_same: usize) -> impl IntoView {
    let (same, rest) = split_at_char(&score.completion, n_same);
    let (same, rest) = (same.to_owned(), rest.to_owned());
    let output = match score.output.trim() {
        "" => "(nothing)".to_owned(),
        _ => score.output,
    };
    let name = score.variant.to_string();
    view! {
        <section class="flip-side">
            <h3>{name.clone()} " " <OutcomeBadge verdict=score.verdict/></h3>
            <pre class="code" tabindex="0" role="region"
                aria-label=format!("Answer of {name} to {}", score.problem_id)>
                <span class="same">{same}</span><mark>{rest}</mark>
            </pre>
            <h4>"What the tests printed"</h4>
            <pre class="code" tabindex="0" role="region"
                aria-label=format!("Test output of {name} for {}", score.problem_id)>{output}</pre>
        </section>
    }
    .into_any()
}

/// The first token in which two answers differ, in words.
fn token_parting(difference: &TokenDifference) -> String {
    let word = |piece: &TokenPiece| match (piece.id, piece.text.as_str()) {
        (None, _) => "the end".to_owned(),
        (Some(id), "") => format!("token {id}"),
        (Some(_), text) => format!("“{}”", visible(text)),
    };
    format!(
        "alike for {} tokens, then {} became {}",
        difference.n_same,
        word(&difference.base),
        word(&difference.variant)
    )
}

/// A text in which line ends and other characters that nobody sees are spelt out.
fn visible(text: &str) -> String {
    let spelt = |c: char| match c {
        '"' | '\'' => c.to_string(),
        _ => c.escape_debug().to_string(),
    };
    text.chars().map(spelt).collect()
}

/// Where two answers part, in words.
fn parting(base: &CompletionScore, variant: &CompletionScore, n_same: usize) -> String {
    let next = |score: &CompletionScore| {
        let (_, rest) = split_at_char(&score.completion, n_same);
        format::excerpt(rest)
    };
    match (next(base), next(variant)) {
        (None, None) => "the same answer, graded differently".to_owned(),
        (before, now) => {
            let word = |text: Option<String>| {
                text.map_or_else(|| "the end".to_owned(), |text| format!("“{text}”"))
            };
            let (before, now) = (word(before), word(now));
            format!("alike for {n_same} characters, then {before} became {now}")
        }
    }
}

/// The text before and from its `n`th character.
fn split_at_char(text: &str, n: usize) -> (&str, &str) {
    let at = text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    text.split_at(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::{AnswerDetail, FinishReason, Verdict};

    fn score(completion: &str) -> CompletionScore {
        CompletionScore {
            variant: "m:int4".parse().unwrap(),
            suite: "starter".into(),
            problem_id: "w01".into(),
            track: "write".into(),
            sample_idx: 0,
            verdict: Verdict::Passed,
            completion: completion.into(),
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
    fn the_first_token_that_differs_is_shown_with_its_blanks() {
        let piece = |id, text: &str| TokenPiece {
            id,
            text: text.into(),
        };
        let words = |base, variant| {
            token_parting(&TokenDifference {
                n_same: 7,
                base,
                variant,
            })
        };
        assert_eq!(
            words(piece(Some(3), " +\n"), piece(None, "")),
            "alike for 7 tokens, then “ +\\n” became the end"
        );
        assert_eq!(
            words(piece(Some(3), " \"x'"), piece(Some(4), "\\")),
            "alike for 7 tokens, then “ \"x'” became “\\\\”"
        );
        assert_eq!(
            words(piece(Some(3), ""), piece(Some(4), "é")),
            "alike for 7 tokens, then token 3 became “é”"
        );
    }

    #[test]
    fn answers_part_where_their_characters_do() {
        let words = |base: &str, variant: &str, n| parting(&score(base), &score(variant), n);
        assert_eq!(
            words("äö = 1", "äö = 2", 5),
            "alike for 5 characters, then “1” became “2”"
        );
        assert_eq!(
            words("ab", "abc d", 2),
            "alike for 2 characters, then the end became “c d”"
        );
        assert_eq!(words("a", "a", 1), "the same answer, graded differently");
    }
}
