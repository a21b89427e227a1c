//! Text to token ids and back.

use super::{
    ControlTokens, TokenStream, TokenizerError, hf_files,
    hf_ids::{BOS, EOS, named_ids},
    library_encoder::LibraryEncoder,
    vocabulary::{TokenType, Vocabulary},
    word_encoder::WordEncoder,
};
use crate::{gguf::GgufFile, hf::HfFolder};
use std::fmt;

/// Whether control tokens such as `<|im_start|>` are recognised in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialTokens {
    /// They become their id: for prompts made by a chat template.
    Parse,
    /// They are text like any other: for text that is not trusted to give commands.
    AsText,
}

/// A tokenizer of byte-level or sentencepiece-like BPE.
pub struct TextTokenizer {
    vocabulary: Vocabulary,
    encoder: Encoder,
    /// Whether the first space of a text is one that encoding put there.
    drops_first_space: bool,
    bos: Option<u32>,
    adds_bos: bool,
    eos_ids: Vec<u32>,
}

/// Text to ids, by what the files describe.
enum Encoder {
    Words(Box<WordEncoder>),
    Library(Box<LibraryEncoder>),
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
        let vocabulary = Vocabulary::from_gguf(file)?;
        Ok(Self {
            encoder: Encoder::Words(Box::new(WordEncoder::from_gguf(file, &vocabulary)?)),
            drops_first_space: false,
            bos: named_id(file, &vocabulary, "tokenizer.ggml.bos_token_id")?,
            adds_bos: file.find("tokenizer.ggml.add_bos_token")?.unwrap_or(false),
            eos_ids: eos_ids(file, &vocabulary)?,
            vocabulary,
        })
    }

    /// Builds the tokenizer that a model folder describes: by `tokenizer.json`, or else by
    /// `vocab.json` and `merges.txt`.
    ///
    /// # Errors
    ///
    /// No tokenizer, steps that are not supported, or files that contradict each other.
    pub fn from_hf(folder: &HfFolder) -> Result<Self, TokenizerError> {
        let (encoder, vocabulary) = LibraryEncoder::new(hf_files::steps(folder)?)?;
        let bos = named_ids(folder, &vocabulary, &BOS)?.first().copied();
        let listed = folder
            .tokenizer_config()
            .and_then(|config| config["add_bos_token"].as_bool());
        let adds_bos = match listed {
            Some(adds_bos) => adds_bos,
            None => bos.is_some() && encoder.ends().first().copied() == bos,
        };
        Ok(Self {
            drops_first_space: encoder.drops_first_space(),
            bos,
            adds_bos: adds_bos && bos.is_some(),
            eos_ids: named_ids(folder, &vocabulary, &EOS)?,
            encoder: Encoder::Library(Box::new(encoder)),
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
        match &self.encoder {
            Encoder::Words(encoder) => encoder.encode(text, special, &self.vocabulary),
            Encoder::Library(encoder) => encoder.encode(text, special, &self.vocabulary),
        }
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
        let bytes = match self.drops_first_space {
            true => bytes.strip_prefix(b" ").unwrap_or(&bytes),
            false => &bytes,
        };
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Turns ids into text one at a time, as [`decode`](Self::decode) does for all at once.
    pub fn stream(&self, control: ControlTokens) -> TokenStream<'_> {
        TokenStream::new(self, control, self.drops_first_space)
    }

    /// Turns ids that go on a text into text one at a time.
    ///
    /// Vocabularies that put a space before every text lose the first space in
    /// [`stream`](Self::stream); here it is part of the answer, such as the indentation of a line.
    pub fn continuation(&self, control: ControlTokens) -> TokenStream<'_> {
        TokenStream::new(self, control, false)
    }

    /// The bytes that a token stands for; not always whole characters.
    pub fn token_bytes(&self, id: u32) -> Result<&[u8], TokenizerError> {
        self.vocabulary.required_bytes(id)
    }

    /// Whether a token is a mark of the chat format.
    pub fn is_control(&self, id: u32) -> bool {
        self.vocabulary.token_type(id) == Some(TokenType::Control)
    }

    /// The id of a token by its text in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.vocabulary.id(token)
    }

    /// Ids in the vocabulary: the highest, plus one.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// Refuses an embedding that belongs to another vocabulary: one with fewer rows than there are
    /// ids. More rows are padding.
    pub fn check_vocabulary(&self, n_rows: usize) -> Result<(), TokenizerError> {
        let n_tokens = self.vocab_size();
        if n_tokens <= n_rows {
            return Ok(());
        }
        Err(TokenizerError::EmbeddingMismatch { n_tokens, n_rows })
    }

    /// The token that begins a text, where the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Whether a raw prompt begins with [`bos`](Self::bos).
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// Tokens that end an answer, ascending.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }
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
