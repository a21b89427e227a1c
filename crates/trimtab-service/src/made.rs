//! What was made of what: a note for each identity, so that nothing is made twice.

use crate::DataPaths;
use serde::{Deserialize, Serialize};
use std::{fs, io::Write};
use trimtab_domain::{Bytes, Digest, Failure, LayerReport, StageReport};

/// An artifact that a compression made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) digest: Digest,
    pub(crate) size: Bytes,
    pub(crate) n_parameters: u64,
    pub(crate) layers: Vec<LayerReport>,
    #[serde(default)]
    pub(crate) stages: Vec<StageReport>,
}

impl Made {
    /// What was made for `identity`, if its artifact is still there. A note that cannot be read
    /// counts as none: it costs making the artifact again.
    pub(crate) fn find(paths: &DataPaths, identity: &Digest) -> Result<Option<Self>, Failure> {
        let note = fs::read_to_string(paths.made_note(identity)).ok();
        let made: Option<Self> = note.and_then(|json| serde_json::from_str(&json).ok());
        let artifacts = paths.artifacts()?;
        Ok(made.filter(|made| artifacts.contains(&made.digest, made.size)))
    }

    /// Notes what was made for `identity`.
    pub(crate) fn keep(&self, paths: &DataPaths, identity: &Digest) -> Result<(), Failure> {
        let json = serde_json::to_string(self).expect("a report is plain data");
        keep_note(paths, identity, &json)
    }
}

/// Notes what was made for `identity`; the note is complete or not there.
pub(crate) fn keep_note(paths: &DataPaths, identity: &Digest, json: &str) -> Result<(), Failure> {
    let (tmp, note) = (paths.tmp(), paths.made_note(identity));
    let folder = note.parent().expect("notes lie in a folder");
    let written = fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::NamedTempFile::new_in(&tmp)?;
        file.write_all(json.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&note).map_err(|error| error.error)?;
        Ok(())
    });
    written.map_err(|error| crate::disk::write_failure(&note, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_found_while_its_artifact_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let paths = DataPaths::new(folder.path());
        paths.create().unwrap();
        let finished = folder.path().join("finished");
        fs::write(&finished, "abc").unwrap();
        let (digest, size) = paths.artifacts().unwrap().adopt(&finished).unwrap();
        let identity: Digest = "0a".repeat(32).parse().unwrap();
        assert_eq!(Made::find(&paths, &identity).unwrap(), None);
        let made = Made {
            digest: digest.clone(),
            size,
            n_parameters: 3,
            layers: Vec::new(),
            stages: Vec::new(),
        };
        made.keep(&paths, &identity).unwrap();
        assert_eq!(Made::find(&paths, &identity).unwrap(), Some(made));
        paths.artifacts().unwrap().remove(&digest).unwrap();
        assert_eq!(Made::find(&paths, &identity).unwrap(), None);
    }
}
