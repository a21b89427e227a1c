//! Variants of a tiny model: made, used, exported, and refused.

use crate::program::{answered, folder, stderr, trimtab};
use serde_json::Value;
use std::{fs, path::Path};
use trimtab_models::tiny::{TinyModel, write_tiny_gguf};

/// Greedy tokens of a variant, which is made first.
#[track_caller]
fn greedy_tokens(data_dir: &Path, model: &str, recipe: &str) -> Value {
    let compress = ["compress", "--model", model, "--recipe", recipe];
    answered(data_dir, &compress);
    let variant = format!("{model}:{recipe}");
    let mut generate = vec!["generate", "--variant", &variant, "--prompt", "Hello"];
    generate.extend(["--max-tokens", "8", "--temperature", "0", "--ignore-end"]);
    answered(data_dir, &generate)["token_ids"].clone()
}

#[test]
fn a_variant_is_exported_and_imported_again() {
    let folder = folder();
    let data = folder.path();
    write_tiny_gguf(&data.join("tiny.gguf"), &TinyModel::default()).expect("writable");
    answered(data, &["models", "import", "tiny.gguf"]);
    let want = greedy_tokens(data, "tiny", "int8");
    let mut export = vec!["compress", "--model", "tiny", "--recipe", "int8"];
    export.extend(["--export", "gguf", "--out", "out"]);
    let exported = answered(data, &export)["export"].clone();
    assert_eq!(exported["format"], "gguf");
    assert_eq!(exported["weights"]["requantised"], 0);
    let path = exported["path"].as_str().expect("a path");
    let size = fs::metadata(data.join(path))
        .expect("the file is there")
        .len();
    assert_eq!(exported["size_bytes"], size);
    answered(data, &["models", "import", path, "--name", "again"]);
    assert_eq!(greedy_tokens(data, "again", "f32"), want);

    let output = trimtab(data, &export);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("the folder is not empty"));
    let mut as_folder = vec!["compress", "--model", "tiny", "--recipe", "int8"];
    as_folder.extend(["--export", "hf", "--out", "folder"]);
    let output = trimtab(data, &as_folder);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("hint: export as `gguf`"));
    assert!(!data.join("folder").exists());
}

#[test]
fn codes_of_a_file_that_stores_none_cannot_be_kept() {
    let folder = folder();
    let data = folder.path();
    write_tiny_gguf(&data.join("tiny.gguf"), &TinyModel::default()).expect("writable");
    answered(data, &["models", "import", "tiny.gguf"]);
    let output = trimtab(data, &["compress", "--model", "tiny", "--recipe", "keep"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.contains("error: the model stores no codes to keep"),
        "{said}"
    );
    assert!(said.contains("hint: choose another recipe"), "{said}");
}

#[test]
fn progress_names_layers_and_is_quiet_where_the_answer_is_json() {
    let folder = folder();
    let data = folder.path();
    write_tiny_gguf(&data.join("tiny.gguf"), &TinyModel::default()).expect("writable");
    answered(data, &["models", "import", "tiny.gguf"]);
    let output = trimtab(data, &["compress", "--model", "tiny", "--recipe", "int8"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(" %, layer "), "{said}");
    let output = trimtab(
        data,
        &["compress", "--model", "tiny", "--recipe", "int4", "--json"],
    );
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_recipe_file_is_refused_with_line_and_key() {
    let folder = folder();
    let data = folder.path();
    let recipe = "name = \"x\"\n\n[[steps]]\nmethod = \"cast\"\nto = \"f8\"\n";
    fs::write(data.join("bad.toml"), recipe).expect("writable");
    let output = trimtab(data, &["compress", "--model", "m", "--recipe", "bad.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.contains("`bad.toml`: recipe, line 5: unknown variant `f8`"),
        "{said}"
    );
    assert!(said.contains("hint: a recipe has a `name`"), "{said}");
}
