//! Commands that need no model: metrics, lists, and what is refused.

use crate::program::{folder, json, refused, stderr, stdout, trimtab};
use serde_json::Value;
use std::fs;

#[test]
fn pass_at_k_prints_the_documented_json() {
    let folder = folder();
    let arguments = [
        "metrics",
        "pass-at-k",
        "--samples",
        "4",
        "--correct",
        "0,2,4",
        "--k",
        "2",
        "--json",
    ];
    let output = trimtab(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let values: Vec<f64> = json(&output)["pass_at_k"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    assert_eq!(values.len(), 3);
    assert!(values[0].abs() < 1e-12 && (values[1] - 5.0 / 6.0).abs() < 1e-12);
}

#[test]
fn an_undefined_metric_is_bad_input_with_a_hint() {
    let said = refused(&[
        "metrics",
        "pass-at-k",
        "--samples",
        "2",
        "--correct",
        "1",
        "--k",
        "3",
    ]);
    assert!(said.contains("pass@3 is undefined"), "{said}");
    assert!(said.contains("\nhint: "), "{said}");
}

#[test]
fn wrong_usage_ends_with_status_2() {
    for arguments in [
        &["frobnicate"][..],
        &["models", "show"],
        &["bench"],
        &["--no-such-option"],
    ] {
        refused(arguments);
    }
    let said = refused(&["models", "show", "../etc/passwd"]);
    assert!(said.contains("is not a name"), "{said}");
}

#[test]
fn an_unknown_model_is_one_line_and_one_hint() {
    let said = refused(&["models", "show", "gpt-99"]);
    assert!(
        said.starts_with("error: there is no model `gpt-99`\nhint: "),
        "{said}"
    );
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn with_json_a_failure_is_also_one_document() {
    let folder = folder();
    let output = trimtab(folder.path(), &["models", "show", "gpt-99", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let body = json(&output);
    assert_eq!(body["error"], "there is no model `gpt-99`");
    assert!(body["hint"].is_string());
    assert!(stderr(&output).starts_with("error: "));

    let usage = trimtab(folder.path(), &["runs", "show", "x", "--json"]);
    assert_eq!(usage.status.code(), Some(2));
    assert!(
        json(&usage)["error"]
            .as_str()
            .is_some_and(|error| error.contains("`x`"))
    );
}

#[test]
fn a_device_that_is_not_here_is_refused() {
    let said = refused(&["runs", "list", "--device", "cuda:65535"]);
    let reason = match cfg!(feature = "cuda") {
        true => "`cuda:65535` is not there",
        false => "this build has no CUDA",
    };
    assert!(said.contains(reason), "{said}");
    assert!(said.contains("hint: use `--device cpu`"), "{said}");
}

#[test]
fn what_does_not_exist_is_bad_input() {
    refused(&["runs", "show", "12"]);
    refused(&["runs", "cancel", "12"]);
    refused(&["runs", "resume", "12"]);
    refused(&["analyze"]);
    refused(&["analyze", "7"]);
    refused(&["datasets", "show", "nothing"]);
    refused(&[
        "evaluate",
        "--variants",
        "nothing:f16",
        "--suite",
        "starter",
    ]);
    refused(&[
        "evaluate",
        "--variants",
        "smollm2-135m-instruct:f16",
        "--suite",
        "nothing",
    ]);
    refused(&["generate", "--variant", "nothing:f16", "--prompt", "x"]);
    refused(&[
        "perplexity",
        "--variant",
        "nothing:f16",
        "--text",
        "/no/such/file",
    ]);
    refused(&[
        "compress",
        "--model",
        "smollm2-135m-instruct",
        "--recipe",
        "int3",
    ]);
    refused(&["models", "import", "/no/such/file.gguf"]);
}

#[test]
fn lists_are_json_documents() {
    let folder = folder();
    for arguments in [["models", "list"], ["datasets", "list"], ["runs", "list"]] {
        let output = trimtab(folder.path(), &[&arguments[..], &["--json"]].concat());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(json(&output).is_array(), "{arguments:?}");
    }
    let models = json(&trimtab(folder.path(), &["models", "list", "--json"]));
    let names: Vec<&str> = models
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|m| m["name"].as_str())
        .collect();
    assert!(names.contains(&"qwen2.5-coder-0.5b-instruct"), "{names:?}");
    assert!(names.contains(&"smollm2-135m-instruct"), "{names:?}");
}

#[test]
fn a_worker_without_a_job_is_bad_input() {
    let folder = folder();
    let output = trimtab(folder.path(), &["worker"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).is_empty());
}

#[test]
fn a_broken_database_is_one_clear_error() {
    let folder = folder();
    let garbage =
        b"this is not a database, and long enough to be read as a header of one. ".repeat(20);
    fs::write(folder.path().join("trimtab.db"), &garbage).expect("writable");
    let output = trimtab(folder.path(), &["runs", "list"]);
    let said = stderr(&output);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{said}");
    assert!(
        said.starts_with("error: ") && said.contains("trimtab.db"),
        "{said}"
    );
    assert_eq!(
        fs::read(folder.path().join("trimtab.db")).expect("there"),
        garbage
    );
}
