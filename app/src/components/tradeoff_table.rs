//! The table of all variants of a run: sort by any column, filter by text, press to select.

use super::{FigureCell, Term, VariantLabel, VerdictBadge};
use crate::{
    format::{self, Figure},
    glossary::Word,
};
use leptos::prelude::*;
use std::cmp::Ordering;
use trimtab_domain::{Axis, Comparison, QualityVerdict, TradeoffView, VariantName, VariantResult};

/// One row: a variant and, unless it is the baseline, how it compares.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    result: VariantResult,
    comparison: Option<Comparison>,
    is_on_frontier: bool,
}

/// What the table can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Variant,
    Scheme,
    Measured(Axis),
    Retention,
    Speedup,
    Verdict,
}

const COLUMNS: [(Column, &str, Word); 13] = [
    (Column::Variant, "Variant", Word::Variant),
    (Column::Scheme, "Scheme", Word::Scheme),
    (Column::Verdict, "Verdict", Word::Verdict),
    (Column::Retention, "Retention", Word::Retention),
    (Column::Speedup, "Speed-up", Word::Speedup),
    (Column::Measured(Axis::PassAt1), "pass@1", Word::PassAt1),
    (
        Column::Measured(Axis::Perplexity),
        "Perplexity",
        Word::Perplexity,
    ),
    (Column::Measured(Axis::Size), "Size", Word::Artifact),
    (Column::Measured(Axis::DecodeSpeed), "Decode", Word::Decode),
    (
        Column::Measured(Axis::PrefillSpeed),
        "Prefill",
        Word::Prefill,
    ),
    (Column::Measured(Axis::Ttft), "TTFT p50", Word::Ttft),
    (Column::Measured(Axis::Tpot), "TPOT p50", Word::Tpot),
    (
        Column::Measured(Axis::PeakMemory),
        "Peak memory",
        Word::PeakMemory,
    ),
];

/// A column and which way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sorting {
    column: Column,
    is_descending: bool,
}

impl Row {
    fn number(&self, column: Column) -> Option<f64> {
        let compared = self.comparison.as_ref();
        match column {
            Column::Variant | Column::Scheme => None,
            Column::Measured(axis) => axis.estimate(&self.result).map(|estimate| estimate.value),
            Column::Retention => compared?.retention.map(|retention| retention.value),
            Column::Speedup => compared?.speedup.map(|speedup| speedup.median),
            Column::Verdict => Some(match compared?.verdict {
                QualityVerdict::Fails => 0.0,
                QualityVerdict::NotEnoughData => 1.0,
                QualityVerdict::Meets => 2.0,
            }),
        }
    }

    fn word(&self) -> &'static str {
        match self
            .comparison
            .as_ref()
            .map(|comparison| comparison.verdict)
        {
            None => "baseline",
            Some(QualityVerdict::Meets) => "meets",
            Some(QualityVerdict::Fails) => "fails",
            Some(QualityVerdict::NotEnoughData) => "not enough data",
        }
    }

    /// Whether name, scheme or verdict hold the text, whatever its case.
    fn matches(&self, filter: &str) -> bool {
        let text = format!(
            "{} {} {}",
            self.result.variant,
            self.result.scheme,
            self.word()
        );
        filter
            .to_lowercase()
            .split_whitespace()
            .all(|part| text.to_lowercase().contains(part))
    }
}

/// Order of two rows; what was not measured comes last either way.
fn order(a: &Row, b: &Row, sorting: Sorting) -> Ordering {
    let forward = match sorting.column {
        Column::Variant => a.result.variant.cmp(&b.result.variant),
        Column::Scheme => a.result.scheme.cmp(&b.result.scheme),
        column => match (a.number(column), b.number(column)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => Ordering::Equal,
        },
    };
    if sorting.is_descending {
        forward.reverse()
    } else {
        forward
    }
}

fn rows_of(view: &TradeoffView) -> Vec<Row> {
    let row = |result: &VariantResult| Row {
        result: result.clone(),
        comparison: view
            .comparisons
            .iter()
            .find(|c| c.variant == result.variant)
            .cloned(),
        is_on_frontier: view.pareto_frontier.contains(&result.variant),
    };
    view.results.iter().map(row).collect()
}

/// The table.
#[component]
pub(crate) fn TradeoffTable(
    /// The trade-offs.
    view: StoredValue<TradeoffView>,
    /// The variant that chart and table both highlight.
    selected: RwSignal<Option<VariantName>>,
) -> impl IntoView {
    let rows = StoredValue::new(view.with_value(rows_of));
    let filter = RwSignal::new(String::new());
    let sorting = RwSignal::new(None::<Sorting>);
    let shown = Memo::new(move |_| {
        let mut shown = rows.get_value();
        filter.with(|filter| shown.retain(|row| row.matches(filter)));
        if let Some(sorting) = sorting.get() {
            shown.sort_by(|a, b| order(a, b, sorting));
        }
        shown
    });
    let count = move || {
        format!(
            "{} of {} variants",
            shown.with(Vec::len),
            rows.with_value(Vec::len)
        )
    };
    let heads =
        COLUMNS.map(|(column, label, word)| view! { <HeadCell column label word sorting/> });
    view! {
        <div class="table-tools">
            <label class="field">
                <span>"Filter by name, scheme or verdict"</span>
                <input type="search" placeholder="int4, meets, …" prop:value=filter
                    on:input=move |event| filter.set(event_target_value(&event))/>
            </label>
            <span class="count" role="status">{count}</span>
        </div>
        <div class="table-scroll" tabindex="0" role="region" aria-label="Table of all variants">
            <table class="wide">
                <thead><tr>{heads.into_iter().collect_view()}</tr></thead>
                <tbody>
                    <For each=move || shown.get() key=|row| row.result.variant.clone()
                        children=move |row| view! { <BodyRow row selected/> }/>
                </tbody>
            </table>
        </div>
        <Show when=move || shown.with(Vec::is_empty)>
            <p class="fine">"No variant matches. Clear the filter to see all."</p>
        </Show>
    }
    .into_any()
}

#[component]
fn HeadCell(
    column: Column,
    label: &'static str,
    word: Word,
    sorting: RwSignal<Option<Sorting>>,
) -> impl IntoView {
    let state = move || {
        sorting
            .get()
            .filter(|s| s.column == column)
            .map(|s| s.is_descending)
    };
    let aria_sort = move || match state() {
        None => "none",
        Some(false) => "ascending",
        Some(true) => "descending",
    };
    let sign = move || match state() {
        None => "↕",
        Some(false) => "↑",
        Some(true) => "↓",
    };
    let toggle = move |_| {
        let is_descending = state() == Some(false);
        sorting.set(Some(Sorting {
            column,
            is_descending,
        }));
    };
    view! {
        <th scope="col" aria-sort=aria_sort>
            <span class="head">
                <Term word label/>
                <button type="button" class="sort" on:click=toggle aria-label=format!("Sort by {label}")>
                    <span aria-hidden="true">{sign}</span>
                </button>
            </span>
        </th>
    }
    .into_any()
}

#[component]
fn BodyRow(row: Row, selected: RwSignal<Option<VariantName>>) -> impl IntoView {
    let variant = StoredValue::new(row.result.variant.clone());
    let is_selected =
        move || variant.with_value(|v| selected.with(|chosen| chosen.as_ref() == Some(v)));
    let toggle = move |_| {
        let is_on = is_selected();
        selected.set((!is_on).then(|| variant.get_value()));
    };
    let note = match (row.result.is_baseline, row.is_on_frontier) {
        (true, true) => Some("baseline · on the frontier"),
        (true, false) => Some("baseline"),
        (false, true) => Some("on the frontier"),
        (false, false) => None,
    };
    let name = row.result.variant.clone();
    let marker = name.to_string();
    let scheme = row.result.scheme.clone();
    let figures = figures_of(&row).map(|figure| view! { <FigureCell figure/> });
    let verdict = row.comparison.as_ref().map(|comparison| comparison.verdict);
    view! {
        <tr class:selected=is_selected data-variant=marker>
            <th scope="row">
                <button type="button" class="row-button" aria-pressed=move || is_selected().to_string()
                    on:click=toggle><VariantLabel name/></button>
                {note.map(|note| view! { <span class="detail">{note}</span> })}
            </th>
            <td>{scheme}</td>
            <td>
                {verdict.map_or_else(
                    || view! { <span class="detail">"baseline"</span> }.into_any(),
                    |verdict| view! { <VerdictBadge verdict/> }.into_any(),
                )}
            </td>
            {figures.into_iter().collect_view()}
        </tr>
    }
    .into_any()
}

/// The cells behind the verdict, in the order of [`COLUMNS`].
fn figures_of(row: &Row) -> [Figure; 10] {
    let (result, compared) = (&row.result, row.comparison.as_ref());
    let measured = result.performance.as_ref();
    let or_missing = |figure: Option<Figure>| figure.unwrap_or_else(Figure::missing);
    [
        or_missing(compared.map(format::retention)),
        or_missing(compared.and_then(|c| c.speedup).map(format::speedup)),
        or_missing(result.pass_at_1.map(format::share)),
        or_missing(result.perplexity.as_ref().map(format::perplexity)),
        format::size(result.size),
        or_missing(measured.map(|p| format::speed(p.decode_tokens_per_s))),
        or_missing(measured.map(|p| format::speed(p.prefill_tokens_per_s))),
        or_missing(result.ttft_ms.map(format::latency)),
        or_missing(result.tpot_ms.map(format::latency)),
        or_missing(measured.map(format::peak_memory)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::Bytes;

    fn row(name: &str, size: Option<u64>) -> Row {
        let result = VariantResult {
            variant: name.parse().unwrap(),
            scheme: "W4A8".into(),
            is_baseline: false,
            size: size.map(Bytes),
            pass_at_1: None,
            pass_at_k: Vec::new(),
            n_scored: 0,
            n_problems: 48,
            excluded: Vec::new(),
            tracks: Vec::new(),
            likeness: Vec::new(),
            repair: None,
            perplexity: None,
            ttft_ms: None,
            tpot_ms: None,
            performance: None,
        };
        Row {
            result,
            comparison: None,
            is_on_frontier: false,
        }
    }

    #[test]
    fn what_was_not_measured_comes_last_either_way() {
        for is_descending in [false, true] {
            let mut rows = [row("m:a", None), row("m:b", Some(5)), row("m:c", Some(9))];
            let sorting = Sorting {
                column: Column::Measured(Axis::Size),
                is_descending,
            };
            rows.sort_by(|a, b| order(a, b, sorting));
            assert_eq!(
                rows[2].result.variant.as_str(),
                "m:a",
                "descending: {is_descending}"
            );
            assert_eq!(
                rows[0].result.size,
                Some(Bytes(if is_descending { 9 } else { 5 }))
            );
        }
    }

    #[test]
    fn a_filter_asks_for_all_its_words_in_any_case() {
        let row = row("tiny:int4", None);
        assert!(row.matches("") && row.matches("INT4 w4a8") && row.matches("baseline"));
        assert!(!row.matches("int4 meets"));
    }
}
