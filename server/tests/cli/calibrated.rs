//! Recipes with a calibration text, from the command line.

use crate::program::{answered, folder, stderr, trimtab};
use serde_json::Value;
use std::{fs, path::Path};
use trimtab_models::tiny::{TinyModel, write_tiny_gguf};

/// A recipe that reads `text` as its calibration, 4 sequences of 64 tokens.
fn write_calibrated_recipe(data_dir: &Path, text: &str) {
    let recipe = r#"
        name = "careful"
        [[steps]]
        method = "gptq"
        bits = 4
        group_size = 64
        symmetric = false
        embedding_bits = 16
        activations = "float"
        [steps.calibration]
        sequences = 4
        sequence_length = 64
        sources = [{ file = "notes.txt" }]
    "#;
    fs::write(data_dir.join("careful.toml"), recipe).expect("writable");
    fs::write(data_dir.join("notes.txt"), text).expect("writable");
}

#[test]
fn a_calibrated_recipe_is_carried_out_once_under_any_name() {
    let folder = folder();
    let data = folder.path();
    write_tiny_gguf(&data.join("tiny.gguf"), &TinyModel::default()).expect("writable");
    answered(data, &["models", "import", "tiny.gguf"]);
    write_calibrated_recipe(data, &"Some words about sheep. ".repeat(20));
    let compress = ["compress", "--model", "tiny", "--recipe", "careful.toml"];
    let made = answered(data, &compress);
    assert_eq!(made["variant"], "tiny:careful");
    let layers = made["layers"].as_array().expect("a report");
    let has_error = |layer: &&Value| layer["output_error"].as_f64().is_some_and(|e| e > 0.0);
    assert_eq!(layers.iter().filter(has_error).count(), 2 * 7);
    let again = answered(data, &[&compress[..], &["--name", "mine"]].concat());
    assert_eq!(again["digest"], made["digest"]);
    // The times, too: nothing was measured again.
    assert_eq!(again["layers"], made["layers"]);
    let left = fs::read_dir(data.join("tmp")).expect("there").count();
    assert_eq!(left, 0, "nothing unfinished is left");
}

#[test]
fn calibration_texts_that_cannot_be_used_are_refused() {
    const HANDBOOK: &str = include_str!("../../../crates/trimtab-eval/texts/handbook.txt");
    let folder = folder();
    let data = folder.path();
    write_tiny_gguf(&data.join("tiny.gguf"), &TinyModel::default()).expect("writable");
    answered(data, &["models", "import", "tiny.gguf"]);
    for (text, message) in [
        ("too short", "gives 0 sequences of 64 tokens, not 4"),
        (" \n", "calibration text `notes.txt` is empty"),
        (HANDBOOK, "shares 13 words with perplexity text `handbook`"),
    ] {
        write_calibrated_recipe(data, text);
        let compress = ["compress", "--model", "tiny", "--recipe", "careful.toml"];
        let output = trimtab(data, &compress);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(message) && said.contains("hint: "), "{said}");
    }
}
