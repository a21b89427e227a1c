//! `trimtab doctor`: what works, and what a model needs.

use crate::program::{folder, json, refused, stderr, stdout, trimtab};

#[test]
fn doctor_tells_what_works() {
    let folder = folder();
    let output = trimtab(folder.path(), &["doctor", "--json"]);
    let checks = json(&output);
    let checks = checks.as_array().expect("a list");
    assert!(!checks.is_empty());
    for check in checks {
        assert!(
            check["name"].is_string() && check["detail"].is_string(),
            "{check}"
        );
        assert!(
            ["ok", "warning", "error"]
                .iter()
                .any(|status| check["status"] == *status)
        );
    }
}

#[test]
fn doctor_tells_what_a_model_needs_before_it_is_fetched() {
    let folder = folder();
    let name = "smollm2-135m-instruct";
    let output = trimtab(folder.path(), &["doctor", "--model", name, "--json"]);
    let view = json(&output);
    assert_eq!(
        (&view["model"], &view["n_tokens"]),
        (&name.into(), &4096.into())
    );
    let presets = view["presets"].as_array().expect("a list");
    let names: Vec<_> = presets.iter().map(|need| need["preset"].clone()).collect();
    assert_eq!(names[..5], ["f32", "f16", "bf16", "int8", "int4"]);
    // 134.5 million weights, as the file's header says them, in four bytes each.
    assert_eq!(presets[0]["need"]["weights"], 538_060_032);
    // 30 layers · 2 · 3 heads · 64 channels · 4,096 tokens, two bytes each.
    assert_eq!(presets[0]["need"]["kv_cache"], 94_371_840);
    assert!(presets[0]["fits"][0].is_string());
    let text = stdout(&trimtab(
        folder.path(),
        &[
            "doctor",
            "--model",
            name,
            "--context",
            "1024",
            "--kv",
            "int8",
        ],
    ));
    assert!(
        text.contains("text of 1024 tokens, its keys and values in int8"),
        "{text}"
    );
    assert!(
        text.contains("PRESET") && text.contains("free of"),
        "{text}"
    );
}

#[test]
fn doctor_refuses_what_it_cannot_tell() {
    let model = "smollm2-135m-instruct";
    let said = refused(&["doctor", "--model", model, "--context", "100000"]);
    assert!(said.contains("is not between 1 and 4096"), "{said}");
    let said = refused(&["doctor", "--model", model, "--kv", "int3"]);
    assert!(said.contains("use f32, f16 or int8"), "{said}");
    refused(&["doctor", "--context", "5"]);
    let folder = folder();
    let output = trimtab(folder.path(), &["doctor", "--model", "./none.gguf"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("neither a model nor a file"));
}
