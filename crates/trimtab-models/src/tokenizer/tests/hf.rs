//! Tokenizers of model folders: named tokens, and files that are malformed or mean harm.

use crate::{
    hf::tests::TestFolder,
    tokenizer::{SpecialTokens, TextTokenizer, TokenizerError},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Byte-level BPE with the tokens `a`, `b`, `ab`, `Ġ` and the special token `<s>`.
fn tokenizer_json() -> Value {
    json!({
        "version": "1.0",
        "added_tokens": [{
            "id": 4, "content": "<s>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true,
        }],
        "normalizer": null,
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
        },
        "decoder": {
            "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true,
        },
        "model": {
            "type": "BPE",
            "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3},
            "merges": ["a b"],
        },
    })
}

fn folder(tokenizer: &Value) -> TestFolder {
    let folder = TestFolder::with_weights();
    folder.write("tokenizer.json", tokenizer.to_string());
    folder
}

fn refused(folder: &TestFolder) -> TokenizerError {
    TextTokenizer::from_hf(&folder.open()).unwrap_err()
}

/// The error where one part of the file is another one.
fn refused_with(pointer: &str, part: Value) -> String {
    let mut tokenizer = tokenizer_json();
    *tokenizer.pointer_mut(pointer).unwrap() = part;
    refused(&folder(&tokenizer)).to_string()
}

#[test]
fn a_small_tokenizer_is_read() {
    let tokenizer = TextTokenizer::from_hf(&folder(&tokenizer_json()).open()).unwrap();
    let ids = tokenizer.encode("ab a<s>", SpecialTokens::Parse).unwrap();
    assert_eq!(ids, [2, 3, 0, 4]);
    assert_eq!(
        (tokenizer.bos(), tokenizer.eos_ids()),
        (None, [].as_slice())
    );
    let lost = tokenizer.encode("abc", SpecialTokens::Parse).unwrap_err();
    assert!(matches!(lost, TokenizerError::Unencodable('c')), "{lost}");
    let lost = tokenizer.encode("<s>", SpecialTokens::AsText).unwrap_err();
    assert!(matches!(lost, TokenizerError::Unencodable('<')), "{lost}");
}

#[test]
fn an_embedding_may_have_more_rows_than_ids_but_not_fewer() {
    let tokenizer = TextTokenizer::from_hf(&folder(&tokenizer_json()).open()).unwrap();
    assert_eq!(tokenizer.vocab_size(), 5);
    assert!(tokenizer.check_vocabulary(5).is_ok());
    assert!(tokenizer.check_vocabulary(64).is_ok());
    let error = tokenizer.check_vocabulary(4).unwrap_err();
    assert!(matches!(
        error,
        TokenizerError::EmbeddingMismatch {
            n_tokens: 5,
            n_rows: 4
        }
    ));
}

#[test]
fn ids_that_the_vocabulary_leaves_out_are_unknown() {
    let mut tokenizer = tokenizer_json();
    tokenizer["model"]["vocab"]["b"] = json!(9);
    // The library counts tokens, not ids.
    let tokenizer = TextTokenizer::from_hf(&folder(&tokenizer).open()).unwrap();
    assert_eq!(tokenizer.vocab_size(), 10);
    for id in [1, 5, 10] {
        let error = tokenizer.decode(&[id]).unwrap_err();
        assert!(
            matches!(error, TokenizerError::UnknownId { n_tokens: 10, .. }),
            "{error}"
        );
    }
}

#[test]
fn the_ends_are_named_by_the_first_settings_that_do() {
    let opened = |files: &[(&str, Value)]| {
        let folder = folder(&tokenizer_json());
        for (name, content) in files {
            folder.write(name, content.to_string());
        }
        TextTokenizer::from_hf(&folder.open())
    };
    let generation = ("generation_config.json", json!({"eos_token_id": [4, 2, 4]}));
    let config = (
        "config.json",
        json!({"eos_token_id": 1, "bos_token_id": null}),
    );
    let settings = (
        "tokenizer_config.json",
        json!({"eos_token": "b", "bos_token": {"content": "<s>"}}),
    );
    let map = (
        "special_tokens_map.json",
        json!({"eos_token": {"content": "a"}}),
    );
    let all = opened(&[generation, config.clone(), settings.clone(), map.clone()]).unwrap();
    assert_eq!((all.eos_ids(), all.bos()), ([2, 4].as_slice(), Some(4)));
    let fewer = opened(&[config, settings.clone(), map.clone()]).unwrap();
    assert_eq!(fewer.eos_ids(), [1]);
    assert_eq!(opened(&[settings, map.clone()]).unwrap().eos_ids(), [1]);
    assert_eq!(opened(&[map]).unwrap().eos_ids(), [0]);
    for (id, expected) in [
        (json!(5), "`eos_token_id` = 5 is not among the 5 tokens"),
        (json!(-1), "`eos_token_id` = -1 is no token id"),
        (json!([1.5]), "`eos_token_id` = 1.5 is no token id"),
        (json!("</s>"), "`eos_token_id` = \"</s>\" is no token id"),
    ] {
        let error = opened(&[("config.json", json!({"eos_token_id": id}))]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let unknown = ("tokenizer_config.json", json!({"bos_token": "<x>"}));
    let error = opened(&[unknown]).unwrap_err().to_string();
    assert_eq!(error, "`bos_token` = \"<x>\" is not in the vocabulary");
}

#[test]
fn a_raw_prompt_begins_as_the_settings_or_the_post_processor_say() {
    let opened = |post_processor: Value, config: Value| {
        let mut tokenizer = tokenizer_json();
        tokenizer["post_processor"] = post_processor;
        let folder = folder(&tokenizer);
        folder.write("tokenizer_config.json", config.to_string());
        TextTokenizer::from_hf(&folder.open()).unwrap().adds_bos()
    };
    let template = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}},
    });
    let bos = json!({"bos_token": "<s>"});
    assert!(opened(template.clone(), bos.clone()));
    assert!(!opened(Value::Null, bos));
    assert!(opened(
        Value::Null,
        json!({"bos_token": "<s>", "add_bos_token": true})
    ));
    assert!(!opened(
        template.clone(),
        json!({"bos_token": "<s>", "add_bos_token": false})
    ));
    assert!(!opened(template, json!({})));
}

#[test]
fn steps_that_are_not_supported_are_named() {
    for (pointer, part, expected) in [
        (
            "/decoder",
            json!({"type": "BPEDecoder", "suffix": "</w>"}),
            "`decoder` is not supported: `BPEDecoder`",
        ),
        (
            "/decoder",
            Value::Null,
            "`decoder` is not supported: `none`",
        ),
        (
            "/model",
            json!({"type": "WordLevel", "vocab": {"a": 0, "b": 1, "c": 2, "d": 3}, "unk_token": "a"}),
            "`model` is not supported: `WordLevel`",
        ),
        (
            "/model/vocab",
            json!({"a": 0, "a</w>": 1}),
            "is not in the vocabulary",
        ),
    ] {
        let error = refused_with(pointer, part);
        assert!(error.contains(expected), "{error}");
    }
    for (key, value, expected) in [
        ("dropout", json!(0.5), "dropout"),
        ("end_of_word_suffix", json!("</w>"), "`end_of_word_suffix`"),
    ] {
        let mut tokenizer = tokenizer_json();
        tokenizer["model"][key] = value;
        tokenizer["model"]["merges"] = json!([]);
        let error = refused(&folder(&tokenizer)).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn malformed_tokenizers_are_named() {
    for (pointer, part) in [
        ("/version", json!("2.0")),
        ("/model/vocab", json!({"a": -1, "b": 1, "ab": 2})),
        ("/pre_tokenizer", json!({"type": "Unheard"})),
        (
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}),
        ),
        ("/normalizer", json!(3)),
        ("/added_tokens", json!([{"id": 4}])),
    ] {
        let shown = part.to_string();
        let error = refused_with(pointer, part);
        assert!(
            error.starts_with("`tokenizer.json` cannot be understood: "),
            "{shown}: {error}"
        );
    }
    for (merge, expected) in [
        (json!("ab"), "is not two parts with a space between"),
        (json!(["a"]), "is not two parts"),
        (json!([1, "b"]), "is not two parts"),
        (json!("a c"), "merge 0: `c` is not in the vocabulary"),
        (json!(["b", "b"]), "merge 0: `bb` is not in the vocabulary"),
        (
            json!(["ab", "ab"]),
            "merge 0: `abab` is not in the vocabulary",
        ),
    ] {
        let error = refused_with("/model/merges", json!([merge]));
        assert!(error.contains(expected), "{error}");
    }
    let list = refused_with("/model/vocab", json!([]));
    assert_eq!(list, "merge 0: `a` is not in the vocabulary");
    let twice = refused_with("/model/vocab", json!({"a": 0, "b": 0, "ab": 2, "Ġ": 3}));
    assert!(twice.contains("is empty or occurs twice"), "{twice}");
    let huge = refused_with(
        "/model/vocab",
        json!({"a": 0, "b": 1, "ab": 2, "Ġ": u32::MAX}),
    );
    assert_eq!(huge, "the vocabulary has 4294967296 tokens");
    let elsewhere = refused_with("/added_tokens/0/id", json!(7));
    assert_eq!(
        elsewhere,
        "the added token `<s>` is listed with id 7, but its place gives it 4"
    );
}

#[test]
fn a_key_that_occurs_twice_does_not_reach_the_library_unchecked() {
    let harm = r#""model":{"type":"BPE","continuing_subword_prefix":"@@","vocab":{"a":0,"b":1},"merges":["a b"]},"model":"#;
    let text = tokenizer_json()
        .to_string()
        .replacen(r#""model":"#, harm, 1);
    let folder = TestFolder::with_weights();
    folder.write("tokenizer.json", text);
    let tokenizer = TextTokenizer::from_hf(&folder.open()).unwrap();
    assert_eq!(tokenizer.encode("ab", SpecialTokens::Parse).unwrap(), [2]);
}

#[test]
fn a_folder_without_a_tokenizer_says_what_is_missing() {
    let folder = TestFolder::with_weights();
    let error = refused(&folder).to_string();
    assert!(error.starts_with("there is neither `tokenizer.json` nor `vocab.json` with"));
    folder.write("vocab.json", "{}");
    assert!(matches!(refused(&folder), TokenizerError::NoTokenizer(_)));
}

fn vocabulary_folder(merges: &str) -> TestFolder {
    let folder = TestFolder::with_weights();
    folder.write("vocab.json", r#"{"a":0,"b":1,"ab":2,"1":3}"#);
    folder.write("merges.txt", merges);
    folder
}

#[test]
fn added_tokens_come_from_whichever_file_lists_them() {
    let encoded = |folder: &TestFolder| {
        let tokenizer = TextTokenizer::from_hf(&folder.open()).unwrap();
        let ids = tokenizer.encode("<s>ab<x>", SpecialTokens::Parse).unwrap();
        (ids, tokenizer.is_control(4), tokenizer.is_control(5))
    };
    let folder = vocabulary_folder("#version: 0.2\na b\n\n");
    folder.write(
        "special_tokens_map.json",
        r#"{"bos_token":"<s>","eos_token":"<s>","additional_special_tokens":["<x>"]}"#,
    );
    assert_eq!(encoded(&folder), (vec![4, 2, 5], true, true));
    folder.write("added_tokens.json", r#"{"<x>":4,"<s>":5}"#);
    assert_eq!(encoded(&folder), (vec![5, 2, 4], true, true));
    folder.write(
        "tokenizer_config.json",
        r#"{"added_tokens_decoder":{
            "5":{"content":"<x>","lstrip":false,"rstrip":false,"single_word":false,"normalized":false,"special":false},
            "4":{"content":"<s>","lstrip":false,"rstrip":false,"single_word":false,"normalized":false,"special":true}}}"#,
    );
    assert_eq!(encoded(&folder), (vec![4, 2, 5], true, false));
}

#[test]
fn the_class_of_a_bare_vocabulary_says_how_words_are_cut() {
    let folder = vocabulary_folder("a b\n");
    folder.write(
        "tokenizer_config.json",
        r#"{"tokenizer_class":"Qwen2Tokenizer"}"#,
    );
    let tokenizer = TextTokenizer::from_hf(&folder.open()).unwrap();
    assert_eq!(
        tokenizer.encode("11ab", SpecialTokens::AsText).unwrap(),
        [3, 3, 2]
    );
    folder.write(
        "tokenizer_config.json",
        r#"{"tokenizer_class":"BertTokenizer"}"#,
    );
    let error = refused(&folder).to_string();
    assert_eq!(
        error,
        "the tokenizer's `tokenizer_class` is not supported: `BertTokenizer`"
    );
}

#[test]
fn malformed_vocabularies_are_named() {
    for merges in ["ab\n", "a  b\n", "a b c\n", " a\n"] {
        let error = refused(&vocabulary_folder(merges));
        assert!(
            matches!(error, TokenizerError::MalformedMerge { idx: 0, .. }),
            "{error}"
        );
    }
    let error = refused(&vocabulary_folder("a x\n"));
    let expected = "merge 0: `x` is not in the vocabulary";
    assert_eq!(error.to_string(), expected);
    let error = refused(&vocabulary_folder("a ab\n")).to_string();
    assert_eq!(error, "merge 0: `aab` is not in the vocabulary");
    let folder = vocabulary_folder("a b\n");
    folder.write("added_tokens.json", r#"{"<x>":9}"#);
    let error = refused(&folder).to_string();
    assert_eq!(
        error,
        "the added token `<x>` is listed with id 9, but its place gives it 4"
    );
    folder.write("added_tokens.json", "[]");
    assert!(
        refused(&folder)
            .to_string()
            .starts_with("`added_tokens.json` cannot be understood")
    );
    folder.write("vocab.json", "{}");
    folder.write("merges.txt", "");
    folder.write("added_tokens.json", "{}");
    assert!(matches!(
        refused(&folder),
        TokenizerError::VocabularySize(0)
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_tokenizers_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = tokenizer_json().to_string().into_bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let folder = TestFolder::with_weights();
        folder.write("tokenizer.json", bytes);
        if let Ok(tokenizer) = TextTokenizer::from_hf(&folder.open()) {
            let _ = tokenizer.encode("ab a<s>", SpecialTokens::Parse);
        }
    }

    #[test]
    fn damaged_merges_are_survived(merges in "([ab1 ]{0,5}\n|#version){0,6}") {
        let mut text = String::new();
        write!(text, "a b\n{merges}").unwrap();
        if let Ok(tokenizer) = TextTokenizer::from_hf(&vocabulary_folder(&text).open()) {
            let _ = tokenizer.encode("ab1", SpecialTokens::Parse);
        }
    }
}
