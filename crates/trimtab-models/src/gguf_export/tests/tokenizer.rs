//! Tokenizers of Hugging Face folders: the exported entries encode as the folder's own files do.

use crate::{
    SpecialTokens, TextTokenizer,
    gguf::{GgufFile, GgufWriter},
    gguf_export::{HfTokenizerFiles, TokenizerMetadata, TokenizerMetadataError},
    tokenizer::{LLAMA3_WORDS, QWEN2_WORDS},
};
use serde_json::{Value, json};
use tokenizers::Tokenizer;

const N_ROWS: usize = 264;

/// The characters that stand for bytes, in order of the bytes.
fn symbols() -> Vec<char> {
    let is_printable = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100;
    let symbol = |byte: u8| {
        if is_printable(byte) {
            return char::from(byte);
        }
        next += 1;
        char::from_u32(next - 1).unwrap()
    };
    (0..=255).map(symbol).collect()
}

fn byte_level(use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex})
}

fn split(pattern: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
}

fn sequence(steps: [Value; 2]) -> Value {
    json!({"type": "Sequence", "pretokenizers": steps})
}

/// A byte-level BPE of four merges, two added tokens, and rows without a token.
fn tokenizer_json(pre_tokenizer: Value, takes_whole_words: bool) -> Value {
    let mut vocabulary: serde_json::Map<String, Value> = symbols()
        .into_iter()
        .enumerate()
        .map(|(id, symbol)| (symbol.to_string(), id.into()))
        .collect();
    for (idx, token) in ["he", "ll", "hell", "12"].into_iter().enumerate() {
        vocabulary.insert(token.to_owned(), (256 + idx).into());
    }
    let added = |id: u32, content: &str, special: bool| {
        json!({"id": id, "content": content, "special": special, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false})
    };
    json!({
        "version": "1.0",
        "added_tokens": [added(260, "<|end|>", true), added(261, "<tool>", false)],
        "normalizer": null,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocabulary, "ignore_merges": takes_whole_words,
            "merges": [["h", "e"], ["l", "l"], ["he", "ll"], ["1", "2"]]},
    })
}

fn files<'a>(tokenizer: &'a Value, tokenizer_config: &'a Value) -> HfTokenizerFiles<'a> {
    HfTokenizerFiles {
        tokenizer,
        tokenizer_config,
        chat_template: Some("{{ messages }}"),
        n_rows: N_ROWS,
    }
}

fn gguf(metadata: &TokenizerMetadata) -> GgufFile {
    let mut writer = GgufWriter::new();
    for (key, value) in metadata.entries() {
        writer = writer.metadata(key, value.clone());
    }
    GgufFile::parse(&writer.to_bytes()).unwrap()
}

const TEXT: &str = "hello he'll  1234 ½ é日\n\n\t ok<tool> hell";

#[test]
fn every_known_pre_tokenizer_encodes_as_its_folder_does() {
    for (pre_tokenizer, takes_whole_words, name) in [
        (byte_level(true), false, "gpt-2"),
        (
            sequence([
                json!({"type": "Digits", "individual_digits": true}),
                byte_level(true),
            ]),
            false,
            "smollm",
        ),
        (
            sequence([split(QWEN2_WORDS), byte_level(false)]),
            false,
            "qwen2",
        ),
        (
            sequence([split(LLAMA3_WORDS), byte_level(false)]),
            true,
            "llama-bpe",
        ),
    ] {
        let tokenizer = tokenizer_json(pre_tokenizer, takes_whole_words);
        let metadata =
            TokenizerMetadata::from_hugging_face(&files(&tokenizer, &Value::Null)).unwrap();
        let file = gguf(&metadata);
        assert_eq!(file.get_str("tokenizer.ggml.pre").unwrap(), name);
        assert_eq!(metadata.n_tokens(), N_ROWS);

        let reference = Tokenizer::from_bytes(tokenizer.to_string()).unwrap();
        let want = reference.encode(TEXT, false).unwrap();
        let ours = TextTokenizer::from_gguf(&file).unwrap();
        let got = ours.encode(TEXT, SpecialTokens::Parse).unwrap();
        assert_eq!(got, want.get_ids(), "{name}");
    }
}

#[test]
fn types_names_and_template_are_written() {
    let tokenizer = tokenizer_json(byte_level(true), false);
    let config =
        json!({"bos_token": null, "eos_token": {"content": "<|end|>"}, "pad_token": "<|end|>"});
    let metadata = TokenizerMetadata::from_hugging_face(&files(&tokenizer, &config)).unwrap();
    let file = gguf(&metadata);
    let types = file.get_i32s("tokenizer.ggml.token_type").unwrap();
    assert_eq!(types[259..], [1, 3, 4, 5, 5]);
    assert_eq!(
        file.get_strings("tokenizer.ggml.tokens").unwrap().get(263),
        Some("[PAD263]")
    );
    assert_eq!(
        file.get_strings("tokenizer.ggml.merges").unwrap().get(2),
        Some("he ll")
    );
    assert_eq!(file.get_u32("tokenizer.ggml.eos_token_id").unwrap(), 260);
    assert_eq!(
        file.get_u32("tokenizer.ggml.padding_token_id").unwrap(),
        260
    );
    assert!(file.get_u32("tokenizer.ggml.bos_token_id").is_err());
    assert!(!file.get_bool("tokenizer.ggml.add_bos_token").unwrap());
    assert_eq!(
        file.get_str("tokenizer.chat_template").unwrap(),
        "{{ messages }}"
    );
}

#[test]
fn merges_may_be_written_as_one_text_each() {
    let mut tokenizer = tokenizer_json(byte_level(true), false);
    let pairs = TokenizerMetadata::from_hugging_face(&files(&tokenizer, &Value::Null)).unwrap();
    tokenizer["model"]["merges"] = json!(["h e", "l l", "he ll", "1 2"]);
    let texts = TokenizerMetadata::from_hugging_face(&files(&tokenizer, &Value::Null)).unwrap();
    assert_eq!(pairs, texts);
}

#[test]
fn the_beginning_of_text_follows_the_configuration_then_the_template() {
    let mut tokenizer = tokenizer_json(byte_level(true), false);
    let adds_bos = |tokenizer: &Value, config: Value| {
        let metadata = TokenizerMetadata::from_hugging_face(&files(tokenizer, &config)).unwrap();
        gguf(&metadata)
            .get_bool("tokenizer.ggml.add_bos_token")
            .unwrap()
    };
    let bos = json!({"bos_token": "<|end|>"});
    assert!(!adds_bos(&tokenizer, bos.clone()));
    tokenizer["post_processor"] = json!({"type": "Sequence", "processors": [
        {"type": "ByteLevel"},
        {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|end|>"}}]}]});
    assert!(adds_bos(&tokenizer, bos));
    let explicit = json!({"bos_token": "<|end|>", "add_bos_token": false});
    assert!(!adds_bos(&tokenizer, explicit));
}

#[track_caller]
fn refused(change: impl Fn(&mut Value), config: Value) -> TokenizerMetadataError {
    let mut tokenizer = tokenizer_json(byte_level(true), false);
    change(&mut tokenizer);
    TokenizerMetadata::from_hugging_face(&files(&tokenizer, &config)).unwrap_err()
}

#[test]
fn an_unknown_pre_tokenizer_is_named() {
    for (pre_tokenizer, part) in [
        (json!({"type": "Metaspace"}), "Metaspace"),
        (sequence([split("a+"), byte_level(false)]), "a+"),
        (
            json!({"type": "ByteLevel", "add_prefix_space": true}),
            "add_prefix_space",
        ),
        (
            sequence([split(LLAMA3_WORDS), byte_level(false)]),
            "Isolate",
        ),
        (Value::Null, "null"),
    ] {
        let error = refused(
            |json| json["pre_tokenizer"] = pre_tokenizer.clone(),
            Value::Null,
        );
        assert!(matches!(error, TokenizerMetadataError::PreTokenizer(_)));
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = refused(
        |json| json["model"]["ignore_merges"] = true.into(),
        Value::Null,
    );
    assert!(error.to_string().contains("whole words"), "{error}");
}

#[test]
fn other_families_and_normalizers_are_named() {
    let error = refused(|json| json["model"]["type"] = "Unigram".into(), Value::Null);
    assert!(matches!(error, TokenizerMetadataError::Model(name) if name == "Unigram"));
    let error = refused(
        |json| json["model"]["byte_fallback"] = true.into(),
        Value::Null,
    );
    assert!(error.to_string().contains("byte fallback"));
    let error = refused(
        |json| json["normalizer"] = json!({"type": "Lowercase"}),
        Value::Null,
    );
    assert!(matches!(error, TokenizerMetadataError::Normalizer(name) if name == "Lowercase"));
}

#[test]
fn ids_that_contradict_themselves_are_named() {
    for id in [264_u64, u64::MAX] {
        let error = refused(
            |json| json["added_tokens"][0]["id"] = id.into(),
            Value::Null,
        );
        assert!(
            matches!(error, TokenizerMetadataError::TokenId { n_rows: 264, .. }),
            "{error}"
        );
    }
    for change in [
        |json: &mut Value| json["added_tokens"][0]["id"] = 5.into(),
        |json: &mut Value| json["added_tokens"][0]["content"] = "he".into(),
        |json: &mut Value| json["added_tokens"][0]["content"] = "[PAD263]".into(),
        |json: &mut Value| json["added_tokens"][0]["content"] = "".into(),
    ] {
        let error = refused(change, Value::Null);
        assert!(
            matches!(error, TokenizerMetadataError::AmbiguousToken { .. }),
            "{error}"
        );
    }
    let error = refused(|_| {}, json!({"eos_token": "<|none|>"}));
    assert!(matches!(
        error,
        TokenizerMetadataError::UnknownToken {
            key: "eos_token",
            ..
        }
    ));
}

#[test]
fn malformed_parts_are_named() {
    for (change, key) in [
        (
            (|json: &mut Value| json["model"]["vocab"] = json!([])) as fn(&mut Value),
            "model.vocab",
        ),
        (
            |json| json["model"]["vocab"]["he"] = (-1).into(),
            "model.vocab.he",
        ),
        (|json| json["model"]["merges"] = Value::Null, "model.merges"),
        (|json| json["added_tokens"] = json!({}), "added_tokens"),
        (
            |json| json["added_tokens"][1]["id"] = "x".into(),
            "added_tokens.1.id",
        ),
        (
            |json| json["added_tokens"][1]["content"] = 1.into(),
            "added_tokens.1.content",
        ),
        (
            |json| json["added_tokens"][1]["special"] = 1.into(),
            "added_tokens.1.special",
        ),
    ] {
        let error = refused(change, Value::Null);
        assert!(
            matches!(&error, TokenizerMetadataError::Malformed { key: found, .. } if found == key),
            "{error}"
        );
    }
    for merge in [
        json!("a b c"),
        json!(["a", " b"]),
        json!(["a"]),
        json!(7),
        json!(" a"),
    ] {
        let error = refused(
            |json| json["model"]["merges"][1] = merge.clone(),
            Value::Null,
        );
        assert!(
            matches!(error, TokenizerMetadataError::Merge { idx: 1 }),
            "{error}"
        );
    }
}
