//! All runs: filter by text and state, sort, start the quickstart again.

use crate::{
    api::list_runs,
    components::{EmptyNotice, QuickstartButton, StateBadge, loaded},
    format,
};
use leptos::prelude::*;
use leptos_meta::Title;
use trimtab_domain::{JobState, RunSummary};

/// What the list can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Newest,
    Oldest,
    Title,
    State,
}

impl Order {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Newest, "Newest first"),
        (Self::Oldest, "Oldest first"),
        (Self::Title, "Title"),
        (Self::State, "State"),
    ];

    fn sort(self, runs: &mut [RunSummary]) {
        runs.sort_by_key(|run| std::cmp::Reverse((run.created_at, run.run_id)));
        match self {
            Self::Newest => {}
            Self::Oldest => runs.reverse(),
            Self::Title => runs.sort_by_key(|run| run.title.to_lowercase()),
            Self::State => runs.sort_by_key(|run| run.state.as_str()),
        }
    }
}

const STATES: [JobState; 5] = [
    JobState::Queued,
    JobState::Running,
    JobState::Done,
    JobState::Failed,
    JobState::Cancelled,
];

/// Whether title, variants, suites or state hold every word of `filter`, whatever its case.
fn matches(run: &RunSummary, filter: &str, state: Option<JobState>) -> bool {
    let variants: Vec<&str> = run
        .variants
        .iter()
        .map(trimtab_domain::VariantName::as_str)
        .collect();
    let text = format!(
        "{} {} {} {}",
        run.title,
        variants.join(" "),
        run.suites.join(" "),
        run.state.as_str()
    )
    .to_lowercase();
    let has_state = state.is_none_or(|state| run.state == state);
    has_state
        && filter
            .to_lowercase()
            .split_whitespace()
            .all(|word| text.contains(word))
}

/// The list.
#[component]
pub(crate) fn Runs() -> impl IntoView {
    let runs = Resource::new(|| (), |()| list_runs());
    view! {
        <Title text="Runs"/>
        <div class="title-line">
            <h1>"Runs"</h1>
            <QuickstartButton label="Start the quickstart again"/>
        </div>
        {loaded(runs, |runs: Vec<RunSummary>| {
            if runs.is_empty() {
                return view! {
                    <EmptyNotice title="No runs yet">
                        <p>
                            "Start the quickstart with the button above, or name your own variants: "
                            <code>"trimtab evaluate --variants A,B --suite starter"</code> "."
                        </p>
                    </EmptyNotice>
                }.into_any();
            }
            view! { <RunList runs/> }.into_any()
        })}
    }
    .into_any()
}

#[component]
fn RunList(runs: Vec<RunSummary>) -> impl IntoView {
    let n_runs = runs.len();
    let runs = StoredValue::new(runs);
    let filter = RwSignal::new(String::new());
    let state = RwSignal::new(None::<JobState>);
    let order = RwSignal::new(Order::Newest);
    let shown = Memo::new(move |_| {
        let mut shown = runs.get_value();
        filter.with(|filter| shown.retain(|run| matches(run, filter, state.get())));
        order.get().sort(&mut shown);
        shown
    });
    let choose_order = move |value: String| {
        let chosen = Order::ALL.iter().find(|(_, label)| *label == value);
        order.set(chosen.map_or(Order::Newest, |(order, _)| *order));
    };
    view! {
        <div class="table-tools">
            <label class="field">
                <span>"Filter by title, variant or suite"</span>
                <input type="search" prop:value=filter on:input=move |e| filter.set(event_target_value(&e))/>
            </label>
            <label class="field">
                <span>"State"</span>
                <select on:change=move |e| state.set(JobState::parse(&event_target_value(&e)))>
                    <option value="">"all"</option>
                    {STATES.map(|s| view! { <option value=s.as_str()>{s.as_str()}</option> }).into_iter().collect_view()}
                </select>
            </label>
            <label class="field">
                <span>"Order"</span>
                <select on:change=move |e| choose_order(event_target_value(&e))>
                    {Order::ALL.map(|(_, label)| view! { <option value=label>{label}</option> }).into_iter().collect_view()}
                </select>
            </label>
            <span class="count" role="status">
                {move || format!("{} of {n_runs} runs", shown.with(Vec::len))}
            </span>
        </div>
        <ul class="run-list">
            <For each=move || shown.get() key=|run| (run.run_id, run.state)
                children=|run| view! { <RunCard run/> }/>
        </ul>
        <Show when=move || shown.with(Vec::is_empty)>
            <p class="fine">"No run matches. Clear the filter to see all."</p>
        </Show>
    }
    .into_any()
}

#[component]
fn RunCard(run: RunSummary) -> impl IntoView {
    let graded = format::graded(&run);
    let took = format::elapsed(Some(run.created_at), run.finished_at);
    let variants = run
        .variants
        .iter()
        .map(|name| view! { <li><code>{name.to_string()}</code></li> });
    view! {
        <li class="card run-card">
            <div class="title-line">
                <h2><a href=format!("/runs/{}", run.run_id)>{run.run_id.to_string()} " · " {run.title.clone()}</a></h2>
                <StateBadge state=run.state/>
            </div>
            <ul class="chips">{variants.collect_view()}</ul>
            <p class="fine">
                "Suite " {run.suites.join(", ")} " · " {graded} " · started "
                {run.created_at.to_utc_text()}
                {took.map(|took| format!(" · took {took}"))}
            </p>
            {run.error.map(|error| view! { <p class="inline-error">"Error: " {error}</p> })}
        </li>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::{RunId, RunKind, Timestamp};

    fn run(id: i64, title: &str, state: JobState) -> RunSummary {
        RunSummary {
            run_id: RunId(id),
            kind: RunKind::Evaluation,
            title: title.into(),
            state,
            created_at: Timestamp(id),
            finished_at: None,
            variants: vec!["tiny:int4".parse().unwrap()],
            suites: vec!["starter".into()],
            n_scored: 0,
            n_problems: 4,
            error: None,
            hint: None,
        }
    }

    #[test]
    fn text_and_state_both_have_to_match() {
        let run = run(1, "Quickstart", JobState::Done);
        assert!(matches(&run, "QUICK int4", None));
        assert!(matches(&run, "", Some(JobState::Done)));
        assert!(!matches(&run, "", Some(JobState::Failed)));
        assert!(!matches(&run, "int8", None));
    }

    #[test]
    fn each_order_puts_its_own_first() {
        let first = |order: Order| {
            let mut runs = [
                run(1, "b", JobState::Done),
                run(2, "c", JobState::Cancelled),
                run(3, "a", JobState::Running),
            ];
            order.sort(&mut runs);
            runs[0].run_id.0
        };
        assert_eq!(Order::ALL.map(|(order, _)| first(order)), [3, 1, 3, 2]);
    }
}
