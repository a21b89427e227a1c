//! Every term of the dashboard on one page.

use crate::glossary::{Entry, Word};
use leptos::prelude::*;
use leptos_meta::Title;

/// The terms and what they mean.
#[component]
pub(crate) fn Glossary() -> impl IntoView {
    let entries = Word::ALL.map(|word| {
        let Entry {
            key,
            title,
            meaning,
        } = word.entry();
        view! {
            <div id=key class="glossary-entry">
                <dt>{title}</dt>
                <dd>{meaning}</dd>
            </div>
        }
    });
    view! {
        <Title text="Glossary"/>
        <h1>"Glossary"</h1>
        <p class="lead">
            "What the words beside the numbers mean. The same explanations open wherever a word is underlined with dots."
        </p>
        <dl class="glossary">{entries.into_iter().collect_view()}</dl>
    }
    .into_any()
}
