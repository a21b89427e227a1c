//! One compression, live: how far it is, what each layer loses, and what came of it.

use super::{
    compression_map::HeatMap,
    models::{deployed_note, recipe_in_words},
    run_of_address::of_address,
    stage_reports::StageReports,
};
use crate::{
    api::{ApiError, get_compression},
    components::{ErrorNotice, FailureNotice, ProgressBar, RunActions, StateBadge, Term, loaded},
    format,
    glossary::Word,
    live::{LiveState, Refresh, watch_run},
};
use leptos::{prelude::*, task::spawn_local};
use leptos_meta::Title;
use trimtab_domain::{
    CompressionView, Failure, JobEvent, JobState, Pace, Recipe, RunEvent, RunId, StageView,
    Timestamp, VariantView, WorstModule, place_in_layers,
};

/// What the page knows, fed by the server and by live events.
#[derive(Clone, Copy)]
struct Watched {
    view: RwSignal<CompressionView>,
    stage: RwSignal<Option<StageView>>,
    live: RwSignal<LiveState>,
    /// Why the newest look at the server failed, if it did.
    trouble: RwSignal<Option<ApiError>>,
}

impl Watched {
    fn new(view: CompressionView) -> Self {
        Self {
            stage: RwSignal::new(view.stage.clone()),
            view: RwSignal::new(view),
            live: RwSignal::new(LiveState::Idle),
            trouble: RwSignal::new(None),
        }
    }

    fn state(self) -> JobState {
        self.view.with(|view| view.summary.state)
    }

    /// Takes in one event; `true` if the server knows more than the event says.
    fn take(self, event: RunEvent) -> bool {
        let RunEvent::Job { at, event, .. } = event else {
            return true;
        };
        match event {
            JobEvent::Progress {
                stage,
                n_done,
                n_total,
            } => {
                let said = (stage, n_done, n_total);
                self.stage
                    .update(|known| *known = Some(next_stage(known.take(), said, at)));
                false
            }
            JobEvent::LayerCompressed { report } => {
                self.stage.update(|known| {
                    if let Some(stage) = known {
                        stage.weight = Some(report.name);
                    }
                });
                true
            }
            _ => true,
        }
    }
}

fn next_stage(
    known: Option<StageView>,
    (words, n_done, n_total): (String, u64, u64),
    at: Timestamp,
) -> StageView {
    let weight = known.as_ref().and_then(|known| known.weight.clone());
    let known = known.filter(|known| known.words == words);
    let pace = known.map_or(Pace::starting(at, n_done), |known| {
        known.pace.seen(at, n_done)
    });
    StageView {
        words,
        n_done,
        n_total,
        pace,
        weight,
    }
}

/// `Making m:int4 · layer 3, mlp.up_proj · about 40 s left`.
fn stage_in_words(stage: &StageView) -> String {
    let place = stage
        .weight
        .as_deref()
        .map(|name| match place_in_layers(name) {
            Some((layer, module)) => format!("layer {layer}, {module}"),
            None => name.to_owned(),
        });
    let left = stage.pace.remaining_text(stage.n_total);
    let parts: Vec<String> = [Some(stage.words.clone()), place, left]
        .into_iter()
        .flatten()
        .collect();
    parts.join(" · ")
}

/// The page.
#[component]
pub(crate) fn Compression() -> impl IntoView {
    let view = of_address(get_compression, || {
        Failure::bad_input("the address names no compression")
            .with_hint("compressions are numbered: choose one on the page Compress")
    });
    view! {
        <Title text="Compression"/>
        {loaded(view, |view: CompressionView| view! { <CompressionBody view/> })}
    }
    .into_any()
}

#[component]
fn CompressionBody(view: CompressionView) -> impl IntoView {
    let summary = view.summary.clone();
    let title = summary.variant.to_string();
    let watched = Watched::new(view);
    let refresh = follow(summary.run_id, watched);
    let state = Signal::derive(move || watched.state());
    let map = Memo::new(move |_| watched.view.with(|view| view.map.clone()));
    let stages = Memo::new(move |_| watched.view.with(|view| view.stages.clone()));
    let has_map = move || watched.view.with(|view| view.map.n_done > 0);
    view! {
        <Title text=title.clone()/>
        <p class="fine"><a href="/compress">"Compress"</a> " / " {summary.run_id.to_string()}</p>
        <div class="title-line">
            <h1>{title}</h1>
            <StateBadge state/>
        </div>
        <p class="lead">{recipe_in_words(&summary.recipe)}</p>
        <Head watched/>
        <RunActions run_id=summary.run_id state on_done=Callback::new(move |()| refresh.wish())/>
        <Show when=move || watched.view.with(|view| view.made.is_some())>
            <Outcome watched/>
        </Show>
        <StageReports stages/>
        <section aria-labelledby="map">
            <h2 id="map">"What each layer loses"</h2>
            <Show when=has_map fallback=|| view! {
                <p class="fine">"Nothing is compressed yet: errors appear here as they are measured."</p>
            }>
                <HeatMap map/>
            </Show>
        </section>
        <Worst watched/>
        <Notes watched/>
    }
    .into_any()
}

/// Follows the events while it is not over, and looks at the server at most once a second.
fn follow(run_id: RunId, watched: Watched) -> Refresh {
    let refresh = Refresh::new(move || {
        spawn_local(async move {
            match get_compression(run_id).await {
                Ok(view) => {
                    if view.summary.state.is_final() {
                        watched.stage.try_set(None);
                    }
                    watched.view.try_set(view);
                    watched.trouble.try_set(None);
                }
                Err(error) => {
                    watched.trouble.try_set(Some(error));
                }
            }
        });
    });
    let is_over = Memo::new(move |_| watched.state().is_final());
    Effect::new(move || {
        if is_over.get() {
            return;
        }
        let on_event = move |event| {
            if watched.take(event) {
                refresh.wish();
            }
        };
        watch_run(run_id, watched.live, on_event, move || refresh.wish());
    });
    refresh
}

#[component]
fn Head(watched: Watched) -> impl IntoView {
    let times = move || {
        watched.view.with(|view| {
            let summary = &view.summary;
            let took = format::elapsed(Some(summary.created_at), summary.finished_at);
            let took = took.map_or_else(String::new, |took| format!(", took {took}"));
            format!("Asked for {}{took}.", summary.created_at.to_utc_text())
        })
    };
    let failure = move || {
        watched.view.with(|view| {
            let summary = &view.summary;
            summary
                .error
                .clone()
                .map(|message| (message, summary.hint.clone()))
        })
    };
    let connection = move || match watched.live.get() {
        LiveState::Idle => None,
        LiveState::Live => Some("Live: errors appear as they are measured."),
        LiveState::Broken => Some("The live connection broke; trying again."),
    };
    let number = move |part: fn(&StageView) -> u64| {
        Signal::derive(move || watched.stage.with(|stage| stage.as_ref().map_or(0, part)))
    };
    let words = Signal::derive(move || {
        watched
            .stage
            .with(|stage| stage.as_ref().map(stage_in_words))
    });
    let is_going_on = move || !watched.state().is_final();
    view! {
        <p class="fine">{times}</p>
        {move || failure().map(|(message, hint)| view! { <FailureNotice message hint/> })}
        {move || watched.trouble.get().map(|error| view! { <ErrorNotice error/> })}
        <Show when=is_going_on>
            <ProgressBar
                label="Work of this stage"
                n_done=number(|stage| stage.n_done)
                n_total=number(|stage| stage.n_total)
                note=words
            />
        </Show>
        <p class="live-state fine" role="status">{connection}</p>
    }
    .into_any()
}

/// What was made.
#[component]
fn Outcome(watched: Watched) -> impl IntoView {
    let made = move || watched.view.with(|view| view.made.clone());
    move || made().map(|made| view! { <ResultCard made/> })
}

#[component]
fn ResultCard(made: VariantView) -> impl IntoView {
    let note = deployed_note(&made.recipe).unwrap_or("one file, which is all that is deployed");
    let evaluate = format!(
        "trimtab evaluate --suite starter --variants {}:f16,{}",
        made.model, made.name
    );
    view! {
        <section class="card" aria-labelledby="made">
            <h2 id="made">"Made"</h2>
            <dl class="facts">
                <div>
                    <dt>"Total deployed size"</dt>
                    <dd><span class="value">{made.size.to_string()}</span><span class="detail">{note}</span></dd>
                </div>
                <div>
                    <dt><Term word=Word::BitsPerWeight/></dt>
                    <dd><span class="value">{format!("{:.2}", made.bits_per_weight)}</span></dd>
                </div>
                <div>
                    <dt><Term word=Word::Scheme label="Scheme"/></dt>
                    <dd><span class="value">{made.scheme}</span></dd>
                </div>
                <div class="fact-wide">
                    <dt><Term word=Word::Digest/></dt>
                    <dd><code class="digest">{made.digest.to_string()}</code></dd>
                </div>
            </dl>
            <p class="fine">"What it loses on tasks is measured by " <code>{evaluate}</code> "."</p>
        </section>
    }
    .into_any()
}

/// The modules that lost most, and the recipe that spares them.
#[component]
fn Worst(watched: Watched) -> impl IntoView {
    let is_over = move || watched.state().is_final();
    let worst = Memo::new(move |_| watched.view.with(|view| view.worst.clone()));
    let improved = move || {
        watched.view.with(|view| {
            let run_id = view.summary.run_id;
            view.improved
                .clone()
                .map(|recipe| (run_id, recipe, view.worst.len()))
        })
    };
    let rows = move || {
        let rows = worst.get().into_iter();
        rows.map(|module| view! { <WorstRow module/> })
            .collect_view()
    };
    view! {
        <Show when=move || is_over() && !worst.with(Vec::is_empty)>
            <section aria-labelledby="worst">
                <h2 id="worst">"The worst modules"</h2>
                <div class="table-scroll" tabindex="0" role="region" aria-label="The worst modules">
                    <table>
                        <thead>
                            <tr>
                                <th scope="col">"Module"</th>
                                <th scope="col">"Error"</th>
                                <th scope="col">"Against the median"</th>
                                <th scope="col"><Term word=Word::BitsPerWeight/></th>
                            </tr>
                        </thead>
                        <tbody>{rows}</tbody>
                    </table>
                </div>
                {move || improved().map(|(run_id, recipe, n)| view! { <KeepButton run_id recipe n_worst=n/> })}
            </section>
        </Show>
    }
    .into_any()
}

#[component]
fn WorstRow(module: WorstModule) -> impl IntoView {
    view! {
        <tr>
            <th scope="row"><code>{module.name}</code></th>
            <td class="number">{format::squared_error(module.error)} " %"</td>
            <td class="number">{format!("{:.1}×", module.times_median)}</td>
            <td class="number">{format!("{:.2}", module.bits_per_weight)}</td>
        </tr>
    }
    .into_any()
}

#[component]
fn KeepButton(run_id: RunId, recipe: Recipe, n_worst: usize) -> impl IntoView {
    let n_kept = recipe.grid().map_or(0, |grid| {
        grid.overrides.iter().filter(|one| one.bits == 8).count()
    });
    let label = match n_worst {
        1 => "Keep the worst module at 8 bits".to_owned(),
        n => format!("Keep the {n} worst modules at 8 bits"),
    };
    view! {
        <div class="actions">
            <a class="button primary" href=format!("/compress?from={run_id}")>{label}</a>
        </div>
        <p class="fine">
            {format!(
                "Opens a new recipe with {n_kept} overrides, ready to start: these modules, and those that are \
                 multiplied together with them."
            )}
        </p>
    }
    .into_any()
}

/// What was noted of single weights.
#[component]
fn Notes(watched: Watched) -> impl IntoView {
    let notes = Memo::new(move |_| watched.view.with(|view| view.notes.clone()));
    view! {
        <Show when=move || !notes.with(Vec::is_empty)>
            <section aria-labelledby="notes">
                <h2 id="notes">"Notes"</h2>
                <pre class="log" tabindex="0" role="region" aria-label="Notes on single weights">
                    {move || notes.with(|notes| notes.join("\n"))}
                </pre>
            </section>
        </Show>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_says_where_it_is_and_how_long_it_takes() {
        let said = |n_done| ("Making m:a".to_owned(), n_done, 60);
        let first = next_stage(None, said(10), Timestamp(0));
        assert_eq!(stage_in_words(&first), "Making m:a");
        let known = StageView {
            weight: Some("model.layers.3.mlp.up_proj".to_owned()),
            ..first
        };
        let then = next_stage(Some(known), said(20), Timestamp(5_000));
        assert_eq!(
            stage_in_words(&then),
            "Making m:a · layer 3, mlp.up_proj · about 20 s left"
        );
        let other = next_stage(Some(then), ("Fetching".to_owned(), 1, 2), Timestamp(6_000));
        assert_eq!(other.pace.remaining_ms(2), None);
    }
}
