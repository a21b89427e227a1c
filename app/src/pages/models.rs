//! The models page: what can be compressed, and what was made of it.

use crate::{
    api::{ApiError, list_capacities, list_models},
    components::{EmptyNotice, MemoryNeeds, Term, VariantLabel, loaded},
    format,
    glossary::Word,
};
use leptos::prelude::*;
use leptos_meta::Title;
use trimtab_domain::{
    Activations, CapacityView, CodeGrid, Distil, FloatFormat, GroupSize, LayerCount, ModelView,
    PruneBy, Recipe, Shrink, Sparsity, Step, StoredAs, VariantView,
};

/// Overrides of a recipe that are told in words.
const MAX_OVERRIDES: usize = 4;

/// The catalog and everything imported, with all variants.
#[component]
pub(crate) fn Models() -> impl IntoView {
    let models = Resource::new(|| (), |()| list_models());
    let capacities = Resource::new(|| (), |()| list_capacities());
    view! {
        <Title text="Models"/>
        <h1>"Models"</h1>
        <p class="lead">
            "The base models that can be compressed here, and the variants made of them. "
            "Further models come in with " <code>"trimtab models import PATH"</code> ", where the path "
            "is a GGUF file or a folder as Hugging Face has them."
        </p>
        {loaded(models, move |models: Vec<ModelView>| {
            if models.is_empty() {
                return view! {
                    <EmptyNotice title="No models yet">
                        <p>"Import a GGUF file or a model folder with " <code>"trimtab models import PATH"</code> "."</p>
                    </EmptyNotice>
                }.into_any();
            }
            models.into_iter().map(|model| view! { <ModelCard model capacities/> }).collect_view().into_any()
        })}
    }
    .into_any()
}

/// What is computed of all models, known a moment after the models themselves.
type Capacities = Resource<Result<Vec<CapacityView>, ApiError>>;

#[component]
fn ModelCard(model: ModelView, capacities: Capacities) -> impl IntoView {
    let ModelView {
        name,
        title,
        summary,
        licence,
        digest,
        size,
        is_fetched,
        architecture,
        variants,
    } = model;
    let place = if is_fetched {
        "on this machine, verified"
    } else {
        "not fetched yet"
    };
    let wanted = name.to_string();
    let needs = loaded(capacities, move |views: Vec<CapacityView>| {
        let mut views = views.into_iter();
        let capacity = views.find(|view| view.model == wanted);
        capacity.map(|capacity| view! { <MemoryNeeds capacity/> })
    });
    let body = if variants.is_empty() {
        view! {
            <p class="fine">
                "No variants yet. Make one here, let a run make it, or use "
                <code>"trimtab compress --model " {name.to_string()} " --recipe int4"</code> "."
            </p>
        }
        .into_any()
    } else {
        view! { <VariantTable model=name.to_string() variants/> }.into_any()
    };
    view! {
        <section class="card model-card">
            <h2>{title}</h2>
            <p>{summary}</p>
            <dl class="facts">
                <div><dt>"Name"</dt><dd><code>{name.to_string()}</code></dd></div>
                <div><dt><Term word=Word::Licence/></dt><dd>{licence}</dd></div>
                <div><dt>"File"</dt><dd>{size.to_string()} ", " {place}</dd></div>
                <div><dt>"Architecture"</dt><dd>{architecture.unwrap_or_else(|| "known once fetched".to_owned())}</dd></div>
                <div class="fact-wide">
                    <dt><Term word=Word::Digest/></dt>
                    <dd><code class="digest">{digest.to_string()}</code></dd>
                </div>
            </dl>
            {body}
            <p><a class="button" href=format!("/compress?model={name}")>"Compress this model"</a></p>
            {needs}
        </section>
    }
    .into_any()
}

#[component]
fn VariantTable(model: String, variants: Vec<VariantView>) -> impl IntoView {
    let rows = variants
        .into_iter()
        .map(|variant| view! { <VariantRow variant/> });
    view! {
        <div class="table-scroll" tabindex="0" role="region" aria-label=format!("Variants of {model}")>
            <table>
                <thead>
                    <tr>
                        <th scope="col"><Term word=Word::Variant/></th>
                        <th scope="col"><Term word=Word::Scheme label="Scheme"/></th>
                        <th scope="col">"Size"</th>
                        <th scope="col"><Term word=Word::BitsPerWeight/></th>
                        <th scope="col">"Weights"</th>
                        <th scope="col"><Term word=Word::Recipe label="How it was made"/></th>
                        <th scope="col"><Term word=Word::Digest label="Digest"/></th>
                        <th scope="col">"Made"</th>
                    </tr>
                </thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

#[component]
fn VariantRow(variant: VariantView) -> impl IntoView {
    let VariantView {
        name,
        recipe,
        scheme,
        digest,
        size,
        n_parameters,
        bits_per_weight,
        created_at,
        ..
    } = variant;
    view! {
        <tr>
            <th scope="row"><VariantLabel name/></th>
            <td>{scheme}</td>
            <td class="number">
                {size.to_string()}
                {deployed_note(&recipe).map(|note| view! { <span class="detail">{note}</span> })}
            </td>
            <td class="number">{format!("{bits_per_weight:.2}")}</td>
            <td class="number">{format::parameters(n_parameters)}</td>
            <td class="prose">{recipe_in_words(&recipe)}</td>
            <td><code title=digest.to_string()>{digest.short().to_owned()}</code></td>
            <td class="number">{created_at.to_utc_text()}</td>
        </tr>
    }
    .into_any()
}

/// What the size of a variant holds, where that is easily taken for less: all that is deployed.
pub(super) fn deployed_note(recipe: &Recipe) -> Option<&'static str> {
    match (recipe.adapter(), recipe.pruning()) {
        (Some(_), _) => Some("deployed in all, adapter merged in"),
        (None, Some(_)) => Some("deployed in all"),
        (None, None) => None,
    }
}

/// What a recipe does, step by step, for people.
pub(super) fn recipe_in_words(recipe: &Recipe) -> String {
    let mut words = String::new();
    for step in recipe.steps.iter().map(step_in_words) {
        let step_in_sentence = || {
            let mut chars = step.chars();
            let first = chars.next().map(|first| first.to_ascii_lowercase());
            first.into_iter().chain(chars).collect::<String>()
        };
        match words.is_empty() {
            true => words = step,
            false => words = format!("{words}; then {}", step_in_sentence()),
        }
    }
    format!("{words}.")
}

fn step_in_words(step: &Step) -> String {
    match step {
        Step::Cast {
            to: FloatFormat::F32,
        } => "All weights stored as 32-bit floats".to_owned(),
        Step::Cast {
            to: FloatFormat::F16,
        } => "All weights stored as 16-bit floats".to_owned(),
        Step::Cast {
            to: FloatFormat::Bf16,
        } => "All weights stored as 16-bit floats with the range of 32-bit ones (bfloat16)"
            .to_owned(),
        Step::MergeAdapter { adapter } => {
            format!(
                "A low-rank adapter ({}…) added to the weights",
                adapter.short()
            )
        }
        Step::Shrink(shrink) => shrink_in_words(shrink),
        Step::Distil(distil) => distil_in_words(distil),
        Step::Keep => "Weights kept as the checkpoint stores them".to_owned(),
        Step::Prune(prune) => {
            let by = match prune.by {
                PruneBy::Magnitude => "the smallest",
                PruneBy::Wanda => "the smallest times their inputs (Wanda)",
                PruneBy::SparseGpt => {
                    "those that the others can best make up for, which they do (SparseGPT)"
                }
            };
            match prune.sparsity {
                Sparsity::Share(share) => {
                    format!("{} % of the weights set to zero: {by}", share * 100.0)
                }
                Sparsity::Pattern { n, m } => {
                    format!("{n} of every {m} weights set to zero: {by}")
                }
            }
        }
        Step::ChooseBits(choice) => {
            let widths: Vec<String> = choice.candidates.iter().map(u8::to_string).collect();
            let within = match (choice.budget_bits, choice.budget_bytes) {
                (Some(bits), _) => format!("{bits} bits per weight"),
                (None, bytes) => format!("a file of {}", bytes.unwrap_or_default()),
            };
            format!(
                "Modules in {} bits, by how far rounding each moves the answers, within {within}",
                widths.join(", ")
            )
        }
        Step::Awq(_) => {
            "Channels with large inputs scaled up, so that rounding takes less from them (AWQ)"
                .to_owned()
        }
        Step::Rtn(rtn) => codes_in_words("rounded to nearest", rtn.grid()),
        Step::Gptq(gptq) => codes_in_words(
            "rounded so that they make up for each other (GPTQ)",
            gptq.grid(),
        ),
    }
}

fn distil_in_words(distil: &Distil) -> String {
    let teacher = match &distil.teacher {
        Some(teacher) => teacher.to_string(),
        None => "the model as it was published".to_owned(),
    };
    format!(
        "Taught in {} steps to answer as {teacher} does (distillation)",
        distil.steps
    )
}

fn shrink_in_words(shrink: &Shrink) -> String {
    let mut parts = Vec::new();
    match shrink.layers {
        Some(LayerCount::Number(n)) => parts.push(format!("{n} whole layers")),
        Some(LayerCount::Share(share)) => {
            parts.push(format!("{:.0} % of the layers", share * 100.0));
        }
        None => {}
    }
    for (share, what) in [(shrink.heads, "heads"), (shrink.neurons, "MLP neurons")] {
        if let Some(share) = share {
            parts.push(format!("{} % of the {what}", share * 100.0));
        }
    }
    format!("{} that matter least taken out", parts.join(", "))
}

fn codes_in_words(how: &str, grid: CodeGrid<'_>) -> String {
    let group = match grid.group_size {
        GroupSize::Inputs(n) => format!("{n} inputs"),
        GroupSize::Channel => "output".to_owned(),
        GroupSize::Tensor => "weight matrix".to_owned(),
    };
    let centre = match grid.symmetric {
        true => "symmetric",
        false => "with zero points",
    };
    let inputs = match (grid.stored_as, grid.activations) {
        (StoredAs::F16, _) => "stored as 16-bit floats, which saves nothing",
        (StoredAs::Codes, Activations::Float) => "float activations",
        (StoredAs::Codes, Activations::Int8) => "8-bit activations",
    };
    let mut words = format!(
        "Linear layers {how} in {} bits, one scale per {group}, {centre}; embedding in {} bits; {inputs}",
        grid.bits, grid.embedding_bits
    );
    for one in grid.overrides.iter().take(MAX_OVERRIDES) {
        words += &["; ", &one.pattern, " in ", &one.bits.to_string(), " bits"].concat();
    }
    match grid.overrides.len().saturating_sub(MAX_OVERRIDES) {
        0 => words,
        n => format!("{words}; and {n} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_says_how_it_is_made() {
        let words = |name| recipe_in_words(&Recipe::preset(name).unwrap());
        assert_eq!(
            words("shrink-depth"),
            "25 % of the layers that matter least taken out; then all weights stored as 16-bit floats."
        );
        assert_eq!(words("f16"), "All weights stored as 16-bit floats.");
        assert_eq!(
            words("bf16"),
            "All weights stored as 16-bit floats with the range of 32-bit ones (bfloat16)."
        );
        assert_eq!(
            words("int4"),
            "Linear layers rounded to nearest in 4 bits, one scale per 64 inputs, with zero points; \
             embedding in 8 bits; 8-bit activations."
        );
    }
}
