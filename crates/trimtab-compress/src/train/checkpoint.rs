//! A training as it stands after a step, in one file: resumed, it goes on with the same numbers.
//!
//! Weights and the optimiser's means are tensors of a safetensors file; its metadata holds step,
//! position in the data, and the digest of everything that must not change in between.

use super::{TrainError, adamw::Trained, order::Position};
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::View};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap, fs::File, io::ErrorKind, path::Path};
use trimtab_kernels::pack_f32;

/// What a checkpoint says beside its tensors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    pub(super) format_version: u32,
    /// Steps that were done.
    pub(super) step: u64,
    pub(super) position: Position,
    /// Digest of settings, data and model.
    pub(super) identity: String,
}

/// Version of the file.
pub(super) const FORMAT_VERSION: u32 = 1;

/// The key of the metadata.
const KEY: &str = "trimtab_training";

/// Names of the three tensors of a factor.
const TENSORS: [&str; 3] = ["values", "mean", "square"];

/// Writes a checkpoint: the one before stays until the new one is on disk.
pub(super) fn save(
    path: &Path,
    progress: &Progress,
    trained: &BTreeMap<String, Trained>,
) -> Result<(), TrainError> {
    let views = trained.iter().flat_map(|(name, trained)| {
        let parts = [&trained.values, &trained.mean, &trained.square];
        let named = TENSORS.iter().zip(parts);
        named.map(move |(tensor, values)| {
            (format!("{name}.{tensor}"), Floats(values, [values.len()]))
        })
    });
    let json = serde_json::to_string(progress).expect("numbers and a text");
    write_file(path, views, (KEY, json))
}

/// Numbers that become bytes when they are written, so that no second copy of all is in memory.
struct Floats<'a>(&'a [f32], [usize; 1]);

impl View for Floats<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.1
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(pack_f32(self.0))
    }

    fn data_len(&self) -> usize {
        4 * self.0.len()
    }
}

/// Writes a safetensors file with one entry of metadata: what was there before stays until the new
/// one is on disk.
pub(super) fn write_file<V: View>(
    path: &Path,
    views: impl IntoIterator<Item = (String, V)>,
    (key, json): (&str, String),
) -> Result<(), TrainError> {
    let metadata = [(key.to_owned(), json)];
    let draft = path.with_extension("draft");
    let written = safetensors::serialize_to_file(views, Some(metadata.into()), &draft);
    let written = written.map_err(|error| match error {
        SafeTensorError::IoError(source) => source,
        other => std::io::Error::other(other),
    });
    let renamed = written
        .and_then(|()| File::open(&draft)?.sync_all())
        .and_then(|()| std::fs::rename(&draft, path));
    renamed.map_err(|source| {
        // A draft that cannot be removed either is overwritten the next time.
        drop(std::fs::remove_file(&draft));
        TrainError::Io {
            path: path.to_owned(),
            source,
        }
    })
}

/// Reads a checkpoint into `trained`, which has the names and sizes that it must have; `None` where
/// there is no file.
///
/// # Errors
///
/// Damaged files, and checkpoints of another training than `identity`; `trained` is then as before.
pub(super) fn load(
    path: &Path,
    identity: &str,
    trained: &mut BTreeMap<String, Trained>,
) -> Result<Option<Progress>, TrainError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = path.to_owned();
            return Err(TrainError::Io { path, source });
        }
    };
    let wrong = |reason: String| damaged(path, reason);
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(e.to_string()))?;
    let metadata = header.metadata().as_ref();
    let json = metadata.and_then(|entries| entries.get(KEY));
    let json = json.ok_or_else(|| wrong(format!("`{KEY}` is missing")))?;
    let progress: Progress = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
    if progress.format_version != FORMAT_VERSION {
        return Err(wrong(format!(
            "its format has version {}, not {FORMAT_VERSION}",
            progress.format_version
        )));
    }
    if progress.identity != identity {
        return Err(TrainError::OtherTraining {
            path: path.to_owned(),
            what: "model, data or settings",
        });
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
    let mut read = BTreeMap::new();
    for (name, now) in &*trained {
        let floats = |tensor: &str| {
            let name = format!("{name}.{tensor}");
            read_floats(&tensors, &name, now.values.len()).map_err(wrong)
        };
        let [values, mean, square] = TENSORS;
        read.insert(
            name.clone(),
            Trained {
                values: floats(values)?,
                mean: floats(mean)?,
                square: floats(square)?,
            },
        );
    }
    *trained = read;
    Ok(Some(progress))
}

fn damaged(path: &Path, reason: String) -> TrainError {
    TrainError::Checkpoint {
        path: path.to_owned(),
        reason,
    }
}

fn read_floats(tensors: &SafeTensors<'_>, name: &str, len: usize) -> Result<Vec<f32>, String> {
    let tensor = tensors.tensor(name).map_err(|error| error.to_string())?;
    if tensor.dtype() != Dtype::F32 || tensor.shape() != [len] {
        return Err(format!("`{name}` is not {len} numbers"));
    }
    let values: Vec<f32> = tensor
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(values),
        false => Err(format!("`{name}` has a value that is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        Progress {
            format_version: FORMAT_VERSION,
            step: 7,
            position: Position {
                epoch: 1,
                n_done: 3,
            },
            identity: "abc".to_owned(),
        }
    }

    fn trained(first: f32) -> BTreeMap<String, Trained> {
        let mut trained = Trained::new(vec![first, 2.0]);
        trained.square[1] = 0.25;
        [("a".to_owned(), trained)].into()
    }

    #[test]
    fn a_checkpoint_reads_back_and_replaces_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("last.safetensors");
        let mut read = trained(0.0);
        assert_eq!(load(&path, "abc", &mut read).unwrap(), None);
        for first in [1.0, 5.0] {
            save(&path, &progress(), &trained(first)).unwrap();
            assert_eq!(load(&path, "abc", &mut read).unwrap(), Some(progress()));
            assert_eq!(read, trained(first));
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn damaged_and_foreign_checkpoints_are_refused_and_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("last.safetensors");
        save(&path, &progress(), &trained(1.0)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let mut read = trained(3.0);
        let other = load(&path, "other", &mut read).unwrap_err();
        assert!(matches!(other, TrainError::OtherTraining { .. }));
        let mut other: BTreeMap<_, _> = [("a".to_owned(), Trained::new(vec![0.0; 3]))].into();
        let error = load(&path, "abc", &mut other).unwrap_err().to_string();
        assert!(error.ends_with("`a.values` is not 3 numbers"), "{error}");
        for n_bytes in 0..whole.len() {
            std::fs::write(&path, &whole[..n_bytes]).unwrap();
            let error = load(&path, "abc", &mut read).unwrap_err();
            assert!(matches!(error, TrainError::Checkpoint { .. }), "{error}");
        }
        let mut broken = whole;
        let at = broken.len() - 1;
        broken[at] = 0x7f;
        broken[at - 1] = 0xc0;
        std::fs::write(&path, &broken).unwrap();
        assert!(load(&path, "abc", &mut read).is_err());
        assert_eq!(read, trained(3.0));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_with_its_name() {
        let path = Path::new("/nowhere/at/all/last.safetensors");
        let error = save(path, &progress(), &trained(1.0)).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
