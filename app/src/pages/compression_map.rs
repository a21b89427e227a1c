//! Errors of a compression as a heat map: a table of layer × module whose cells are coloured, read
//! and walked through with the arrow keys.

use crate::format;
use leptos::{ev::KeyboardEvent, prelude::*};
use trimtab_domain::{LayerMap, LayerReport, MapCell, format_duration_ms};
use wasm_bindgen::JsCast;

/// Row and column of a cell.
type Place = (usize, usize);

/// The map with its legend, and what is known of the chosen cell.
#[component]
pub(super) fn HeatMap(
    /// The errors.
    #[prop(into)]
    map: Signal<LayerMap>,
) -> impl IntoView {
    let chosen = RwSignal::new((0, 0));
    let n_rows = move || map.with(|map| map.rows.len());
    let headers = Memo::new(move |_| map.with(|map| short_names(&map.modules)));
    let count = move || {
        map.with(|map| match map.n_done == map.n_total {
            true => format!("{} weights", map.n_done),
            false => format!("{} of {} weights", map.n_done, map.n_total),
        })
    };
    let on_key = move |event: KeyboardEvent| {
        let size = map.with_untracked(|map| (map.rows.len(), map.modules.len()));
        if let Some(place) = moved(chosen.get_untracked(), &event.key(), size) {
            event.prevent_default();
            chosen.set(place);
            focus(place);
        }
    };
    view! {
        <p class="fine">
            "Relative squared error of the weights in %, ‖W − Q‖² / ‖W‖²: 0 is lossless. "
            <span role="status">{count}</span> ". Arrow keys walk through the map."
        </p>
        <Legend map/>
        <Show when=move || { n_rows() > 0 }>
            <div class="table-scroll heat-scroll" tabindex="0" role="region" aria-label="Errors by layer and module">
                <table class="heat-map" role="grid" aria-label="Error in % by layer and module" on:keydown=on_key>
                    <thead>
                        <tr>
                            <th scope="col">"Layer"</th>
                            {move || headers.get().into_iter().map(|(short, whole)| view! {
                                <th scope="col" title=whole>{short}</th>
                            }).collect_view()}
                        </tr>
                    </thead>
                    <tbody>
                        <For each=move || 0..n_rows() key=|row| *row children=move |row| view! {
                            <MapRow row map chosen/>
                        }/>
                    </tbody>
                </table>
            </div>
            <ChosenCell map chosen/>
        </Show>
        <Outside map/>
    }
    .into_any()
}

#[component]
fn MapRow(row: usize, map: Signal<LayerMap>, chosen: RwSignal<Place>) -> impl IntoView {
    let layer = move || map.with(|map| map.rows.get(row).map(|row| row.layer));
    let n_columns = Memo::new(move |_| map.with(|map| map.modules.len()));
    view! {
        <tr>
            <th scope="row">{layer}</th>
            <For each=move || 0..n_columns.get() key=|column| *column children=move |column| view! {
                <Cell place=(row, column) map chosen/>
            }/>
        </tr>
    }
    .into_any()
}

#[component]
fn Cell(place: Place, map: Signal<LayerMap>, chosen: RwSignal<Place>) -> impl IntoView {
    // Level and error: all that a cell shows.
    let shown = Memo::new(move |_| {
        map.with(|map| cell_at(map, place).map(|cell| (cell.level, cell.report.error)))
    });
    let class = move || match shown.get() {
        Some((level, _)) => format!("heat heat-{level}"),
        None => "heat heat-none".to_owned(),
    };
    let text = move || match shown.get() {
        Some((_, error)) => format::squared_error(error),
        None => "·".to_owned(),
    };
    let is_chosen = Memo::new(move |_| chosen.get() == place);
    let tab = move || if is_chosen.get() { "0" } else { "-1" };
    view! {
        <td
            id=cell_id(place) class=class tabindex=tab aria-selected=move || is_chosen.get().to_string()
            on:focus=move |_| chosen.set(place)
            on:click=move |_| { chosen.set(place); focus(place); }
        >
            {text}
        </td>
    }
    .into_any()
}

/// Everything that is known of the chosen cell.
#[component]
fn ChosenCell(map: Signal<LayerMap>, chosen: RwSignal<Place>) -> impl IntoView {
    let cell = Memo::new(move |_| map.with(|map| cell_at(map, chosen.get()).cloned()));
    view! {
        <div class="card chosen-cell" aria-live="polite">
            {move || match cell.get() {
                Some(cell) => view! { <CellFacts cell/> }.into_any(),
                None => view! { <p class="fine">"Nothing is known of this place yet."</p> }.into_any(),
            }}
        </div>
    }
    .into_any()
}

#[component]
fn CellFacts(cell: MapCell) -> impl IntoView {
    let n_weights = cell.n_weights;
    let facts = facts_of(&cell.report).into_iter().map(|(what, value)| {
        view! { <div><dt>{what}</dt><dd>{value}</dd></div> }
    });
    let experts = (n_weights > 1).then(|| {
        view! { <p class="fine">{format!("The worst of {n_weights} experts.")}</p> }
    });
    let notes = cell.report.notes.iter();
    let notes = notes.map(|note| view! { <p class="fine">{note.clone()}</p> });
    view! {
        <h3><code>{cell.report.name.clone()}</code></h3>
        {experts}
        <dl class="facts">{facts.collect_view()}</dl>
        {notes.collect_view()}
    }
    .into_any()
}

/// What a report says, for people.
fn facts_of(report: &LayerReport) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        (
            "Error",
            format!("{} %", format::squared_error(report.error)),
        ),
        ("Bits per weight", format!("{:.2}", report.bits_per_weight)),
    ];
    if let Some(error) = report.output_error {
        facts.push(("Error of its outputs", format!("{error:.3e}")));
    }
    if let Some(scales) = report.scales {
        facts.push((
            "Scales",
            format!("{:.1e} to {:.1e}", scales.min, scales.max),
        ));
    }
    if report.sparsity > 0.0 {
        facts.push(("Zeros", format!("{:.1} %", 100.0 * report.sparsity)));
    }
    facts.push(("Time", format_duration_ms(report.duration_ms)));
    facts
}

/// Weights that belong to no layer.
#[component]
fn Outside(map: Signal<LayerMap>) -> impl IntoView {
    let outside = Memo::new(move |_| map.with(|map| map.outside.clone()));
    let items = move || {
        let cells = outside.get().into_iter();
        cells
            .map(|cell| view! {
                <li>
                    <span class=format!("heat heat-swatch heat-{}", cell.level) aria-hidden="true"></span>
                    <code>{cell.report.name}</code>
                    " " {format::squared_error(cell.report.error)} " %"
                </li>
            })
            .collect_view()
    };
    view! {
        <Show when=move || !outside.with(Vec::is_empty)>
            <p class="fine">"Outside the layers:"</p>
            <ul class="heat-list">{items}</ul>
        </Show>
    }
    .into_any()
}

/// Colours and what they stand for.
#[component]
fn Legend(map: Signal<LayerMap>) -> impl IntoView {
    let levels = Memo::new(move |_| map.with(|map| level_texts(&map.bounds)));
    let items = move || {
        let levels = levels.get().into_iter().enumerate();
        levels
            .map(|(level, text)| view! {
                <li><span class=format!("heat heat-swatch heat-{level}") aria-hidden="true"></span>{text}</li>
            })
            .collect_view()
    };
    view! { <ul class="heat-list" aria-label="Colours and their errors in %">{items}</ul> }
        .into_any()
}

/// `0.31 to 0.44`, for each level.
fn level_texts(bounds: &[f64]) -> Vec<String> {
    let text = |pair: &[f64]| {
        let (low, high) = (
            format::squared_error(pair[0]),
            format::squared_error(pair[1]),
        );
        match low == high {
            true => low,
            false => format!("{low} to {high}"),
        }
    };
    bounds.windows(2).map(text).collect()
}

fn cell_at(map: &LayerMap, (row, column): Place) -> Option<&MapCell> {
    map.rows.get(row)?.cells.get(column)?.as_ref()
}

fn cell_id((row, column): Place) -> String {
    format!("cell-{row}-{column}")
}

fn focus(place: Place) {
    let cell = document().get_element_by_id(&cell_id(place));
    if let Some(cell) = cell.and_then(|cell| cell.dyn_into::<web_sys::HtmlElement>().ok()) {
        // A cell that cannot be focused is chosen all the same.
        let _ = cell.focus();
    }
}

/// Where a key leads within so many rows and columns.
fn moved((row, column): Place, key: &str, (n_rows, n_columns): (usize, usize)) -> Option<Place> {
    let (last_row, last_column) = (n_rows.checked_sub(1)?, n_columns.checked_sub(1)?);
    match key {
        "ArrowUp" => Some((row.saturating_sub(1), column)),
        "ArrowDown" => Some(((row + 1).min(last_row), column)),
        "ArrowLeft" => Some((row, column.saturating_sub(1))),
        "ArrowRight" => Some((row, (column + 1).min(last_column))),
        "Home" => Some((row, 0)),
        "End" => Some((row, last_column)),
        "PageUp" => Some((0, column)),
        "PageDown" => Some((last_row, column)),
        _ => None,
    }
}

/// The last part of each name, or all of it where two end alike; and the whole name.
fn short_names(modules: &[String]) -> Vec<(String, String)> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let short = |name: &String| {
        let short = last(name);
        let n_alike = modules.iter().filter(|other| last(other) == short).count();
        let short = if n_alike > 1 { name.clone() } else { short };
        (short, name.clone())
    };
    modules.iter().map(short).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_within_the_map() {
        let size = (3, 2);
        assert_eq!(moved((0, 0), "ArrowUp", size), Some((0, 0)));
        assert_eq!(moved((0, 0), "ArrowDown", size), Some((1, 0)));
        assert_eq!(moved((2, 1), "ArrowDown", size), Some((2, 1)));
        assert_eq!(moved((2, 1), "ArrowRight", size), Some((2, 1)));
        assert_eq!(moved((2, 1), "Home", size), Some((2, 0)));
        assert_eq!(moved((2, 0), "End", size), Some((2, 1)));
        assert_eq!(moved((2, 0), "PageUp", size), Some((0, 0)));
        assert_eq!(moved((0, 0), "Tab", size), None);
        assert_eq!(moved((0, 0), "End", (0, 0)), None);
    }

    #[test]
    fn columns_have_short_names_unless_two_end_alike() {
        let names = ["self_attn.q_proj", "mlp.up_proj", "shared.up_proj"].map(str::to_owned);
        let short: Vec<String> = short_names(&names)
            .into_iter()
            .map(|(short, _)| short)
            .collect();
        assert_eq!(short, ["q_proj", "mlp.up_proj", "shared.up_proj"]);
    }

    #[test]
    fn levels_say_from_where_to_where() {
        assert_eq!(
            level_texts(&[0.001, 0.002, 0.01]),
            ["0.10 to 0.20", "0.20 to 1.0"]
        );
        assert_eq!(level_texts(&[0.001, 0.001]), ["0.10"]);
        assert!(level_texts(&[]).is_empty());
    }
}
