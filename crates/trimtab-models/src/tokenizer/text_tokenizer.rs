//! Text to token ids and back.

use super::{
    ControlTokens, TokenStream, TokenizerError,
    pre_tokenizer::WordSplit,
    vocabulary::{TokenType, Vocabulary},
};
use crate::gguf::GgufFile;
use std::fmt;
use tokenizers::{
    Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    models::bpe::{BPE, Vocab},
    pre_tokenizers::PreTokenizerWrapper,
};

/// Whether control tokens such as `<|im_start|>` are recognised in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialTokens {
    /// They become their id: for prompts made by a chat template.
    Parse,
    /// They are text like any other: for text that is not trusted to give commands.
    AsText,
}

/// A byte-level tokenizer.
pub struct TextTokenizer {
    vocabulary: Vocabulary,
    model: BPE,
    pre_tokenizer: PreTokenizerWrapper,
    /// Tokens that are never cut, by their first byte, the longest first.
    atomic: Vec<Vec<AtomicToken>>,
    bos: Option<u32>,
    eos_ids: Vec<u32>,
}

#[derive(Debug)]
struct AtomicToken {
    text: String,
    id: u32,
    is_control: bool,
}

/// The most text in one call: the regular-expression engine gives up on single words far longer.
const MAX_TEXT_BYTES: usize = 4 << 20;

/// Keys of ids that end an answer.
const EOS_KEYS: [&str; 3] = [
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id",
];

/// Control tokens that end an answer in the chat formats of the supported families, whichever of
/// them the metadata names.
const EOS_TOKENS: [&str; 6] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "</s>",
];

impl TextTokenizer {
    /// Builds the tokenizer that a model file describes.
    ///
    /// # Errors
    ///
    /// Another family than byte-level BPE, an unknown pre-tokenizer, or a vocabulary or merges that
    /// contradict themselves.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, TokenizerError> {
        let model = file.get_str("tokenizer.ggml.model")?;
        if model != "gpt2" {
            return Err(TokenizerError::UnsupportedModel(model.to_owned()));
        }
        let word_split = WordSplit::from_name(file.get_str("tokenizer.ggml.pre")?)?;
        let vocabulary = Vocabulary::from_gguf(file)?;
        let merges = vocabulary.merges(file)?;
        let mergeable = vocabulary
            .tokens()
            .filter(|(_, _, ty)| *ty != TokenType::Control);
        let mergeable: Vocab = mergeable
            .map(|(token, id, _)| (token.to_owned(), id))
            .collect();
        let model = BPE::builder()
            .vocab_and_merges(mergeable, merges)
            .ignore_merges(word_split.takes_whole_words())
            .build()
            .map_err(TokenizerError::Library)?;
        Ok(Self {
            model,
            pre_tokenizer: word_split.pre_tokenizer()?,
            atomic: atomic_tokens(&vocabulary),
            bos: named_id(file, &vocabulary, "tokenizer.ggml.bos_token_id")?,
            eos_ids: eos_ids(file, &vocabulary)?,
            vocabulary,
        })
    }

    /// Token ids of a text; nothing is added before or after it.
    ///
    /// # Errors
    ///
    /// A text of more than 4 MiB, or a character that the vocabulary has no tokens for.
    pub fn encode(&self, text: &str, special: SpecialTokens) -> Result<Vec<u32>, TokenizerError> {
        let (n_bytes, limit) = (text.len(), MAX_TEXT_BYTES);
        if n_bytes > limit {
            return Err(TokenizerError::TextTooLong { n_bytes, limit });
        }
        let mut ids = Vec::new();
        let (mut plain_start, mut position) = (0, 0);
        while position < text.len() {
            match self.atomic_at(&text.as_bytes()[position..], special) {
                None => position += 1,
                Some(token) => {
                    // An atomic token begins with a whole character, so both cuts are between two.
                    self.encode_plain(&text[plain_start..position], &mut ids)?;
                    ids.push(token.id);
                    position += token.text.len();
                    plain_start = position;
                }
            }
        }
        self.encode_plain(&text[plain_start..], &mut ids)?;
        Ok(ids)
    }

    /// The text of some ids; control tokens appear as their names, bytes that are no UTF-8 as
    /// U+FFFD.
    ///
    /// # Errors
    ///
    /// An id that is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let mut bytes = Vec::new();
        for &id in ids {
            bytes.extend(self.token_bytes(id)?);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Turns ids into text one at a time.
    pub fn stream(&self, control: ControlTokens) -> TokenStream<'_> {
        TokenStream::new(self, control)
    }

    /// The bytes that a token stands for; not always whole characters.
    pub fn token_bytes(&self, id: u32) -> Result<&[u8], TokenizerError> {
        let n_tokens = self.vocab_size();
        self.vocabulary
            .bytes(id)
            .ok_or(TokenizerError::UnknownId { id, n_tokens })
    }

    /// Whether a token is a mark of the chat format.
    pub fn is_control(&self, id: u32) -> bool {
        self.vocabulary.token_type(id) == Some(TokenType::Control)
    }

    /// The id of a token by its text in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.vocabulary.id(token)
    }

    /// Tokens in the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// Refuses an embedding that belongs to another vocabulary.
    pub fn check_vocabulary(&self, n_rows: usize) -> Result<(), TokenizerError> {
        let n_tokens = self.vocab_size();
        if n_tokens == n_rows {
            return Ok(());
        }
        Err(TokenizerError::EmbeddingMismatch { n_tokens, n_rows })
    }

    /// The token that begins a text, where the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Tokens that end an answer, ascending.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }

    fn atomic_at(&self, rest: &[u8], special: SpecialTokens) -> Option<&AtomicToken> {
        let candidates = &self.atomic[usize::from(*rest.first()?)];
        candidates.iter().find(|token| {
            let is_wanted = special == SpecialTokens::Parse || !token.is_control;
            is_wanted && rest.starts_with(token.text.as_bytes())
        })
    }

    fn encode_plain(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        if text.is_empty() {
            return Ok(());
        }
        let first_idx = ids.len();
        let mut words = PreTokenizedString::from(text);
        self.pre_tokenizer
            .pre_tokenize(&mut words)
            .map_err(TokenizerError::Library)?;
        words
            .tokenize(|word| self.model.tokenize(word.get()))
            .map_err(TokenizerError::Library)?;
        for (_, _, tokens) in words.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            ids.extend(tokens.iter().flatten().map(|token| token.id));
        }
        // The model drops what it has no token for; that must not pass in silence.
        let mut encoded = Vec::with_capacity(text.len());
        for &id in &ids[first_idx..] {
            encoded.extend(self.token_bytes(id)?);
        }
        if encoded == text.as_bytes() {
            return Ok(());
        }
        Err(TokenizerError::Unencodable(first_lost_char(text, &encoded)))
    }
}

/// The character in which `encoded` first differs from `text`.
fn first_lost_char(text: &str, encoded: &[u8]) -> char {
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
            TokenType::Text => continue,
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

fn named_id(
    file: &GgufFile,
    vocabulary: &Vocabulary,
    key: &'static str,
) -> Result<Option<u32>, TokenizerError> {
    let n_tokens = vocabulary.len();
    match file.find::<u32>(key)? {
        Some(id) if id as usize >= n_tokens => {
            Err(TokenizerError::IdOutOfRange { key, id, n_tokens })
        }
        id => Ok(id),
    }
}

fn eos_ids(file: &GgufFile, vocabulary: &Vocabulary) -> Result<Vec<u32>, TokenizerError> {
    let is_control = |id: &u32| vocabulary.token_type(*id) == Some(TokenType::Control);
    let by_name = EOS_TOKENS
        .iter()
        .filter_map(|token| vocabulary.id(token))
        .filter(is_control);
    let mut ids: Vec<u32> = by_name.collect();
    for key in EOS_KEYS {
        ids.extend(named_id(file, vocabulary, key)?);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

impl fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextTokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("bos", &self.bos)
            .field("eos_ids", &self.eos_ids)
            .finish_non_exhaustive()
    }
}
