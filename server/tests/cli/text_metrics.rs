//! Metrics of texts in files.

use crate::program::{folder, json, refused, stderr, trimtab};
use serde_json::{Value, json as object};
use std::{fs, path::Path};

fn write(folder: &Path, name: &str, texts: &[&str]) -> String {
    let lines: Vec<String> = texts
        .iter()
        .map(|text| object!({ "text": text }).to_string())
        .collect();
    let path = folder.join(name);
    fs::write(&path, lines.join("\n")).expect("the folder is writable");
    path.display().to_string()
}

const JAVA: &str = "int f(int a) { int b = a + 1; return b * a; }";
const OTHER: &str = "int f(int x) { int b = x + 1; return b; }";

fn answer(words: &[&str]) -> Value {
    let folder = folder();
    let hypotheses = write(folder.path(), "h.jsonl", &[JAVA, OTHER]);
    let references = write(folder.path(), "r.jsonl", &[JAVA, JAVA]);
    let files = [
        "--json",
        "--hypotheses",
        &hypotheses,
        "--references",
        &references,
    ];
    let arguments = [&["metrics"], words, &files].concat();
    let output = trimtab(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    json(&output)
}

#[test]
fn bleu_and_codebleu_print_the_documented_json() {
    let bleu = answer(&["bleu", "--tokenize", "intl"]);
    let value = bleu["bleu"].as_f64().expect("a number");
    assert!((50.0..100.0).contains(&value), "{bleu}");
    assert!(
        bleu["signature"]
            .as_str()
            .is_some_and(|s| s.contains("|tok:intl|"))
    );
    let code = answer(&["codebleu", "--language", "java", "--mode", "strict"]);
    let names = [
        "codebleu",
        "ngram_match_score",
        "weighted_ngram_match_score",
        "syntax_match_score",
        "dataflow_match_score",
    ];
    for name in names {
        let value = code[name].as_f64().expect("a number");
        assert!((0.0..1.0).contains(&value), "{name}: {code}");
    }
    assert!(
        code["signature"]
            .as_str()
            .is_some_and(|s| s.contains("|mode:strict|"))
    );
}

#[test]
fn exact_match_and_edit_similarity_are_means_of_lines() {
    let exact = answer(&["exact-match"]);
    assert_eq!(exact["exact_match"].as_f64(), Some(0.5));
    let edit = answer(&["edit-similarity"]);
    let value = edit["edit_similarity"].as_f64().expect("a number");
    assert!((0.9..1.0).contains(&value), "{edit}");
}

#[test]
fn compile_rate_is_asked_of_the_compiler() {
    let folder = folder();
    let programs = write(
        folder.path(),
        "p.jsonl",
        &["fn f() -> u8 { 1 }", "fn f() -> u8 {"],
    );
    let rate = |language: &str| {
        let arguments = ["--hypotheses", &programs, "--language", language, "--json"];
        let words = [&["metrics", "compile-rate"], &arguments[..]].concat();
        trimtab(folder.path(), &words)
    };
    let reply = json(&rate("rust"));
    assert_eq!(reply["compile_rate"].as_f64(), Some(0.5), "{reply}");
    assert_eq!(reply["refused_lines"], object!([2]));
    let refused = rate("python");
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("hint: those are java, csharp, rust"));
}

#[test]
fn unequal_files_malformed_lines_and_unknown_languages_are_bad_input() {
    let folder = folder();
    let one = write(folder.path(), "one.jsonl", &[JAVA]);
    let two = write(folder.path(), "two.jsonl", &[JAVA, OTHER]);
    let said = refused(&[
        "metrics",
        "bleu",
        "--hypotheses",
        &two,
        "--references",
        &one,
    ]);
    assert!(said.contains("has 1 lines, but"), "{said}");
    let broken = folder.path().join("broken.jsonl");
    fs::write(&broken, "{\"text\": \"a\"}\nx\n").expect("the folder is writable");
    let broken = broken.display().to_string();
    let said = refused(&[
        "metrics",
        "exact-match",
        "--hypotheses",
        &broken,
        "--references",
        &two,
    ]);
    assert!(said.contains("line 2 of"), "{said}");
    let files = ["--hypotheses", &*one, "--references", &one];
    let cobol = [&["metrics", "codebleu", "--language", "cobol"][..], &files].concat();
    let said = refused(&cobol);
    assert!(
        said.contains("unknown language `cobol`; known: python, java"),
        "{said}"
    );
}

#[test]
fn doctor_lists_every_metric_with_its_signature() {
    let folder = folder();
    let output = trimtab(folder.path(), &["doctor", "--json"]);
    let checks = json(&output);
    let checks = checks.as_array().expect("a list");
    for name in [
        "metric bleu",
        "metric codebleu.java",
        "metric codebleu.ruby",
        "metric pass-at-k",
    ] {
        let check = checks
            .iter()
            .find(|check| check["name"] == name)
            .expect(name);
        assert_eq!(check["status"], "ok", "{check}");
        let detail = check["detail"].as_str().expect("a text");
        assert!(
            detail.starts_with("self-test passed; ") && detail.contains("|version:"),
            "{detail}"
        );
    }
}
