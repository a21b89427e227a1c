//! Which name GGUF files have for a way of cutting text into words, told from the steps of
//! `tokenizer.json`.

use super::TokenizerMetadataError;
use crate::tokenizer::{LLAMA3_WORDS, QWEN2_WORDS};
use serde_json::Value;

/// A step of a pre-tokenizer, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    /// GPT-2's pattern, then bytes to characters.
    Gpt2Words,
    /// Bytes to characters.
    Bytes,
    /// Every digit on its own.
    SingleDigits,
    /// Every match of a pattern on its own.
    Isolate(&'a str),
    /// Anything else, described.
    Other(String),
}

/// The name, or an error that describes the steps.
///
/// `takes_whole_words` says whether a word that is a token is taken as it is, without merging; a
/// name implies it or its contrary.
pub(super) fn gguf_name(
    pre_tokenizer: &Value,
    takes_whole_words: bool,
) -> Result<&'static str, TokenizerMetadataError> {
    let steps = steps(pre_tokenizer);
    let name = match (steps.as_slice(), takes_whole_words) {
        ([Step::Gpt2Words], false) => Some("gpt-2"),
        ([Step::SingleDigits, Step::Gpt2Words], false) => Some("smollm"),
        ([Step::Isolate(QWEN2_WORDS), Step::Bytes], false) => Some("qwen2"),
        ([Step::Isolate(LLAMA3_WORDS), Step::Bytes], true) => Some("llama-bpe"),
        _ => None,
    };
    name.ok_or_else(|| {
        let merging = if takes_whole_words {
            " with whole words taken"
        } else {
            ""
        };
        TokenizerMetadataError::PreTokenizer(format!("{steps:?}{merging}"))
    })
}

fn steps(pre_tokenizer: &Value) -> Vec<Step<'_>> {
    let list = (type_of(pre_tokenizer) == "Sequence").then(|| &pre_tokenizer["pretokenizers"]);
    match list.and_then(Value::as_array) {
        Some(list) => list.iter().map(step).collect(),
        None => vec![step(pre_tokenizer)],
    }
}

fn step(step: &Value) -> Step<'_> {
    let is_set = |key: &str| step[key].as_bool();
    match type_of(step) {
        "ByteLevel" if is_set("add_prefix_space") == Some(false) => {
            // Files older than this flag always split.
            match is_set("use_regex").unwrap_or(true) {
                true => Step::Gpt2Words,
                false => Step::Bytes,
            }
        }
        "Digits" if is_set("individual_digits") == Some(true) => Step::SingleDigits,
        "Split" => {
            let is_isolating = step["behavior"] == "Isolated" && is_set("invert") == Some(false);
            match step["pattern"]["Regex"].as_str() {
                Some(pattern) if is_isolating => Step::Isolate(pattern),
                _ => Step::Other(step.to_string()),
            }
        }
        _ => Step::Other(step.to_string()),
    }
}

pub(super) fn type_of(value: &Value) -> &str {
    value["type"].as_str().unwrap_or_default()
}
