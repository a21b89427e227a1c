//! What a model needs in memory with every preset, and whether that fits this machine.

use super::Term;
use crate::glossary::Word;
use leptos::prelude::*;
use trimtab_domain::{CapacityView, Fit, MemoryPlace, PresetNeed, TextNeed};

/// The needs of one model: presets by parts, then texts by length.
#[component]
pub(crate) fn MemoryNeeds(
    /// What was computed for it.
    capacity: CapacityView,
) -> impl IntoView {
    let CapacityView {
        model,
        n_tokens,
        kv_format,
        places,
        presets,
        texts,
        ..
    } = capacity;
    let free = free_in_words(&places);
    let rows = presets
        .into_iter()
        .map(|preset| view! { <PresetRow preset/> });
    let headers = places
        .into_iter()
        .map(|place| view! { <th scope="col">{place.name}</th> });
    view! {
        <h3>"What it needs in memory"</h3>
        <p class="fine">
            "Computed before anything is loaded, for a text of " {n_tokens} " tokens with keys and values in "
            {kv_format.to_string()} ". " {free} " Working space holds the numbers of one step; the program's "
            "part has its tokenizer. An eighth is kept to spare."
        </p>
        <div class="table-scroll" tabindex="0" role="region" aria-label=format!("Memory that {model} needs")>
            <table>
                <thead>
                    <tr>
                        <th scope="col">"Preset"</th>
                        <th scope="col">"Weights"</th>
                        <th scope="col"><Term word=Word::KvCache label="Text (KV cache)"/></th>
                        <th scope="col">"Working space"</th>
                        <th scope="col">"Program"</th>
                        <th scope="col">"In all"</th>
                        {headers.collect_view()}
                    </tr>
                </thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
        <TextNeeds model texts/>
    }
    .into_any()
}

#[component]
fn PresetRow(preset: PresetNeed) -> impl IntoView {
    let PresetNeed {
        preset,
        need,
        total,
        fits,
    } = preset;
    let sizes = [need.weights, need.kv_cache, need.work, need.program, total];
    let cells = sizes.map(|size| view! { <td class="number">{size.to_string()}</td> });
    let badges = fits
        .into_iter()
        .map(|fit| view! { <td><FitBadge fit/></td> });
    view! {
        <tr>
            <th scope="row"><code>{preset}</code></th>
            {cells.collect_view()}
            {badges.collect_view()}
        </tr>
    }
    .into_any()
}

/// Sign and words of a fit.
#[component]
pub(crate) fn FitBadge(
    /// The fit.
    fit: Fit,
) -> impl IntoView {
    let (class, sign) = match fit {
        Fit::Fits => ("badge verdict-meets", "✓"),
        Fit::FitsWhenFreed => ("badge verdict-unknown", "?"),
        Fit::TooLarge => ("badge verdict-fails", "✕"),
    };
    view! {
        <span class=class>
            <span class="sign" aria-hidden="true">{sign}</span>
            {fit.in_words()}
        </span>
    }
    .into_any()
}

#[component]
fn TextNeeds(model: String, texts: Vec<TextNeed>) -> impl IntoView {
    let rows = texts.into_iter().map(|text| {
        let cells = text
            .kv_cache
            .into_iter()
            .map(|(_, size)| view! { <td class="number">{size.to_string()}</td> });
        view! {
            <tr>
                <th scope="row">{text.n_tokens}</th>
                {cells.collect_view()}
            </tr>
        }
    });
    view! {
        <details>
            <summary>"Shorter and longer texts"</summary>
            <div class="table-scroll" tabindex="0" role="region" aria-label=format!("Memory of texts in {model}")>
                <table>
                    <thead>
                        <tr>
                            <th scope="col">"Tokens"</th>
                            <th scope="col">"32-bit (f32)"</th>
                            <th scope="col">"16-bit (f16)"</th>
                            <th scope="col">"8-bit (int8)"</th>
                        </tr>
                    </thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
        </details>
    }
    .into_any()
}

/// `Free now: 21.9 GB of this machine's memory.`
fn free_in_words(places: &[MemoryPlace]) -> String {
    let parts: Vec<String> = places
        .iter()
        .map(|place| format!("{} of {}", place.free, place.name))
        .collect();
    format!("Free now: {}.", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::Bytes;

    #[test]
    fn every_memory_says_what_is_free() {
        let place = |name: &str, free| MemoryPlace {
            name: name.to_owned(),
            total: Bytes(64_000_000_000),
            free: Bytes(free),
        };
        let places = [
            place("this machine's memory", 21_900_000_000),
            place("GPU 0, H200", 64_000_000_000),
        ];
        assert_eq!(
            free_in_words(&places),
            "Free now: 21.90 GB of this machine's memory; 64.00 GB of GPU 0, H200."
        );
    }
}
