//! What must hold of the `model` of `tokenizer.json`, and its merges, which the library does not
//! see: it would join the parts of each in a buffer as long as the longest token, without looking.

use super::{TokenizerError, merges::Merge};
use serde_json::Value;

/// Takes the merges out of the `model` of `tokenizer.json`, and leaves an empty list.
///
/// # Errors
///
/// Another model than BPE, marks for parts of words, a merge that is not two tokens which make one.
pub(super) fn take_merges(model: &mut Value) -> Result<Vec<Merge>, TokenizerError> {
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
    let vocabulary = &model["vocab"];
    // What is no id is refused by the library, which says where it stands.
    let id = |token: &str| match &vocabulary[token] {
        Value::Null => None,
        id => Some(id.as_u64().and_then(|id| id.try_into().ok()).unwrap_or(0)),
    };
    let mut merges = Vec::new();
    for (idx, merge) in model["merges"].as_array().into_iter().flatten().enumerate() {
        let (left, right) = parts(merge).ok_or_else(|| TokenizerError::MalformedMerge {
            idx,
            merge: merge.to_string(),
        })?;
        merges.push(Merge::new(idx, left, right, id)?);
    }
    if let Some(Value::Array(list)) = model.get_mut("merges") {
        list.clear();
    }
    Ok(merges)
}

/// A merge is a list of two texts, or one text with a space between.
fn parts(merge: &Value) -> Option<(&str, &str)> {
    if let Some(pair) = merge.as_array() {
        let [left, right] = pair.as_slice() else {
            return None;
        };
        return Some((left.as_str()?, right.as_str()?));
    }
    let (left, right) = merge.as_str()?.split_once(' ')?;
    (!right.contains(' ')).then_some((left, right))
}
