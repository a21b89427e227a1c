//! Tokenizers with a vocabulary of bytes and a few merges; hostile vocabularies.

use crate::gguf::{GgufFile, GgufWriter};
use crate::tokenizer::{
    ControlTokens, SpecialTokens, TextTokenizer, TokenizerError, byte_symbols::SYMBOL_FROM_BYTE,
};
use proptest::prelude::*;

/// What the metadata of a tokenizer is made of.
#[derive(Clone)]
struct Parts {
    model: &'static str,
    pre: &'static str,
    tokens: Vec<String>,
    types: Vec<i32>,
    merges: Vec<String>,
    eos: u32,
}

impl Default for Parts {
    /// All bytes at 0–255, words, and specials at 260 (control), 261 (control), 262 (user-defined).
    fn default() -> Self {
        let mut tokens: Vec<String> = SYMBOL_FROM_BYTE.iter().map(char::to_string).collect();
        tokens.extend(
            [
                "ab",
                "Ġab",
                "12",
                "123",
                "<|im_end|>",
                "<|im_start|>",
                "<tool>",
            ]
            .map(str::to_owned),
        );
        let mut types = vec![1; 260];
        types.extend([3, 3, 4]);
        let merges = ["a b", "Ġ ab", "1 2", "12 3"].map(str::to_owned).to_vec();
        Self {
            model: "gpt2",
            pre: "gpt-2",
            tokens,
            types,
            merges,
            eos: 260,
        }
    }
}

impl Parts {
    fn file(self) -> GgufFile {
        let writer = GgufWriter::new()
            .metadata("tokenizer.ggml.model", self.model)
            .metadata("tokenizer.ggml.pre", self.pre)
            .metadata("tokenizer.ggml.tokens", self.tokens)
            .metadata("tokenizer.ggml.token_type", self.types)
            .metadata("tokenizer.ggml.merges", self.merges)
            .metadata("tokenizer.ggml.eos_token_id", self.eos);
        GgufFile::parse(&writer.to_bytes()).unwrap()
    }

    fn tokenizer(self) -> TextTokenizer {
        TextTokenizer::from_gguf(&self.file()).unwrap()
    }

    fn refused(self) -> TokenizerError {
        TextTokenizer::from_gguf(&self.file()).expect_err("the tokenizer contradicts itself")
    }
}

fn tokens(pre: &'static str, text: &str) -> Vec<String> {
    let tokenizer = Parts {
        pre,
        ..Parts::default()
    }
    .tokenizer();
    let ids = tokenizer.encode(text, SpecialTokens::Parse).unwrap();
    ids.iter()
        .map(|&id| tokenizer.decode(&[id]).unwrap())
        .collect()
}

#[test]
fn merges_are_applied_within_words_only() {
    assert_eq!(tokens("gpt-2", "abab ab"), ["ab", "ab", " ab"]);
    assert_eq!(tokens("qwen2", "a\nb"), ["a", "\n", "b"]);
}

#[test]
fn digits_are_cut_as_the_pre_tokenizer_says() {
    assert_eq!(tokens("gpt-2", "1234"), ["123", "4"]);
    assert_eq!(tokens("smollm", "1234"), ["1", "2", "3", "4"]);
    assert_eq!(tokens("smollm2", " 12"), [" ", "1", "2"]);
    assert_eq!(tokens("qwen2", "12"), ["1", "2"]);
    assert_eq!(tokens("llama-bpe", "12312"), ["123", "12"]);
    assert_eq!(tokens("default", "12312"), ["123", "12"]);
}

#[test]
fn control_tokens_are_whole_only_where_they_are_parsed() {
    let tokenizer = Parts::default().tokenizer();
    let text = "ab<|im_end|>ab";
    assert_eq!(
        tokenizer.encode(text, SpecialTokens::Parse).unwrap(),
        [256, 260, 256]
    );
    let as_text = tokenizer.encode(text, SpecialTokens::AsText).unwrap();
    assert!(!as_text.contains(&260));
    assert_eq!(tokenizer.decode(&as_text).unwrap(), text);
}

#[test]
fn control_tokens_are_not_reached_as_whole_words_either() {
    let mut parts = Parts {
        pre: "llama-bpe",
        ..Parts::default()
    };
    parts.tokens[261] = "stop".to_owned();
    let tokenizer = parts.tokenizer();
    assert_eq!(
        tokenizer.encode("stop", SpecialTokens::Parse).unwrap(),
        [261]
    );
    assert!(
        !tokenizer
            .encode("stop", SpecialTokens::AsText)
            .unwrap()
            .contains(&261)
    );
}

#[test]
fn user_defined_tokens_are_whole_in_any_text() {
    let tokenizer = Parts::default().tokenizer();
    for special in [SpecialTokens::Parse, SpecialTokens::AsText] {
        assert_eq!(tokenizer.encode("<tool>ab", special).unwrap(), [262, 256]);
    }
}

#[test]
fn of_two_atomic_tokens_that_begin_alike_the_longer_is_taken() {
    let mut parts = Parts::default();
    parts.tokens[261] = "<|im_end|>!".to_owned();
    let tokenizer = parts.tokenizer();
    assert_eq!(
        tokenizer
            .encode("<|im_end|>!", SpecialTokens::Parse)
            .unwrap(),
        [261]
    );
    assert_eq!(
        tokenizer
            .encode("<|im_end|>", SpecialTokens::Parse)
            .unwrap(),
        [260]
    );
}

#[test]
fn the_ends_of_an_answer_are_the_named_one_and_the_known_ones() {
    assert_eq!(Parts::default().tokenizer().eos_ids(), [260]);
    assert_eq!(
        Parts {
            eos: 65,
            ..Parts::default()
        }
        .tokenizer()
        .eos_ids(),
        [65, 260]
    );
    assert_eq!(Parts::default().tokenizer().bos(), None);
}

#[test]
fn an_embedding_of_another_size_is_refused() {
    let tokenizer = Parts::default().tokenizer();
    assert!(tokenizer.check_vocabulary(263).is_ok());
    assert_eq!(
        tokenizer.check_vocabulary(262).unwrap_err().to_string(),
        "the vocabulary has 263 tokens, but the embedding has 262 rows"
    );
}

#[test]
fn characters_without_tokens_are_an_error_not_lost() {
    let mut parts = Parts::default();
    parts.tokens[usize::from(b'q')] = "unused".to_owned();
    let tokenizer = parts.tokenizer();
    let error = tokenizer
        .encode("abq ab", SpecialTokens::AsText)
        .unwrap_err();
    assert!(matches!(error, TokenizerError::Unencodable('q')), "{error}");
}

#[test]
fn ids_beyond_the_vocabulary_are_an_error() {
    let tokenizer = Parts::default().tokenizer();
    let is_unknown = |error| {
        matches!(
            error,
            TokenizerError::UnknownId {
                id: 263,
                n_tokens: 263
            }
        )
    };
    assert!(is_unknown(tokenizer.decode(&[0, 263]).unwrap_err()));
    assert!(is_unknown(
        tokenizer.stream(ControlTokens::Show).push(263).unwrap_err()
    ));
}

#[test]
fn a_stream_holds_back_unfinished_characters() {
    let tokenizer = Parts::default().tokenizer();
    let mut stream = tokenizer.stream(ControlTokens::Show);
    let pieces: Vec<String> = "é😀"
        .bytes()
        .map(|byte| stream.push(byte.into()).unwrap())
        .collect();
    assert_eq!(pieces, ["", "é", "", "", "", "😀"]);
    assert_eq!(stream.finish(), "");
}

#[test]
fn a_stream_that_ends_inside_a_character_says_so() {
    let tokenizer = Parts::default().tokenizer();
    let mut stream = tokenizer.stream(ControlTokens::Show);
    assert_eq!(stream.push(0xf0).unwrap(), "");
    assert_eq!(stream.push(0x9f).unwrap(), "");
    assert_eq!(stream.finish(), "\u{fffd}");
}

#[test]
fn a_stream_shows_or_hides_control_tokens() {
    let tokenizer = Parts::default().tokenizer();
    assert_eq!(
        tokenizer.stream(ControlTokens::Show).push(260).unwrap(),
        "<|im_end|>"
    );
    assert_eq!(tokenizer.stream(ControlTokens::Hide).push(260).unwrap(), "");
    assert_eq!(
        tokenizer.stream(ControlTokens::Hide).push(262).unwrap(),
        "<tool>"
    );
}

#[test]
fn long_runs_of_one_character_are_tokenized() {
    for pre in ["gpt-2", "default", "smollm", "qwen2", "llama-bpe"] {
        let tokenizer = Parts {
            pre,
            ..Parts::default()
        }
        .tokenizer();
        for unit in [" ", "a", "\n", "!", "1"] {
            let text = format!("{}x", unit.repeat(200_000));
            let ids = tokenizer.encode(&text, SpecialTokens::Parse).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        }
    }
}

#[test]
fn text_beyond_the_limit_is_refused() {
    let text = " ".repeat((4 << 20) + 1);
    let error = Parts::default()
        .tokenizer()
        .encode(&text, SpecialTokens::Parse)
        .unwrap_err();
    assert!(
        matches!(error, TokenizerError::TextTooLong { .. }),
        "{error}"
    );
}

#[test]
fn unknown_families_and_pre_tokenizers_are_named() {
    let error = Parts {
        model: "llama",
        ..Parts::default()
    }
    .refused();
    assert!(matches!(error, TokenizerError::UnsupportedModel(name) if name == "llama"));
    let error = Parts {
        pre: "tekken",
        ..Parts::default()
    }
    .refused()
    .to_string();
    assert!(error.starts_with("pre-tokenizer `tekken` is not supported; these are: `gpt-2`, "));
}

#[test]
fn vocabularies_that_contradict_themselves_are_refused() {
    let with = |change: fn(&mut Parts)| {
        let mut parts = Parts::default();
        change(&mut parts);
        parts.refused()
    };
    let twice = with(|parts| parts.tokens[256] = "a".to_owned());
    assert!(
        matches!(twice, TokenizerError::AmbiguousToken { id: 256, .. }),
        "{twice}"
    );
    let empty = with(|parts| parts.tokens[3] = String::new());
    assert!(
        matches!(empty, TokenizerError::AmbiguousToken { id: 3, .. }),
        "{empty}"
    );
    let types = with(|parts| parts.types.truncate(262));
    assert!(
        matches!(types, TokenizerError::TokenTypesLength { n_types: 262, .. }),
        "{types}"
    );
    let unknown = with(|parts| parts.types[9] = 77);
    assert!(
        matches!(
            unknown,
            TokenizerError::UnknownTokenType { id: 9, code: 77 }
        ),
        "{unknown}"
    );
    let eos = with(|parts| parts.eos = u32::MAX);
    assert!(
        matches!(eos, TokenizerError::IdOutOfRange { id: u32::MAX, .. }),
        "{eos}"
    );
    let none = with(|parts| {
        parts.tokens.clear();
        parts.types.clear();
    });
    assert!(matches!(none, TokenizerError::VocabularySize(0)), "{none}");
}

#[test]
fn merges_that_make_no_sense_are_refused() {
    let with = |merge: &str| {
        let mut parts = Parts::default();
        parts.merges.push(merge.to_owned());
        parts.refused()
    };
    for malformed in ["", "ab", "a b c", "Ġ ab x"] {
        let error = with(malformed);
        assert!(
            matches!(error, TokenizerError::MalformedMerge { idx: 4, .. }),
            "{error}"
        );
    }
    // No union, no left part, an empty part, and a part far longer than any token.
    let long = format!("a {}", "b".repeat(10_000));
    for unknown in ["b a", "xy z", " a", "a ", "<|im_end|> a", &long] {
        let error = with(unknown);
        assert!(
            matches!(error, TokenizerError::MergeOutOfVocabulary { idx: 4, .. }),
            "{error}"
        );
    }
    let error = with("a b");
    assert!(
        matches!(error, TokenizerError::DuplicateMerge { idx: 4, .. }),
        "{error}"
    );
}

#[test]
fn every_missing_key_is_named() {
    let empty = GgufFile::parse(&GgufWriter::new().to_bytes()).unwrap();
    let error = TextTokenizer::from_gguf(&empty).unwrap_err();
    assert_eq!(
        error.to_string(),
        "metadata key `tokenizer.ggml.model` is missing"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_comes_back(text in r"(\PC|[ \n\t<|_0-9]|<\|im_end\|>|ab){0,40}") {
        for pre in ["gpt-2", "default", "smollm", "qwen2", "llama-bpe"] {
            let tokenizer = Parts { pre, ..Parts::default() }.tokenizer();
            for special in [SpecialTokens::Parse, SpecialTokens::AsText] {
                let ids = tokenizer.encode(&text, special).unwrap();
                prop_assert_eq!(&tokenizer.decode(&ids).unwrap(), &text);
            }
        }
    }

    #[test]
    fn a_stream_gives_what_decoding_gives_even_for_invalid_utf8(
        ids in prop::collection::vec(0_u32..263, 0..40)
    ) {
        let tokenizer = Parts::default().tokenizer();
        let mut stream = tokenizer.stream(ControlTokens::Show);
        let mut text = String::new();
        for &id in &ids {
            text += &stream.push(id).unwrap();
        }
        text += &stream.finish();
        prop_assert_eq!(text, tokenizer.decode(&ids).unwrap());
    }
}
