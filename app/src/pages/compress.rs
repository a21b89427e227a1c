//! The page that makes variants: choose a model and a recipe, see what will come of it, start.

use super::compress_form::{CompressForm, FormStart};
use crate::{
    api::{ApiError, get_compression, list_compressions, list_models, preview_compression},
    components::{EmptyNotice, ErrorNotice, StateBadge, VariantLabel, loaded},
    format,
    recipe_fields::RecipeFields,
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;
use serde::{Deserialize, Serialize};
use trimtab_domain::{CompressionSummary, Failure, ModelView, Recipe, RunId};

/// The preset that is chosen at first.
const FIRST_PRESET: &str = "int4";

/// How many former compressions are shown.
const N_RECENT: usize = 8;

/// What the page opens with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Start {
    form: Option<FormStart>,
    recent: Vec<CompressionSummary>,
    n_compressions: usize,
    /// Why the recipe that the address asks for is not there.
    trouble: Option<ApiError>,
}

/// The page.
#[component]
pub(crate) fn Compress() -> impl IntoView {
    let query = use_query_map();
    let asked = Memo::new(move |_| query.with(|query| (query.get("model"), query.get("from"))));
    let start = Resource::new(
        move || asked.get(),
        |(model, from)| async move { load(model, from).await },
    );
    view! {
        <Title text="Compress"/>
        <h1>"Compress"</h1>
        <p class="lead">
            "Make a variant of a model: smaller, and a little different. Before anything is made, this "
            "page says how large it will be; while it is made, what each layer loses."
        </p>
        {loaded(start, |start: Start| view! { <CompressBody start/> })}
    }
    .into_any()
}

async fn load(model: Option<String>, from: Option<String>) -> Result<Start, ApiError> {
    let models = list_models().await?;
    let mut recent = list_compressions().await?;
    let n_compressions = recent.len();
    recent.truncate(N_RECENT);
    let (draft, trouble) = match draft(from).await {
        Ok(draft) => (draft, None),
        Err(error) => (None, Some(error)),
    };
    let wanted = draft.as_ref().map(|(model, _)| model.clone()).or(model);
    Ok(Start {
        form: form_start(models, wanted, draft.map(|(_, recipe)| recipe)).await,
        recent,
        n_compressions,
        trouble,
    })
}

/// Model and recipe that the compression `from` was improved to.
async fn draft(from: Option<String>) -> Result<Option<(String, Recipe)>, ApiError> {
    let Some(from) = from else {
        return Ok(None);
    };
    let run_id = from.parse().map(RunId).map_err(|_| {
        Failure::bad_input(format!("`{from}` names no compression"))
            .with_hint("compressions are numbered: choose one from the list below")
    })?;
    let view = get_compression(run_id).await?;
    let recipe = view.improved.ok_or_else(|| {
        Failure::bad_input(format!(
            "compression {run_id} has nothing to keep at 8 bits"
        ))
        .with_hint("only finished compressions to fewer than 8 bits do")
    })?;
    Ok(Some((view.summary.model.to_string(), recipe)))
}

/// The form, filled in; `None` where there is no model.
async fn form_start(
    models: Vec<ModelView>,
    wanted: Option<String>,
    recipe: Option<Recipe>,
) -> Option<FormStart> {
    let is_wanted = |model: &&ModelView| Some(model.name.as_str()) == wanted.as_deref();
    let is_here = |model: &&ModelView| model.is_fetched;
    let model = models.iter().find(is_wanted);
    let model = model
        .or_else(|| models.iter().find(is_here))
        .or(models.first())?;
    let model = model.name.clone();
    let fields = recipe.as_ref().map(RecipeFields::of);
    let mut form = FormStart {
        models,
        model: model.to_string(),
        choice: match recipe {
            Some(_) => "own".to_owned(),
            None => FIRST_PRESET.to_owned(),
        },
        fields: fields.clone().flatten().unwrap_or_default(),
        text: None,
        preview: None,
    };
    if let (Some(recipe), Some(None)) = (recipe, fields) {
        form.text = serde_json::to_string_pretty(&recipe).ok();
    }
    form.preview = Some(preview_compression(model, form.recipe(), String::new()).await);
    Some(form)
}

#[component]
fn CompressBody(start: Start) -> impl IntoView {
    let Start {
        form,
        recent,
        n_compressions,
        trouble,
    } = start;
    let form = match form {
        Some(start) => view! { <CompressForm start/> }.into_any(),
        None => view! {
            <EmptyNotice title="No models yet">
                <p>"Import one with " <code>"trimtab models import PATH"</code> "."</p>
            </EmptyNotice>
        }
        .into_any(),
    };
    view! {
        {trouble.map(|error| view! { <ErrorNotice error/> })}
        {form}
        <section aria-labelledby="recent">
            <h2 id="recent">"Compressions"</h2>
            <RecentList recent n_compressions/>
        </section>
    }
    .into_any()
}

#[component]
fn RecentList(recent: Vec<CompressionSummary>, n_compressions: usize) -> impl IntoView {
    if recent.is_empty() {
        return view! {
            <p class="fine">"None yet: what is started here is listed here, newest first."</p>
        }
        .into_any();
    }
    let n_more = n_compressions - recent.len();
    let more = (n_more > 0).then(|| {
        view! { <p class="fine">{format!("{n_more} older ones are in the list of ")} <code>"/api/v1/compress"</code> "."</p> }
    });
    let cards = recent
        .into_iter()
        .map(|summary| view! { <RecentCard summary/> });
    view! {
        <ul class="run-list">{cards.collect_view()}</ul>
        {more}
    }
    .into_any()
}

#[component]
fn RecentCard(summary: CompressionSummary) -> impl IntoView {
    let CompressionSummary {
        run_id,
        variant,
        scheme,
        state,
        created_at,
        finished_at,
        error,
        ..
    } = summary;
    let took = format::elapsed(Some(created_at), finished_at);
    view! {
        <li class="card run-card">
            <div class="title-line">
                <h3><a href=format!("/compress/{run_id}")><VariantLabel name=variant/></a></h3>
                <StateBadge state/>
            </div>
            <p class="fine">
                {scheme} " · asked for " {created_at.to_utc_text()}
                {took.map(|took| format!(" · took {took}"))}
            </p>
            {error.map(|error| view! { <p class="inline-error">"Error: " {error}</p> })}
        </li>
    }
    .into_any()
}
