//! Models: listing, fetching, importing, verifying and removing them.

use crate::{Service, adapter_import::AdapterImport, clock, import::Import};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use trimtab_domain::{
    CatalogModel, Failure, FailureKind, JobEvent, JobSpec, ModelName, ModelView, Recipe,
    VariantName, VariantView, catalog,
};
use trimtab_store::StoredModel;

impl Service {
    /// All models: those of the catalog, fetched or not, then imported ones.
    pub async fn models(&self) -> Result<Vec<ModelView>, Failure> {
        let inner = &self.inner;
        let mut stored: HashMap<ModelName, StoredModel> = HashMap::new();
        let mut imported = Vec::new();
        let entries = catalog();
        for model in inner.store.models().await? {
            if entries.iter().all(|entry| entry.name != model.name) {
                imported.push(model.name.clone());
            }
            stored.insert(model.name.clone(), model);
        }
        let variants = inner.store.variants().await?;
        let is_here = |model: &&StoredModel| inner.models.contains(&model.digest, model.size);
        let of_catalog = entries.iter().map(|entry| {
            let found = stored.get(&entry.name).filter(is_here);
            view_of_entry(entry, found, &variants)
        });
        let of_imports = imported.iter().filter_map(|name| {
            let model = stored.get(name)?;
            Some(view_of_import(model, is_here(&model), &variants))
        });
        Ok(of_catalog.chain(of_imports).collect())
    }

    /// One model.
    pub async fn model(&self, name: &ModelName) -> Result<ModelView, Failure> {
        self.inner.require_known_model(name).await?;
        let models = self.models().await?;
        models
            .into_iter()
            .find(|model| model.name == *name)
            .ok_or_else(|| {
                Failure::new(
                    FailureKind::Bug,
                    format!("model `{name}` is known but not listed"),
                )
            })
    }

    /// Makes sure that the model's file is on this machine; `listener` hears the worker that
    /// fetches it.
    pub async fn ensure_model(
        &self,
        name: &ModelName,
        mut listener: impl FnMut(&JobEvent),
    ) -> Result<(), Failure> {
        if self.inner.model_digest(name).await?.is_some() {
            return Ok(());
        }
        self.inner.require_known_model(name).await?;
        if catalog().iter().all(|entry| entry.name != *name) {
            return Err(
                Failure::failed(format!("the file of model `{name}` is gone"))
                    .with_hint("import it again with `trimtab models import PATH`"),
            );
        }
        let spec = JobSpec::Fetch {
            model: name.clone(),
        };
        self.inner.do_command_job(spec, &mut listener).await
    }

    /// Where the model's file lies; the file is not read.
    ///
    /// # Errors
    ///
    /// If it is not on this machine.
    pub async fn model_file(&self, name: &ModelName) -> Result<PathBuf, Failure> {
        self.inner.require_known_model(name).await?;
        let digest = self.inner.model_digest(name).await?.ok_or_else(|| {
            Failure::not_found(format!("the file of model `{name}` is not on this machine"))
                .with_hint(format!("fetch it with `trimtab models pull {name}`"))
        })?;
        Ok(self.inner.models.path(&digest))
    }

    /// Where the variant's artifact lies.
    pub fn artifact_file(&self, variant: &VariantView) -> PathBuf {
        self.inner.artifacts.path(&variant.digest)
    }

    /// Copies a GGUF file, or a model folder in the form of Hugging Face, into the data folder and
    /// records it as a model.
    ///
    /// Without a name, a file of the catalog gets its catalog name, any other its own name.
    ///
    /// # Errors
    ///
    /// What is not a readable model, and a file whose name belongs to a catalog model while its
    /// digest does not.
    pub async fn import_model(
        &self,
        path: &Path,
        name: Option<ModelName>,
    ) -> Result<ModelView, Failure> {
        let inner = &self.inner;
        let import = Import {
            source: path.to_owned(),
            name,
            tmp: inner.paths.tmp(),
            models: inner.models.clone(),
        };
        let model = blocking(move || import.run()).await?;
        if let Some(other) = inner.store.model(&model.name).await?
            && other.digest != model.digest
            && inner.models.contains(&other.digest, other.size)
        {
            return Err(
                Failure::conflict(format!("there is another model `{}`", other.name))
                    .with_hint("choose another name with --name"),
            );
        }
        inner.store.put_model(&model).await?;
        self.model(&model.name).await
    }

    /// `recipe` with a low-rank adapter merged into the weights of `model` before they are stored.
    /// The folder, as PEFT writes it, is copied into the data folder; its digest names it in the
    /// recipe. A model of the catalog is fetched first; `listener` hears the worker that does.
    ///
    /// # Errors
    ///
    /// A folder that holds no adapter, one that does not fit the model, and a recipe that cannot
    /// merge one; nothing is copied then.
    pub async fn merging(
        &self,
        model: &ModelName,
        recipe: Recipe,
        adapter: &Path,
        listener: impl FnMut(&JobEvent),
    ) -> Result<Recipe, Failure> {
        self.ensure_model(model, listener).await?;
        let import = AdapterImport {
            source: adapter.to_owned(),
            model: self.model_file(model).await?,
            recipe,
            tmp: self.inner.paths.tmp(),
            models: self.inner.models.clone(),
        };
        blocking(move || import.run()).await
    }

    /// Reads the model's file and compares its digest.
    ///
    /// # Errors
    ///
    /// If the file is not here or has another digest.
    pub async fn verify_model(&self, name: &ModelName) -> Result<(), Failure> {
        self.model_file(name).await?;
        let Some(digest) = self.inner.model_digest(name).await? else {
            return Ok(());
        };
        let models = self.inner.models.clone();
        let is_intact = blocking(move || Ok(models.verify(&digest)?)).await?;
        if is_intact {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "the file of model `{name}` is damaged: its digest differs"
        ))
        .with_hint(format!(
            "run `trimtab models rm {name}`, then pull or import it again"
        )))
    }

    /// Removes the model's file and the artifacts made of it. Results of runs stay.
    ///
    /// # Errors
    ///
    /// If the model is not here, or an unfinished job needs it.
    pub async fn remove_model(&self, name: &ModelName) -> Result<(), Failure> {
        let inner = &self.inner;
        let Some(model) = inner.store.model(name).await? else {
            self.inner.require_known_model(name).await?;
            return Err(Failure::not_found(format!(
                "model `{name}` is not on this machine"
            )));
        };
        let variants = inner.store.variants().await?;
        let jobs = inner.store.unfinished_jobs().await?;
        if jobs.iter().any(|job| uses_model(job, name, &variants)) {
            return Err(
                Failure::conflict(format!("an unfinished job needs model `{name}`"))
                    .with_hint("cancel its run, or wait for its end"),
            );
        }
        inner.store.remove_model(name, clock::now()).await?;
        let (gone, left): (Vec<_>, Vec<_>) = variants
            .into_iter()
            .partition(|variant| variant.model == *name);
        for variant in gone {
            if left.iter().all(|other| other.digest != variant.digest) {
                inner.artifacts.remove(&variant.digest)?;
            }
        }
        if inner
            .store
            .models()
            .await?
            .iter()
            .all(|other| other.digest != model.digest)
        {
            inner.models.remove(&model.digest)?;
        }
        Ok(())
    }
}

fn uses_model(job: &JobSpec, name: &ModelName, variants: &[VariantView]) -> bool {
    match job {
        JobSpec::Fetch { model } | JobSpec::Compress { model, .. } => model == name,
        JobSpec::TrainLora { base, .. } => model_of(base, variants).as_ref() == Some(name),
        JobSpec::Evaluate(spec) => model_of(&spec.variant, variants).as_ref() == Some(name),
    }
}

fn model_of(variant: &VariantName, variants: &[VariantView]) -> Option<ModelName> {
    let stored = variants.iter().find(|stored| stored.name == *variant);
    stored
        .map(|stored| stored.model.clone())
        .or_else(|| variant.split_preset().map(|(model, _)| model))
}

fn variants_of(name: &ModelName, variants: &[VariantView]) -> Vec<VariantView> {
    variants
        .iter()
        .filter(|variant| variant.model == *name)
        .cloned()
        .collect()
}

fn view_of_entry(
    entry: &CatalogModel,
    stored: Option<&StoredModel>,
    variants: &[VariantView],
) -> ModelView {
    ModelView {
        name: entry.name.clone(),
        title: entry.title.clone(),
        summary: entry.summary.clone(),
        licence: entry.licence.clone(),
        digest: entry.sha256.clone(),
        size: entry.size,
        is_fetched: stored.is_some(),
        architecture: stored.and_then(|model| model.architecture.clone()),
        variants: variants_of(&entry.name, variants),
    }
}

fn view_of_import(model: &StoredModel, is_here: bool, variants: &[VariantView]) -> ModelView {
    ModelView {
        name: model.name.clone(),
        title: model.name.to_string(),
        summary: "Imported from a file.".to_owned(),
        licence: "unknown".to_owned(),
        digest: model.digest.clone(),
        size: model.size,
        is_fetched: is_here,
        architecture: model.architecture.clone(),
        variants: variants_of(&model.name, variants),
    }
}

/// Runs work that reads or writes large files beside the asynchronous threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(Failure::new(
                FailureKind::Bug,
                format!("file work ended badly: {error}"),
            ))
        })
}
