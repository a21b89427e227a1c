//! The tokens that begin a text and end an answer, as the settings of a model folder name them.

use super::{TokenizerError, hf_files::token_content, vocabulary::Vocabulary};
use crate::hf::HfFolder;
use serde_json::Value;

/// How one token is named: by id in two files, by text in two others.
pub(super) struct TokenKeys {
    id: &'static str,
    token: &'static str,
}

/// What begins a text.
pub(super) const BOS: TokenKeys = TokenKeys {
    id: "bos_token_id",
    token: "bos_token",
};

/// What ends an answer.
pub(super) const EOS: TokenKeys = TokenKeys {
    id: "eos_token_id",
    token: "eos_token",
};

/// The ids that the first file with an entry names: `generation_config.json`, `config.json`,
/// `tokenizer_config.json`, `special_tokens_map.json`; none where none has one.
pub(super) fn named_ids(
    folder: &HfFolder,
    vocabulary: &Vocabulary,
    keys: &TokenKeys,
) -> Result<Vec<u32>, TokenizerError> {
    for settings in [folder.generation_config(), Some(folder.config())] {
        let ids = settings.map(|settings| &settings[keys.id]);
        if let Some(ids) = ids.filter(|ids| !ids.is_null()) {
            return listed_ids(ids, vocabulary, keys.id);
        }
    }
    for settings in [folder.tokenizer_config(), folder.special_tokens_map()] {
        let token = settings.map(|settings| &settings[keys.token]);
        if let Some(token) = token.filter(|token| !token.is_null()) {
            let unknown = || TokenizerError::UnknownNamedToken {
                key: keys.token,
                token: token.to_string(),
            };
            let id = token_content(token).and_then(|token| vocabulary.id(token));
            return Ok(vec![id.ok_or_else(unknown)?]);
        }
    }
    Ok(vec![])
}

/// One id or a list of them, ascending.
fn listed_ids(
    ids: &Value,
    vocabulary: &Vocabulary,
    key: &'static str,
) -> Result<Vec<u32>, TokenizerError> {
    let single = [ids.clone()];
    let ids = ids.as_array().map_or(single.as_slice(), Vec::as_slice);
    let mut checked = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
            let found = id.to_string();
            return Err(TokenizerError::NoTokenId { key, found });
        };
        let n_tokens = vocabulary.len();
        if id as usize >= n_tokens {
            return Err(TokenizerError::IdOutOfRange { key, id, n_tokens });
        }
        checked.push(id);
    }
    checked.sort_unstable();
    checked.dedup();
    Ok(checked)
}
