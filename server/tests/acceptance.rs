//! The commands that run a model, on SmolLM2-135M: the documents that automation reads.
//!
//! The model file is named by `TRIMTAB_TEST_MODEL_SMOLLM2`, the texts lie below `TRIMTAB_ACCEPTANCE_DIR`.
#![expect(
    clippy::disallowed_methods,
    reason = "the program under test is a process"
)]

use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Perplexity of the f16 weights on `text_ppl_shared.txt`, made with torch.
const REFERENCE_PERPLEXITY: f64 = 7.323;
/// What agreement with the reference is asked for.
const MAX_PERPLEXITY_ERROR: f64 = 0.005;

fn trimtab(data_dir: &Path, arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .args(arguments)
        .arg("--json")
        .env("TRIMTAB_DATA_DIR", data_dir)
        .env("TRIMTAB_OFFLINE", "1")
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("exactly one JSON document")
}

fn number(document: &Value, field: &str) -> f64 {
    document[field]
        .as_f64()
        .unwrap_or_else(|| panic!("no number `{field}` in {document}"))
}

fn acceptance_file(name: &str) -> String {
    let folder = env::var("TRIMTAB_ACCEPTANCE_DIR").expect("set TRIMTAB_ACCEPTANCE_DIR");
    let path = PathBuf::from(folder).join("golden").join(name);
    path.to_str().expect("UTF-8").to_owned()
}

/// A data folder that holds the model under the name `smol`.
fn data_dir_with_model() -> tempfile::TempDir {
    let model = env::var("TRIMTAB_TEST_MODEL_SMOLLM2")
        .expect("set TRIMTAB_TEST_MODEL_SMOLLM2 to the path of the model's GGUF file");
    let folder = tempfile::tempdir().expect("a folder for the test");
    let imported = trimtab(
        folder.path(),
        &["models", "import", &model, "--name", "smol"],
    );
    assert_eq!(imported["name"], "smol");
    folder
}

#[test]
fn documents_of_the_model_commands_have_their_documented_fields() {
    let folder = data_dir_with_model();
    let run = |arguments: &[&str]| trimtab(folder.path(), arguments);

    let made = run(&["compress", "--model", "smol", "--recipe", "int8"]);
    assert_eq!(made["variant"], "smol:int8");
    assert_eq!(made["digest"].as_str().map(str::len), Some(64));
    assert!(number(&made, "size_bytes") > 1e8);
    assert!(number(&made["layers"][0], "error") > 0.0 && made["layers"][0]["name"].is_string());

    let tokens = run(&["tokenize", "--model", "smol", "--text", "def f(x):"]);
    assert_eq!(tokens["ids"], serde_json::json!([1604, 275, 24, 104, 727]));

    let prompt = [
        "generate",
        "--variant",
        "smol:int8",
        "--prompt",
        "def add(a, b):",
    ];
    let answer = run(&[&prompt[..], &["--max-tokens", "8"]].concat());
    assert_eq!(answer["finish_reason"], "length");
    assert_eq!(answer["token_ids"].as_array().map(Vec::len), Some(8));
    assert!(answer["text"].is_string());
    assert!(number(&answer["timings"], "predicted_per_second") > 0.0);

    let sizes = [
        "--prompt-tokens",
        "32",
        "--gen-tokens",
        "8",
        "--repeats",
        "2",
    ];
    let rows = run(&[&["bench", "--variant", "smol:int8"], &sizes[..]].concat());
    let rows = rows.as_array().expect("a list");
    assert_eq!(rows.len(), 2, "one row for prefill, one for decoding");
    for row in rows {
        assert_eq!(row["variant"], "smol:int8");
        assert!(number(row, "avg_ts") > 0.0 && number(row, "stddev_ts") >= 0.0);
        assert!(number(row, "peak_memory_bytes") >= number(row, "model_size"));
    }
}

#[test]
fn perplexity_agrees_with_the_reference() {
    let folder = data_dir_with_model();
    let text = acceptance_file("text_ppl_shared.txt");
    let arguments = ["perplexity", "--variant", "smol:f16", "--text", &text];
    let result = trimtab(folder.path(), &arguments);
    let error = (number(&result, "perplexity") / REFERENCE_PERPLEXITY - 1.0).abs();
    assert!(error < MAX_PERPLEXITY_ERROR, "{result}");
    assert_eq!(
        (&result["context"], result["n_tokens"].as_u64()),
        (&Value::from(512), Some(2042))
    );
}

#[test]
fn a_run_evaluates_and_is_analyzed() {
    let folder = data_dir_with_model();
    let arguments = [
        "evaluate",
        "--variants",
        "smol:f16,smol:int4",
        "--suite",
        "starter",
    ];
    let short = ["--limit", "1", "--max-tokens", "16"];
    let evaluated = trimtab(folder.path(), &[&arguments[..], &short[..]].concat());
    let run = evaluated["run"]
        .as_str()
        .expect("the run's number")
        .to_owned();
    let results = evaluated["results"].as_array().expect("a list");
    let is_scored = |variant: &str| {
        results.iter().any(|result| {
            result["variant"] == variant
                && result["suite"] == "starter"
                && result["metric"] == "pass@1"
                && result["n"] == 1
                && number(result, "low") <= number(result, "high")
        })
    };
    assert!(
        is_scored("smol:f16") && is_scored("smol:int4"),
        "{evaluated}"
    );

    let analysis = trimtab(folder.path(), &["analyze", &run]);
    assert_eq!(analysis["baseline"], "smol:f16");
    assert_eq!(analysis["comparisons"][0]["variant"], "smol:int4");
    // One problem decides nothing about quality; the time of this machine may still decide on speed.
    let verdict = &analysis["comparisons"][0]["verdict"];
    assert!(
        verdict == "not_enough_data" || verdict == "fails",
        "{analysis}"
    );
    assert!(number(&analysis["comparisons"][0], "speedup") > 0.0);
    assert!(analysis["pareto_frontier"].is_array());
}
