//! Tokenizers of model folders against the ids that `transformers` gives.

use crate::{
    hf::tests::TestFolder,
    tokenizer::{ControlTokens, SpecialTokens, TextTokenizer},
};
use serde::Deserialize;
use std::{fs, path::PathBuf};

#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    ids_with_ends: Vec<u32>,
    ids_as_text: Vec<u32>,
    decoded: String,
    decoded_without_special: String,
}

/// Special tokens are written here as they stand in a text; `transformers` takes the symbol for a
/// space in them, and the white space that a token takes with it, as described in each test.
fn golden(name: &str) -> (TextTokenizer, Vec<Case>) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hf_tokenizers");
    let folder = TestFolder::with_weights();
    for entry in fs::read_dir(root.join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let expected: Expected =
        serde_json::from_slice(&fs::read(root.join(name).join("expected.json")).unwrap()).unwrap();
    let tokenizer = TextTokenizer::from_hf(&folder.open()).unwrap();
    (tokenizer, expected.cases)
}

fn streamed(tokenizer: &TextTokenizer, ids: &[u32], control: ControlTokens) -> String {
    let mut stream = tokenizer.stream(control);
    let mut text = String::new();
    for &id in ids {
        text += &stream.push(id).unwrap();
    }
    text + &stream.finish()
}

fn check(name: &str) -> TextTokenizer {
    let (tokenizer, cases) = golden(name);
    for case in cases {
        let text = &case.text;
        let ids = tokenizer.encode(text, SpecialTokens::Parse).unwrap();
        assert_eq!(ids, case.ids, "{name}: {text:?}");
        let as_text = tokenizer.encode(text, SpecialTokens::AsText).unwrap();
        assert_eq!(as_text, case.ids_as_text, "{name}: {text:?} as text");
        let bos = tokenizer.bos().filter(|_| tokenizer.adds_bos());
        let with_ends: Vec<u32> = bos.into_iter().chain(ids.iter().copied()).collect();
        assert_eq!(
            with_ends, case.ids_with_ends,
            "{name}: {text:?} with its ends"
        );
        assert_eq!(
            tokenizer.decode(&ids).unwrap(),
            case.decoded,
            "{name}: {text:?}"
        );
        let shown = streamed(&tokenizer, &ids, ControlTokens::Show);
        assert_eq!(shown, case.decoded, "{name}: {text:?} streamed");
        let hidden = streamed(&tokenizer, &ids, ControlTokens::Hide);
        assert_eq!(
            hidden, case.decoded_without_special,
            "{name}: {text:?} without special"
        );
    }
    tokenizer
}

#[test]
fn a_vocabulary_with_merges_gives_the_ids_of_transformers() {
    let tokenizer = check("gpt2");
    assert_eq!(tokenizer.bos(), tokenizer.id("<|endoftext|>"));
    assert!(!tokenizer.adds_bos());
}

#[test]
fn single_digits_and_added_tokens_give_the_ids_of_transformers() {
    let tokenizer = check("digits");
    let end = tokenizer.id("<|im_end|>").unwrap();
    assert_eq!(tokenizer.eos_ids(), [end]);
    assert!(tokenizer.is_control(end));
    assert!(!tokenizer.is_control(tokenizer.id("<tool>").unwrap()));
}

#[test]
fn a_space_before_the_text_gives_the_ids_of_transformers() {
    for name in ["llama2", "metaspace"] {
        let tokenizer = check(name);
        assert_eq!((tokenizer.bos(), tokenizer.adds_bos()), (Some(1), true));
        assert_eq!(tokenizer.eos_ids(), [2]);
    }
}

#[test]
fn an_answer_that_goes_on_a_text_keeps_its_first_space() {
    let (tokenizer, _) = golden("llama2");
    let ids = tokenizer
        .encode("   return a", SpecialTokens::AsText)
        .unwrap();
    let joined = |mut stream: crate::TokenStream<'_>| {
        let pieces: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        pieces + &stream.finish()
    };
    assert_eq!(joined(tokenizer.stream(ControlTokens::Hide)), "   return a");
    assert_eq!(
        joined(tokenizer.continuation(ControlTokens::Hide)),
        "    return a"
    );
}

#[test]
fn characters_of_several_byte_tokens_are_held_back() {
    let (tokenizer, _) = golden("llama2");
    let byte = |byte: u8| tokenizer.id(&format!("<0x{byte:02X}>")).unwrap();
    let mut stream = tokenizer.stream(ControlTokens::Show);
    let pieces: Vec<String> = "é😀"
        .bytes()
        .map(|symbol| stream.push(byte(symbol)).unwrap())
        .collect();
    assert_eq!(pieces, ["", "é", "", "", "", "😀"]);
    assert_eq!(stream.push(byte(0xf0)).unwrap(), "");
    assert_eq!(stream.finish(), "\u{fffd}");
}
