//! Speed and memory of each variant of a run: latencies, processor time, what memory holds, and speed
//! by context and batch.

use super::run::RunState;
use crate::{
    components::{FigureCell, Term, VariantLabel},
    format::{self, Figure},
    glossary::Word,
};
use leptos::prelude::*;
use trimtab_domain::{
    Bytes, LeftOut, Performance, Spread, ThroughputMatrix, VariantName, format_duration_ms,
};

/// A variant and what was measured of it.
type Measured = (VariantName, Performance);

/// The section; absent until a variant is measured.
#[component]
pub(super) fn SpeedSection(state: RunState) -> impl IntoView {
    let measured = Memo::new(move |_| {
        state.detail.with(|detail| {
            let known = detail.results.iter().filter_map(|result| {
                let performance = result.performance.clone()?;
                Some((result.variant.clone(), performance))
            });
            known.collect::<Vec<Measured>>()
        })
    });
    let tables = move || {
        let measured = measured.get();
        (!measured.is_empty()).then(|| view! { <SpeedTables measured/> })
    };
    view! { {tables} }.into_any()
}

#[component]
fn SpeedTables(measured: Vec<Measured>) -> impl IntoView {
    let warnings = measured.iter().flat_map(|(variant, performance)| {
        let warnings = performance.warnings().into_iter();
        warnings.map(move |warning| {
            let words = format!("{variant}: {warning}.");
            view! { <p class="notice info" role="note"><strong>"Warning: "</strong>{words}</p> }
        })
    });
    let warnings = warnings.collect_view();
    let matrices = measured.iter().filter_map(|(variant, performance)| {
        let matrix = performance.matrix.as_deref()?.clone();
        Some(view! { <Matrix variant=variant.clone() matrix/> })
    });
    let matrices = matrices.collect_view();
    let rows = measured
        .into_iter()
        .map(|(variant, performance)| view! { <SpeedRow variant performance/> });
    view! {
        <section aria-labelledby="speed">
            <h2 id="speed">"Speed and memory"</h2>
            <p class="fine">
                "Measured on one sequence while no other measurement ran on the device; medians with the range "
                "of the repeats after one warm-up that does not count. "
                <Term word=Word::OtherLoad label="Other load"/> " is what else the machine did meanwhile."
            </p>
            {warnings}
            <div class="table-scroll" tabindex="0" role="region" aria-label="Speed and memory of each variant">
                <table class="wide">
                    <thead>
                        <tr>
                            <th scope="col"><Term word=Word::Variant/></th>
                            <th scope="col">"Prompt + output"</th>
                            <th scope="col">"Loading"</th>
                            <th scope="col"><Term word=Word::Ttft label="TTFT"/></th>
                            <th scope="col"><Term word=Word::Tpot label="TPOT"/></th>
                            <th scope="col"><Term word=Word::Gap label="Gaps p50"/></th>
                            <th scope="col"><Term word=Word::CpuTime label="CPU, prompt"/></th>
                            <th scope="col"><Term word=Word::CpuTime label="CPU, 1,000 tokens"/></th>
                            <th scope="col"><Term word=Word::PeakMemory/></th>
                            <th scope="col">"Weights"</th>
                            <th scope="col"><Term word=Word::KvCache label="KV cache"/></th>
                            <th scope="col">"Rest"</th>
                            <th scope="col"><Term word=Word::OtherLoad label="Other load"/></th>
                        </tr>
                    </thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
            {matrices}
        </section>
    }
    .into_any()
}

#[component]
fn SpeedRow(variant: VariantName, performance: Performance) -> impl IntoView {
    let marker = variant.to_string();
    let cells = figures(&performance).map(|figure| view! { <FigureCell figure/> });
    view! {
        <tr data-speed-of=marker>
            <th scope="row"><VariantLabel name=variant/></th>
            {cells.into_iter().collect_view()}
        </tr>
    }
    .into_any()
}

fn figures(performance: &Performance) -> [Figure; 12] {
    let detail = performance.detail.as_deref();
    let or_missing = |figure: Option<Figure>| figure.unwrap_or_else(Figure::missing);
    let size = |bytes: Bytes| Figure::plain(bytes.to_string());
    [
        Figure {
            value: format!("{} + {}", performance.n_prompt, performance.n_gen),
            detail: format!("tokens · {} threads", performance.n_threads),
        },
        Figure {
            value: format_duration_ms(performance.load_ms),
            detail: format!("n = {}", detail.map_or(1, |detail| detail.n_loads)),
        },
        or_missing(detail.map(|detail| format::duration(detail.ttft_ms))),
        or_missing(detail.map(|detail| format::duration(detail.tpot_ms))),
        or_missing(detail.map(|detail| format::latency(detail.gaps_ms))),
        or_missing(detail.map(|detail| format::duration(detail.prefill_cpu_ms))),
        or_missing(detail.map(|detail| format::duration(in_ms(detail.decode_cpu_s_per_1000)))),
        peak(performance),
        size(performance.weights),
        size(performance.kv_cache),
        or_missing(performance.rest().map(size)),
        or_missing(performance.other_load().map(percent)),
    ]
}

/// The peak of the memory that the model is computed in.
fn peak(performance: &Performance) -> Figure {
    let figure = format::peak_memory(performance);
    if performance.card_use.is_none() {
        return figure;
    }
    Figure {
        detail: format!(
            "{} · {} in the process",
            figure.detail, performance.peak_memory
        ),
        ..figure
    }
}

fn percent(share: f64) -> Figure {
    Figure {
        value: format!("{:.1} %", 100.0 * share),
        detail: "of the cores".to_owned(),
    }
}

/// A spread of seconds in milliseconds.
fn in_ms(seconds: Spread) -> Spread {
    Spread {
        median: 1e3 * seconds.median,
        min: 1e3 * seconds.min,
        max: 1e3 * seconds.max,
        n: seconds.n,
    }
}

#[component]
fn Matrix(variant: VariantName, matrix: ThroughputMatrix) -> impl IntoView {
    let label = format!("Speed of {variant} by context and batch");
    let batches = matrix.batches();
    let headers = batches
        .iter()
        .map(|batch| view! { <th scope="col">{format!("Batch {batch}")}</th> })
        .collect_view();
    let rows = matrix.contexts.iter().map(|row| {
        let speeds = batches.iter().map(|batch| {
            let speed = row.speed_of(*batch).map(format::speed);
            view! { <FigureCell figure=speed.unwrap_or_else(Figure::missing)/> }
        });
        view! {
            <tr>
                <th scope="row">{format!("{} tokens", row.context)}</th>
                <FigureCell figure=format::duration(row.ttft_ms)/>
                {speeds.collect_view()}
            </tr>
        }
    });
    let left_out = matrix.left_out.iter().map(LeftOut::in_words);
    let left_out: Vec<String> = left_out.collect();
    let left_out = (!left_out.is_empty())
        .then(|| view! { <p class="fine">"Not measured: " {left_out.join("; ")} "."</p> });
    view! {
        <h3><Term word=Word::Throughput label="Throughput"/> " of " <VariantLabel name=variant/></h3>
        <p class="fine">
            "Output tokens per second of all sequences together; each decodes the last " {matrix.n_gen}
            " tokens of its context. TTFT is the time to read a prompt that fills it."
        </p>
        <div class="table-scroll" tabindex="0" role="region" aria-label=label>
            <table>
                <thead>
                    <tr>
                        <th scope="col">"Context"</th>
                        <th scope="col"><Term word=Word::Ttft label="TTFT"/></th>
                        {headers}
                    </tr>
                </thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
        {left_out}
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::{CardMemory, CardMemoryOf, CardUse, PerformanceDetail, Quantiles};

    const SPREAD: Spread = Spread {
        median: 2.0,
        min: 1.0,
        max: 3.0,
        n: 5,
    };

    fn performance(detail: Option<PerformanceDetail>) -> Performance {
        Performance {
            prefill_tokens_per_s: SPREAD,
            decode_tokens_per_s: SPREAD,
            n_prompt: 256,
            n_gen: 64,
            n_threads: 2,
            load_ms: 840.0,
            peak_memory: Bytes(1000),
            weights: Bytes(700),
            kv_cache: Bytes(200),
            detail: detail.map(Box::new),
            card_use: None,
            matrix: None,
        }
    }

    #[test]
    fn every_number_carries_its_unit_and_n() {
        let detail = PerformanceDetail {
            n_warmups: 1,
            n_loads: 1,
            ttft_ms: SPREAD,
            tpot_ms: SPREAD,
            gaps_ms: Quantiles {
                p50: 1.0,
                p90: 2.0,
                p95: 3.0,
                p99: 4.0,
                n: 320,
            },
            prefill_cpu_ms: SPREAD,
            decode_cpu_s_per_1000: SPREAD,
            rest: Some(Bytes(100)),
            other_load: Some(0.031),
        };
        let lines = figures(&performance(Some(detail))).map(|figure| figure.line());
        assert_eq!(lines[0], "256 + 64 tokens · 2 threads");
        assert_eq!(lines[1], "840 ms n = 1");
        assert_eq!(lines[2], "2.0 ms [1.0 ms, 3.0 ms] · 5 repeats");
        assert_eq!(
            lines[4],
            "1.0 ms p90 2.0 ms · p95 3.0 ms · p99 4.0 ms · n = 320"
        );
        assert_eq!(lines[6], "2.0 s [1.0 s, 3.0 s] · 5 repeats");
        assert_eq!(lines[10], "100 B");
        assert_eq!(lines[11], "3.1 % of the cores");
    }

    #[test]
    fn on_a_card_the_cards_memory_comes_first() {
        let card = CardUse {
            seconds: 1.0,
            energy_j: None,
            peak_memory: Some(CardMemory {
                bytes: Bytes(950),
                of: CardMemoryOf::Process,
            }),
            n_others: Some(0),
        };
        let mut result = performance(None);
        result.card_use = Some(Box::new(card));
        let lines = figures(&result).map(|figure| figure.line());
        assert_eq!(lines[7], "950 B on the card · 1.00 kB in the process");
        assert_eq!(lines[10], "50 B");
    }

    #[test]
    fn older_results_show_what_they_have() {
        let figures = figures(&performance(None));
        assert_eq!(figures[2], Figure::missing());
        assert_eq!(figures[10].value, "100 B");
        assert_eq!(figures[11], Figure::missing());
    }
}
