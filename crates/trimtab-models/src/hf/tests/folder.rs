//! Settings, and which files of a folder are its weights.

use super::{TestFolder, one_tensor};
use crate::tensor_source::TensorSource;
use serde_json::json;

const INDEX: &str = "model.safetensors.index.json";

fn indexed(weight_map: &str) -> TestFolder {
    let folder = TestFolder::empty();
    folder.write("a.safetensors", one_tensor("a"));
    folder.write("b.safetensors", one_tensor("b"));
    folder.write(
        INDEX,
        format!(r#"{{"metadata":{{}},"weight_map":{weight_map}}}"#),
    );
    folder
}

#[test]
fn settings_are_read_and_missing_ones_are_none() {
    let folder = TestFolder::with_weights();
    folder.write("config.json", r#"{"hidden_size": 8}"#);
    folder.write("generation_config.json", r#"{"eos_token_id": [1, 2]}"#);
    let opened = folder.open();
    assert_eq!(opened.config()["hidden_size"], 8);
    assert_eq!(
        opened.generation_config(),
        Some(&json!({"eos_token_id": [1, 2]}))
    );
    assert!(opened.tokenizer_config().is_none());
    assert!(opened.special_tokens_map().is_none());
    assert_eq!(opened.tensors().names(), ["w"]);
    assert_eq!(opened.weights().names(), opened.tensors().names());
}

#[test]
fn bad_settings_are_named() {
    let folder = TestFolder::with_weights();
    folder.write("config.json", "[]");
    assert!(
        folder
            .refused()
            .ends_with("config.json` is not a JSON object")
    );
    folder.write("config.json", "{");
    assert!(
        folder
            .refused()
            .contains("config.json` cannot be understood: EOF")
    );
    folder.write("config.json", "[".repeat(100_000));
    assert!(folder.refused().contains("recursion limit"));
    folder.write("config.json", " ".repeat((16 << 20) + 1));
    assert!(folder.refused().contains("at most 16777216 are read"));
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    assert!(folder.refused().starts_with("cannot open `"));
}

#[test]
fn text_files_are_utf8_of_bounded_size() {
    let folder = TestFolder::with_weights();
    folder.write("merges.txt", [0xff]);
    let opened = folder.open();
    let error = opened.read_text("merges.txt", 9).unwrap_err().to_string();
    assert!(error.ends_with("merges.txt` is not UTF-8"), "{error}");
    assert_eq!(opened.read_text("vocab.json", 9).unwrap(), None);
}

#[test]
fn shards_are_joined() {
    let opened = indexed(r#"{"a":"a.safetensors","b":"b.safetensors"}"#).open();
    assert_eq!(opened.tensors().names(), ["a", "b"]);
    assert_eq!(opened.tensors().floats("b").unwrap(), [1.0]);
}

#[test]
fn tensors_that_the_index_does_not_list_count_too() {
    let folder = indexed(r#"{"a":"a.safetensors"}"#);
    folder.write(
        "a.safetensors",
        super::safetensors_bytes(
            r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"c":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}"#,
            &[1],
        ),
    );
    assert_eq!(folder.open().tensors().names(), ["a", "c"]);
}

#[test]
fn an_index_that_leads_out_of_the_folder_is_refused() {
    for shard in [
        "../a.safetensors",
        "/etc/passwd",
        "x/../../a",
        "",
        ".",
        "c:\\\\a",
        "x/./../y",
    ] {
        let error = indexed(&format!(r#"{{"a":"{shard}"}}"#)).refused();
        assert!(
            error.contains("which is no file of its folder"),
            "{shard}: {error}"
        );
    }
}

#[test]
fn an_index_that_contradicts_its_shards_is_refused() {
    for (weight_map, expected) in [
        ("{}", "names no shard"),
        ("[]", "cannot be understood"),
        (r#"{"a":1}"#, "cannot be understood"),
        (
            r#"{"a":"a.safetensors","a":"b.safetensors"}"#,
            "tensor `a` occurs twice",
        ),
        (r#"{"a":"c.safetensors"}"#, "the shard `c.safetensors`"),
        (
            r#"{"a":"b.safetensors","b":"b.safetensors"}"#,
            "tensor `a` is not in `b.safetensors`",
        ),
        (
            r#"{"a":"a.safetensors","x":"a.safetensors"}"#,
            "tensor `x` is not in `a.safetensors`",
        ),
    ] {
        let error = indexed(weight_map).refused();
        assert!(error.contains(expected), "{weight_map}: {error}");
    }
    let folder = indexed(r#"{"a":"a.safetensors","b":"b.safetensors"}"#);
    folder.write("b.safetensors", one_tensor("a"));
    let expected = "tensor `a` is in `a.safetensors` and in `b.safetensors`";
    assert_eq!(folder.refused(), expected);
    folder.write(INDEX, "{}");
    assert!(folder.refused().contains("missing field `weight_map`"));
}

#[test]
fn a_lone_weight_file_is_taken_whatever_its_name() {
    let folder = TestFolder::empty();
    assert!(folder.refused().starts_with("there are no weights in"));
    folder.write("gptq-4bit.safetensors", one_tensor("w"));
    folder.write("training_args.bin", "");
    folder.write("optimizer.pt", "");
    assert_eq!(folder.open().tensors().names(), ["w"]);
    folder.write("other.bin", "");
    let error = folder.refused();
    assert!(
        error.contains("(gptq-4bit.safetensors, other.bin)"),
        "{error}"
    );
}

#[test]
fn a_file_with_another_ending_is_refused() {
    let folder = TestFolder::empty();
    let path = folder.path().join("config.json");
    let error = super::super::WeightFiles::from_file(&path).unwrap_err();
    assert!(error.to_string().contains("is no weight file by its name"));
}
