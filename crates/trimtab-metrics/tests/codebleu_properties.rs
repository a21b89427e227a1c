//! What CodeBLEU holds for any text, and what it does with hostile and degenerate ones.

use proptest::prelude::*;
use std::thread;
use trimtab_metrics::{
    CodeBleu, CodeBleuCounts, CodeBleuError, CodeBleuMode, CodeBleuOptions, CodeBleuScore,
    Language, MAX_CODE_BYTES,
};

fn codebleu(language: Language, mode: CodeBleuMode) -> CodeBleu {
    let options = CodeBleuOptions {
        mode,
        ..CodeBleuOptions::default()
    };
    CodeBleu::new(language, options).expect("equal weights are valid")
}

fn score(
    language: Language,
    mode: CodeBleuMode,
    hypothesis: &str,
    reference: &str,
) -> CodeBleuScore {
    let mut codebleu = codebleu(language, mode);
    let counts = codebleu
        .counts(hypothesis, &[reference])
        .expect("short code can be counted");
    codebleu.score(&counts).expect("one pair was counted")
}

const CODE: &str = "int f(int a) { int b = a + 1; return b * a; }";

#[test]
fn a_missing_data_flow_counts_fully_or_not_at_all() {
    let reference = "import a.b;";
    let compatible = score(Language::Java, CodeBleuMode::Compatible, CODE, reference);
    let strict = score(Language::Java, CodeBleuMode::Strict, CODE, reference);
    assert_eq!(compatible.dataflow_match, None);
    assert_eq!(compatible.degenerate.n_undefined_data_flows, 1);
    let parts = compatible.ngram_match + compatible.weighted_ngram_match + compatible.syntax_match;
    assert!((compatible.codebleu - (parts + 1.0) / 4.0).abs() < 1e-12);
    assert!((strict.codebleu - parts / 3.0).abs() < 1e-12);
}

#[test]
fn a_data_flow_of_zero_counts_fully_or_as_zero() {
    let compatible = score(Language::Java, CodeBleuMode::Compatible, "class A {}", CODE);
    let strict = score(Language::Java, CodeBleuMode::Strict, "class A {}", CODE);
    assert_eq!(compatible.dataflow_match, Some(0.0));
    assert!((compatible.codebleu - strict.codebleu - 0.25).abs() < 1e-12);
}

#[test]
fn degenerate_pairs_are_counted() {
    let mut codebleu = codebleu(Language::Java, CodeBleuMode::Strict);
    let mut sum = CodeBleuCounts::default();
    for (hypothesis, reference) in [("", CODE), (CODE, "class {"), ("int (", CODE), (CODE, CODE)] {
        sum += codebleu.counts(hypothesis, &[reference]).unwrap();
    }
    let score = codebleu.score(&sum).unwrap();
    let degenerate = score.degenerate;
    assert_eq!(score.n_pairs, 4);
    assert_eq!(degenerate.n_empty_hypotheses, 1);
    assert_eq!(degenerate.n_references_with_errors, 1);
    assert_eq!(degenerate.n_hypotheses_with_errors, 1);
    assert_eq!(degenerate.n_too_deep, 0);
}

#[test]
fn an_empty_corpus_and_weights_without_a_part_are_refused() {
    let strict = codebleu(Language::Go, CodeBleuMode::Strict);
    let refused = strict.score(&CodeBleuCounts::default()).unwrap_err();
    assert_eq!(refused, CodeBleuError::NothingToScore);
    for weights in [[0.0; 4], [1.0, -1.0, 1.0, 1.0], [f64::NAN, 1.0, 1.0, 1.0]] {
        let options = CodeBleuOptions {
            weights,
            ..CodeBleuOptions::default()
        };
        let refused = CodeBleu::new(Language::Go, options).unwrap_err();
        assert!(matches!(refused, CodeBleuError::InvalidWeights(_)));
    }
    let options = CodeBleuOptions {
        mode: CodeBleuMode::Strict,
        weights: [0.0, 0.0, 0.0, 1.0],
    };
    let mut only_flow = CodeBleu::new(Language::Go, options).unwrap();
    let counts = only_flow.counts("", &["package a"]).unwrap();
    assert_eq!(
        only_flow.score(&counts),
        Err(CodeBleuError::UndefinedDataFlow)
    );
    assert_eq!(only_flow.counts("a", &[]), Err(CodeBleuError::NoReference));
}

#[test]
fn a_long_text_is_refused() {
    let long = " ".repeat(MAX_CODE_BYTES + 1);
    let refused = codebleu(Language::C, CodeBleuMode::Compatible).counts(CODE, &[CODE, &long]);
    let n_bytes = MAX_CODE_BYTES + 1;
    assert_eq!(refused, Err(CodeBleuError::TooLong { n_bytes }));
}

#[test]
fn loops_within_loops_end_with_an_error() {
    let nested = "while (a < b) { a = b; ".repeat(60) + &"}".repeat(60);
    let refused = codebleu(Language::Java, CodeBleuMode::Compatible).counts(&nested, &[CODE]);
    assert!(
        matches!(refused, Err(CodeBleuError::TooComplex { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_long_expression_ends_with_an_error() {
    let sum = format!(
        "{} = {};",
        "a[b+".repeat(2000) + &"]".repeat(2000),
        "c+".repeat(20_000)
    );
    let refused = codebleu(Language::Java, CodeBleuMode::Compatible).counts(&sum, &[CODE]);
    // Whether brackets or sum are too deep to be walked, or the walk too long: it ends.
    assert!(refused.is_ok() || matches!(refused, Err(CodeBleuError::TooComplex { .. })));
}

/// The stack that threads get, unless they ask for more.
const STACK_BYTES: usize = 2 * 1024 * 1024;

fn with_little_stack(work: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(work);
    let thread = thread.expect("a thread starts");
    thread.join().expect("the work ends without a panic");
}

#[test]
fn deep_nesting_takes_no_stack() {
    with_little_stack(|| {
        for language in Language::ALL {
            let mut codebleu = codebleu(language, CodeBleuMode::Compatible);
            for text in ["(", "[", "{", "-", "a(", "x = ", "if (a) "] {
                let n = 20_000 / text.len();
                let counts = codebleu.counts(&text.repeat(n), &[CODE]).unwrap();
                assert_eq!(counts.n_pairs, 1, "{language} {text}");
            }
        }
    });
}

#[test]
fn the_deepest_tree_that_is_walked_takes_no_stack() {
    with_little_stack(|| {
        let mut codebleu = codebleu(Language::Java, CodeBleuMode::Compatible);
        let mut has_flow = [false; 2];
        for (depth, has_flow) in [450, 2000].into_iter().zip(&mut has_flow) {
            let code = format!("int f(int a) {{ {} a = 1; }}", "if (a) ".repeat(depth));
            let counts = codebleu.counts(&code, &[&code]).unwrap();
            *has_flow = counts.n_flows > 0;
            assert_eq!(counts.degenerate.n_too_deep, u64::from(depth == 2000));
        }
        assert_eq!(has_flow, [true, false]);
    });
}

fn any_language() -> impl Strategy<Value = Language> {
    proptest::sample::select(Language::ALL.to_vec())
}

/// Pieces of code in any order: they parse in part, like what models write.
fn any_code() -> impl Strategy<Value = String> {
    let pieces = [
        "int ", "a", "b", " = ", "+", "(", ")", "{", "}", "[", "]", ";", "\n", "    ", "if ",
        "else ", "while ", "for ", " in ", "def f", ":", "return ", "'", "\"", "\\", "//", "/*",
        "*/", "#", "é", "func ", "fn ", "let ", "$x", "1.5", ",", "end\n", "->", "<<~X\n", "`",
        "var ", "\t", "@", "\u{0}", "😀", "class A ", "<?php ", "?>", "%q(", "R\"x(", "f\"{",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..60)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_part_lies_between_0_and_1(
        language in any_language(), hypothesis in any_code(), reference in any_code()
    ) {
        for mode in [CodeBleuMode::Compatible, CodeBleuMode::Strict] {
            let score = score(language, mode, &hypothesis, &reference);
            let parts = [
                score.codebleu, score.ngram_match, score.weighted_ngram_match, score.syntax_match,
                score.dataflow_match.unwrap_or(0.0),
            ];
            for part in parts {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&part), "{:?}", score);
            }
        }
    }

    #[test]
    fn the_same_code_has_the_same_syntax_and_data_flow(
        language in any_language(), code in any_code()
    ) {
        let score = score(language, CodeBleuMode::Strict, &code, &code);
        prop_assert!((score.syntax_match - 1.0).abs() < 1e-12);
        prop_assert!(score.dataflow_match.is_none_or(|flow| (flow - 1.0).abs() < 1e-12));
    }
}
