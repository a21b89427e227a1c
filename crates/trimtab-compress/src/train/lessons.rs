//! A teacher's likeliest tokens in a file, so that training can be repeated without the teacher.
//!
//! A safetensors file with tokens, logarithms of their probabilities, and the logarithm of what is
//! left at each learned position; its metadata says what it was made of.

use super::{
    Example, TeacherInputs, TrainError, checkpoint::write_file, identity::hash_examples,
    top_tokens::TopTokens,
};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{io::ErrorKind, path::Path};

/// Version of the file.
const FORMAT_VERSION: u32 = 1;

/// The key of the metadata.
const KEY: &str = "trimtab_lessons";

/// What a file was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LessonsKey {
    format_version: u32,
    /// Digest of teacher, temperature and examples.
    identity: String,
    n_top: usize,
    n_positions: usize,
}

impl LessonsKey {
    pub(super) fn new(inputs: &TeacherInputs<'_>, n_top: usize, examples: &[Example]) -> Self {
        let mut hash = Sha256::new();
        hash.update(inputs.model.name());
        hash.update(inputs.loss.temperature.to_le_bytes());
        hash_examples(&mut hash, examples);
        Self {
            format_version: FORMAT_VERSION,
            identity: hex::encode(hash.finalize()),
            n_top,
            n_positions: examples.iter().map(|example| example.learned().len()).sum(),
        }
    }
}

/// Writes the file; it is complete or not there.
pub(super) fn save(path: &Path, key: &LessonsKey, top: &TopTokens) -> Result<(), TrainError> {
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let ids: Vec<u8> = top.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let (positions, tokens) = (vec![top.len()], vec![top.len(), top.k]);
    let parts = [
        ("ids", Dtype::U32, tokens.clone(), ids),
        ("log_probs", Dtype::F32, tokens, bytes(&top.log_probs)),
        ("rest", Dtype::F32, positions, bytes(&top.rest)),
    ];
    let views = parts.iter().map(|(name, dtype, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes);
        ((*name).to_owned(), view.expect("four bytes a value"))
    });
    let json = serde_json::to_string(key).expect("numbers and a text");
    write_file(path, views, (KEY, json))
}

/// Reads the file; `None` where there is none.
///
/// # Errors
///
/// Damaged files, and those of another teacher, temperature or text.
pub(super) fn load(path: &Path, key: &LessonsKey) -> Result<Option<TopTokens>, TrainError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = path.to_owned();
            return Err(TrainError::Io { path, source });
        }
    };
    let wrong = |reason: String| TrainError::Checkpoint {
        path: path.to_owned(),
        reason,
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(e.to_string()))?;
    let json = header.metadata().as_ref().and_then(|info| info.get(KEY));
    let json = json.ok_or_else(|| wrong(format!("`{KEY}` is missing")))?;
    let found: LessonsKey = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
    if found != *key {
        return Err(TrainError::OtherTraining {
            path: path.to_owned(),
            what: "teacher, temperature, number of tokens or text",
        });
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
    let n_tokens = key.n_positions.saturating_mul(key.n_top);
    let words = |name: &str, dtype, len| words(&tensors, name, dtype, len).map_err(wrong);
    let floats =
        |words: Vec<[u8; 4]>| -> Vec<f32> { words.into_iter().map(f32::from_le_bytes).collect() };
    let top = TopTokens {
        k: key.n_top,
        ids: words("ids", Dtype::U32, n_tokens)?
            .into_iter()
            .map(u32::from_le_bytes)
            .collect(),
        log_probs: floats(words("log_probs", Dtype::F32, n_tokens)?),
        rest: floats(words("rest", Dtype::F32, key.n_positions)?),
    };
    let is_probability = |log: &f32| *log <= 1e-3;
    match top.log_probs.iter().chain(&top.rest).all(is_probability) {
        true => Ok(Some(top)),
        false => Err(wrong("a probability is above 1 or no number".to_owned())),
    }
}

fn words(
    tensors: &SafeTensors<'_>,
    name: &str,
    dtype: Dtype,
    len: usize,
) -> Result<Vec<[u8; 4]>, String> {
    let tensor = tensors.tensor(name).map_err(|error| error.to_string())?;
    let (words, _) = tensor.data().as_chunks::<4>();
    match tensor.dtype() == dtype && words.len() == len {
        true => Ok(words.to_vec()),
        false => Err(format!("`{name}` is not {len} numbers")),
    }
}
