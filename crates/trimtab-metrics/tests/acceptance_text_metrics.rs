//! BLEU and CodeBLEU against values of their reference packages, kept outside the repository.

use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeMap, env, fs, path::PathBuf};
use trimtab_metrics::{
    Bleu, BleuCounts, BleuOptions, CodeBleu, CodeBleuCounts, CodeBleuOptions, CodeBleuScore,
    ExactMatch, Language, Smoothing, Tokenization,
};

const TOLERANCE: f64 = 1e-6;

fn folder() -> PathBuf {
    let folder = env::var("TRIMTAB_ACCEPTANCE_DIR")
        .expect("set TRIMTAB_ACCEPTANCE_DIR to the folder that holds golden/ and data/");
    PathBuf::from(folder)
}

fn golden<T: DeserializeOwned>(name: &str) -> T {
    let text = fs::read_to_string(folder().join("golden").join(name));
    serde_json::from_str(&text.expect("the golden file is there")).expect("it is valid")
}

#[track_caller]
fn check(what: &str, got: f64, want: f64) {
    assert!(
        (got - want).abs() <= TOLERANCE,
        "{what}: {got} instead of {want}"
    );
}

#[derive(Deserialize)]
struct BleuGolden {
    items: Vec<BleuItem>,
    corpus: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct BleuItem {
    hyp: String,
    #[serde(rename = "ref")]
    reference: String,
    sacrebleu: BTreeMap<String, BleuValue>,
    nltk_whitespace: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct BleuValue {
    score: f64,
    bp: Option<f64>,
    sys_len: Option<u64>,
    ref_len: Option<u64>,
}

fn bleu(name: &str) -> Bleu {
    let mut words = name.split('/');
    let tokenization = match words.next() {
        Some("13a") => Tokenization::V13a,
        Some("intl") => Tokenization::International,
        Some("none") => Tokenization::None,
        other => panic!("unknown tokenisation {other:?}"),
    };
    let smoothing = match words.next() {
        None | Some("exp") => Smoothing::Exponential,
        Some("floor") => Smoothing::Floor(0.1),
        Some("add-k") => Smoothing::AddK(1.0),
        Some("none") => Smoothing::None,
        other => panic!("unknown smoothing {other:?}"),
    };
    let has_effective_order = words.next() == Some("eff");
    Bleu::new(BleuOptions {
        tokenization,
        smoothing,
        has_effective_order,
    })
    .expect("the options of golden data are valid")
}

#[test]
fn bleu_agrees_with_sacrebleu_on_the_golden_pairs() {
    let golden: BleuGolden = golden("bleu.json");
    let mut corpus: BTreeMap<&str, BleuCounts> = BTreeMap::new();
    for item in &golden.items {
        for (name, want) in &item.sacrebleu {
            let bleu = bleu(name);
            let counts = bleu.counts(&item.hyp, &[&item.reference]).unwrap();
            let score = bleu.score(&counts);
            check(name, score.score, want.score);
            check(
                name,
                score.brevity_penalty,
                want.bp.unwrap_or(score.brevity_penalty),
            );
            assert!(
                want.sys_len.is_none_or(|n| n == counts.hypothesis_length),
                "{name}"
            );
            assert!(
                want.ref_len.is_none_or(|n| n == counts.reference_length),
                "{name}"
            );
        }
        for name in ["13a", "none"] {
            *corpus.entry(name).or_default() +=
                bleu(name).counts(&item.hyp, &[&item.reference]).unwrap();
        }
        // CodeBLEU's n-gram match is NLTK's BLEU with its first smoothing.
        let mut codebleu = CodeBleu::new(Language::Java, CodeBleuOptions::default()).unwrap();
        let counts = codebleu.counts(&item.hyp, &[&item.reference]).unwrap();
        let got = codebleu.score(&counts).unwrap().ngram_match;
        check("nltk", got, item.nltk_whitespace["method1"]);
    }
    for (name, counts) in corpus {
        let want = &golden.corpus[&format!("sacrebleu/{name}")]["score"];
        check(
            name,
            bleu(name).score(&counts).score,
            want.as_f64().unwrap(),
        );
    }
}

#[derive(Deserialize)]
struct CodeGolden {
    items: Vec<CodeItem>,
    corpus: BTreeMap<String, CodeValue>,
}

#[derive(Deserialize)]
struct CodeItem {
    lang: String,
    hyp: String,
    #[serde(rename = "ref")]
    reference: String,
    #[serde(flatten)]
    value: CodeValue,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct CodeValue {
    codebleu: f64,
    ngram_match_score: f64,
    weighted_ngram_match_score: f64,
    syntax_match_score: f64,
    dataflow_match_score: f64,
}

#[track_caller]
fn check_code(what: &str, got: &CodeBleuScore, want: CodeValue) {
    let flow = got.dataflow_match.unwrap_or(0.0);
    check(
        &format!("{what}, n-gram"),
        got.ngram_match,
        want.ngram_match_score,
    );
    check(
        &format!("{what}, weighted"),
        got.weighted_ngram_match,
        want.weighted_ngram_match_score,
    );
    check(
        &format!("{what}, syntax"),
        got.syntax_match,
        want.syntax_match_score,
    );
    check(
        &format!("{what}, data flow"),
        flow,
        want.dataflow_match_score,
    );
    check(what, got.codebleu, want.codebleu);
}

#[test]
fn codebleu_agrees_with_the_package_on_the_golden_pairs() {
    let golden: CodeGolden = golden("codebleu.json");
    let mut corpora: BTreeMap<&str, CodeBleuCounts> = BTreeMap::new();
    for (idx, item) in golden.items.iter().enumerate() {
        let language: Language = item.lang.parse().unwrap();
        let mut codebleu = CodeBleu::new(language, CodeBleuOptions::default()).unwrap();
        let counts = codebleu.counts(&item.hyp, &[&item.reference]).unwrap();
        check_code(
            &format!("{language} {idx}"),
            &codebleu.score(&counts).unwrap(),
            item.value,
        );
        *corpora.entry(&item.lang).or_default() += counts;
    }
    for (name, want) in &golden.corpus {
        let (language, weights) = match name.split_once("_weights_") {
            Some((language, weights)) => {
                let weights: Vec<f64> = weights.split('_').map(|w| w.parse().unwrap()).collect();
                (language, weights.try_into().unwrap())
            }
            None => (&**name, [0.25; 4]),
        };
        let options = CodeBleuOptions {
            weights,
            ..CodeBleuOptions::default()
        };
        let codebleu = CodeBleu::new(language.parse().unwrap(), options).unwrap();
        check_code(name, &codebleu.score(&corpora[language]).unwrap(), *want);
    }
}

#[derive(Deserialize)]
struct ModelScores {
    n: usize,
    exact_match: f64,
    sacrebleu_none: f64,
    codebleu: CodeValue,
}

#[test]
fn saved_translations_score_as_in_the_reference() {
    let golden: BTreeMap<String, ModelScores> = golden("codexglue_saved_models_scores.json");
    for (name, want) in golden {
        let read = |end: &str| {
            let path = folder().join(format!("data/codexglue_cct/{name}.{end}"));
            fs::read_to_string(path).expect("the data set is there")
        };
        let (hypotheses, references) = (read("output"), read("gold"));
        let language = if name.starts_with("java-cs") {
            Language::CSharp
        } else {
            Language::Java
        };
        let mut codebleu = CodeBleu::new(language, CodeBleuOptions::default()).unwrap();
        let (bleu, exact) = (bleu("none"), ExactMatch::new().unwrap());
        let (mut words, mut code, mut n_exact) =
            (BleuCounts::default(), CodeBleuCounts::default(), 0);
        let pairs: Vec<(&str, &str)> = hypotheses.lines().zip(references.lines()).collect();
        assert_eq!(pairs.len(), want.n);
        for (hypothesis, reference) in pairs {
            words += bleu.counts(hypothesis, &[reference]).unwrap();
            code += codebleu.counts(hypothesis, &[reference]).unwrap();
            n_exact += usize::from(exact.of(hypothesis, &[reference]) == Some(true));
        }
        check(&name, n_exact as f64 / want.n as f64, want.exact_match);
        check(&name, bleu.score(&words).score, want.sacrebleu_none);
        check_code(&name, &codebleu.score(&code).unwrap(), want.codebleu);
    }
}
