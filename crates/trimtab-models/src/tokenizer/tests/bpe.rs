//! Our byte-pair encoding against that of the tokenizers library.

use crate::tokenizer::{
    TokenizerError,
    bpe::{Bpe, BpeOptions, UnknownToken},
    merges::Merge,
    vocabulary::{TokenType, Vocabulary, VocabularyToken},
};
use proptest::prelude::*;
use tokenizers::{
    Model,
    models::bpe::{BPE, Vocab},
};

/// A model in both forms.
struct Both {
    library: BPE,
    ours: Bpe,
    vocabulary: Vocabulary,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    takes_whole_words: bool,
    has_byte_tokens: bool,
    unknown: Option<&'static str>,
    is_fused: bool,
}

/// Tokens are characters, what the merges of two earlier tokens make, and those of some bytes.
fn both(pairs: &[(prop::sample::Index, prop::sample::Index)], settings: Settings) -> Both {
    let mut texts: Vec<String> = ["a", "b", "c", "é", "<unk>", "<0xC3>", "<0xA4>", "<0x64>"]
        .map(str::to_owned)
        .to_vec();
    let mut pairs_of_texts = Vec::new();
    for (left, right) in pairs {
        let (left, right) = (left.get(&texts).clone(), right.get(&texts).clone());
        let union = format!("{left}{right}");
        if union.len() > 64 {
            continue;
        }
        if !texts.contains(&union) {
            texts.push(union);
        }
        pairs_of_texts.push((left, right));
    }
    let ids: Vocab = texts.iter().cloned().zip(0..).collect();
    let merges: Vec<Merge> = pairs_of_texts
        .iter()
        .enumerate()
        .map(|(idx, (left, right))| {
            Merge::new(idx, left, right, |text| ids.get(text).copied()).unwrap()
        })
        .collect();
    let mut builder = BPE::builder()
        .vocab_and_merges(ids.clone(), pairs_of_texts)
        .ignore_merges(settings.takes_whole_words)
        .byte_fallback(settings.has_byte_tokens)
        .fuse_unk(settings.is_fused);
    if let Some(unknown) = settings.unknown {
        builder = builder.unk_token(unknown.to_owned());
    }
    let token = |text: String| VocabularyToken {
        bytes: text.clone().into_bytes(),
        text,
        token_type: TokenType::Text,
    };
    let tokens = (0..).zip(texts.into_iter().map(token)).collect();
    let vocabulary = Vocabulary::from_tokens(tokens).unwrap();
    let options = BpeOptions {
        takes_whole_words: settings.takes_whole_words,
        has_byte_tokens: settings.has_byte_tokens,
        unknown: settings.unknown.map(|text| UnknownToken {
            text: text.to_owned(),
            id: ids.get(text).copied(),
            is_fused: settings.is_fused,
        }),
        outside: vec![],
    };
    Both {
        library: builder.build().unwrap(),
        ours: Bpe::new(&vocabulary, &merges, options),
        vocabulary,
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    let unknown = prop::sample::select(vec![None, Some("<unk>"), Some("none")]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (flags, unknown).prop_map(
        |((takes_whole_words, has_byte_tokens, is_fused), unknown)| Settings {
            takes_whole_words,
            has_byte_tokens,
            unknown,
            is_fused,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_word_gets_the_ids_of_the_library(
        pairs in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..40),
        settings in settings(),
        words in prop::collection::vec("[abc]{0,24}|[abcdéäü]{0,12}", 1..8),
    ) {
        let Both { library, ours, vocabulary } = both(&pairs, settings);
        for word in words {
            let mut ids = Vec::new();
            match (library.tokenize(&word), ours.encode(&word, &vocabulary, &mut ids)) {
                (Ok(tokens), Ok(())) => {
                    let expected: Vec<u32> = tokens.iter().map(|token| token.id).collect();
                    prop_assert_eq!(ids, expected, "{}", word);
                }
                (Err(_), Err(TokenizerError::UnknownNamedToken { .. })) => {}
                (library, ours) => prop_assert!(false, "{word}: {library:?}, {ours:?}"),
            }
        }
    }
}

#[test]
fn what_no_merge_leads_to_is_left_out_of_words() {
    let token = |text: &str| VocabularyToken {
        bytes: text.as_bytes().to_vec(),
        text: text.to_owned(),
        token_type: TokenType::Text,
    };
    let tokens = [(0, token("a")), (1, token("b")), (2, token("ab"))];
    let vocabulary = Vocabulary::from_tokens(tokens.into()).unwrap();
    let options = BpeOptions {
        takes_whole_words: true,
        outside: vec![1, 2],
        ..BpeOptions::default()
    };
    let model = Bpe::new(&vocabulary, &[], options);
    let mut ids = Vec::new();
    model.encode("ab", &vocabulary, &mut ids).unwrap();
    assert_eq!(ids, [0]);
}
