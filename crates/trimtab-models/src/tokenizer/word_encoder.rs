//! Text to ids with the pieces that a GGUF file names: atomic tokens, then words, then merges.

use super::{
    SpecialTokens, TokenizerError,
    bpe::{Bpe, BpeOptions},
    pre_tokenizer::WordSplit,
    vocabulary::{TokenType, Vocabulary},
};
use crate::gguf::GgufFile;
use tokenizers::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    pre_tokenizers::PreTokenizerWrapper,
};

/// Byte-level BPE with tokens that are never cut.
pub(super) struct WordEncoder {
    model: Bpe,
    pre_tokenizer: PreTokenizerWrapper,
    /// Tokens that are never cut, by their first byte, the longest first.
    atomic: Vec<Vec<AtomicToken>>,
}

#[derive(Debug)]
struct AtomicToken {
    text: String,
    id: u32,
    is_control: bool,
}

impl WordEncoder {
    pub(super) fn from_gguf(
        file: &GgufFile,
        vocabulary: &Vocabulary,
    ) -> Result<Self, TokenizerError> {
        let word_split = WordSplit::from_name(file.get_str("tokenizer.ggml.pre")?)?;
        let merges = vocabulary.merges(file)?;
        let control = vocabulary
            .tokens()
            .filter(|(_, _, ty)| *ty == TokenType::Control);
        let options = BpeOptions {
            takes_whole_words: word_split.takes_whole_words(),
            outside: control.map(|(_, id, _)| id).collect(),
            ..BpeOptions::default()
        };
        Ok(Self {
            model: Bpe::new(vocabulary, &merges, options),
            pre_tokenizer: word_split.pre_tokenizer()?,
            atomic: atomic_tokens(vocabulary),
        })
    }

    pub(super) fn encode(
        &self,
        text: &str,
        special: SpecialTokens,
        vocabulary: &Vocabulary,
    ) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::new();
        let (mut plain_start, mut position) = (0, 0);
        while position < text.len() {
            match self.atomic_at(&text.as_bytes()[position..], special) {
                None => position += 1,
                Some(token) => {
                    // An atomic token begins with a whole character, so both cuts are between two.
                    self.encode_plain(&text[plain_start..position], vocabulary, &mut ids)?;
                    ids.push(token.id);
                    position += token.text.len();
                    plain_start = position;
                }
            }
        }
        self.encode_plain(&text[plain_start..], vocabulary, &mut ids)?;
        Ok(ids)
    }

    fn atomic_at(&self, rest: &[u8], special: SpecialTokens) -> Option<&AtomicToken> {
        let candidates = &self.atomic[usize::from(*rest.first()?)];
        candidates.iter().find(|token| {
            let is_wanted = special == SpecialTokens::Parse || !token.is_control;
            is_wanted && rest.starts_with(token.text.as_bytes())
        })
    }

    fn encode_plain(
        &self,
        text: &str,
        vocabulary: &Vocabulary,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        if text.is_empty() {
            return Ok(());
        }
        let first_idx = ids.len();
        let mut words = PreTokenizedString::from(text);
        self.pre_tokenizer
            .pre_tokenize(&mut words)
            .map_err(TokenizerError::Library)?;
        for (word, _, _) in words.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            self.model.encode(word, vocabulary, ids)?;
        }
        // The model drops what it has no token for; that must not pass in silence.
        let mut encoded = Vec::with_capacity(text.len());
        for &id in &ids[first_idx..] {
            encoded.extend(vocabulary.required_bytes(id)?);
        }
        if encoded == text.as_bytes() {
            return Ok(());
        }
        Err(TokenizerError::Unencodable(first_lost_char(text, &encoded)))
    }
}

/// The character in which `encoded` first differs from `text`.
pub(super) fn first_lost_char(text: &str, encoded: &[u8]) -> char {
    let n_equal = text
        .bytes()
        .zip(encoded)
        .take_while(|(a, b)| a == *b)
        .count();
    let mut chars = text.char_indices();
    let lost = chars.find(|(start, character)| start + character.len_utf8() > n_equal);
    lost.map_or(char::REPLACEMENT_CHARACTER, |(_, character)| character)
}

fn atomic_tokens(vocabulary: &Vocabulary) -> Vec<Vec<AtomicToken>> {
    let mut by_first_byte: Vec<Vec<AtomicToken>> = (0..256).map(|_| vec![]).collect();
    for (text, id, token_type) in vocabulary.tokens() {
        let is_control = match token_type {
            TokenType::Text | TokenType::Absent => continue,
            TokenType::Control => true,
            TokenType::UserDefined => false,
        };
        let token = AtomicToken {
            text: text.to_owned(),
            id,
            is_control,
        };
        by_first_byte[usize::from(text.as_bytes()[0])].push(token);
    }
    for tokens in &mut by_first_byte {
        tokens.sort_by_key(|token| (std::cmp::Reverse(token.text.len()), token.id));
    }
    by_first_byte
}
