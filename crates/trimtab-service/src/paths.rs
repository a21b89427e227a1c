//! Where things lie in the data folder.

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use trimtab_domain::{Digest, Failure, JobId, ModelName};
use trimtab_store::Artifacts;

/// The data folder. Everything that the program keeps is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DataPaths {
    data_dir: PathBuf,
}

impl DataPaths {
    /// The paths under `data_dir`; nothing is made yet.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
        }
    }

    /// Makes the folders that are missing.
    ///
    /// # Errors
    ///
    /// Names the folder that cannot be made or written to.
    pub fn create(&self) -> Result<(), Failure> {
        for folder in [&self.data_dir, &self.tmp()] {
            fs::create_dir_all(folder).map_err(|error| not_writable(folder, &error))?;
        }
        self.models()?;
        self.artifacts()?;
        tempfile::tempfile_in(&self.data_dir)
            .map(drop)
            .map_err(|error| not_writable(&self.data_dir, &error))
    }

    /// The folder itself.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("trimtab.db")
    }

    /// Locked by `trimtab serve` while it runs.
    pub fn lock_file(&self) -> PathBuf {
        self.data_dir.join("lock")
    }

    /// Unfinished files; may be emptied whenever nothing runs.
    pub fn tmp(&self) -> PathBuf {
        self.data_dir.join("tmp")
    }

    /// What is left of an unfinished download, so that it can go on.
    pub fn fetch_folder(&self, model: &ModelName) -> PathBuf {
        self.tmp().join(format!("fetch-{model}"))
    }

    /// Start of the names of a compression's unfinished files.
    pub(crate) fn unfinished_prefix(job_id: JobId) -> String {
        format!("compress-{job_id}-")
    }

    /// Removes what a killed worker has left behind.
    pub(crate) fn sweep_job(&self, job_id: JobId) {
        let prefix = Self::unfinished_prefix(job_id);
        for entry in fs::read_dir(self.tmp()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix)
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!("cannot remove `{}`: {error}", entry.path().display());
            }
        }
    }

    /// What a calibrated compression has finished, so that it can go on.
    pub(crate) fn layers_folder(&self, identity: &Digest) -> PathBuf {
        self.tmp().join(format!("layers-{identity}"))
    }

    /// Where it is noted which artifact an identity stands for.
    pub(crate) fn made_note(&self, identity: &Digest) -> PathBuf {
        self.data_dir.join("made").join(format!("{identity}.json"))
    }

    /// Calibration texts by digest.
    pub(crate) fn texts(&self) -> Result<Artifacts, Failure> {
        Ok(Artifacts::open(&self.data_dir.join("texts"), "txt")?)
    }

    /// What is known of imported data sets, a file each.
    pub(crate) fn datasets(&self) -> PathBuf {
        self.data_dir.join("datasets")
    }

    /// Files of data sets by digest.
    pub(crate) fn dataset_files(&self) -> Result<Artifacts, Failure> {
        Ok(Artifacts::open(&self.datasets().join("files"), "data")?)
    }

    /// Model files by digest.
    pub fn models(&self) -> Result<Artifacts, Failure> {
        Ok(Artifacts::open(&self.data_dir.join("models"), "gguf")?)
    }

    /// Packed variants by digest.
    pub fn artifacts(&self) -> Result<Artifacts, Failure> {
        Ok(Artifacts::open(
            &self.data_dir.join("artifacts"),
            "trimtab",
        )?)
    }
}

fn not_writable(folder: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!(
        "cannot write to data folder `{}`: {error}",
        folder.display()
    ))
    .with_hint("check its owner and permissions, or choose another folder with --data-dir")
}
