//! How text is cut into words before merging, by the name a model file gives for it.
//!
//! The text is taken as it is: no normalisation to composed characters, so that decoding gives back
//! exactly what was encoded.
//!
//! Source of the names and patterns: `llm_tokenizer_bpe` in
//! <https://github.com/ggml-org/llama.cpp/blob/master/src/llama-vocab.cpp>.

use super::TokenizerError;
use tokenizers::{
    SplitDelimiterBehavior,
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        digits::Digits,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

/// The supported ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordSplit {
    /// GPT-2's pattern.
    Gpt2,
    /// GPT-2's pattern after punctuation, digits in threes: files that name no other way.
    Default,
    /// Every digit on its own, then GPT-2's pattern.
    SingleDigits,
    /// Qwen2's pattern: every digit on its own.
    Qwen2,
    /// Llama 3's pattern: up to three digits; a word that is a token is not merged.
    Llama3,
}

const BY_NAME: [(&str, WordSplit); 10] = [
    ("gpt-2", WordSplit::Gpt2),
    ("default", WordSplit::Default),
    ("smollm", WordSplit::SingleDigits),
    ("smollm2", WordSplit::SingleDigits),
    ("starcoder", WordSplit::SingleDigits),
    ("refact", WordSplit::SingleDigits),
    ("qwen2", WordSplit::Qwen2),
    ("llama-bpe", WordSplit::Llama3),
    ("llama-v3", WordSplit::Llama3),
    ("llama3", WordSplit::Llama3),
];

/// Qwen2's words, as its `tokenizer.json` has them.
pub(crate) const QWEN2_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Llama 3's words, as its `tokenizer.json` has them.
pub(crate) const LLAMA3_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEFAULT_PUNCTUATION: &str = r"[\p{P}\$\+<=>\^~\|]+";
const DEFAULT_DIGITS: [&str; 2] = [r"\p{N}+", "[0-9][0-9][0-9]"];

impl WordSplit {
    /// The way that a file names.
    pub(super) fn from_name(name: &str) -> Result<Self, TokenizerError> {
        let found = BY_NAME.iter().find(|(known, _)| *known == name);
        found.map(|(_, split)| *split).ok_or_else(|| {
            let supported = BY_NAME.map(|(known, _)| format!("`{known}`")).join(", ");
            TokenizerError::UnsupportedPreTokenizer {
                name: name.to_owned(),
                supported,
            }
        })
    }

    /// Whether a word that is a token is taken as it is, without merging.
    pub(super) fn takes_whole_words(self) -> bool {
        self == Self::Llama3
    }

    /// Cuts text, and turns its bytes into the characters that stand for them.
    pub(super) fn pre_tokenizer(self) -> Result<PreTokenizerWrapper, TokenizerError> {
        let steps = match self {
            Self::Gpt2 => vec![byte_level(true)],
            Self::Default => {
                let [digits, threes] = DEFAULT_DIGITS;
                // The bytes are replaced last: the digit patterns must see the text.
                let gpt2 = pattern(GPT2)?;
                let punctuation = pattern(DEFAULT_PUNCTUATION)?;
                vec![
                    punctuation,
                    gpt2,
                    pattern(digits)?,
                    pattern(threes)?,
                    byte_level(false),
                ]
            }
            Self::SingleDigits => {
                vec![
                    PreTokenizerWrapper::Digits(Digits::new(true)),
                    byte_level(true),
                ]
            }
            Self::Qwen2 => vec![pattern(QWEN2_WORDS)?, byte_level(false)],
            Self::Llama3 => vec![pattern(LLAMA3_WORDS)?, byte_level(false)],
        };
        Ok(PreTokenizerWrapper::Sequence(Sequence::new(steps)))
    }
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

fn byte_level(splits_words: bool) -> PreTokenizerWrapper {
    PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, splits_words))
}

fn pattern(regex: &str) -> Result<PreTokenizerWrapper, TokenizerError> {
    let pattern = SplitPattern::Regex(regex.to_owned());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
    split
        .map(PreTokenizerWrapper::Split)
        .map_err(TokenizerError::Library)
}
