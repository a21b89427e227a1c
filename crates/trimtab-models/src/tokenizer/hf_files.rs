//! The tokenizer files of a model folder: `tokenizer.json`, or else `vocab.json` and `merges.txt`.

use super::{
    TokenizerError, library_encoder::LibrarySteps, merges::Merge, model_check::take_merges,
    spelling::Spelling,
};
use crate::hf::HfFolder;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use tokenizers::{
    AddedToken, SplitDelimiterBehavior, Tokenizer,
    models::bpe::{BPE, Vocab},
    normalizers::{NormalizerWrapper, unicode::NFC},
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

/// Vocabularies of 250,000 tokens have some 35 MB.
const MAX_TOKENIZER_BYTES: u64 = 128 << 20;
const TOKENIZER: &str = "tokenizer.json";
const VOCABULARY: &str = "vocab.json";
const MERGES: &str = "merges.txt";
const ADDED: &str = "added_tokens.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Entries of `special_tokens_map.json` that are one token.
const SPECIAL_KEYS: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// The steps that the folder describes.
pub(super) fn steps(folder: &HfFolder) -> Result<LibrarySteps, TokenizerError> {
    if let Some(text) = folder.read_text(TOKENIZER, MAX_TOKENIZER_BYTES)? {
        return from_tokenizer_json(text);
    }
    let vocabulary = folder.read_text(VOCABULARY, MAX_TOKENIZER_BYTES)?;
    let merges = folder.read_text(MERGES, MAX_TOKENIZER_BYTES)?;
    match (vocabulary, merges) {
        (Some(vocabulary), Some(merges)) => from_vocabulary(folder, &vocabulary, &merges),
        _ => Err(TokenizerError::NoTokenizer(folder.path().to_owned())),
    }
}

/// What the library does not tell: the ids that the file gives to added tokens.
#[derive(Deserialize)]
struct AddedIds {
    #[serde(default)]
    added_tokens: Vec<AddedId>,
}

#[derive(Deserialize)]
struct AddedId {
    id: u32,
    content: String,
}

fn from_tokenizer_json(text: String) -> Result<LibrarySteps, TokenizerError> {
    let mut document: Value = parsed(TOKENIZER, &text)?;
    drop(text);
    let merges = match document.get_mut("model") {
        Some(model) => take_merges(model)?,
        None => Vec::new(),
    };
    // Written anew, because a key that occurs twice would reach the library unchecked.
    let checked = document.to_string();
    drop(document);
    let added: AddedIds = parsed(TOKENIZER, &checked)?;
    let tokenizer: Tokenizer = parsed(TOKENIZER, &checked)?;
    let added = added.added_tokens.into_iter();
    check_ids(&tokenizer, added.map(|token| (token.content, token.id)))?;
    let decoder = serde_json::to_value(tokenizer.get_decoder());
    let decoder = decoder.map_err(|error| TokenizerError::Library(error.into()))?;
    Ok(LibrarySteps {
        tokenizer,
        merges,
        spelling: Spelling::from_decoder(&decoder)?,
    })
}

/// Byte-level BPE as GPT-2 and its relatives have it, without a `tokenizer.json`.
fn from_vocabulary(
    folder: &HfFolder,
    vocabulary: &str,
    merges: &str,
) -> Result<LibrarySteps, TokenizerError> {
    let vocabulary: HashMap<String, u32> = parsed(VOCABULARY, vocabulary)?;
    let merges = merge_list(merges, &vocabulary)?;
    let vocabulary: Vocab = vocabulary.into_iter().collect();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, vec![])
        .build()
        .map_err(TokenizerError::Library)?;
    let mut tokenizer = Tokenizer::new(model);
    let config = folder.tokenizer_config().unwrap_or(&Value::Null);
    let prefix_space = config["add_prefix_space"].as_bool().unwrap_or(false);
    let class = config["tokenizer_class"]
        .as_str()
        .unwrap_or("GPT2Tokenizer");
    match class.strip_suffix("Fast").unwrap_or(class) {
        "GPT2Tokenizer" | "CodeGenTokenizer" => {
            let byte_level = ByteLevel::new(prefix_space, false, true);
            tokenizer.with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(byte_level)));
        }
        "Qwen2Tokenizer" => {
            let normalizer = Some(NormalizerWrapper::NFC(NFC));
            tokenizer
                .with_normalizer(normalizer)
                .map_err(TokenizerError::Library)?;
            tokenizer.with_pre_tokenizer(Some(qwen2_words()?));
        }
        _ => {
            return Err(TokenizerError::UnsupportedPart {
                part: "tokenizer_class",
                found: class.to_owned(),
            });
        }
    }
    let added = added_tokens(folder)?;
    let ids: Vec<(String, u32)> = added
        .iter()
        .filter_map(|(id, token)| id.map(|id| (token.content.clone(), id)))
        .collect();
    tokenizer
        .add_tokens(added.into_iter().map(|(_, token)| token))
        .map_err(TokenizerError::Library)?;
    check_ids(&tokenizer, ids.into_iter())?;
    Ok(LibrarySteps {
        tokenizer,
        merges,
        spelling: Spelling::BYTE_LEVEL,
    })
}

fn qwen2_words() -> Result<PreTokenizerWrapper, TokenizerError> {
    let pattern = SplitPattern::Regex(super::pre_tokenizer::QWEN2_WORDS.to_owned());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
    let steps = vec![
        PreTokenizerWrapper::Split(split.map_err(TokenizerError::Library)?),
        PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, false)),
    ];
    Ok(PreTokenizerWrapper::Sequence(Sequence::new(steps)))
}

fn merge_list(text: &str, vocabulary: &HashMap<String, u32>) -> Result<Vec<Merge>, TokenizerError> {
    let lines = text.lines().enumerate();
    let merges = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with("#version"));
    let id = |token: &str| vocabulary.get(token).copied();
    let malformed = |idx, merge: &str| TokenizerError::MalformedMerge {
        idx,
        merge: merge.to_owned(),
    };
    // Lines are counted where they are malformed, merges where they make no sense.
    let pairs = merges
        .enumerate()
        .map(|(idx, (line, merge))| match merge.split_once(' ') {
            Some((left, right))
                if !left.is_empty() && !right.is_empty() && !right.contains(' ') =>
            {
                Merge::new(idx, left, right, id)
            }
            _ => Err(malformed(line, merge)),
        });
    pairs.collect()
}

/// Added tokens in the order of their ids; those without one come last.
fn added_tokens(folder: &HfFolder) -> Result<Vec<(Option<u32>, AddedToken)>, TokenizerError> {
    let listed = folder
        .tokenizer_config()
        .and_then(|config| config.get("added_tokens_decoder"));
    if let Some(listed) = listed {
        let listed: BTreeMap<u32, AddedToken> =
            BTreeMap::deserialize(listed).map_err(|source| TokenizerError::Json {
                file: TOKENIZER_CONFIG,
                source,
            })?;
        return Ok(listed
            .into_iter()
            .map(|(id, token)| (Some(id), token))
            .collect());
    }
    let special = special_tokens(folder);
    let mut tokens = Vec::new();
    if let Some(text) = folder.read_text(ADDED, MAX_TOKENIZER_BYTES)? {
        let added: HashMap<String, u32> = parsed(ADDED, &text)?;
        for (content, id) in added {
            let is_special = special.contains(&content);
            tokens.push((Some(id), AddedToken::from(content, is_special)));
        }
        tokens.sort_by_key(|(id, _)| *id);
    }
    for content in special {
        if !tokens.iter().any(|(_, token)| token.content == content) {
            tokens.push((None, AddedToken::from(content, true)));
        }
    }
    Ok(tokens)
}

/// The tokens that `special_tokens_map.json` names.
fn special_tokens(folder: &HfFolder) -> Vec<String> {
    let Some(map) = folder.special_tokens_map() else {
        return vec![];
    };
    let more = map["additional_special_tokens"].as_array();
    let named = SPECIAL_KEYS.iter().map(|key| &map[key]);
    let mut tokens: Vec<String> = Vec::new();
    for token in named.chain(more.into_iter().flatten()) {
        if let Some(content) = token_content(token)
            && !tokens.iter().any(|known| known == content)
        {
            tokens.push(content.to_owned());
        }
    }
    tokens
}

/// A token is written as its text, or as an object with its text and flags.
pub(super) fn token_content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token["content"].as_str())
}

/// The library gives added tokens the next free ids, whatever the file says.
fn check_ids(
    tokenizer: &Tokenizer,
    listed: impl Iterator<Item = (String, u32)>,
) -> Result<(), TokenizerError> {
    for (token, listed) in listed {
        let found = tokenizer.token_to_id(&token);
        if found != Some(listed) {
            return Err(TokenizerError::AddedTokenId {
                token,
                listed,
                found,
            });
        }
    }
    Ok(())
}

fn parsed<T: DeserializeOwned>(file: &'static str, text: &str) -> Result<T, TokenizerError> {
    serde_json::from_str(text).map_err(|source| TokenizerError::Json { file, source })
}
