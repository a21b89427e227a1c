//! Tokens, their types and merges, as a model file gives them, checked.

use super::{TokenizerError, byte_symbols::bytes_from_symbols};
use crate::gguf::GgufFile;
use std::collections::{HashMap, HashSet};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    /// A piece of text, or a place that no text leads to.
    Text,
    /// A mark of the chat format, found in text only where asked for.
    Control,
    /// A word that is never cut, found in any text.
    UserDefined,
}

/// All tokens of a model.
///
/// Invariant: no token is empty, no two are equal, and `ends` has one entry for each.
#[derive(Debug)]
pub(super) struct Vocabulary {
    types: Vec<TokenType>,
    /// The bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// Where the bytes of each token end.
    ends: Vec<usize>,
    id_from_token: HashMap<String, u32>,
}

/// More than any model has, and few enough to count in `u32`.
const MAX_TOKENS: usize = 1 << 24;

impl Vocabulary {
    pub(super) fn from_gguf(file: &GgufFile) -> Result<Self, TokenizerError> {
        let tokens = file.get_strings("tokenizer.ggml.tokens")?;
        if tokens.is_empty() || tokens.len() > MAX_TOKENS {
            return Err(TokenizerError::VocabularySize(tokens.len()));
        }
        let types = token_types(file, tokens.len())?;
        let mut vocabulary = Self {
            types,
            bytes: Vec::new(),
            ends: Vec::with_capacity(tokens.len()),
            id_from_token: HashMap::with_capacity(tokens.len()),
        };
        for (id, token) in tokens.iter().enumerate() {
            vocabulary.push(id, token)?;
        }
        Ok(vocabulary)
    }

    fn push(&mut self, id: usize, token: &str) -> Result<(), TokenizerError> {
        let is_known = self
            .id_from_token
            .insert(token.to_owned(), id as u32)
            .is_some();
        if token.is_empty() || is_known {
            return Err(TokenizerError::AmbiguousToken {
                id,
                token: token.to_owned(),
            });
        }
        let text = match self.types[id] {
            TokenType::Text => bytes_from_symbols(token),
            // Special tokens are written as themselves, not in the characters that stand for bytes.
            TokenType::Control | TokenType::UserDefined => None,
        };
        self.bytes
            .extend(text.unwrap_or_else(|| token.as_bytes().to_vec()));
        self.ends.push(self.bytes.len());
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.id_from_token.get(token).copied()
    }

    pub(super) fn token_type(&self, id: u32) -> Option<TokenType> {
        self.types.get(id as usize).copied()
    }

    /// The bytes that a token stands for.
    pub(super) fn bytes(&self, id: u32) -> Option<&[u8]> {
        let end = *self.ends.get(id as usize)?;
        let start = if id == 0 {
            0
        } else {
            self.ends[id as usize - 1]
        };
        Some(&self.bytes[start..end])
    }

    /// Tokens by their text in the file.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (&str, u32, TokenType)> {
        let tokens = self.id_from_token.iter();
        tokens.map(|(token, &id)| (token.as_str(), id, self.types[id as usize]))
    }

    /// The merges of the file, in order; both parts and their union are tokens of text.
    pub(super) fn merges(&self, file: &GgufFile) -> Result<Vec<(String, String)>, TokenizerError> {
        let merges = file.get_strings("tokenizer.ggml.merges")?;
        let mut seen = HashSet::with_capacity(merges.len());
        let mut pairs = Vec::with_capacity(merges.len());
        for (idx, merge) in merges.iter().enumerate() {
            let Some((left, right)) = merge
                .split_once(' ')
                .filter(|(_, right)| !right.contains(' '))
            else {
                return Err(TokenizerError::MalformedMerge {
                    idx,
                    merge: merge.clone(),
                });
            };
            for part in [left, right, &format!("{left}{right}")] {
                let id = self.id(part);
                if id
                    .and_then(|id| self.token_type(id))
                    .is_none_or(|ty| ty == TokenType::Control)
                {
                    let part = part.to_owned();
                    return Err(TokenizerError::MergeOutOfVocabulary { idx, part });
                }
            }
            if !seen.insert(merge) {
                return Err(TokenizerError::DuplicateMerge {
                    idx,
                    merge: merge.clone(),
                });
            }
            pairs.push((left.to_owned(), right.to_owned()));
        }
        Ok(pairs)
    }
}

/// Types by the codes of the format: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused,
/// 6 byte.
fn token_types(file: &GgufFile, n_tokens: usize) -> Result<Vec<TokenType>, TokenizerError> {
    let codes = file.get_i32s("tokenizer.ggml.token_type")?;
    if codes.len() != n_tokens {
        return Err(TokenizerError::TokenTypesLength {
            n_tokens,
            n_types: codes.len(),
        });
    }
    let types = codes.iter().enumerate().map(|(id, &code)| match code {
        1 | 5 | 6 => Ok(TokenType::Text),
        2 | 3 => Ok(TokenType::Control),
        4 => Ok(TokenType::UserDefined),
        _ => Err(TokenizerError::UnknownTokenType { id, code }),
    });
    types.collect()
}
