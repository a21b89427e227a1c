//! The fields of a recipe, each with a sentence of help; only those that the chosen methods use are
//! shown. What has no field can be written as text.

use super::compress_form::FormState;
use crate::recipe_fields::RecipeFields;
use leptos::prelude::*;
use trimtab_domain::{CompressionPreview, Recipe, RecipeProblem};

/// A field whose value is text.
#[derive(Clone, Copy)]
struct TextField {
    key: &'static str,
    label: &'static str,
    help: &'static str,
    get: fn(&RecipeFields) -> &String,
    set: fn(&mut RecipeFields, String),
}

macro_rules! text_field {
    ($name:ident, $label:literal, $help:literal) => {
        text_field!($name, stringify!($name), $label, $help)
    };
    ($name:ident, $key:expr, $label:literal, $help:literal) => {
        TextField {
            key: $key,
            label: $label,
            help: $help,
            get: |fields| &fields.$name,
            set: |fields, text| fields.$name = text,
        }
    };
}

/// A field that is on or off.
#[derive(Clone, Copy)]
struct CheckField {
    key: &'static str,
    label: &'static str,
    help: &'static str,
    get: fn(&RecipeFields) -> bool,
    set: fn(&mut RecipeFields, bool),
}

/// Value and words of a choice.
type Options = &'static [(&'static str, &'static str)];

const PRUNE_BY: TextField = text_field!(
    prune_by,
    "by",
    "Set weights to zero first",
    "Which weights become zeros before the others are stored; zeros alone save nothing."
);
const PRUNE_OPTIONS: Options = &[
    ("", "no"),
    ("magnitude", "the smallest (magnitude)"),
    ("wanda", "the smallest times their inputs (Wanda)"),
    (
        "sparsegpt",
        "those that others make up for best (SparseGPT)",
    ),
];
const SPARSITY: TextField = text_field!(
    sparsity,
    "How many zeros",
    "A share such as 0.5, or a pattern such as 2:4 for two zeros of every four."
);
const METHOD: TextField = text_field!(
    method,
    "How weights are stored",
    "Codes are small; GPTQ loses less than rounding, and takes longer; floats lose next to nothing."
);
const METHOD_OPTIONS: Options = &[
    ("gptq", "codes, rounded with care (GPTQ)"),
    ("rtn", "codes, rounded to nearest"),
    ("f16", "16-bit floats"),
    ("bf16", "16-bit floats, bfloat16"),
    ("f32", "32-bit floats"),
    ("keep", "as the checkpoint stores them"),
];
const BITS: TextField = text_field!(
    bits,
    "Bits",
    "Bits of each weight: fewer make the file smaller and lose more."
);
const BITS_OPTIONS: Options = &[("8", "8"), ("4", "4"), ("3", "3"), ("2", "2")];
const GROUP_SIZE: TextField = text_field!(
    group_size,
    "Group size",
    "How many neighbouring weights share a scale: smaller is more exact and a little larger."
);
const GROUP_OPTIONS: Options = &[
    ("64", "64"),
    ("128", "128"),
    ("256", "256"),
    ("512", "512"),
    ("1024", "1,024"),
    ("channel", "one for a row"),
    ("tensor", "one for a matrix"),
];
const EMBEDDING_BITS: TextField = text_field!(
    embedding_bits,
    "Embedding bits",
    "The table of tokens and the output head are rounded to nearest, in 8 bits, or kept in 16."
);
const EMBEDDING_OPTIONS: Options = &[("8", "8"), ("16", "16")];
const ACTIVATIONS: TextField = text_field!(
    activations,
    "Activations",
    "What weights are multiplied with: 8-bit numbers are faster, floats a little more exact."
);
const ACTIVATIONS_OPTIONS: Options = &[("int8", "8-bit numbers"), ("float", "floats")];
const SCALE_SEARCH: TextField = text_field!(
    scale_search,
    "Scale search",
    "Whether a scale covers the largest weight of its group, or the range with the least error."
);
const SCALE_OPTIONS: Options = &[
    ("min_max", "cover the largest"),
    ("mse", "least squared error"),
];
const DAMPING: TextField = text_field!(
    damping,
    "Damping",
    "Steadies the solver; raised by itself where it is too small. Empty: 0.01."
);
const FORM: TextField = text_field!(
    form,
    "Calibration text",
    "The model reads a text to see which inputs matter: bundled code as it is, or as questions and answers."
);
const FORM_OPTIONS: Options = &[("raw", "code as it is"), ("chat", "as chats")];
const SEQUENCES: TextField = text_field!(
    sequences,
    "Sequences",
    "How many pieces of text are read: more take longer and lose a little less. Empty: the default of this machine."
);
const SEQUENCE_LENGTH: TextField = text_field!(
    sequence_length,
    "Tokens of each",
    "Length of a piece in tokens, 2 to 4,096. Empty: the default of this machine."
);
const NAME: TextField = text_field!(
    name,
    "Name of the recipe",
    "A short word; the variant is called MODEL:NAME."
);

const SYMMETRIC: CheckField = CheckField {
    key: "symmetric",
    label: "Symmetric",
    help: "Codes centred on zero, without a zero point for each group; 8-bit codes always are.",
    get: |fields| fields.symmetric,
    set: |fields, is_on| fields.symmetric = is_on,
};
const ACT_ORDER: CheckField = CheckField {
    key: "act_order",
    label: "Loudest inputs first",
    help: "Weights with the largest inputs are rounded first, while others can still make up for it.",
    get: |fields| fields.act_order,
    set: |fields, is_on| fields.act_order = is_on,
};

/// Fields or text, whichever was chosen.
#[component]
pub(super) fn RecipeEditor(state: FormState) -> impl IntoView {
    let is_text = move || state.text.with(Option::is_some);
    view! {
        <fieldset class="recipe-editor">
            <legend>"Your recipe"</legend>
            <EditorSwitch state/>
            <Show when=is_text fallback=move || view! { <RecipeFieldsForm state/> }>
                <RecipeText state/>
            </Show>
            <OtherProblem state/>
        </fieldset>
    }
    .into_any()
}

#[component]
fn EditorSwitch(state: FormState) -> impl IntoView {
    let is_text = move || state.text.with(Option::is_some);
    // The recipe as the server understood it.
    let understood = move || -> Option<(Recipe, String)> {
        state.preview.with_untracked(|preview| match preview {
            Some(Ok(CompressionPreview::Ready { forecast })) => {
                Some((forecast.recipe.clone(), forecast.toml.clone()))
            }
            _ => None,
        })
    };
    let stays_text = RwSignal::new(false);
    let to_text = move |_| {
        let written = understood().map(|(_, toml)| toml);
        let written = written.unwrap_or_else(|| state.fields.with_untracked(RecipeFields::to_json));
        state.text.set(Some(written));
    };
    let to_fields = move |_| match understood().and_then(|(recipe, _)| RecipeFields::of(&recipe)) {
        Some(fields) => {
            state.fields.set(fields);
            state.text.set(None);
            stays_text.set(false);
        }
        None => stays_text.set(true),
    };
    view! {
        <div class="editor-switch">
            <Show
                when=is_text
                fallback=move || view! {
                    <button type="button" class="button small" on:click=to_text>"Write it as text"</button>
                }
            >
                <button type="button" class="button small" on:click=to_fields>"Back to fields"</button>
            </Show>
            <Show when=move || stays_text.get() && is_text()>
                <span class="fine" role="status">
                    "This recipe has no form of fields: it is not understood, or says more than they can."
                </span>
            </Show>
        </div>
    }
    .into_any()
}

#[component]
fn RecipeText(state: FormState) -> impl IntoView {
    let text = move || state.text.get().unwrap_or_default();
    let is_wrong = move || state.problem().is_some();
    view! {
        <div class="form-field wide-field">
            <label for="field-text">"Recipe in TOML"</label>
            <textarea
                id="field-text" class="recipe-text" rows="16" spellcheck="false" autocomplete="off"
                aria-describedby="help-text" aria-invalid=move || is_wrong().to_string() prop:value=text
                on:input=move |e| state.text.set(Some(event_target_value(&e)))
            >{state.text.get_untracked().unwrap_or_default()}</textarea>
            <p class="fine" id="help-text">
                "A name and steps in order; every step and key is explained in "
                <code>"docs/recipes.md"</code> ". JSON is understood as well."
            </p>
        </div>
    }
    .into_any()
}

/// What is wrong and belongs to no field that is shown.
#[component]
fn OtherProblem(state: FormState) -> impl IntoView {
    let problem = move || {
        let problem = state.problem()?;
        let is_text = state.text.with(Option::is_some);
        let has_field = problem.key.as_deref().is_some_and(is_field);
        (is_text || !has_field).then_some(problem)
    };
    let place = |problem: &RecipeProblem| match (problem.line, &problem.key) {
        (Some(line), Some(key)) => format!("Line {line}, {key}: "),
        (Some(line), None) => format!("Line {line}: "),
        (None, Some(key)) => format!("{key}: "),
        (None, None) => String::new(),
    };
    view! {
        <div role="alert">
            {move || problem().map(|problem| view! {
                <p class="inline-error"><strong>{place(&problem)}</strong> {problem.message.clone()}</p>
                {problem.hint.clone().map(|hint| view! { <p class="fine">"What to do: " {hint}</p> })}
            })}
        </div>
    }
    .into_any()
}

/// Keys that a field of the form stands for.
fn is_field(key: &str) -> bool {
    const FIELDS: [TextField; 13] = [
        PRUNE_BY,
        SPARSITY,
        METHOD,
        BITS,
        GROUP_SIZE,
        EMBEDDING_BITS,
        ACTIVATIONS,
        SCALE_SEARCH,
        DAMPING,
        FORM,
        SEQUENCES,
        SEQUENCE_LENGTH,
        NAME,
    ];
    let others = ["symmetric", "act_order", "pattern", "overrides"];
    FIELDS.iter().any(|field| field.key == key) || others.contains(&key)
}

#[component]
fn RecipeFieldsForm(state: FormState) -> impl IntoView {
    let fields = state.fields;
    let has_codes = Memo::new(move |_| fields.with(RecipeFields::has_codes));
    let is_calibrated = Memo::new(move |_| fields.with(RecipeFields::is_calibrated));
    let is_damped = Memo::new(move |_| fields.with(RecipeFields::is_damped));
    let prunes = Memo::new(move |_| fields.with(|fields| !fields.prune_by.is_empty()));
    let is_gptq = Memo::new(move |_| fields.with(|fields| fields.method == "gptq"));
    view! {
        <div class="form-grid">
            <TextInput field=NAME state/>
            <SelectInput field=METHOD options=METHOD_OPTIONS state/>
            <Show when=move || has_codes.get()>
                <SelectInput field=BITS options=BITS_OPTIONS state/>
                <SelectInput field=GROUP_SIZE options=GROUP_OPTIONS state/>
                <CheckInput field=SYMMETRIC state/>
                <SelectInput field=EMBEDDING_BITS options=EMBEDDING_OPTIONS state/>
                <SelectInput field=ACTIVATIONS options=ACTIVATIONS_OPTIONS state/>
                <SelectInput field=SCALE_SEARCH options=SCALE_OPTIONS state/>
            </Show>
            <Show when=move || is_gptq.get()>
                <CheckInput field=ACT_ORDER state/>
            </Show>
            <SelectInput field=PRUNE_BY options=PRUNE_OPTIONS state/>
            <Show when=move || prunes.get()>
                <TextInput field=SPARSITY state/>
            </Show>
            <Show when=move || is_damped.get()>
                <TextInput field=DAMPING state/>
            </Show>
            <Show when=move || is_calibrated.get()>
                <SelectInput field=FORM options=FORM_OPTIONS state/>
                <TextInput field=SEQUENCES state/>
                <TextInput field=SEQUENCE_LENGTH state/>
            </Show>
            <Show when=move || has_codes.get()>
                <OverridesInput state/>
            </Show>
        </div>
    }
    .into_any()
}

/// What is wrong with the field `key`, below it.
#[component]
fn FieldProblem(key: &'static str, state: FormState) -> impl IntoView {
    let message = move || {
        let problem = state.problem()?;
        (problem.key.as_deref() == Some(key)).then_some(problem.message)
    };
    view! {
        <div role="alert">
            {move || message().map(|message| view! { <p class="inline-error">{message}</p> })}
        </div>
    }
    .into_any()
}

fn is_wrong(key: &'static str, state: FormState) -> bool {
    state
        .problem()
        .is_some_and(|problem| problem.key.as_deref() == Some(key))
}

#[component]
fn TextInput(field: TextField, state: FormState) -> impl IntoView {
    let TextField {
        key,
        label,
        help,
        get,
        set,
    } = field;
    let (id, help_id) = (format!("field-{key}"), format!("help-{key}"));
    view! {
        <div class="form-field">
            <label for=id.clone()>{label}</label>
            <input
                type="text" id=id autocomplete="off" spellcheck="false" aria-describedby=help_id.clone()
                aria-invalid=move || is_wrong(key, state).to_string()
                prop:value=move || state.fields.with(|fields| get(fields).clone())
                value=state.fields.with_untracked(|fields| get(fields).clone())
                on:input=move |e| state.fields.update(|fields| set(fields, event_target_value(&e)))
            />
            <FieldProblem key state/>
            <p class="fine" id=help_id>{help}</p>
        </div>
    }
    .into_any()
}

#[component]
fn SelectInput(field: TextField, options: Options, state: FormState) -> impl IntoView {
    let TextField {
        key,
        label,
        help,
        get,
        set,
    } = field;
    let (id, help_id) = (format!("field-{key}"), format!("help-{key}"));
    let current = Memo::new(move |_| state.fields.with(|fields| get(fields).clone()));
    let choices = options.iter().map(move |(value, words)| {
        view! { <option value=*value selected=move || current.with(|now| now == value)>{*words}</option> }
    });
    // A recipe may hold what the list does not.
    let other = move || {
        let is_listed = current.with(|now| options.iter().any(|(value, _)| now == value));
        (!is_listed)
            .then(|| view! { <option value=current.get() selected=true>{current.get()}</option> })
    };
    view! {
        <div class="form-field">
            <label for=id.clone()>{label}</label>
            <select
                id=id aria-describedby=help_id.clone() aria-invalid=move || is_wrong(key, state).to_string()
                on:change=move |e| state.fields.update(|fields| set(fields, event_target_value(&e)))
            >
                {choices.collect_view()}
                {other}
            </select>
            <FieldProblem key state/>
            <p class="fine" id=help_id>{help}</p>
        </div>
    }
    .into_any()
}

#[component]
fn CheckInput(field: CheckField, state: FormState) -> impl IntoView {
    let CheckField {
        key,
        label,
        help,
        get,
        set,
    } = field;
    let (id, help_id) = (format!("field-{key}"), format!("help-{key}"));
    let is_on = move || state.fields.with(get);
    view! {
        <div class="form-field">
            <label class="check">
                <input
                    type="checkbox" id=id aria-describedby=help_id.clone()
                    aria-invalid=move || is_wrong(key, state).to_string()
                    checked=is_on() prop:checked=is_on
                    on:change=move |e| state.fields.update(|fields| set(fields, event_target_checked(&e)))
                />
                {label}
            </label>
            <FieldProblem key state/>
            <p class="fine" id=help_id>{help}</p>
        </div>
    }
    .into_any()
}

#[component]
fn OverridesInput(state: FormState) -> impl IntoView {
    let text = move || state.fields.with(|fields| fields.overrides.clone());
    let n_lines = state
        .fields
        .with_untracked(|fields| fields.overrides.lines().count());
    view! {
        <div class="form-field wide-field">
            <label for="field-overrides">"Overrides"</label>
            <textarea
                id="field-overrides" class="recipe-text" rows=n_lines.clamp(2, 10).to_string()
                spellcheck="false" autocomplete="off"
                placeholder="mlp.down_proj 8" aria-describedby="help-overrides"
                aria-invalid=move || is_wrong("pattern", state).to_string() prop:value=text
                on:input=move |e| state.fields.update(|fields| fields.overrides = event_target_value(&e))
            >{state.fields.with_untracked(|fields| fields.overrides.clone())}</textarea>
            <FieldProblem key="pattern" state/>
            <p class="fine" id="help-overrides">
                "Weights that differ, a line each: the end of a name, or a pattern with *, then bits "
                "(2, 3, 4, 8, or 16 for floats). The first match counts."
            </p>
        </div>
    }
    .into_any()
}
