//! What is known of each variant of a run so far; fills in as answers land.

use super::run::RunState;
use crate::{
    components::{FigureCell, Term, VariantLabel},
    format::{self, Figure},
    glossary::Word,
};
use leptos::prelude::*;
use trimtab_domain::{TrackScore, VariantName, VariantResult};

/// One row a variant.
#[component]
pub(super) fn ResultTable(state: RunState) -> impl IntoView {
    let names = Memo::new(move |_| {
        state.detail.with(|detail| {
            detail
                .results
                .iter()
                .map(|result| result.variant.clone())
                .collect::<Vec<_>>()
        })
    });
    view! {
        <div class="table-scroll" tabindex="0" role="region" aria-label="Results of each variant so far">
            <table class="wide">
                <thead>
                    <tr>
                        <th scope="col"><Term word=Word::Variant/></th>
                        <th scope="col"><Term word=Word::Scheme label="Scheme"/></th>
                        <th scope="col">"Graded"</th>
                        <th scope="col"><Term word=Word::PassAt1/></th>
                        <th scope="col">"Tracks"</th>
                        <th scope="col"><Term word=Word::Perplexity/></th>
                        <th scope="col"><Term word=Word::Ttft label="TTFT p50"/></th>
                        <th scope="col"><Term word=Word::Tpot label="TPOT p50"/></th>
                        <th scope="col"><Term word=Word::Prefill/></th>
                        <th scope="col"><Term word=Word::Decode/></th>
                        <th scope="col"><Term word=Word::Artifact label="Size"/></th>
                        <th scope="col"><Term word=Word::PeakMemory/></th>
                    </tr>
                </thead>
                <tbody>
                    <For each=move || names.get() key=Clone::clone
                        children=move |variant| view! { <ResultRow variant state/> }/>
                </tbody>
            </table>
        </div>
    }
    .into_any()
}

#[component]
fn ResultRow(variant: VariantName, state: RunState) -> impl IntoView {
    let name = variant.clone();
    let marker = name.to_string();
    let result = Memo::new(move |_| {
        state.detail.with(|d| {
            d.results
                .iter()
                .find(|result| result.variant == variant)
                .cloned()
        })
    });
    view! {
        <tr data-variant=marker>
            <th scope="row">
                <VariantLabel name/>
                {move || result.get().filter(|r| r.is_baseline)
                    .map(|_| view! { <span class="detail">"baseline"</span> })}
            </th>
            <td>{move || result.get().map(|r| r.scheme)}</td>
            <td class="number">
                {move || result.get().map(|r| format!("{} of {}", r.n_scored, r.n_problems))}
            </td>
            {move || result.get().map(|result| {
                figures(&result).map(|figure| view! { <FigureCell figure/> }).into_iter().collect_view()
            })}
        </tr>
    }
    .into_any()
}

fn figures(result: &VariantResult) -> [Figure; 9] {
    let or_missing = |figure: Option<Figure>| figure.unwrap_or_else(Figure::missing);
    let measured = result.performance.as_ref();
    [
        or_missing(result.pass_at_1.map(format::share)),
        tracks(&result.tracks),
        or_missing(result.perplexity.as_ref().map(format::perplexity)),
        or_missing(result.ttft_ms.map(format::latency)),
        or_missing(result.tpot_ms.map(format::latency)),
        or_missing(measured.map(|p| format::speed(p.prefill_tokens_per_s))),
        or_missing(measured.map(|p| format::speed(p.decode_tokens_per_s))),
        format::size(result.size),
        or_missing(measured.map(format::peak_memory)),
    ]
}

/// `write 10/16`, `repair 9/16`, each on a line of its own.
fn tracks(tracks: &[TrackScore]) -> Figure {
    if tracks.is_empty() {
        return Figure::missing();
    }
    let part = |score: &TrackScore| format!("{} {}/{}", score.track, score.n_passed, score.n);
    let detail = tracks.iter().map(part).collect::<Vec<_>>().join(" · ");
    Figure {
        value: String::new(),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_show_passed_of_graded() {
        let score = |track: &str, n_passed| TrackScore {
            track: track.into(),
            n_passed,
            n: 16,
        };
        let shown = tracks(&[score("write", 10), score("repair", 9)]);
        assert_eq!(shown.detail, "write 10/16 · repair 9/16");
        assert_eq!(tracks(&[]), Figure::missing());
    }
}
