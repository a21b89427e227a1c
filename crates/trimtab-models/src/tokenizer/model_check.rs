//! What must hold of merges before the library sees them.
//!
//! The library joins the parts of a merge in a buffer as long as the longest token, and cuts a
//! prefix off without looking: a file that means harm would end the process, or worse.

use super::TokenizerError;
use serde_json::Value;

/// Checks the `model` of `tokenizer.json`.
///
/// # Errors
///
/// Another model than BPE, marks for parts of words, a merge that is not two tokens which make one.
pub(super) fn check_model(model: &Value) -> Result<(), TokenizerError> {
    let unsupported = |found: &str| TokenizerError::UnsupportedPart {
        part: "model",
        found: found.to_owned(),
    };
    if let Some(kind) = model["type"].as_str().filter(|kind| *kind != "BPE") {
        return Err(unsupported(kind));
    }
    for mark in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if !(model[mark].is_null() || model[mark] == "") {
            return Err(unsupported(mark));
        }
    }
    let merges = model["merges"].as_array();
    for (idx, merge) in merges.into_iter().flatten().enumerate() {
        let (left, right) = parts(merge).ok_or_else(|| TokenizerError::MalformedMerge {
            idx,
            merge: merge.to_string(),
        })?;
        check_merge(idx, left, right, |token| !model["vocab"][token].is_null())?;
    }
    Ok(())
}

/// A merge is a list of two texts, or one text with a space between.
fn parts(merge: &Value) -> Option<(&str, &str)> {
    if let Some(pair) = merge.as_array() {
        let [left, right] = pair.as_slice() else {
            return None;
        };
        return Some((left.as_str()?, right.as_str()?));
    }
    merge.as_str()?.split_once(' ')
}

/// Refuses a merge of, or into, something that is no token.
pub(super) fn check_merge(
    idx: usize,
    left: &str,
    right: &str,
    is_token: impl Fn(&str) -> bool,
) -> Result<(), TokenizerError> {
    let union = format!("{left}{right}");
    match [left, right, &union]
        .into_iter()
        .find(|part| !is_token(part))
    {
        None => Ok(()),
        Some(part) => Err(TokenizerError::MergeOutOfVocabulary {
            idx,
            part: part.to_owned(),
        }),
    }
}
