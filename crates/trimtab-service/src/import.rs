//! Importing a model: a GGUF file or a folder is checked, copied under its digest and named.

use crate::{catalog_fetch, clock, disk};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use trimtab_compress::CompressError;
use trimtab_domain::{Bytes, Digest, Failure, ModelName, catalog};
use trimtab_models::Checkpoint;
use trimtab_store::{Artifacts, DigestWriter, StoredModel, digest_of_folder};

/// A file or folder on its way into the data folder.
pub(crate) struct Import {
    pub(crate) source: PathBuf,
    pub(crate) name: Option<ModelName>,
    pub(crate) tmp: PathBuf,
    pub(crate) models: Artifacts,
}

impl Import {
    pub(crate) fn run(self) -> Result<StoredModel, Failure> {
        let architecture = architecture_of(&self.source)?;
        let (name, digest, size) = match self.source.is_dir() {
            true => self.adopt_folder()?,
            false => self.adopt_file()?,
        };
        let architecture = Some(architecture);
        Ok(StoredModel {
            name,
            digest,
            size,
            architecture,
            created_at: clock::now(),
        })
    }

    fn adopt_file(&self) -> Result<(ModelName, Digest, Bytes), Failure> {
        let size = fs::metadata(&self.source)
            .map(|meta| Bytes(meta.len()))
            .map_err(|error| unreadable(&self.source, &error))?;
        self.require_space(size)?;
        let (digest, size, copy) = self.copy()?;
        let name = self.choose_name(&digest)?;
        self.models.adopt_verified(&copy, &digest)?;
        Ok((name, digest, size))
    }

    fn adopt_folder(&self) -> Result<(ModelName, Digest, Bytes), Failure> {
        let copy = copy_folder(&self.source, &self.tmp)?;
        // The copy is what will be run, so it is what is checked.
        architecture_of(copy.path())?;
        let (digest, size) = digest_of_folder(copy.path())?;
        let name = self.choose_name(&digest)?;
        self.models.adopt_folder(copy.path(), &digest)?;
        Ok((name, digest, size))
    }

    fn require_space(&self, size: Bytes) -> Result<(), Failure> {
        require_space(&self.source, &self.tmp, size)
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

fn require_space(source: &Path, tmp: &Path, size: Bytes) -> Result<(), Failure> {
    let purpose = format!("import `{}`", source.display());
    disk::require_space(tmp, size, &purpose)
}

/// Copies the files that a model or adapter needs; what else lies in the folder is left.
pub(crate) fn copy_folder(source: &Path, tmp: &Path) -> Result<tempfile::TempDir, Failure> {
    let unreadable = |error: io::Error| unreadable(source, &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(source).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let meta = fs::metadata(entry.path()).map_err(unreadable)?;
        if meta.is_file() && is_model_file(&entry.path()) {
            files.push((entry.path(), meta.len()));
        }
    }
    let size = files.iter().map(|(_, n_bytes)| n_bytes).sum();
    require_space(source, tmp, Bytes(size))?;
    let failed = |error: io::Error| disk::write_failure(tmp, &error);
    let copy = tempfile::Builder::new()
        .prefix("import-")
        .tempdir_in(tmp)
        .map_err(failed)?;
    for (path, _) in &files {
        let name = path.file_name().unwrap_or_default();
        fs::copy(path, copy.path().join(name)).map_err(failed)?;
    }
    Ok(copy)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::bad_input(format!("cannot read `{}`: {error}", path.display()))
}

/// Whether a file of a model folder is settings, tokenizer, template or weights.
fn is_model_file(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match extension.as_ref() {
        "json" | "safetensors" | "bin" | "pt" | "jinja" => !name.starts_with('.'),
        _ => name == "merges.txt",
    }
}

/// The architecture of a model; fails for what cannot be run: damaged or truncated files, other
/// architectures, weights missing, no tokenizer or one of another vocabulary.
pub(crate) fn architecture_of(path: &Path) -> Result<String, Failure> {
    fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    let checkpoint = Checkpoint::open(path).map_err(|error| {
        let failure = Failure::from(CompressError::from(error));
        let message = format!("cannot import `{}`: {failure}", path.display());
        Failure { message, ..failure }
    })?;
    let config = checkpoint.config();
    let tokenizer = checkpoint.files().tokenizer();
    let checked = tokenizer.and_then(|tokenizer| tokenizer.check_vocabulary(config.vocab_size));
    checked.map_err(|error| {
        Failure::bad_input(format!("cannot import `{}`: {error}", path.display()))
            .with_hint("a model needs its tokenizer beside its weights")
    })?;
    Ok(config.architecture.model_type().to_owned())
}
