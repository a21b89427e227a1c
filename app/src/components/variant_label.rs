//! A variant's name, which breaks where its two halves meet.

use leptos::prelude::*;
use trimtab_domain::VariantName;

/// `MODEL:PRESET` with the preset in front of the eye.
#[component]
pub(crate) fn VariantLabel(
    /// The variant.
    name: VariantName,
) -> impl IntoView {
    match name.split_preset() {
        Some((model, preset)) => view! {
            <span class="variant-model">{format!("{model}:")}</span>
            <wbr/>
            <span class="variant-preset">{preset.to_owned()}</span>
        }
        .into_any(),
        None => view! { <span class="variant-preset">{name.to_string()}</span> }.into_any(),
    }
}
