//! What the steps of a recipe that make another model have done: what they took out, and how far
//! what is left answers as its teacher does.

use leptos::prelude::*;
use trimtab_domain::{AgreementReport, Measured, Removed, StageReport};

/// The reports, in the order of the steps; nothing where there are none.
#[component]
pub(super) fn StageReports(
    /// What is known so far.
    #[prop(into)]
    stages: Signal<Vec<StageReport>>,
) -> impl IntoView {
    let reports = move || {
        let stages = stages.get().into_iter();
        stages
            .map(|report| view! { <Report report/> })
            .collect_view()
    };
    view! {
        <Show when=move || !stages.with(Vec::is_empty)>
            <section aria-labelledby="stages">
                <h2 id="stages">"What each step did to the model"</h2>
                {reports}
            </section>
        </Show>
    }
    .into_any()
}

#[component]
fn Report(report: StageReport) -> impl IntoView {
    let StageReport {
        method,
        summary,
        removed,
        notes,
        agreement,
        duration_ms,
        ..
    } = report;
    let took = trimtab_domain::format_duration_ms(duration_ms);
    let notes: Vec<_> = notes
        .into_iter()
        .map(|note| view! { <li>{note}</li> })
        .collect();
    view! {
        <section class="card">
            <h3><code>{method}</code></h3>
            <p>{summary}". It took "{took}"."</p>
            {agreement.map(|report| view! { <AgreementTable report=*report/> })}
            {(!notes.is_empty()).then(|| view! { <ul>{notes}</ul> })}
            {(!removed.is_empty()).then(|| view! { <RemovedParts removed/> })}
        </section>
    }
    .into_any()
}

#[component]
fn AgreementTable(report: AgreementReport) -> impl IntoView {
    let AgreementReport {
        teacher,
        before,
        after,
    } = report;
    let row = |what: &'static str, before: String, after: String| {
        view! {
            <tr>
                <th scope="row">{what}</th>
                <td class="number">{before}</td>
                <td class="number">{after}</td>
            </tr>
        }
    };
    let rows = [
        row(
            "Same first choice",
            percent(before.top1),
            percent(after.top1),
        ),
        row(
            "Teacher's first choice among the first five",
            percent(before.top5),
            percent(after.top5),
        ),
        row(
            "Divergence from the teacher (KL, nats per token)",
            number(before.kl),
            number(after.kl),
        ),
        row(
            "Perplexity",
            number(before.student_perplexity),
            number(after.student_perplexity),
        ),
    ];
    view! {
        <div class="table-scroll" tabindex="0" role="region" aria-label="Agreement with the teacher">
            <table>
                <thead>
                    <tr>
                        <th scope="col">"Against "<code>{teacher}</code></th>
                        <th scope="col">"Before learning"</th>
                        <th scope="col">"After"</th>
                    </tr>
                </thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
        <p class="fine">
            {format!(
                "n = {} tokens of {} sequences that were not learned from; ± is the standard error over the \
                 sequences. The teacher's own perplexity on them is {}.",
                after.n_tokens,
                after.n_sequences,
                number(after.teacher_perplexity),
            )}
        </p>
    }
    .into_any()
}

#[component]
fn RemovedParts(removed: Vec<Removed>) -> impl IntoView {
    let label = match removed.len() {
        1 => "What was taken out: 1 part".to_owned(),
        n => format!("What was taken out: {n} parts"),
    };
    let rows: Vec<_> = removed
        .into_iter()
        .map(|part| {
            view! {
                <tr>
                    <th scope="row"><code>{part.name}</code></th>
                    <td class="number">{format!("{:.4}", part.score)}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <details>
            <summary>{label}</summary>
            <div class="table-scroll" tabindex="0" role="region" aria-label="What was taken out">
                <table>
                    <thead>
                        <tr><th scope="col">"Part"</th><th scope="col">"How much it mattered"</th></tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
            <p class="fine">
                "Of a layer: 1 − mean cosine similarity of what enters and what leaves it. Of heads and \
                 neurons: their share of the squared output of all of their layer."
            </p>
        </details>
    }
    .into_any()
}

fn number(m: Measured) -> String {
    format!("{:.3} ± {:.3}", m.value, m.standard_error)
}

fn percent(m: Measured) -> String {
    format!("{:.1} ± {:.1} %", 100.0 * m.value, 100.0 * m.standard_error)
}
