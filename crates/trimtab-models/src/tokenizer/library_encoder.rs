//! Text to ids with the steps that a `tokenizer.json` lists.

use super::{
    SpecialTokens, TokenizerError,
    bpe::{Bpe, BpeOptions, UnknownToken},
    merges::Merge,
    spelling::Spelling,
    vocabulary::{TokenType, Vocabulary, VocabularyToken},
    word_encoder::first_lost_char,
};
use tokenizers::{
    AddedVocabulary, Model, ModelWrapper, OffsetReferential, OffsetType, PreTokenizer, Tokenizer,
    models::bpe::BPE,
};

/// What the files of a folder describe.
pub(super) struct LibrarySteps {
    /// All steps; its model has the vocabulary, but no merges.
    pub(super) tokenizer: Tokenizer,
    /// Of tokens of that vocabulary.
    pub(super) merges: Vec<Merge>,
    pub(super) spelling: Spelling,
}

/// The steps of a `tokenizer.json`, for BPE.
pub(super) struct LibraryEncoder {
    /// All steps but the model.
    tokenizer: Tokenizer,
    /// The added tokens, with special ones left out.
    as_text: AddedVocabulary,
    spelling: Spelling,
    model: Bpe,
    /// The ids that are put around a text.
    ends: Vec<u32>,
}

impl LibraryEncoder {
    /// Takes the steps, where all of them are understood, and all tokens.
    ///
    /// # Errors
    ///
    /// Another model than BPE, merges by chance, or tokens that contradict each other.
    pub(super) fn new(steps: LibrarySteps) -> Result<(Self, Vocabulary), TokenizerError> {
        let LibrarySteps {
            mut tokenizer,
            merges,
            spelling,
        } = steps;
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
        let vocabulary = Vocabulary::from_tokens(vocabulary_tokens(&tokenizer, spelling))?;
        let model = Bpe::new(&vocabulary, &merges, options(model, &vocabulary));
        let empty = tokenizer.encode_fast("", true);
        let ends = empty.map_err(TokenizerError::Library)?.get_ids().to_vec();
        let mut as_text = tokenizer.get_added_vocabulary().clone();
        as_text.set_encode_special_tokens(true);
        // Its vocabulary is not needed any more, and takes many times the memory of ours.
        tokenizer.with_model(BPE::default());
        let encoder = Self {
            tokenizer,
            as_text,
            spelling,
            model,
            ends,
        };
        Ok((encoder, vocabulary))
    }

    /// Whether the first space of a text is one that encoding put there.
    pub(super) fn drops_first_space(&self) -> bool {
        self.spelling.drops_first_space
    }

    /// The ids that are put around a text.
    pub(super) fn ends(&self) -> &[u32] {
        &self.ends
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
        let mut ids = Vec::new();
        for (word, _, tokens) in words.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            let first_idx = ids.len();
            match tokens {
                Some(added) => ids.extend(added.iter().map(|token| token.id)),
                None => self.model.encode(word, vocabulary, &mut ids)?,
            }
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
        if self.model.has_unknown() || is_added {
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

/// All tokens with their ids.
fn vocabulary_tokens(tokenizer: &Tokenizer, spelling: Spelling) -> Vec<(u32, VocabularyToken)> {
    let added = tokenizer.get_added_tokens_decoder();
    let tokens = tokenizer.get_vocab(true).into_iter();
    let tokens = tokens.map(|(text, id)| {
        let (token_type, bytes) = match added.get(&id) {
            Some(token) if token.special => (TokenType::Control, text.as_bytes().to_vec()),
            Some(_) => (TokenType::UserDefined, text.as_bytes().to_vec()),
            None => (TokenType::Text, spelling.bytes(&text)),
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

/// How the library's model encodes words; added tokens that are not its own are outside of it.
fn options(model: &BPE, vocabulary: &Vocabulary) -> BpeOptions {
    let outside = vocabulary
        .tokens()
        .filter(|(text, id, _)| model.token_to_id(text) != Some(*id));
    let unknown = model.unk_token.as_ref().map(|text| UnknownToken {
        text: text.clone(),
        id: model.token_to_id(text),
        is_fused: model.fuse_unk,
    });
    BpeOptions {
        takes_whole_words: model.ignore_merges,
        has_byte_tokens: model.byte_fallback,
        unknown,
        outside: outside.map(|(_, id, _)| id).collect(),
    }
}
