//! The verdict on a variant: a sign, a word, and the numbers it rests on.

use super::{Term, VariantLabel};
use crate::{
    format::{self, Figure},
    glossary::Word,
};
use leptos::prelude::*;
use trimtab_domain::{Comparison, QualityVerdict, VariantName};

/// Sign and word of a verdict.
#[component]
pub(crate) fn VerdictBadge(
    /// The verdict.
    verdict: QualityVerdict,
) -> impl IntoView {
    let (class, sign, word) = match verdict {
        QualityVerdict::Meets => ("badge verdict-meets", "✓", "meets"),
        QualityVerdict::Fails => ("badge verdict-fails", "✕", "fails"),
        QualityVerdict::NotEnoughData => ("badge verdict-unknown", "?", "not enough data"),
    };
    view! {
        <span class=class>
            <span class="sign" aria-hidden="true">{sign}</span>
            {word}
        </span>
    }
    .into_any()
}

/// One variant against the baseline: what it keeps, what it gains, and the verdict.
#[component]
pub(crate) fn VerdictCard(
    /// The comparison.
    comparison: Comparison,
    /// What it is compared with.
    baseline: VariantName,
) -> impl IntoView {
    let retention = format::retention(&comparison);
    let speedup = comparison
        .speedup
        .map_or_else(Figure::missing, format::speedup);
    let size = comparison
        .compression_ratio
        .map_or_else(Figure::missing, |ratio| {
            Figure::plain(format::compression(ratio))
        });
    let Comparison {
        variant,
        criterion,
        verdict,
        sentence,
        n_lost,
        n_won,
        n_more_problems,
        ..
    } = comparison;
    let more = n_more_problems
        .filter(|_| verdict == QualityVerdict::NotEnoughData)
        .map(|n| view! { <p class="more">"About " {n} " more problems would decide."</p> });
    view! {
        <article class="card verdict-card">
            <header>
                <h3><VariantLabel name=variant/></h3>
                <VerdictBadge verdict/>
            </header>
            <p class="sentence">{sentence}</p>
            {more}
            <dl class="facts">
                <Fact word=Word::Retention label="Quality kept" figure=retention/>
                <Fact word=Word::Speedup label="Speed-up" figure=speedup/>
                <Fact word=Word::CompressionRatio label="Size" figure=size/>
            </dl>
            <p class="fine">
                "Against " {baseline.to_string()} ": " {n_lost} " answers lost, " {n_won} " won. "
                <Term word=Word::Criterion label="Criterion"/> ": " {format::criterion(criterion)} "."
            </p>
        </article>
    }
    .into_any()
}

#[component]
fn Fact(word: Word, label: &'static str, figure: Figure) -> impl IntoView {
    view! {
        <div>
            <dt><Term word label/></dt>
            <dd>
                <span class="value">{figure.value}</span>
                <span class="detail">{figure.detail}</span>
            </dd>
        </div>
    }
    .into_any()
}
