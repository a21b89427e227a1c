//! Text to ids with the steps that a `tokenizer.json` lists.

use super::{
    SpecialTokens, TokenizerError,
    spelling::Spelling,
    vocabulary::{TokenType, Vocabulary, VocabularyToken},
    word_encoder::first_lost_char,
};
use tokenizers::{
    AddedVocabulary, Model, ModelWrapper, OffsetReferential, OffsetType, PreTokenizer, Tokenizer,
};

/// The steps of a `tokenizer.json`, for BPE.
pub(super) struct LibraryEncoder {
    tokenizer: Tokenizer,
    /// The added tokens, with special ones left out.
    as_text: AddedVocabulary,
    spelling: Spelling,
    /// Whether text without a token becomes the unknown token.
    has_unknown: bool,
}

impl LibraryEncoder {
    /// Takes the steps, where all of them are understood.
    ///
    /// # Errors
    ///
    /// Another model than BPE, or merges by chance.
    pub(super) fn new(tokenizer: Tokenizer, spelling: Spelling) -> Result<Self, TokenizerError> {
        let unsupported = |found: &str| TokenizerError::UnsupportedPart {
            part: "model",
            found: found.to_owned(),
        };
        let ModelWrapper::BPE(model) = tokenizer.get_model() else {
            return Err(unsupported("another model than BPE"));
        };
        if model.dropout.is_some_and(|chance| chance != 0.0) {
            return Err(unsupported("dropout"));
        }
        let has_unknown = model.unk_token.is_some();
        let mut as_text = tokenizer.get_added_vocabulary().clone();
        as_text.set_encode_special_tokens(true);
        Ok(Self {
            tokenizer,
            as_text,
            spelling,
            has_unknown,
        })
    }

    /// All tokens with their ids.
    pub(super) fn vocabulary_tokens(&self) -> Vec<(u32, VocabularyToken)> {
        let added = self.tokenizer.get_added_tokens_decoder();
        let tokens = self.tokenizer.get_vocab(true).into_iter();
        let tokens = tokens.map(|(text, id)| {
            let (token_type, bytes) = match added.get(&id) {
                Some(token) if token.special => (TokenType::Control, text.as_bytes().to_vec()),
                Some(_) => (TokenType::UserDefined, text.as_bytes().to_vec()),
                None => (TokenType::Text, self.spelling.bytes(&text)),
            };
            let token = VocabularyToken {
                text,
                token_type,
                bytes,
            };
            (id, token)
        });
        tokens.collect()
    }

    /// Whether the first space of a text is one that encoding put there.
    pub(super) fn drops_first_space(&self) -> bool {
        self.spelling.drops_first_space
    }

    /// The ids that are put around a text.
    pub(super) fn ends(&self) -> Result<Vec<u32>, TokenizerError> {
        let empty = self.tokenizer.encode_fast("", true);
        let empty = empty.map_err(TokenizerError::Library)?;
        Ok(empty.get_ids().to_vec())
    }

    pub(super) fn encode(
        &self,
        text: &str,
        special: SpecialTokens,
        vocabulary: &Vocabulary,
    ) -> Result<Vec<u32>, TokenizerError> {
        let added = match special {
            SpecialTokens::Parse => self.tokenizer.get_added_vocabulary(),
            SpecialTokens::AsText => &self.as_text,
        };
        let mut words = added.extract_and_normalize(self.tokenizer.get_normalizer(), text);
        if let Some(pre_tokenizer) = self.tokenizer.get_pre_tokenizer() {
            pre_tokenizer
                .pre_tokenize(&mut words)
                .map_err(TokenizerError::Library)?;
        }
        let model = self.tokenizer.get_model();
        words
            .tokenize(|word| model.tokenize(word.get()))
            .map_err(TokenizerError::Library)?;
        let mut ids = Vec::new();
        for (word, _, tokens) in words.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            let first_idx = ids.len();
            ids.extend(tokens.iter().flatten().map(|token| token.id));
            self.check_whole(word, &ids[first_idx..], vocabulary)?;
        }
        Ok(ids)
    }

    /// The model drops what it has no token for; that must not pass in silence.
    fn check_whole(
        &self,
        word: &str,
        ids: &[u32],
        vocabulary: &Vocabulary,
    ) -> Result<(), TokenizerError> {
        let is_added = match ids {
            [id] => vocabulary.token_type(*id) != Some(TokenType::Text),
            _ => false,
        };
        if self.has_unknown || is_added {
            return Ok(());
        }
        let mut encoded = Vec::with_capacity(word.len());
        for &id in ids {
            encoded.extend(vocabulary.required_bytes(id)?);
        }
        let wanted = self.spelling.text_bytes(word);
        if encoded == wanted {
            return Ok(());
        }
        let lost = first_lost_char(&String::from_utf8_lossy(&wanted), &encoded);
        Err(TokenizerError::Unencodable(lost))
    }
}
