//! Recipes of several steps as a user meets them: a file, a variant, its report, an answer.

use crate::program::{answered, folder, stderr, trimtab};
use serde_json::Value;
use std::{fs, path::Path};
use trimtab_models::tiny::{TinyModel, write_tiny_gguf};

fn import_tiny(data_dir: &Path) {
    write_tiny_gguf(&data_dir.join("tiny.gguf"), &TinyModel::default()).expect("writable");
    answered(data_dir, &["models", "import", "tiny.gguf"]);
}

/// Makes a variant by a recipe file, and lets it answer; returns what was said of it.
fn made(data_dir: &Path, name: &str, steps: &str) -> Value {
    let file = format!("{name}.toml");
    fs::write(
        data_dir.join(&file),
        format!("name = \"{name}\"\n{steps}\n"),
    )
    .expect("writable");
    let made = answered(
        data_dir,
        &["compress", "--model", "tiny", "--recipe", &file],
    );
    let variant = format!("tiny:{name}");
    let mut generate = vec!["generate", "--variant", &variant, "--prompt", "Hello"];
    generate.extend(["--max-tokens", "4", "--temperature", "0", "--ignore-end"]);
    let answer = answered(data_dir, &generate);
    assert_eq!(answer["token_ids"].as_array().map(Vec::len), Some(4));
    made
}

const CODES: &str = "[[steps]]\nmethod = \"rtn\"\nbits = 4\ngroup_size = 64\nsymmetric = false\n\
                     embedding_bits = 16\nactivations = \"float\"";

#[test]
fn weights_pruned_by_a_pattern_make_a_smaller_file() {
    let folder = folder();
    let data = folder.path();
    import_tiny(data);
    let cast = "[[steps]]\nmethod = \"cast\"\nto = \"f16\"";
    let prune = "[[steps]]\nmethod = \"prune\"\nby = \"magnitude\"\nsparsity = ";
    let pattern = made(data, "pattern", &format!("{prune}\"2:4\"\n{cast}"));
    let half = made(data, "half", &format!("{prune}0.5\n{cast}"));
    let size = |made: &Value| made["size_bytes"].as_u64().expect("a size");
    // Of 141,312 weights in the blocks, 9 bits instead of 16.
    let saved = size(&half) - size(&pattern);
    assert!((100_000..141_312 * 7 / 8).contains(&saved), "{saved}");
    let as_text = ["compress", "--model", "tiny", "--recipe", "pattern.toml"];
    let output = trimtab(data, &as_text);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("stored without the zeros"), "{said}");
}

#[test]
fn channels_are_scaled_and_bits_chosen_before_weights_are_rounded() {
    let folder = folder();
    let data = folder.path();
    import_tiny(data);
    let steps = format!(
        "[[steps]]\nmethod = \"choose_bits\"\nbudget_bits = 7.0\n[steps.calibration]\nsequences = 2\n\
         sequence_length = 32\n[[steps]]\nmethod = \"awq\"\n{CODES}"
    );
    let made = made(data, "mixed", &steps);
    let layers = made["layers"].as_array().expect("a report");
    let n_with = |key: &str| {
        let has = |layer: &&serde_json::Value| layer[key].is_array() || layer[key].is_object();
        layers.iter().filter(has).count()
    };
    assert_eq!(n_with("bit_losses"), 2 * 7);
    // All but the output of attention: two key heads do not make what six query heads read.
    assert_eq!(n_with("channel_scales"), 2 * 6);
    let as_text = ["compress", "--model", "tiny", "--recipe", "mixed.toml"];
    let output = trimtab(data, &as_text);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("weights by chosen width: "), "{said}");
}

#[test]
fn a_budget_below_all_widths_is_refused_with_a_hint() {
    let folder = folder();
    let data = folder.path();
    import_tiny(data);
    let steps = format!(
        "name = \"x\"\n[[steps]]\nmethod = \"choose_bits\"\nbudget_bits = 2.5\n\
         calibration = {{ sequences = 2, sequence_length = 32 }}\n{CODES}"
    );
    fs::write(data.join("x.toml"), steps).expect("writable");
    let output = trimtab(data, &["compress", "--model", "tiny", "--recipe", "x.toml"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("bits cannot be chosen: the budget is"),
        "{said}"
    );
    assert!(said.contains("hint: raise the budget"), "{said}");
}
