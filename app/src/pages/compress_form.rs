//! The form of a compression: model, preset or recipe, name; and what the server foresees of it,
//! asked anew whenever something changes.

use super::{compress_fields::RecipeEditor, compress_forecast::ForecastPanel};
use crate::{
    api::{ApiError, StartCompression, preview_compression},
    components::{ErrorNotice, Term},
    glossary::Word,
    recipe_fields::RecipeFields,
};
use leptos::{form::ActionForm, leptos_dom::helpers::TimeoutHandle, prelude::*, task::spawn_local};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use trimtab_domain::{CompressionPreview, ModelView, Recipe, RecipeProblem};

/// What stands for a recipe of one's own among the presets.
pub(super) const OWN: &str = "own";

/// How long typing has to pause before the server is asked.
const PAUSE: Duration = Duration::from_millis(250);

/// What the server foresees, or why it cannot.
pub(super) type Preview = Result<CompressionPreview, ApiError>;

/// What the form opens with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FormStart {
    pub(super) models: Vec<ModelView>,
    pub(super) model: String,
    /// Name of a preset, or [`OWN`].
    pub(super) choice: String,
    pub(super) fields: RecipeFields,
    /// The recipe as text, where it is written as such.
    pub(super) text: Option<String>,
    pub(super) preview: Option<Preview>,
}

impl FormStart {
    /// The recipe as the server reads it.
    pub(super) fn recipe(&self) -> String {
        match self.choice.as_str() {
            OWN => own_recipe(self.text.as_ref(), &self.fields),
            preset => preset.to_owned(),
        }
    }
}

fn own_recipe(text: Option<&String>, fields: &RecipeFields) -> String {
    text.cloned().unwrap_or_else(|| fields.to_json())
}

/// The form while it is filled in.
#[derive(Clone, Copy)]
pub(super) struct FormState {
    pub(super) model: RwSignal<String>,
    pub(super) choice: RwSignal<String>,
    pub(super) fields: RwSignal<RecipeFields>,
    pub(super) text: RwSignal<Option<String>>,
    pub(super) name: RwSignal<String>,
    pub(super) preview: RwSignal<Option<Preview>>,
    /// Whether the server has yet to answer for what the form says now.
    pub(super) is_asking: RwSignal<bool>,
}

impl FormState {
    fn new(start: FormStart) -> Self {
        Self {
            model: RwSignal::new(start.model),
            choice: RwSignal::new(start.choice),
            fields: RwSignal::new(start.fields),
            text: RwSignal::new(start.text),
            name: RwSignal::new(String::new()),
            preview: RwSignal::new(start.preview),
            is_asking: RwSignal::new(false),
        }
    }

    fn own_recipe(self) -> String {
        self.text
            .with(|text| self.fields.with(|fields| own_recipe(text.as_ref(), fields)))
    }

    fn recipe(self) -> String {
        let choice = self.choice.get();
        match choice.as_str() {
            OWN => self.own_recipe(),
            _ => choice,
        }
    }

    /// What is wrong with the recipe, as the server last said.
    pub(super) fn problem(self) -> Option<RecipeProblem> {
        self.preview.with(|preview| match preview {
            Some(Ok(CompressionPreview::Refused { problem })) => Some(problem.clone()),
            _ => None,
        })
    }

    fn choose(self, choice: &str) {
        let former = self.choice.get_untracked();
        if choice == OWN && former != OWN {
            self.start_from(&former);
        }
        self.choice.set(choice.to_owned());
    }

    /// A recipe of one's own begins as the preset that was chosen before it: as fields, or as text
    /// where it says more than they can.
    fn start_from(self, preset: &str) {
        let Some(recipe) = Recipe::preset(preset) else {
            return;
        };
        // A variant that carries a preset's name is that preset's.
        let recipe = Recipe {
            name: format!("my-{preset}"),
            ..recipe
        };
        match RecipeFields::of(&recipe) {
            Some(fields) => {
                self.fields.set(fields);
                self.text.set(None);
            }
            None => self.text.set(Some(self.as_text(preset, &recipe))),
        }
    }

    /// The renamed preset as the server wrote it in TOML, or else as JSON.
    fn as_text(self, preset: &str, renamed: &Recipe) -> String {
        let toml = self.preview.with_untracked(|preview| match preview {
            Some(Ok(CompressionPreview::Ready { forecast })) if forecast.recipe.name == preset => {
                let (from, to) = (preset, &renamed.name);
                let line = |name: &str| format!("name = \"{name}\"");
                Some(forecast.toml.replacen(&line(from), &line(to), 1))
            }
            _ => None,
        });
        let json = || serde_json::to_string_pretty(renamed).unwrap_or_default();
        toml.unwrap_or_else(json)
    }

    /// Asks the server a moment after the last change.
    fn follow(self) {
        let pending = StoredValue::new(None::<TimeoutHandle>);
        let number = StoredValue::new(0_u32);
        Effect::new(move |former: Option<(String, String, String)>| {
            let asked = (self.model.get(), self.recipe(), self.name.get());
            if former.as_ref().is_none_or(|former| *former == asked) {
                return asked;
            }
            self.is_asking.set(true);
            number.update_value(|number| *number += 1);
            let mine = number.get_value();
            let (model, recipe, name) = asked.clone();
            let ask = move || {
                spawn_local(async move {
                    let Ok(model) = model.parse() else { return };
                    let answer = preview_compression(model, recipe, name).await;
                    // An answer to what the form no longer says comes too late.
                    if number.try_get_value() == Some(mine) {
                        self.preview.try_set(Some(answer));
                        self.is_asking.try_set(false);
                    }
                });
            };
            if let Some(handle) = pending.get_value() {
                handle.clear();
            }
            pending.set_value(set_timeout_with_handle(ask, PAUSE).ok());
            asked
        });
    }
}

/// The form beside its forecast.
#[component]
pub(super) fn CompressForm(start: FormStart) -> impl IntoView {
    let models = start.models.clone();
    let state = FormState::new(start);
    state.follow();
    let action = ServerAction::<StartCompression>::new();
    let error = move || action.value().get().and_then(Result::err);
    view! {
        <div class="compress">
            <ActionForm action=action>
                <ModelChoice models state/>
                <PresetChoice state/>
                <Show when=move || state.choice.with(|choice| choice == OWN)>
                    <RecipeEditor state/>
                </Show>
                <input type="hidden" name="recipe" value=move || state.own_recipe()/>
                <NameField state/>
                <SubmitLine state is_pending=action.pending()/>
                {move || error().map(|error| view! { <ErrorNotice error/> })}
            </ActionForm>
            <ForecastPanel state/>
        </div>
    }
    .into_any()
}

#[component]
fn ModelChoice(models: Vec<ModelView>, state: FormState) -> impl IntoView {
    let options = models.into_iter().map(|model| {
        let name = model.name.to_string();
        let place = match model.is_fetched {
            true => "here",
            false => "fetched first",
        };
        let label = format!("{} · {}, {place}", model.title, model.size);
        let value = name.clone();
        view! {
            <option value=value selected=move || state.model.with(|model| *model == name)>{label}</option>
        }
    });
    view! {
        <div class="form-field">
            <label for="field-model"><strong>"Model"</strong></label>
            <select id="field-model" name="model" on:change=move |e| state.model.set(event_target_value(&e))>
                {options.collect_view()}
            </select>
        </div>
    }
    .into_any()
}

#[component]
fn PresetChoice(state: FormState) -> impl IntoView {
    let presets = Recipe::presets()
        .iter()
        .map(|(name, words)| view! { <PresetOption value=*name words=*words state/> });
    view! {
        <fieldset class="presets">
            <legend><strong><Term word=Word::Recipe label="Recipe"/></strong></legend>
            {presets.collect_view()}
            <PresetOption
                value=OWN
                words="Your own: choose every setting yourself, starting from the preset above."
                state
            />
        </fieldset>
    }
    .into_any()
}

#[component]
fn PresetOption(value: &'static str, words: &'static str, state: FormState) -> impl IntoView {
    let id = format!("preset-{value}");
    let words_id = format!("{id}-words");
    let is_chosen = move || state.choice.with(|choice| choice == value);
    let title = match value {
        OWN => view! { <span class="preset-name">"Own recipe"</span> }.into_any(),
        name => view! { <code class="preset-name">{name}</code> }.into_any(),
    };
    view! {
        <div class="preset" class:chosen=is_chosen>
            <input
                type="radio" name="preset" id=id.clone() value=value checked=is_chosen prop:checked=is_chosen
                aria-describedby=words_id.clone()
                on:change=move |_| state.choose(value)
            />
            <label for=id>{title}</label>
            <span class="preset-words" id=words_id>{words}</span>
        </div>
    }
    .into_any()
}

#[component]
fn NameField(state: FormState) -> impl IntoView {
    let default = move || {
        state.preview.with(|preview| match preview {
            Some(Ok(CompressionPreview::Ready { forecast })) => forecast.variant.to_string(),
            _ => String::new(),
        })
    };
    view! {
        <div class="form-field">
            <label for="field-variant"><strong>"Name of the variant"</strong></label>
            <input
                type="text" id="field-variant" name="name" maxlength="100" autocomplete="off" spellcheck="false"
                placeholder=default aria-describedby="help-variant" prop:value=state.name
                on:input=move |e| state.name.set(event_target_value(&e))
            />
            <p class="fine" id="help-variant">"Left empty, it is called MODEL:RECIPE."</p>
        </div>
    }
    .into_any()
}

#[component]
fn SubmitLine(state: FormState, #[prop(into)] is_pending: Signal<bool>) -> impl IntoView {
    let is_refused = move || state.problem().is_some();
    view! {
        <div class="actions">
            <button type="submit" class="button primary" disabled=move || is_pending.get() || is_refused()>
                {move || if is_pending.get() { "Starting…" } else { "Start" }}
            </button>
            <Show when=is_refused>
                <span class="inline-error">"The recipe cannot be carried out yet."</span>
            </Show>
        </div>
    }
    .into_any()
}
