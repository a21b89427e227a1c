//! A tokenizer in Hugging Face's files as GGUF metadata.
//!
//! Only byte-level BPE whose word splitting has a name in GGUF files: readers know a pre-tokenizer
//! by name alone, so any other would tokenize otherwise without a word.

use super::{
    TokenizerMetadata, TokenizerMetadataError,
    word_split::{gguf_name, type_of},
};
use crate::gguf::GgufValue;
use serde_json::Value;
use std::collections::HashSet;

/// The parsed files of a Hugging Face folder that describe its tokenizer.
#[derive(Clone, Copy, Debug)]
pub struct HfTokenizerFiles<'a> {
    /// `tokenizer.json`.
    pub tokenizer: &'a Value,
    /// `tokenizer_config.json`: which tokens begin, end and pad a text.
    pub tokenizer_config: &'a Value,
    /// The chat template, wherever the folder has it.
    pub chat_template: Option<&'a str>,
    /// Rows of the embedding: the vocabulary is filled up to them.
    pub n_rows: usize,
}

/// Token types by the codes of the format.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// Where `tokenizer_config.json` names a token and where GGUF has its id.
const NAMED_TOKENS: [(&str, &str); 4] = [
    ("bos_token", "tokenizer.ggml.bos_token_id"),
    ("eos_token", "tokenizer.ggml.eos_token_id"),
    ("unk_token", "tokenizer.ggml.unknown_token_id"),
    ("pad_token", "tokenizer.ggml.padding_token_id"),
];

impl TokenizerMetadata {
    /// Builds the entries from the files of a Hugging Face folder.
    ///
    /// # Errors
    ///
    /// [`TokenizerMetadataError`]: another family than byte-level BPE, a pre-tokenizer or
    /// normalizer that GGUF has no name for, ids that contradict themselves or the embedding.
    pub fn from_hugging_face(files: &HfTokenizerFiles<'_>) -> Result<Self, TokenizerMetadataError> {
        let tokenizer = files.tokenizer;
        let model = &tokenizer["model"];
        check_family(tokenizer)?;
        let takes_whole_words = model["ignore_merges"].as_bool().unwrap_or(false);
        let pre = gguf_name(&tokenizer["pre_tokenizer"], takes_whole_words)?;
        let vocabulary = Vocabulary::read(tokenizer, files.n_rows)?;
        let merges = merges(&model["merges"])?;

        let (tokens, token_types) = (vocabulary.tokens, vocabulary.token_types);
        let mut named = vec![];
        for (name, key) in NAMED_TOKENS {
            let Some(token) = named_token(files.tokenizer_config, name) else {
                continue;
            };
            let id = tokens.iter().position(|known| known == token);
            let id = id.ok_or_else(|| TokenizerMetadataError::UnknownToken {
                key: name,
                token: token.to_owned(),
            })?;
            named.push((key, GgufValue::U32(id as u32)));
        }
        let mut metadata = Self::new(tokens, token_types, merges);
        metadata.push("tokenizer.ggml.pre", pre.into());
        for (key, id) in named {
            metadata.push(key, id);
        }
        metadata.push("tokenizer.ggml.add_bos_token", adds_bos(files).into());
        if let Some(template) = files.chat_template {
            metadata.push("tokenizer.chat_template", template.into());
        }
        Ok(metadata)
    }
}

fn check_family(tokenizer: &Value) -> Result<(), TokenizerMetadataError> {
    let model = &tokenizer["model"];
    // Files older than the field hold BPE where there are merges.
    let family = match model.get("type") {
        None if model.get("merges").is_some() => "BPE",
        _ => type_of(model),
    };
    let falls_back = model["byte_fallback"].as_bool().unwrap_or(false);
    if family != "BPE" || falls_back {
        let note = if falls_back {
            " with byte fallback"
        } else {
            ""
        };
        return Err(TokenizerMetadataError::Model(format!("{family}{note}")));
    }
    let normalizer = &tokenizer["normalizer"];
    let is_known = normalizer.is_null() || type_of(normalizer) == "NFC";
    if !is_known {
        let name = type_of(normalizer).to_owned();
        return Err(TokenizerMetadataError::Normalizer(name));
    }
    Ok(())
}

/// Tokens by id, the places between them filled.
struct Vocabulary {
    tokens: Vec<String>,
    token_types: Vec<i32>,
}

impl Vocabulary {
    fn read(tokenizer: &Value, n_rows: usize) -> Result<Self, TokenizerMetadataError> {
        let words = tokenizer["model"]["vocab"]
            .as_object()
            .ok_or_else(|| malformed("model.vocab", "an object"))?;
        let mut vocabulary = Self {
            tokens: vec![String::new(); n_rows],
            token_types: vec![UNUSED; n_rows],
        };
        for (token, id) in words {
            let id = id.as_u64();
            let id = id.ok_or_else(|| malformed(&format!("model.vocab.{token}"), "an id"))?;
            vocabulary.put(token, id, NORMAL)?;
        }
        let no_tokens = vec![];
        let added = match &tokenizer["added_tokens"] {
            Value::Null => &no_tokens,
            added => added
                .as_array()
                .ok_or_else(|| malformed("added_tokens", "a list"))?,
        };
        for (idx, token) in added.iter().enumerate() {
            let key = |name: &str| format!("added_tokens.{idx}.{name}");
            let text = token["content"].as_str();
            let text = text.ok_or_else(|| malformed(&key("content"), "a text"))?;
            let id = token["id"].as_u64();
            let id = id.ok_or_else(|| malformed(&key("id"), "an id"))?;
            let is_special = token["special"].as_bool();
            match is_special.ok_or_else(|| malformed(&key("special"), "a truth value"))? {
                true => vocabulary.put(text, id, CONTROL)?,
                false => vocabulary.put(text, id, USER_DEFINED)?,
            }
        }
        vocabulary.fill()
    }

    /// Added tokens may be in the vocabulary too, under the same id.
    fn put(&mut self, token: &str, id: u64, ty: i32) -> Result<(), TokenizerMetadataError> {
        let (token, n_rows) = (token.to_owned(), self.tokens.len());
        let place = usize::try_from(id).ok().filter(|place| *place < n_rows);
        let Some(place) = place else {
            return Err(TokenizerMetadataError::TokenId { token, id, n_rows });
        };
        let is_taken = self.token_types[place] != UNUSED && self.tokens[place] != token;
        if is_taken || token.is_empty() {
            return Err(TokenizerMetadataError::AmbiguousToken { token, id });
        }
        self.tokens[place] = token;
        self.token_types[place] = ty;
        Ok(())
    }

    /// Gives the rows without a token a text that no text leads to, and looks for doubles.
    fn fill(mut self) -> Result<Self, TokenizerMetadataError> {
        for (id, token) in self.tokens.iter_mut().enumerate() {
            if self.token_types[id] == UNUSED {
                *token = format!("[PAD{id}]");
            }
        }
        let mut seen = HashSet::with_capacity(self.tokens.len());
        match self.tokens.iter().position(|token| !seen.insert(token)) {
            None => Ok(self),
            Some(id) => Err(TokenizerMetadataError::AmbiguousToken {
                token: self.tokens[id].clone(),
                id: id as u64,
            }),
        }
    }
}

/// Merges as one text each, whichever way the file writes them: `"a b"` or `["a", "b"]`.
fn merges(merges: &Value) -> Result<Vec<String>, TokenizerMetadataError> {
    let merges = merges
        .as_array()
        .ok_or_else(|| malformed("model.merges", "a list"))?;
    let text = |(idx, merge): (usize, &Value)| {
        let text = match merge {
            Value::String(text) => Some(text.clone()),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(left), Value::String(right)] => Some(format!("{left} {right}")),
                _ => None,
            },
            _ => None,
        };
        let has_two_parts = |text: &String| {
            text.split(' ').count() == 2 && !text.starts_with(' ') && !text.ends_with(' ')
        };
        text.filter(has_two_parts)
            .ok_or(TokenizerMetadataError::Merge { idx })
    };
    merges.iter().enumerate().map(text).collect()
}

/// A token of `tokenizer_config.json`: a text, or an object that holds it.
fn named_token<'a>(config: &'a Value, name: &str) -> Option<&'a str> {
    let token = &config[name];
    token.as_str().or_else(|| token["content"].as_str())
}

/// Whether a text begins with the beginning-of-text token: as the configuration says, or else as
/// the template does that is put around every text.
fn adds_bos(files: &HfTokenizerFiles<'_>) -> bool {
    if let Some(adds_bos) = files.tokenizer_config["add_bos_token"].as_bool() {
        return adds_bos;
    }
    let Some(bos) = named_token(files.tokenizer_config, "bos_token") else {
        return false;
    };
    let post = &files.tokenizer["post_processor"];
    let processors = match post["processors"].as_array() {
        Some(processors) => processors.as_slice(),
        None => std::slice::from_ref(post),
    };
    processors
        .iter()
        .any(|processor| processor["single"][0]["SpecialToken"]["id"] == bos)
}

fn malformed(key: &str, expected: &'static str) -> TokenizerMetadataError {
    TokenizerMetadataError::Malformed {
        key: key.to_owned(),
        expected,
    }
}
