//! A table cell with a number and what qualifies it.

use crate::format::Figure;
use leptos::prelude::*;

/// The number in front; interval and `n` in smaller type, each on a line of its own.
#[component]
pub(crate) fn FigureCell(
    /// What to show.
    figure: Figure,
) -> impl IntoView {
    let parts = figure.detail.split(" · ").filter(|part| !part.is_empty());
    let detail = parts
        .map(|part| view! { <span class="detail">{part.to_owned()}</span> })
        .collect_view();
    let value =
        (!figure.value.is_empty()).then(|| view! { <span class="value">{figure.value}</span> });
    view! {
        <td class="number">
            {value}
            {detail}
        </td>
    }
}
