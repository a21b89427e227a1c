//! A term with its explanation one click or key press away, also without wasm.
//!
//! Uses the popover of the HTML standard: the browser opens, places and closes it.

use crate::glossary::{Entry, Word};
use leptos::prelude::*;

/// A term that explains itself when pressed.
#[component]
pub(crate) fn Term(
    /// Which term.
    word: Word,
    /// How it is written here; its title by default.
    #[prop(optional, into)]
    label: Option<&'static str>,
) -> impl IntoView {
    let Entry { key, title, .. } = word.entry();
    view! {
        <button type="button" class="term" popovertarget=format!("term-{key}")>
            {label.unwrap_or(title)}
        </button>
    }
}

/// The explanations themselves, once a page; hidden until a [`Term`] is pressed.
#[component]
pub(crate) fn TermCards() -> impl IntoView {
    Word::ALL
        .map(|word| {
            let Entry {
                key,
                title,
                meaning,
            } = word.entry();
            view! {
                <div class="term-card" popover="auto" id=format!("term-{key}")>
                    <strong>{title}</strong>
                    <p>{meaning}</p>
                    <a href=format!("/glossary#{key}")>"All terms"</a>
                </div>
            }
        })
        .into_iter()
        .collect_view()
}
