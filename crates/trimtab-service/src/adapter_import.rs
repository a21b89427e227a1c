//! Importing a low-rank adapter for a recipe: checked against the model it is merged into, then
//! copied under its digest.

use crate::import::copy_folder;
use std::path::{Path, PathBuf};
use trimtab_compress::CompressError;
use trimtab_domain::{Failure, Recipe, Step};
use trimtab_models::{
    Checkpoint,
    peft::{PeftAdapter, adaptable_linears},
};
use trimtab_store::{Artifacts, digest_of_folder};

/// An adapter on its way into the data folder.
pub(crate) struct AdapterImport {
    pub(crate) source: PathBuf,
    /// The model it is merged into.
    pub(crate) model: PathBuf,
    /// How the weights are stored then.
    pub(crate) recipe: Recipe,
    pub(crate) tmp: PathBuf,
    pub(crate) models: Artifacts,
}

impl AdapterImport {
    /// The recipe with the adapter in it. After an error the data folder is as it was.
    pub(crate) fn run(mut self) -> Result<Recipe, Failure> {
        self.check(&self.source)?;
        let copy = copy_folder(&self.source, &self.tmp)?;
        // The copy is what will be merged, so it is what is checked.
        self.check(copy.path())?;
        let (adapter, _) = digest_of_folder(copy.path())?;
        self.recipe.name = format!("{}-{}", self.recipe.name, adapter.short());
        let merge = Step::MergeAdapter {
            adapter: adapter.clone(),
        };
        self.recipe.steps.insert(0, merge);
        self.recipe.validate().map_err(CompressError::from)?;
        self.models.adopt_folder(copy.path(), &adapter)?;
        Ok(self.recipe)
    }

    fn check(&self, folder: &Path) -> Result<(), Failure> {
        let settings = folder.join("adapter_config.json");
        if !settings.is_file() {
            return Err(
                Failure::bad_input(format!("there is no `{}`", settings.display()))
                    .with_hint("give the folder that PEFT wrote"),
            );
        }
        let checkpoint = Checkpoint::open(&self.model).map_err(CompressError::from)?;
        let linears = adaptable_linears(checkpoint.config());
        PeftAdapter::open(folder, &linears).map_err(CompressError::from)?;
        Ok(())
    }
}
