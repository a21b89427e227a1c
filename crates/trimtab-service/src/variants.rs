//! Variants made on request: by preset name, or from a recipe of one's own.

use crate::Service;
use crate::plan::Resolved;
use trimtab_domain::{
    Failure, JobEvent, JobSpec, LayerReport, ModelName, Recipe, VariantName, VariantView,
};

impl Service {
    /// The variant of that name, digest prefix or `MODEL:PRESET`; a missing one is made first.
    ///
    /// `listener` hears the workers that fetch and compress.
    pub async fn ensure_variant(
        &self,
        name: &VariantName,
        mut listener: impl FnMut(&JobEvent),
    ) -> Result<VariantView, Failure> {
        match self.inner.resolve(name).await? {
            Resolved::InPlace(view) => {
                // The tokenizer lies in the model's file, so a variant is of no use without it.
                self.ensure_model(&view.model, listener).await?;
                Ok(*view)
            }
            Resolved::ToMake {
                name,
                model,
                recipe,
            } => self.make(name, model, recipe, &mut listener).await,
        }
    }

    /// Makes a variant of `model`, named `name` or else `MODEL:RECIPE`, and returns it with the
    /// report of each layer. One that was made before is returned as it is.
    ///
    /// # Errors
    ///
    /// An invalid recipe, an unknown model, and a name that stands for another recipe.
    pub async fn compress(
        &self,
        model: &ModelName,
        recipe: Recipe,
        name: Option<VariantName>,
        mut listener: impl FnMut(&JobEvent),
    ) -> Result<(VariantView, Vec<LayerReport>), Failure> {
        recipe.validate().map_err(Failure::bad_input)?;
        self.inner.require_known_model(model).await?;
        let recipe = self.with_teachers(recipe, &mut listener).await?;
        let name = match name {
            Some(name) => name,
            None => VariantName::of_preset(model, &recipe.name).map_err(Failure::bad_input)?,
        };
        let view = match self.inner.check_free(&name, model, &recipe).await? {
            Some(view) => view,
            None => {
                self.make(name, model.clone(), recipe, &mut listener)
                    .await?
            }
        };
        let layers = self.inner.store.layers(&view.name).await?;
        Ok((view, layers))
    }

    async fn make<L: FnMut(&JobEvent)>(
        &self,
        variant: VariantName,
        model: ModelName,
        recipe: Recipe,
        listener: &mut L,
    ) -> Result<VariantView, Failure> {
        self.ensure_model(&model, &mut *listener).await?;
        let spec = JobSpec::Compress {
            model,
            recipe,
            variant: variant.clone(),
        };
        self.inner.do_command_job(spec, listener).await?;
        let stored = self.inner.store.variant(&variant).await?;
        stored.map(|stored| stored.view).ok_or_else(|| {
            Failure::new(
                trimtab_domain::FailureKind::Bug,
                format!("variant `{variant}` was made but not recorded"),
            )
        })
    }
}

/// `MODEL:PRESET` always means that preset of that model.
pub(crate) fn check_name(
    name: &VariantName,
    model: &ModelName,
    recipe: &Recipe,
) -> Result<(), Failure> {
    let Some((of_model, preset)) = name.split_preset() else {
        return Ok(());
    };
    let stands_for_other = Recipe::preset(preset).is_some_and(|preset| preset != *recipe);
    if of_model != *model || stands_for_other {
        return Err(
            Failure::bad_input(format!("`{name}` stands for another variant"))
                .with_hint("choose another name"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preset_names_keep_their_meaning() {
        let model: ModelName = "m".parse().unwrap();
        let int8 = Recipe::preset("int8").unwrap();
        let check = |name: &str| check_name(&name.parse().unwrap(), &model, &int8);
        assert!(check("m:int8").is_ok());
        assert!(check("m:mine").is_ok());
        assert!(check("mine").is_ok());
        assert!(check("m:int4").is_err());
        assert!(check("other:int8").is_err());
    }
}
