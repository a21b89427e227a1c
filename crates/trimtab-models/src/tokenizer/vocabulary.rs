//! Tokens, their types and merges, as model files give them, checked.

use super::{
    TokenizerError,
    byte_symbols::bytes_from_symbols,
    merges::Merge,
    pieces::{PieceIndex, Pieces},
};
use crate::gguf::GgufFile;
use std::collections::HashSet;

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
/// Invariant: no token is empty, no two are equal, and `types`, `texts` and `bytes` have one entry
/// for each id, empty where there is no token.
#[derive(Debug)]
pub(super) struct Vocabulary {
    types: Vec<TokenType>,
    /// As they are written in the file.
    texts: Pieces,
    id_from_text: PieceIndex,
    /// What they stand for.
    bytes: Pieces,
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
        let mut vocabulary = Self::with_capacity(tokens.len(), tokens.len());
        for (token, token_type) in tokens.iter().zip(types) {
            let bytes = match token_type {
                TokenType::Text => bytes_from_symbols(token),
                // Special tokens are written as themselves, not in the characters that stand for
                // bytes.
                TokenType::Control | TokenType::UserDefined | TokenType::Absent => None,
            };
            vocabulary.push(VocabularyToken {
                text: token.to_owned(),
                token_type,
                bytes: bytes.unwrap_or_else(|| token.as_bytes().to_vec()),
            })?;
        }
        Ok(vocabulary.shrunk())
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
        let mut vocabulary = Self::with_capacity(n_ids, tokens.len());
        for (id, token) in tokens {
            let id = id as usize;
            if id < vocabulary.len() {
                let token = token.text;
                return Err(TokenizerError::AmbiguousToken { id, token });
            }
            while vocabulary.len() < id {
                vocabulary.push_entry(TokenType::Absent, &[], &[])?;
            }
            vocabulary.push(token)?;
        }
        Ok(vocabulary.shrunk())
    }

    fn with_capacity(n_ids: usize, n_tokens: usize) -> Self {
        Self {
            types: Vec::with_capacity(n_ids),
            texts: Pieces::with_capacity(n_ids),
            id_from_text: PieceIndex::with_capacity(n_tokens),
            bytes: Pieces::with_capacity(n_ids),
        }
    }

    /// Gives a token the next id.
    fn push(&mut self, token: VocabularyToken) -> Result<(), TokenizerError> {
        let id = self.len();
        let VocabularyToken {
            text,
            token_type,
            bytes,
        } = token;
        if text.is_empty() || self.id(&text).is_some() {
            return Err(TokenizerError::AmbiguousToken { id, token: text });
        }
        self.push_entry(token_type, text.as_bytes(), &bytes)?;
        self.id_from_text.insert(&self.texts, id as u32);
        Ok(())
    }

    fn push_entry(
        &mut self,
        token_type: TokenType,
        text: &[u8],
        bytes: &[u8],
    ) -> Result<(), TokenizerError> {
        if !(self.texts.push(text) && self.bytes.push(bytes)) {
            return Err(TokenizerError::VocabularyText);
        }
        self.types.push(token_type);
        Ok(())
    }

    fn shrunk(mut self) -> Self {
        self.texts.shrink_to_fit();
        self.bytes.shrink_to_fit();
        self
    }

    pub(super) fn len(&self) -> usize {
        self.types.len()
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.id_from_text.find(&self.texts, token.as_bytes())
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
        self.bytes.get(id as usize)
    }

    /// Tokens by their text in the file, in the order of their ids.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (&str, u32, TokenType)> {
        let entries = (0..).zip(&self.types);
        let tokens = entries.filter(|(_, token_type)| **token_type != TokenType::Absent);
        tokens.map(|(id, token_type)| {
            let text = self.texts.get(id as usize).expect("every id has an entry");
            let text = str::from_utf8(text).expect("entries are made of text");
            (text, id, *token_type)
        })
    }

    /// The merges of the file, in order; both parts and their union are tokens of text.
    pub(super) fn merges(&self, file: &GgufFile) -> Result<Vec<Merge>, TokenizerError> {
        let texts = file.get_strings("tokenizer.ggml.merges")?;
        let mut seen = HashSet::with_capacity(texts.len());
        let mut merges = Vec::with_capacity(texts.len());
        let mergeable = |part: &str| {
            let id = self.id(part)?;
            (self.token_type(id) != Some(TokenType::Control)).then_some(id)
        };
        for (idx, text) in texts.iter().enumerate() {
            let merge = || text.to_owned();
            let Some((left, right)) = text
                .split_once(' ')
                .filter(|(_, right)| !right.contains(' '))
            else {
                return Err(TokenizerError::MalformedMerge {
                    idx,
                    merge: merge(),
                });
            };
            merges.push(Merge::new(idx, left, right, mergeable)?);
            if !seen.insert(text) {
                return Err(TokenizerError::DuplicateMerge {
                    idx,
                    merge: merge(),
                });
            }
        }
        Ok(merges)
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
