//! The metadata entries that describe a tokenizer, and those that say what a model is.

use super::{HfTokenizerFiles, TokenizerMetadataError};
use crate::{
    ModelFiles,
    chat_template::template_of_folder,
    gguf::{GgufFile, GgufValue},
    hf::HfFolder,
};
use serde_json::Value;

/// Entries `tokenizer.*` of a GGUF file, chat template included.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerMetadata {
    pub(super) entries: Vec<(String, GgufValue)>,
    pub(super) n_tokens: usize,
}

const TOKENS_KEY: &str = "tokenizer.ggml.tokens";

/// Vocabularies of 250,000 tokens have some 35 MB.
const MAX_TOKENIZER_BYTES: u64 = 128 << 20;

impl TokenizerMetadata {
    /// The tokenizer of a model with `n_rows` rows of embedding, whatever files store it.
    ///
    /// # Errors
    ///
    /// [`TokenizerMetadataError`]: no tokenizer, or one that GGUF has no words for.
    pub fn of_model(files: &ModelFiles, n_rows: usize) -> Result<Self, TokenizerMetadataError> {
        match files {
            ModelFiles::Gguf(file) => Self::from_gguf(file),
            ModelFiles::Folder(folder) => Self::from_folder(folder, n_rows),
        }
    }

    fn from_folder(folder: &HfFolder, n_rows: usize) -> Result<Self, TokenizerMetadataError> {
        let text = folder.read_text("tokenizer.json", MAX_TOKENIZER_BYTES)?;
        let missing = || TokenizerMetadataError::NoTokenizerFile(folder.path().to_owned());
        let tokenizer: Value = serde_json::from_str(&text.ok_or_else(missing)?)?;
        let chat_template = template_of_folder(folder)?;
        Self::from_hugging_face(&HfTokenizerFiles {
            tokenizer: &tokenizer,
            tokenizer_config: folder.tokenizer_config().unwrap_or(&Value::Null),
            chat_template: chat_template.as_deref(),
            n_rows,
        })
    }

    /// Copies the tokenizer of a GGUF file as it is.
    ///
    /// # Errors
    ///
    /// The file has no tokens.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, TokenizerMetadataError> {
        let n_tokens = file.get_strings(TOKENS_KEY)?.len();
        Ok(Self {
            entries: entries_below(file, "tokenizer."),
            n_tokens,
        })
    }

    /// The entries.
    pub fn entries(&self) -> &[(String, GgufValue)] {
        &self.entries
    }

    /// Tokens, places without a text included.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    pub(super) fn new(tokens: Vec<String>, token_types: Vec<i32>, merges: Vec<String>) -> Self {
        let n_tokens = tokens.len();
        let mut metadata = Self {
            entries: vec![],
            n_tokens,
        };
        metadata.push("tokenizer.ggml.model", GgufValue::String("gpt2".to_owned()));
        metadata.push(TOKENS_KEY, tokens.into());
        metadata.push("tokenizer.ggml.token_type", token_types.into());
        metadata.push("tokenizer.ggml.merges", merges.into());
        metadata
    }

    pub(super) fn push(&mut self, key: &str, value: GgufValue) {
        self.entries.push((key.to_owned(), value));
    }
}

/// Entries that describe the old file rather than the model: the writer makes its own.
const ABOUT_THE_FILE: [&str; 4] = [
    "general.architecture",
    "general.alignment",
    "general.file_type",
    "general.quantization_version",
];

/// Entries `general.*` of a GGUF file that stay true of the model in another file: name, author,
/// license.
pub fn general_metadata(file: &GgufFile) -> Vec<(String, GgufValue)> {
    let mut entries = entries_below(file, "general.");
    entries.retain(|(key, _)| !ABOUT_THE_FILE.contains(&key.as_str()));
    entries
}

fn entries_below(file: &GgufFile, prefix: &str) -> Vec<(String, GgufValue)> {
    let entries = file.metadata().iter();
    entries
        .filter(|(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
