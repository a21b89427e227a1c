//! What the jobs of a run took of a graphics card; absent where the processor computes.

use super::run::RunState;
use crate::{
    components::{FigureCell, Term},
    format::Figure,
    glossary::Word,
};
use leptos::prelude::*;
use trimtab_domain::{CardMemoryOf, CardUse, JobSummary, energy_words};

/// What a job does, and what it took.
type Used = (String, CardUse);

/// The section, once a card was used.
#[component]
pub(super) fn CardSection(state: RunState) -> impl IntoView {
    let used = Memo::new(move |_| {
        let jobs = state.detail.with(|detail| detail.jobs.clone());
        jobs.iter().filter_map(used).collect::<Vec<Used>>()
    });
    let table = move || {
        let used = used.get();
        (!used.is_empty()).then(|| view! { <Cards used/> })
    };
    view! { {table} }.into_any()
}

fn used(job: &JobSummary) -> Option<Used> {
    Some((job.spec.title(), job.card_use?))
}

#[component]
fn Cards(used: Vec<Used>) -> impl IntoView {
    let rows = used.into_iter().map(|(title, used)| {
        let cells = figures(&used).map(|figure| view! { <FigureCell figure/> });
        view! {
            <tr>
                <th scope="row">{title}</th>
                {cells.into_iter().collect_view()}
            </tr>
        }
    });
    view! {
        <section aria-labelledby="card">
        <h2 id="card">"Graphics card"</h2>
        <p class="fine">
            "What each job took, an evaluation with loading, measuring and answering; all attempts together, n = 1. "
            "Energy is that of the whole card by its driver's counter, what it takes when idle included."
        </p>
        <div class="table-scroll" tabindex="0" role="region" aria-labelledby="card">
            <table>
                <thead>
                    <tr>
                        <th scope="col"><Term word=Word::Job/></th>
                        <th scope="col"><Term word=Word::GpuHours/></th>
                        <th scope="col">"Energy"</th>
                        <th scope="col">"Mean power"</th>
                        <th scope="col"><Term word=Word::PeakMemory label="Peak memory of the card"/></th>
                        <th scope="col">"Other processes"</th>
                    </tr>
                </thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
        </section>
    }
    .into_any()
}

/// What the driver does not tell is missing.
fn figures(used: &CardUse) -> [Figure; 5] {
    let told = |words: Option<String>| words.map_or_else(Figure::missing, Figure::plain);
    let peak = used.peak_memory.map(|peak| Figure {
        value: peak.bytes.to_string(),
        detail: match peak.of {
            CardMemoryOf::Process => String::new(),
            CardMemoryOf::Card => "of all processes".to_owned(),
        },
    });
    let watts = used.mean_power_w();
    [
        Figure {
            value: format!("{:.4} h", used.gpu_hours()),
            detail: "one card".to_owned(),
        },
        told(used.energy_j.map(energy_words)),
        told(watts.map(|watts| format!("{watts:.0} W"))),
        peak.unwrap_or_else(Figure::missing),
        told(used.n_others.map(|n_others| n_others.to_string())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::{Bytes, CardMemory};

    #[test]
    fn what_the_driver_tells_is_shown_with_its_unit_and_nothing_else() {
        let mut used = CardUse {
            seconds: 45.0,
            energy_j: Some(12_240.0),
            peak_memory: Some(CardMemory {
                bytes: Bytes(2_100_000_000),
                of: CardMemoryOf::Card,
            }),
            n_others: None,
        };
        let lines = figures(&used).map(|figure| figure.line());
        let expected = [
            "0.0125 h one card",
            "3.40 Wh",
            "272 W",
            "2.10 GB of all processes",
            "–",
        ];
        assert_eq!(lines, expected);
        used.energy_j = None;
        let lines = figures(&used).map(|figure| figure.line());
        assert_eq!(lines[1..3], ["–", "–"]);
    }
}
