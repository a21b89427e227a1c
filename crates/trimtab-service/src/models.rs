//! Models: listing, fetching, importing, verifying and removing them.

use crate::{Service, catalog_fetch, clock, disk};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use trimtab_compress::CompressError;
use trimtab_domain::{
    Bytes, CatalogModel, Digest, Failure, FailureKind, JobEvent, JobSpec, ModelName, ModelView,
    VariantName, VariantView, catalog,
};
use trimtab_models::{Checkpoint, gguf::GgufFile};
use trimtab_store::{Artifacts, DigestWriter, StoredModel};

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

    /// Copies a GGUF file into the data folder and records it as a model.
    ///
    /// Without a name, a file of the catalog gets its catalog name, any other the file's name.
    ///
    /// # Errors
    ///
    /// A file that is not a readable GGUF file, and one whose name belongs to a catalog model
    /// while its digest does not.
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

/// A file on its way into the data folder.
struct Import {
    source: PathBuf,
    name: Option<ModelName>,
    tmp: PathBuf,
    models: Artifacts,
}

impl Import {
    fn run(self) -> Result<StoredModel, Failure> {
        check_checkpoint(&self.source)?;
        let size = fs::metadata(&self.source)
            .map(|meta| Bytes(meta.len()))
            .map_err(|error| unreadable(&self.source, &error))?;
        let purpose = format!("import `{}`", self.source.display());
        disk::require_space(&self.tmp, size, &purpose)?;
        let (digest, size, copy) = self.copy()?;
        let name = self.choose_name(&digest)?;
        let architecture = gguf_architecture(&copy);
        self.models.adopt_verified(&copy, &digest)?;
        Ok(StoredModel {
            name,
            digest,
            size,
            architecture,
            created_at: clock::now(),
        })
    }

    fn copy(&self) -> Result<(Digest, Bytes, tempfile::TempPath), Failure> {
        let failed = |error: io::Error| disk::write_failure(&self.tmp, &error);
        let (file, path) = tempfile::Builder::new()
            .prefix("import-")
            .tempfile_in(&self.tmp)
            .map_err(failed)?
            .into_parts();
        let mut writer = DigestWriter::new(file);
        let mut outcome = Ok(());
        catalog_fetch::for_each_piece(&self.source, |bytes| {
            if outcome.is_ok() {
                outcome = writer.write_all(bytes);
            }
        })
        .map_err(|error| unreadable(&self.source, &error))?;
        outcome.map_err(failed)?;
        let (digest, size, _) = writer.finish();
        Ok((digest, size, path))
    }

    fn choose_name(&self, digest: &Digest) -> Result<ModelName, Failure> {
        let entries = catalog();
        let file_name = self
            .source
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let claimed = entries.iter().find(|entry| match &self.name {
            Some(name) => entry.name == *name,
            None => entry.hub_file == file_name,
        });
        if let Some(entry) = claimed
            && entry.sha256 != *digest
        {
            return Err(Failure::bad_input(format!(
                "`{}` has digest {}…, but `{}` has {}…",
                self.source.display(),
                digest.short(),
                entry.name,
                entry.sha256.short()
            ))
            .with_hint("copy the file again, or import it under another name with --name"));
        }
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        if let Some(entry) = entries.iter().find(|entry| entry.sha256 == *digest) {
            return Ok(entry.name.clone());
        }
        let stem = self
            .source
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase();
        ModelName::try_from(stem)
            .map_err(|error| Failure::bad_input(error).with_hint("choose a name with --name"))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::bad_input(format!("cannot read `{}`: {error}", path.display()))
}

/// Fails for a file that is not a model that can be run: not GGUF, truncated, another
/// architecture, weights missing.
fn check_checkpoint(path: &Path) -> Result<(), Failure> {
    File::open(path).map_err(|error| unreadable(path, &error))?;
    Checkpoint::open(path).map(drop).map_err(|error| {
        let failure = Failure::from(CompressError::from(error));
        let message = format!("cannot import `{}`: {failure}", path.display());
        Failure { message, ..failure }
    })
}

/// Architecture that a GGUF file names, if it can be read.
pub(crate) fn gguf_architecture(path: &Path) -> Option<String> {
    let file = GgufFile::open(path).ok()?;
    file.get_str("general.architecture").ok().map(str::to_owned)
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
