//! BLEU, CodeBLEU and edit similarity against sacreBLEU, codebleu and rapidfuzz (`tests/golden/README.md`).

use serde::Deserialize;
use std::collections::BTreeMap;
use trimtab_metrics::{
    Bleu, BleuCounts, BleuOptions, CodeBleu, CodeBleuCounts, CodeBleuOptions, CodeBleuScore,
    EditSimilarity, Language, Smoothing, Tokenization,
};

/// Closed forms on both sides: only rounding differs.
const MAX_ROUNDING: f64 = 1e-9;

#[derive(Deserialize)]
struct Golden {
    hash_seed: u32,
    versions: BTreeMap<String, String>,
    sentences: Vec<Sentence>,
    bleu: Vec<BleuCase>,
    codebleu: Vec<LanguageCases>,
    edit_similarity: EditCases,
}

#[derive(Deserialize)]
struct Sentence {
    hypothesis: String,
    references: Vec<String>,
}

#[derive(Deserialize)]
struct BleuCase {
    tokenize: String,
    smooth: String,
    value: Option<f64>,
    effective: bool,
    scores: Vec<f64>,
    precisions: Vec<Vec<f64>>,
    corpus: f64,
    sys_len: u64,
    ref_len: u64,
}

#[derive(Deserialize)]
struct LanguageCases {
    language: String,
    cases: Vec<CodeCase>,
    corpus: Parts,
    weighted: Parts,
}

#[derive(Deserialize)]
struct CodeCase {
    hypothesis: String,
    references: Vec<String>,
    #[serde(flatten)]
    score: Parts,
}

#[derive(Deserialize)]
struct Parts {
    codebleu: f64,
    parts: [f64; 4],
}

#[derive(Deserialize)]
struct EditCases {
    texts: Vec<String>,
    values: Vec<Vec<f64>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/text_metrics.json")).expect("the fixture is valid")
}

#[track_caller]
fn check(what: &str, got: f64, want: f64) {
    assert!(
        (got - want).abs() <= MAX_ROUNDING,
        "{what}: {got} instead of {want}"
    );
}

fn texts(references: &[String]) -> Vec<&str> {
    references.iter().map(String::as_str).collect()
}

fn bleu_of(case: &BleuCase) -> Bleu {
    let tokenization = match &*case.tokenize {
        "13a" => Tokenization::V13a,
        "intl" => Tokenization::International,
        _ => Tokenization::None,
    };
    let smoothing = match &*case.smooth {
        "exp" => Smoothing::Exponential,
        "floor" => Smoothing::Floor(case.value.unwrap_or(0.1)),
        "add-k" => Smoothing::AddK(case.value.unwrap_or(1.0)),
        _ => Smoothing::None,
    };
    Bleu::new(BleuOptions {
        tokenization,
        smoothing,
        has_effective_order: case.effective,
    })
    .expect("the options of golden data are valid")
}

#[test]
fn bleu_agrees_with_sacrebleu() {
    let golden = golden();
    assert_eq!(golden.bleu.len(), 30);
    for case in &golden.bleu {
        let bleu = bleu_of(case);
        let mut corpus = BleuCounts::default();
        for (idx, sentence) in golden.sentences.iter().enumerate() {
            let references = texts(&sentence.references);
            let counts = bleu.counts(&sentence.hypothesis, &references).unwrap();
            let score = bleu.score(&counts);
            let what = format!("{} {} {idx}", case.tokenize, case.smooth);
            check(&what, score.score, case.scores[idx]);
            for (got, want) in score.precisions.iter().zip(&case.precisions[idx]) {
                check(&what, *got, *want);
            }
            corpus += counts;
        }
        let what = format!("{} {} corpus", case.tokenize, case.smooth);
        check(&what, bleu.score(&corpus).score, case.corpus);
        assert_eq!(corpus.hypothesis_length, case.sys_len);
        assert_eq!(corpus.reference_length, case.ref_len);
    }
}

#[track_caller]
fn check_code(what: &str, got: &CodeBleuScore, want: &Parts) {
    let parts = [
        got.ngram_match,
        got.weighted_ngram_match,
        got.syntax_match,
        got.dataflow_match.unwrap_or(0.0),
    ];
    let names = ["n-gram", "weighted n-gram", "syntax", "data flow"];
    for ((name, got), want) in names.iter().zip(parts).zip(want.parts) {
        check(&format!("{what}, {name}"), got, want);
    }
    check(what, got.codebleu, want.codebleu);
}

#[test]
fn codebleu_agrees_with_the_package_in_all_languages() {
    let golden = golden();
    assert_eq!(golden.codebleu.len(), Language::ALL.len());
    for LanguageCases {
        language,
        cases,
        corpus,
        weighted,
    } in &golden.codebleu
    {
        let parsed: Language = language.parse().unwrap();
        let mut codebleu = CodeBleu::new(parsed, CodeBleuOptions::default()).unwrap();
        let mut sum = CodeBleuCounts::default();
        for (idx, case) in cases.iter().enumerate() {
            let references = texts(&case.references);
            let counts = codebleu.counts(&case.hypothesis, &references).unwrap();
            let score = codebleu.score(&counts).unwrap();
            check_code(&format!("{language} {idx}"), &score, &case.score);
            if references.len() == 1 {
                sum += counts;
            }
        }
        check_code(language, &codebleu.score(&sum).unwrap(), corpus);
        let options = CodeBleuOptions {
            weights: [0.1, 0.2, 0.3, 0.4],
            ..CodeBleuOptions::default()
        };
        let other = CodeBleu::new(parsed, options).unwrap();
        check_code(language, &other.score(&sum).unwrap(), weighted);
    }
}

#[test]
fn signatures_name_what_made_the_golden_values() {
    let golden = golden();
    for language in Language::ALL {
        let codebleu = CodeBleu::new(language, CodeBleuOptions::default()).unwrap();
        let signature = codebleu.signature(Some(1));
        let (grammar, version) = language.grammar();
        // The package cannot be used with the grammar of JavaScript that can be built here.
        let is_newer = language == Language::JavaScript;
        assert_eq!(golden.versions[grammar] != version, is_newer);
        assert!(
            signature.contains(&format!("|grammar:{grammar}-{version}|")),
            "{signature}"
        );
        assert!(
            signature.contains(&format!("|hashseed:{}|", golden.hash_seed)),
            "{signature}"
        );
        assert!(signature.contains(&format!("|as:codebleu-{}|", golden.versions["codebleu"])));
    }
    let signature = Bleu::new(BleuOptions::default()).unwrap().signature(None);
    let version = &golden.versions["sacrebleu"];
    assert_eq!(
        signature,
        format!(
            "bleu|nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|as:sacrebleu-{version}|version:1"
        )
    );
}

#[test]
fn edit_similarity_agrees_with_rapidfuzz() {
    let EditCases { texts, values } = golden().edit_similarity;
    let edit = EditSimilarity::new().unwrap();
    for (a, row) in texts.iter().zip(values) {
        for (b, want) in texts.iter().zip(row) {
            check(&format!("{a:?} {b:?}"), edit.of(a, &[b]).unwrap(), want);
        }
    }
}
