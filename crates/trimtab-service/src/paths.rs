//! Where things lie in the data folder.

use crate::made::Made;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trimtab_domain::{Digest, Failure, JobId, ModelName};
use trimtab_store::Artifacts;

/// How long the unfinished work of a compression waits for going on.
const ABANDONED_AFTER: Duration = Duration::from_hours(7 * 24);

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

    /// What a training has finished, so that it can go on.
    pub(crate) fn training_folder(&self, identity: &Digest) -> PathBuf {
        self.tmp().join(format!("training-{identity}"))
    }

    /// The model that a step has made for the steps after it.
    pub(crate) fn stage_folder(&self, identity: &Digest) -> PathBuf {
        self.tmp().join(format!("stage-{identity}"))
    }

    /// Removes what unfinished compressions have kept and nobody will ask for: those whose variant
    /// was made in the end, and those that were not touched for [`ABANDONED_AFTER`].
    pub(crate) fn sweep_abandoned(&self) {
        for entry in fs::read_dir(self.tmp()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let identity = name
                .strip_prefix("layers-")
                .or_else(|| name.strip_prefix("stage-"))
                .or_else(|| name.strip_prefix("training-"))
                .and_then(|identity| identity.parse::<Digest>().ok());
            let Some(identity) = identity else { continue };
            let is_made = matches!(Made::find(self, &identity), Ok(Some(_)));
            if (is_made || is_abandoned(&entry.path()))
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!("cannot remove `{}`: {error}", entry.path().display());
            }
        }
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

/// Whether nothing in the folder was changed for so long.
fn is_abandoned(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = files.map(|file| file.path()).chain([folder.to_owned()]);
    let ages = paths.filter_map(|path| fs::metadata(path).ok()?.modified().ok()?.elapsed().ok());
    ages.min().is_some_and(|age| age > ABANDONED_AFTER)
}

fn not_writable(folder: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!(
        "cannot write to data folder `{}`: {error}",
        folder.display()
    ))
    .with_hint("check its owner and permissions, or choose another folder with --data-dir")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::SystemTime;

    #[test]
    fn unfinished_work_is_swept_once_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let paths = DataPaths::new(folder.path());
        paths.create().unwrap();
        let digest = |byte: &str| byte.repeat(32).parse::<Digest>().unwrap();
        let old = SystemTime::now() - ABANDONED_AFTER - Duration::from_mins(1);
        let make = |path: &Path, modified: Option<SystemTime>| {
            fs::create_dir(path).unwrap();
            let file = path.join("block-0000");
            fs::write(&file, "x").unwrap();
            for path in [file.as_path(), path] {
                if let Some(modified) = modified {
                    File::open(path).unwrap().set_modified(modified).unwrap();
                }
            }
        };
        let (young, aged) = (
            paths.layers_folder(&digest("0a")),
            paths.layers_folder(&digest("0b")),
        );
        let (young_stage, aged_stage) = (
            paths.stage_folder(&digest("0a")),
            paths.stage_folder(&digest("0b")),
        );
        let touched = paths.stage_folder(&digest("0c"));
        for (path, modified) in [
            (&young, None),
            (&aged, Some(old)),
            (&young_stage, None),
            (&aged_stage, Some(old)),
            (&touched, Some(old)),
        ] {
            make(path, modified);
        }
        let other = paths.tmp().join("fetch-model");
        make(&other, Some(old));
        fs::write(touched.join("block-0001"), "x").unwrap();
        paths.sweep_abandoned();
        for kept in [&young, &young_stage, &touched, &other] {
            assert!(kept.exists(), "{}", kept.display());
        }
        assert!(!aged.exists() && !aged_stage.exists());
    }
}
