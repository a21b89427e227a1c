//! What the server foresees of a compression: size of the file, memory, and whether they fit.

use super::{
    compress_form::{FormState, OWN},
    models::recipe_in_words,
};
use crate::components::{ErrorNotice, FailureNotice, FitBadge};
use leptos::prelude::*;
use trimtab_domain::{Bytes, CompressionForecast, CompressionPreview, Fit, MemoryPlace};

/// The panel beside the form.
#[component]
pub(super) fn ForecastPanel(state: FormState) -> impl IntoView {
    let content = move || match state.preview.get() {
        None => view! { <p class="loading">"Computing…"</p> }.into_any(),
        Some(Err(error)) => view! { <ErrorNotice error/> }.into_any(),
        Some(Ok(CompressionPreview::Ready { forecast })) => {
            view! { <Forecast forecast=*forecast/> }.into_any()
        }
        Some(Ok(CompressionPreview::Refused { problem })) => {
            match state.choice.with(|choice| choice == OWN) {
                true => {
                    view! { <p>"Nothing to foresee: the recipe cannot be carried out yet."</p> }
                        .into_any()
                }
                false => {
                    view! { <FailureNotice message=problem.message hint=problem.hint/> }.into_any()
                }
            }
        }
    };
    view! {
        <section
            class="card forecast" aria-labelledby="forecast" aria-busy=move || state.is_asking.get().to_string()
        >
            <h2 id="forecast">"What you will get"</h2>
            <div aria-live="polite">{content}</div>
        </section>
    }
    .into_any()
}

#[component]
fn Forecast(forecast: CompressionForecast) -> impl IntoView {
    let CompressionForecast {
        variant,
        recipe,
        toml,
        file,
        f16_file,
        bits_per_weight,
        n_tokens,
        memory,
        total_memory,
        places,
        disk_free,
        fits_disk,
        to_fetch,
        calibration,
        notes,
    } = forecast;
    let parts = format!(
        "weights {}, a text of {n_tokens} tokens {}, work {}, program {}",
        memory.weights, memory.kv_cache, memory.work, memory.program
    );
    let disk = match fits_disk {
        true => Fit::Fits,
        false => Fit::TooLarge,
    };
    let calibration = calibration.map(|(n_sequences, length)| {
        format!("The model reads {n_sequences} sequences of {length} tokens first.")
    });
    let to_fetch = to_fetch.map(|size| format!("The model, {size}, is fetched first."));
    let notes = to_fetch.into_iter().chain(calibration).chain(notes);
    let notes: Vec<_> = notes.map(|note| view! { <li>{note}</li> }).collect();
    view! {
        <p class="forecast-name"><code>{variant.to_string()}</code></p>
        <dl class="forecast-facts">
            <dt>"File"</dt>
            <dd>
                <span class="value">{file.to_string()}</span>
                <span class="detail">{against_f16(file, f16_file)} {format!(", {bits_per_weight:.2} bits per weight")}</span>
                <span class="fit-line">
                    <FitBadge fit=disk/> <span class="detail">{format!("{disk_free} free on the disk")}</span>
                </span>
            </dd>
            <dt>"Memory in use"</dt>
            <dd>
                <span class="value">{total_memory.to_string()}</span>
                <span class="detail">{parts}</span>
                {places.into_iter().map(|place| view! { <PlaceLine place/> }).collect_view()}
            </dd>
        </dl>
        {(!notes.is_empty()).then(|| view! { <ul class="forecast-notes">{notes}</ul> })}
        <p class="fine">{recipe_in_words(&recipe)}</p>
        <details>
            <summary>"The recipe as a file"</summary>
            <pre class="log" tabindex="0" role="region" aria-label="Recipe in TOML">{toml}</pre>
        </details>
    }
    .into_any()
}

#[component]
fn PlaceLine(place: (MemoryPlace, Fit)) -> impl IntoView {
    let (place, fit) = place;
    view! {
        <span class="fit-line">
            <FitBadge fit/> <span class="detail">{format!("{} free of {}", place.free, place.name)}</span>
        </span>
    }
    .into_any()
}

/// `3.1 times smaller than in 16 bits`.
fn against_f16(file: Bytes, f16: Bytes) -> String {
    let (file, f16) = (file.0.max(1) as f64, f16.0.max(1) as f64);
    match f16 / file {
        ratio if ratio > 1.05 => format!("{ratio:.1} times smaller than in 16 bits"),
        ratio if ratio < 0.95 => format!("{:.1} times the size in 16 bits", 1.0 / ratio),
        _ => "as large as in 16 bits".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_compared_with_16_bits_in_words() {
        let words = |file| against_f16(Bytes(file), Bytes(1_000));
        assert_eq!(words(320), "3.1 times smaller than in 16 bits");
        assert_eq!(words(1_000), "as large as in 16 bits");
        assert_eq!(words(2_000), "2.0 times the size in 16 bits");
        assert_eq!(against_f16(Bytes(0), Bytes(0)), "as large as in 16 bits");
    }
}
