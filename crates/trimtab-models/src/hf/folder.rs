//! A model folder: its settings and its tensors.

use super::{
    HfError, WeightFiles,
    json::{read_bounded, read_object},
};
use crate::tensor_source::TensorSource;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The folder of a model, open.
#[derive(Debug)]
pub struct HfFolder {
    path: PathBuf,
    config: Value,
    generation_config: Option<Value>,
    tokenizer_config: Option<Value>,
    special_tokens_map: Option<Value>,
    weights: WeightFiles,
}

/// Real settings have a few kilobytes; `tokenizer_config.json` has an entry per added token.
const MAX_SETTINGS_BYTES: u64 = 16 << 20;

impl HfFolder {
    /// Reads the settings and the tables of the weight files; weights are read when asked for.
    ///
    /// # Errors
    ///
    /// No `config.json` or weights, settings that are no JSON objects, damaged weight files.
    pub fn open(path: &Path) -> Result<Self, HfError> {
        let object = |name: &str| read_object(&path.join(name), MAX_SETTINGS_BYTES);
        let config = object("config.json")?.ok_or_else(|| HfError::Open {
            path: path.join("config.json"),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        Ok(Self {
            config,
            generation_config: object("generation_config.json")?,
            tokenizer_config: object("tokenizer_config.json")?,
            special_tokens_map: object("special_tokens_map.json")?,
            weights: WeightFiles::from_folder(path)?,
            path: path.to_owned(),
        })
    }

    /// A text file of the folder with at most `limit` bytes; `None` where there is none.
    ///
    /// # Errors
    ///
    /// A file that is too large, cannot be read, or is not UTF-8.
    pub fn read_text(&self, name: &str, limit: u64) -> Result<Option<String>, HfError> {
        let path = self.path.join(name);
        let Some(bytes) = read_bounded(&path, limit)? else {
            return Ok(None);
        };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(HfError::NotText(path)),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.json`, an object: the architecture and its sizes.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// `generation_config.json`, an object: how the model wants to be sampled.
    pub fn generation_config(&self) -> Option<&Value> {
        self.generation_config.as_ref()
    }

    /// `tokenizer_config.json`, an object: named tokens and the chat template.
    pub fn tokenizer_config(&self) -> Option<&Value> {
        self.tokenizer_config.as_ref()
    }

    /// `special_tokens_map.json`, an object: named tokens.
    pub fn special_tokens_map(&self) -> Option<&Value> {
        self.special_tokens_map.as_ref()
    }

    /// `quantize_config.json`, an object: how GPTQ checkpoints are quantised where `config.json`
    /// does not say.
    ///
    /// # Errors
    ///
    /// A file that is too large or no JSON object.
    pub fn quantize_config(&self) -> Result<Option<Value>, HfError> {
        read_object(&self.path.join("quantize_config.json"), MAX_SETTINGS_BYTES)
    }

    /// The weights.
    pub fn tensors(&self) -> &dyn TensorSource {
        &self.weights
    }

    /// The weights, with access to elements as they are stored.
    pub fn weights(&self) -> &WeightFiles {
        &self.weights
    }
}
