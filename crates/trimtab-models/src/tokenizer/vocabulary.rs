//! Tokens, their types and merges, as model files give them, checked.

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
    /// No token: an id that the vocabulary leaves out.
    Absent,
}

/// A token on its way into a vocabulary.
#[derive(Debug)]
pub(super) struct VocabularyToken {
    /// As it is written in the file.
    pub(super) text: String,
    pub(super) token_type: TokenType,
    /// What it stands for.
    pub(super) bytes: Vec<u8>,
}

/// All tokens of a model.
///
/// Invariant: no token is empty, no two are equal, and `types` and `ends` have one entry for each id.
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
        let mut vocabulary = Self::with_capacity(tokens.len());
        for (token, token_type) in tokens.iter().zip(types) {
            let bytes = match token_type {
                TokenType::Text => bytes_from_symbols(token),
                // Special tokens are written as themselves, not in the characters that stand for
                // bytes.
                TokenType::Control | TokenType::UserDefined | TokenType::Absent => None,
            };
            vocabulary.push(VocabularyToken {
                text: token.clone(),
                token_type,
                bytes: bytes.unwrap_or_else(|| token.as_bytes().to_vec()),
            })?;
        }
        Ok(vocabulary)
    }

    /// Tokens with their ids, in any order; ids may be left out.
    ///
    /// # Errors
    ///
    /// No token, an id beyond all vocabularies, two tokens with one id or one text.
    pub(super) fn from_tokens(
        mut tokens: Vec<(u32, VocabularyToken)>,
    ) -> Result<Self, TokenizerError> {
        tokens.sort_by_key(|(id, _)| *id);
        let n_ids = tokens.last().map_or(0, |(id, _)| *id as usize + 1);
        if n_ids == 0 || n_ids > MAX_TOKENS {
            return Err(TokenizerError::VocabularySize(n_ids));
        }
        let mut vocabulary = Self::with_capacity(n_ids);
        for (id, token) in tokens {
            let id = id as usize;
            if id < vocabulary.len() {
                let token = token.text;
                return Err(TokenizerError::AmbiguousToken { id, token });
            }
            while vocabulary.len() < id {
                vocabulary.types.push(TokenType::Absent);
                vocabulary.ends.push(vocabulary.bytes.len());
            }
            vocabulary.push(token)?;
        }
        Ok(vocabulary)
    }

    fn with_capacity(n_ids: usize) -> Self {
        Self {
            types: Vec::with_capacity(n_ids),
            bytes: Vec::new(),
            ends: Vec::with_capacity(n_ids),
            id_from_token: HashMap::new(),
        }
    }

    /// Gives a token the next id.
    fn push(&mut self, token: VocabularyToken) -> Result<(), TokenizerError> {
        let id = self.len();
        let is_known = self.id_from_token.contains_key(&token.text);
        if token.text.is_empty() || is_known {
            let token = token.text;
            return Err(TokenizerError::AmbiguousToken { id, token });
        }
        self.id_from_token.insert(token.text, id as u32);
        self.types.push(token.token_type);
        self.bytes.extend(token.bytes);
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
    pub(super) fn required_bytes(&self, id: u32) -> Result<&[u8], TokenizerError> {
        let n_tokens = self.len();
        let bytes = self.bytes(id);
        bytes.ok_or(TokenizerError::UnknownId { id, n_tokens })
    }

    fn bytes(&self, id: u32) -> Option<&[u8]> {
        if self.token_type(id)? == TokenType::Absent {
            return None;
        }
        let end = self.ends[id as usize];
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
