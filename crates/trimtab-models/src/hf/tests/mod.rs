//! Folders written for a test; good ones, malformed ones, and ones with arbitrary bytes.

mod folder;
mod golden;
mod random;
mod safetensors;

use super::HfFolder;
use std::{fs, path::Path};

/// A model folder that is gone after the test.
pub(crate) struct TestFolder(tempfile::TempDir);

impl TestFolder {
    /// Only `config.json`, an empty object.
    pub(crate) fn empty() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("config.json", "{}");
        folder
    }

    /// `config.json`, and weights with one tensor `w` of one element.
    pub(crate) fn with_weights() -> Self {
        let folder = Self::empty();
        folder.write("model.safetensors", one_tensor("w"));
        folder
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), content).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn open(&self) -> HfFolder {
        HfFolder::open(self.path()).unwrap()
    }

    fn refused(&self) -> String {
        HfFolder::open(self.path()).unwrap_err().to_string()
    }
}

/// A safetensors file from its parts.
fn safetensors_bytes(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn one_tensor(name: &str) -> Vec<u8> {
    let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
    safetensors_bytes(&header, &1_f32.to_le_bytes())
}
