//! What a recipe will make of a model, told before anything is made.

use crate::{
    Service, capacity, disk, hardware, models::blocking, parse_recipe, recipe_text::located,
    training_memory::training_memory,
};
use std::path::PathBuf;
use trimtab_compress::{Prediction, bundled_text, bundled_text_names};
use trimtab_domain::{
    Bytes, CalibrationText, CompressionForecast, CompressionPreview, CompressionRequest, Failure,
    KvCacheFormat, ModelName, Recipe, RecipeProblem, Sparsity, Step, StoredAs, VariantName,
    catalog,
};
use trimtab_models::ModelConfig;

impl Service {
    /// What would be made: sizes, memory, and whether they fit; or what is wrong with the recipe.
    ///
    /// # Errors
    ///
    /// An unknown model, and one whose sizes cannot be known.
    pub async fn preview_compression(
        &self,
        request: CompressionRequest,
    ) -> Result<CompressionPreview, Failure> {
        self.inner.require_known_model(&request.model).await?;
        let text = request.recipe.clone();
        let foreseen = match parse_recipe(&text) {
            Ok(recipe) => self.foresee(&request.model, recipe).await?,
            Err(problem) => return Ok(CompressionPreview::Refused { problem }),
        };
        let (recipe, prediction) = match foreseen {
            Ok(foreseen) => foreseen,
            Err(failure) => {
                let problem = located(&text, failure.message, failure.hint);
                // Lines count in what a person wrote, which JSON and presets are not.
                let line = problem
                    .line
                    .filter(|_| text.contains('\n') && !is_json(&text));
                let problem = RecipeProblem { line, ..problem };
                return Ok(CompressionPreview::Refused { problem });
            }
        };
        let forecast = self.forecast(request, recipe, prediction).await?;
        Ok(CompressionPreview::Ready {
            forecast: Box::new(forecast),
        })
    }

    /// The recipe as it would be carried out and what comes of it, or why it cannot be.
    pub(crate) async fn foresee(
        &self,
        model: &ModelName,
        recipe: Recipe,
    ) -> Result<Result<(Recipe, Prediction), Failure>, Failure> {
        if let Err(failure) = check_texts(&recipe) {
            return Ok(Err(failure));
        }
        let prediction = if self.inner.model_digest(model).await?.is_some() {
            let file = self.model_file(model).await?;
            let adapter = self.adapter_folder(&recipe)?;
            let asked = recipe.clone();
            blocking(move || Ok(Prediction::of_file(&file, adapter.as_deref(), &asked))).await?
        } else {
            let config = self.config_of_model(model).await?;
            Prediction::of_config(&config, &recipe)
        };
        Ok(prediction
            .map(|prediction| (recipe, prediction))
            .map_err(Failure::from))
    }

    fn adapter_folder(&self, recipe: &Recipe) -> Result<Option<PathBuf>, Failure> {
        let Some(digest) = recipe.adapter() else {
            return Ok(None);
        };
        let folder = self.inner.paths.models()?.path(digest);
        Ok(folder.is_dir().then_some(folder))
    }

    async fn forecast(
        &self,
        request: CompressionRequest,
        recipe: Recipe,
        prediction: Prediction,
    ) -> Result<CompressionForecast, Failure> {
        let CompressionRequest { model, name, .. } = request;
        let variant = match name {
            Some(name) => name,
            None => VariantName::of_preset(&model, &recipe.name).map_err(Failure::bad_input)?,
        };
        let base = self.config_of_model(&model).await?;
        let mut notes = self.notes(&variant, &recipe).await?;
        notes.extend(self.training_note(&base, &recipe).await?);
        let f16 = Recipe::preset("f16").expect("a preset");
        let f16_file = Prediction::of_config(&base, &f16)?.stored;
        let Prediction {
            config,
            stored,
            in_memory,
            ..
        } = prediction;
        let (n_tokens, memory) =
            capacity::memory_for_default_text(&config, in_memory, KvCacheFormat::default());
        let tmp = self.inner.paths.tmp();
        let (places, disk_free) = blocking(move || {
            let free = disk::free_space(&tmp).map_err(|error| disk::write_failure(&tmp, &error))?;
            Ok((hardware::memory_places(), free))
        })
        .await?;
        let total_memory = memory.total();
        Ok(CompressionForecast {
            notes,
            variant,
            toml: toml::to_string(&recipe).map_err(Failure::failed)?,
            calibration: recipe
                .calibration()
                .map(|calibration| calibration.size(self.inner.config.device)),
            recipe,
            file: stored,
            f16_file,
            bits_per_weight: 8.0 * stored.0 as f64 / config.n_parameters().max(1) as f64,
            n_tokens,
            memory,
            total_memory,
            places: places
                .into_iter()
                .map(|place| {
                    let fit = place.fit(total_memory);
                    (place, fit)
                })
                .collect(),
            disk_free,
            fits_disk: disk::has_space(disk_free, stored),
            to_fetch: self.to_fetch(&model).await?,
        })
    }

    /// Size of the model's file, if it has to be fetched.
    async fn to_fetch(&self, model: &ModelName) -> Result<Option<Bytes>, Failure> {
        if self.inner.model_digest(model).await?.is_some() {
            return Ok(None);
        }
        let entries = catalog();
        let entry = entries.iter().find(|entry| entry.name == *model);
        Ok(entry.map(|entry| entry.size))
    }

    /// What training needs in memory, in words; nothing for a recipe that does not train.
    async fn training_note(
        &self,
        base: &ModelConfig,
        recipe: &Recipe,
    ) -> Result<Option<String>, Failure> {
        let named = recipe.steps.iter().find_map(|step| match step {
            Step::Distil(distil) => distil.teacher.clone(),
            _ => None,
        });
        let teacher = match named {
            Some(teacher) => self.config_of_model(&teacher).await?,
            None => base.clone(),
        };
        let need = training_memory(base, &teacher, recipe)?;
        Ok(need.map(|need| {
            format!("While it learns it needs {need} of memory, and the activations of a batch.")
        }))
    }

    /// What the reader should know before starting.
    async fn notes(&self, variant: &VariantName, recipe: &Recipe) -> Result<Vec<String>, Failure> {
        let mut notes = recipe_notes(recipe);
        let stored = self.inner.store.variant(variant).await?;
        if let Some(stored) = stored.filter(|stored| self.inner.is_in_place(stored)) {
            notes.insert(
                0,
                match stored.view.recipe == *recipe {
                    true => format!("`{variant}` is here already: nothing has to be made."),
                    false => format!(
                        "There is another `{variant}`, made by another recipe: choose another name."
                    ),
                },
            );
        }
        Ok(notes)
    }
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Files of the server are nobody's business who asks over the network; the command line takes them
/// over for its own user.
pub(crate) fn check_texts(recipe: &Recipe) -> Result<(), Failure> {
    let mut recipe = recipe.clone();
    let calibrations = recipe.calibrations_mut();
    for source in calibrations.flat_map(|calibration| &calibration.sources) {
        match &source.text {
            CalibrationText::File(path) => {
                return Err(Failure::bad_input(format!(
                    "the calibration `file` `{path}` is not read from here"
                ))
                .with_hint("use `bundled = \"code\"`, or `trimtab compress` on the command line"));
            }
            CalibrationText::Bundled(name) if bundled_text(name).is_none() => {
                let names = bundled_text_names();
                return Err(Failure::bad_input(format!(
                    "there is no `bundled` calibration text `{name}`"
                ))
                .with_hint(format!("the bundled texts are {}", names.join(", "))));
            }
            CalibrationText::Bundled(_) | CalibrationText::Stored { .. } => {}
        }
    }
    Ok(())
}

/// What a recipe saves and what it does not, in words.
fn recipe_notes(recipe: &Recipe) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |text: &str| notes.push(text.to_owned());
    if let Some(prune) = recipe.pruning()
        && let Sparsity::Share(_) = prune.sparsity
    {
        note("Unstructured sparsity saves neither memory nor time in dense kernels.");
    }
    if recipe.adapter().is_some() {
        note("The adapter becomes part of the weights: the sizes are those of the whole model.");
    }
    if let Some(grid) = recipe.grid() {
        if grid.stored_as == StoredAs::F16 {
            note("The rounded values are stored as 16-bit floats, which saves nothing.");
        } else if grid.bits < 4 {
            note("Codes of 2 and 3 bits take as much memory as 4 bits: only the file is smaller.");
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_says_what_it_does_not_save() {
        let notes = |name| recipe_notes(&Recipe::preset(name).unwrap()).join(" ");
        assert_eq!(notes("int8"), "");
        assert!(notes("prune-half").contains("neither memory nor time"));
    }

    #[test]
    fn files_of_the_server_are_not_read_for_others() {
        let with = |source: &str| {
            let json = format!(
                r#"{{"name":"x","steps":[{{"method":"gptq","bits":4,"group_size":64,"symmetric":false,
                "embedding_bits":8,"activations":"float","calibration":{{"sources":[{source}]}}}}]}}"#
            );
            check_texts(&parse_recipe(&json).unwrap())
        };
        assert!(with(r#"{"bundled":"code"}"#).is_ok());
        let refused = with(r#"{"file":"/etc/passwd"}"#).unwrap_err();
        assert!(refused.message.contains("/etc/passwd"));
        let refused = with(r#"{"bundled":"poems"}"#).unwrap_err();
        assert!(refused.hint.unwrap().contains("code"));
    }
}
