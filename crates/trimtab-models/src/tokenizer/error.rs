//! What can be wrong with a tokenizer, or with what it is given.

use crate::{gguf::GgufError, hf::HfError};
use std::path::PathBuf;

/// Why a tokenizer cannot be built or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The metadata cannot be read.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A file of the model folder cannot be read.
    #[error(transparent)]
    Folder(#[from] HfError),
    /// A folder without a tokenizer that is read.
    #[error(
        "there is neither `tokenizer.json` nor `vocab.json` with `merges.txt` in `{}`",
        .0.display()
    )]
    NoTokenizer(PathBuf),
    /// A tokenizer file that is damaged, or describes what the library cannot build.
    #[error("`{file}` cannot be understood: {source}")]
    Json {
        /// The file.
        file: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A step of another family.
    #[error("the tokenizer's `{part}` is not supported: `{found}`")]
    UnsupportedPart {
        /// The step.
        part: &'static str,
        /// What the file asks for.
        found: String,
    },
    /// An added token that does not follow the vocabulary.
    #[error(
        "the added token `{token}` is listed with id {listed}, but {}",
        found.map_or("has none".to_owned(), |id| format!("its place gives it {id}"))
    )]
    AddedTokenId {
        /// The token.
        token: String,
        /// Its id by the list.
        listed: u32,
        /// Its id by the vocabulary.
        found: Option<u32>,
    },
    /// A named token that is not in the vocabulary.
    #[error("`{key}` = {token} is not in the vocabulary")]
    UnknownNamedToken {
        /// The setting.
        key: &'static str,
        /// Its value.
        token: String,
    },
    /// A setting that is no id.
    #[error("`{key}` = {found} is no token id")]
    NoTokenId {
        /// The setting.
        key: &'static str,
        /// Its value.
        found: String,
    },
    /// A tokenizer of another family.
    #[error("tokenizer model `{0}` is not supported; `gpt2` (byte-level BPE) is")]
    UnsupportedModel(String),
    /// A way of cutting text into words that is not known.
    #[error("pre-tokenizer `{name}` is not supported; these are: {supported}")]
    UnsupportedPreTokenizer {
        /// The name in the file.
        name: String,
        /// The names that are known.
        supported: String,
    },
    /// The vocabulary has no tokens, or more than ids.
    #[error("the vocabulary has {0} tokens")]
    VocabularySize(usize),
    /// Tokens that take more memory than any vocabulary does.
    #[error("the tokens of the vocabulary have more than 4 GiB of text")]
    VocabularyText,
    /// Another number of token types than of tokens.
    #[error("the vocabulary has {n_tokens} tokens but {n_types} token types")]
    TokenTypesLength {
        /// Tokens.
        n_tokens: usize,
        /// Token types.
        n_types: usize,
    },
    /// A token type that the format does not have.
    #[error("token {id} has the unknown type {code}")]
    UnknownTokenType {
        /// The token.
        id: usize,
        /// Its type in the file.
        code: i32,
    },
    /// An empty token, or two tokens of the same text.
    #[error("token {id} (`{token}`) is empty or occurs twice")]
    AmbiguousToken {
        /// The token.
        id: usize,
        /// Its text.
        token: String,
    },
    /// A merge that is not two parts with a space between.
    #[error("merge {idx} (`{merge}`) is not two parts with a space between")]
    MalformedMerge {
        /// Its place in the list.
        idx: usize,
        /// Its text.
        merge: String,
    },
    /// A merge of, or into, something that is no token.
    #[error("merge {idx}: `{part}` is not in the vocabulary")]
    MergeOutOfVocabulary {
        /// Its place in the list.
        idx: usize,
        /// What is missing.
        part: String,
    },
    /// Two merges of the same parts.
    #[error("merge {idx} (`{merge}`) occurs twice")]
    DuplicateMerge {
        /// Its place in the list.
        idx: usize,
        /// Its text.
        merge: String,
    },
    /// A named id beyond the vocabulary.
    #[error("`{key}` = {id} is not among the {n_tokens} tokens")]
    IdOutOfRange {
        /// The metadata key.
        key: &'static str,
        /// Its value.
        id: u32,
        /// Tokens.
        n_tokens: usize,
    },
    /// The embedding belongs to another vocabulary.
    #[error("the vocabulary has {n_tokens} tokens, but the embedding has {n_rows} rows")]
    EmbeddingMismatch {
        /// Tokens.
        n_tokens: usize,
        /// Rows of the embedding.
        n_rows: usize,
    },
    /// More text than is tokenized at once.
    #[error("the text has {n_bytes} bytes; at most {limit} are tokenized at once")]
    TextTooLong {
        /// Its bytes.
        n_bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// Text with bytes that the vocabulary has no token for.
    #[error("the vocabulary has no token for the character {0:?}")]
    Unencodable(char),
    /// An id that is not in the vocabulary.
    #[error("token id {id} is not among the {n_tokens} tokens")]
    UnknownId {
        /// The id.
        id: u32,
        /// Tokens.
        n_tokens: usize,
    },
    /// The tokenizer library refused.
    #[error("cannot tokenize: {0}")]
    Library(#[source] Box<dyn std::error::Error + Send + Sync>),
}
