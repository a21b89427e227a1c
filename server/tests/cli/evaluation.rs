//! A tiny model through everything that is measured: plan, run, flips, likelihoods, reproduction.

use crate::program::{answered, folder, refused, stderr, stdout, trimtab};
use serde_json::Value;
use std::{fs, path::Path};
use trimtab_models::tiny::{TinyModel, write_tiny_gguf};

const VARIANTS: &str = "tiny:f32,tiny:int8";

/// Two problems that can be graded, and one whose reference fails its own tests.
const SUITE: &str = r#"{"id":"one","prompt":"Write f that returns 1.","reference":"def f():\n    return 1","tests":"assert f() == 1"}
{"id":"wrong","prompt":"Write g that returns 2.","reference":"def g():\n    return 1","tests":"assert g() == 2"}
{"id":"two","prompt":"Write h that returns 3.","reference":"def h():\n    return 3","tests":"assert h() == 3"}"#;

/// What anybody may ask of `starter`.
const ASKED: [&str; 5] = ["evaluate", "--variants", VARIANTS, "--suite", "starter"];

fn import_tiny(data: &Path) {
    write_tiny_gguf(&data.join("tiny.gguf"), &TinyModel::default()).expect("writable");
    answered(data, &["models", "import", "tiny.gguf"]);
}

fn import_suite(data: &Path, text: &str) {
    fs::write(data.join("mine.jsonl"), text).expect("writable");
    answered(
        data,
        &["datasets", "import", "mine.jsonl", "--name", "mine"],
    );
}

/// The row of a plan that tells how long measuring all speeds takes.
fn planned_speed(data: &Path, evaluate: &[&str]) -> String {
    let full = [evaluate, &["--plan", "--performance", "full"]].concat();
    let said = stdout(&trimtab(data, &full));
    let row = said.lines().find(|line| line.starts_with("speed"));
    row.expect("a row of speeds").trim_end().to_owned()
}

/// What cannot grade is left out of both variants, and found out for the first one only.
fn check_references(shown: &Value) {
    let log = shown["log"].to_string();
    assert!(
        log.contains("wrong is left out: its own solution does not pass its tests: failed"),
        "{log}"
    );
    let taken_over = log.matches("3 references of mine were checked earlier in this run");
    assert_eq!(taken_over.count(), 1, "{log}");
    let second = &shown["results"][1]["excluded"][0];
    assert_eq!(second["problem_id"], "wrong");
}

#[test]
fn a_run_is_planned_done_compared_and_done_again() {
    let folder = folder();
    let data = folder.path();
    import_tiny(data);
    import_suite(data, SUITE);
    let mut evaluate = vec!["evaluate", "--variants", VARIANTS, "--suite", "mine"];
    evaluate.extend(["--max-tokens", "4"]);
    let plan = answered(data, &[&evaluate[..], &["--plan"]].concat());
    assert_eq!(plan["together"]["n_problems"], 3);
    assert!(plan["forecasts"][0]["is_assumed"].as_bool().expect("told"));
    assert!(planned_speed(data, &evaluate).ends_with('?'));
    let run = answered(data, &evaluate)["run"].clone();
    let minutes = planned_speed(data, &evaluate);
    assert!(minutes.ends_with(|last: char| last.is_ascii_digit()));
    assert_eq!(run, "1");

    let shown = stdout(&trimtab(data, &["runs", "show", "1"]));
    let shown_json = answered(data, &["runs", "show", "1"]);
    check_references(&shown_json);
    let result = &shown_json["results"][0];
    assert_eq!(result["n_scored"], 2, "{shown}");
    assert_eq!(result["n_problems"], 2, "{shown}");
    assert_eq!(result["excluded"][0]["problem_id"], "wrong");
    assert_eq!(shown_json["summary"]["n_problems"], 4);
    assert!(
        shown.contains("left out, and counted for nobody: 1"),
        "{shown}"
    );
    let flips = answered(data, &["runs", "flips", "1"]);
    assert_eq!(flips[0]["variant"], "tiny:int8");
    assert_eq!(
        (&flips[0]["n_compared"], &flips[0]["lost"]),
        (&2.into(), &Value::Array(vec![]))
    );
    let words = stdout(&trimtab(data, &["runs", "flips", "1"]));
    assert!(
        words.contains("tiny:int8 against tiny:f32: lost 0 and won 0 of 2 problems"),
        "{words}"
    );
    let analysis = answered(data, &["analyze", "1", "--flips"]);
    // Two problems of which the base solves none prove no quality; the speed is the machine's affair.
    let verdict = &analysis["comparisons"][0]["verdict"];
    assert!(verdict != "meets" && verdict.is_string(), "{analysis}");

    let made = answered(data, &["runs", "reproduce", "1"]);
    let numbers = made["numbers"].as_array().expect("a list");
    let is_score = |what: &str| what != "ms per output token";
    let scores: Vec<&Value> = numbers
        .iter()
        .filter(|number| number["what"].as_str().is_some_and(is_score))
        .collect();
    // pass@1, perplexity and CodeBLEU of two variants; how long it took is the machine's affair.
    assert_eq!(scores.len(), 6, "{made}");
    assert!(
        scores.iter().all(|number| number["is_within"] == true),
        "{made}"
    );
    let shown = stdout(&trimtab(data, &["runs", "show", "1"]));
    assert!(shown.contains("reproduced by run 2"), "{shown}");
    let again = answered(data, &["runs", "reproduce", "1", "--by", "2"]);
    assert_eq!(again["numbers"], made["numbers"]);
}

#[test]
fn nothing_is_scored_where_nothing_can_be_graded() {
    let folder = folder();
    let data = folder.path();
    import_tiny(data);
    let broken: Vec<&str> = SUITE.lines().skip(1).take(1).collect();
    import_suite(data, broken[0]);
    let evaluate = ["evaluate", "--variants", "tiny:f32", "--suite", "mine"];
    let output = trimtab(data, &evaluate);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("wrong is left out: its own solution does not pass its tests: failed"),
        "{said}"
    );
    assert!(said.contains("`mine`"), "{said}");
    let results = answered(data, &["runs", "show", "1"])["results"].clone();
    assert_eq!(
        (&results[0]["n_scored"], &results[0]["pass_at_1"]),
        (&0.into(), &Value::Null)
    );
}

/// Two problems that can only be compared, and one that is to be repaired.
const COMPARED: &str = r#"{"id":"r","track":"to-python","prompt":"Translate.","reference":"x = 1","tests":null}
{"id":"s","track":"to-python","prompt":"Translate.","reference":"y = 2","tests":null}
{"id":"t","track":"repair","prompt":"Repair it.","reference":"def f(x):\n    return x","buggy_solution":"def f(x):\n    return 0","test_cases":["assert f(0) == 0","assert f(1) == 1"],"extended_tests":"assert f(2) == 2"}"#;

#[test]
fn answers_without_tests_are_compared_and_repairs_told_apart() {
    let folder = folder();
    let data = folder.path();
    import_tiny(data);
    import_suite(data, COMPARED);
    let mut evaluate = vec!["evaluate", "--variants", VARIANTS, "--suite", "mine"];
    evaluate.extend(["--max-tokens", "4"]);
    let run = answered(data, &evaluate);
    let metrics: Vec<&str> = run["results"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|result| result["metric"].as_str())
        .collect();
    for metric in [
        "plausible",
        "correct",
        "regression",
        "exact_match",
        "same_tree",
    ] {
        assert!(metrics.contains(&metric), "{metric}: {metrics:?}");
    }
    let shown = answered(data, &["runs", "show", "1"]);
    let result = &shown["results"][0];
    // Only the repair has tests.
    assert_eq!(result["pass_at_1"]["n"], 1, "{result}");
    let likeness = &result["likeness"][0];
    assert_eq!(
        (&likeness["track"], &likeness["n"]),
        (&"to-python".into(), &2.into())
    );
    assert_eq!(
        result["repair"]["regression"]["n"], 1,
        "one case passed before"
    );
    assert_eq!(result["repair"]["n_with_extended"], 1);
    let words = stdout(&trimtab(data, &["analyze", "1"]));
    assert!(
        words.contains("SAME BUT FOR LAYOUT") && words.contains("PLAUSIBLE"),
        "{words}"
    );

    // Without any test, the verdict is on CodeBLEU, and two problems carry none.
    import_suite(
        data,
        &COMPARED.lines().take(2).collect::<Vec<_>>().join("\n"),
    );
    answered(data, &evaluate);
    let analysis = answered(data, &["analyze", "2"]);
    let comparison = &analysis["comparisons"][0];
    assert_eq!(comparison["measure"], "code_bleu");
    assert_ne!(comparison["verdict"], "meets");
    assert_eq!(comparison["mcnemar_p"], Value::Null);
    let output = trimtab(data, &[&evaluate[..], &["--plan"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("has references and no tests"));
}

#[test]
fn several_answers_to_a_problem_give_pass_at_k_over_problems() {
    let folder = folder();
    let data = folder.path();
    import_tiny(data);
    import_suite(data, SUITE);
    let mut evaluate = vec!["evaluate", "--variants", VARIANTS, "--suite", "mine"];
    evaluate.extend([
        "--max-tokens",
        "4",
        "--n-samples",
        "2",
        "--temperature",
        "0.8",
    ]);
    answered(data, &evaluate);
    let shown = answered(data, &["runs", "show", "1"]);
    let result = &shown["results"][0];
    assert_eq!(
        (&result["n_scored"], &result["n_problems"]),
        (&4.into(), &4.into())
    );
    assert_eq!(result["pass_at_1"]["n"], 2, "problems, not answers");
    let ks: Vec<&Value> = result["pass_at_k"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|at| &at["k"])
        .collect();
    assert_eq!(ks, [1, 2]);
}

#[test]
fn a_run_without_its_baseline_or_suite_is_refused_before_anything_starts() {
    let missing = [&ASKED[..], &["--baseline", "nothing:f32"]].concat();
    for more in [&[][..], &["--plan"]] {
        let said = refused(&[&missing, more].concat());
        assert!(said.contains("there is no model"), "{said}");
        assert!(said.contains("\nhint: "), "{said}");
    }
    let folder = folder();
    import_tiny(folder.path());
    let said = |more: &[&str]| {
        let output = trimtab(folder.path(), &[&ASKED[..], more].concat());
        assert_eq!(output.status.code(), Some(2));
        stderr(&output)
    };
    assert!(said(&["--baseline", "other:f32"]).contains("there is no model `other`"));
    assert!(said(&["--suite", "nothing"]).contains("there is no suite `nothing`"));
    assert!(said(&["--suite", "starter"]).contains("suite `starter` is named twice"));
    assert!(said(&["--n-samples", "5"]).contains("all the same at `temperature` 0"));
    assert!(said(&["--prompt-style", "poem"]).contains("styles are `chat` and `completion`"));
    assert!(said(&["--limit", "0"]).contains("--limit"));
    let alone = [
        "evaluate",
        "--variants",
        "tiny:f32",
        "--suite",
        "starter",
        "--plan",
    ];
    let output = trimtab(folder.path(), &alone);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn likelihoods_are_compared_on_the_same_tokens() {
    let folder = folder();
    let data = folder.path();
    import_tiny(data);
    fs::write(
        data.join("notes.txt"),
        "a short text, read twice. ".repeat(20),
    )
    .expect("writable");
    let asked = [
        "perplexity",
        "--text",
        "notes.txt",
        "--context",
        "64",
        "--variant",
    ];
    let against = |variant: &str, base: &str| {
        answered(data, &[&asked[..], &[variant, "--against", base]].concat())
    };
    let number = |value: &Value| value.as_f64().expect("a number");
    let same = against("tiny:f32", "tiny:f32");
    let comparison = &same["comparison"];
    assert!(
        number(&comparison["kl_mean"]["value"]).abs() < 1e-9,
        "{same}"
    );
    assert!((number(&comparison["top1_agreement"]["value"]) - 1.0).abs() < 1e-12);
    let other = against("tiny:int4", "tiny:f32");
    let comparison = &other["comparison"];
    assert!(number(&comparison["kl_mean"]["value"]) > 0.0, "{other}");
    assert!(number(&comparison["kl_mean"]["standard_error"]) > 0.0);
    let alone = answered(data, &[&asked[..], &["tiny:int4"]].concat());
    let difference = number(&alone["perplexity"]) - number(&other["perplexity"]);
    assert!(
        difference.abs() < 1e-6 * number(&alone["perplexity"]),
        "{alone} {other}"
    );
    let ratio = number(&other["perplexity"]) / number(&other["base_perplexity"]);
    let told = number(&comparison["perplexity_ratio"]["value"]);
    assert!((ratio - told).abs() < 1e-9, "{other}");

    let mut one_window = vec!["perplexity", "--text", "notes.txt", "--context", "1024"];
    one_window.extend(["--variant", "tiny:f32", "--against", "tiny:f32"]);
    let output = trimtab(data, &one_window);
    assert!(stderr(&output).contains("needs at least 2 windows, got 1"));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn flips_and_reproductions_need_a_run_that_is_there() {
    for words in [
        &["flips", "7"][..],
        &["reproduce", "7"],
        &["reproduce", "7", "--by", "8"],
    ] {
        let said = refused(&[&["runs"], words].concat());
        assert!(said.contains("there is no run 7"), "{said}");
    }
    refused(&["runs", "flips", "x"]);
}
