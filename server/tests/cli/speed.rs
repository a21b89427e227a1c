//! Speed and memory as the commands tell them, of a tiny model, and the lease under which they are
//! measured. How fast anything is, is the machine's affair.

use crate::program::{answered, command, folder, json, refused, stderr, stdout, trimtab};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::Path,
    process::Stdio,
};
use trimtab_models::tiny::{TinyModel, write_tiny_gguf};

fn import_tiny(data: &Path) {
    write_tiny_gguf(&data.join("tiny.gguf"), &TinyModel::default()).expect("writable");
    answered(data, &["models", "import", "tiny.gguf"]);
}

/// The matrix of a model of 2,048 tokens.
#[track_caller]
fn check_matrix(matrix: &Value) {
    let contexts = matrix["contexts"].as_array().expect("rows");
    let tokens: Vec<u64> = contexts
        .iter()
        .filter_map(|row| row["context"].as_u64())
        .collect();
    assert_eq!(tokens, [128, 1024], "{matrix}");
    for row in contexts {
        assert_eq!(row["ttft_ms"]["n"], 5, "{matrix}");
        let batches = row["batches"].as_array().expect("cells");
        let sizes: Vec<u64> = batches
            .iter()
            .filter_map(|cell| cell["batch"].as_u64())
            .collect();
        assert_eq!(sizes, [1, 4, 16], "{matrix}");
        assert!(
            batches
                .iter()
                .all(|cell| cell["output_tokens_per_s"]["n"] == 5),
            "{matrix}"
        );
    }
    assert_eq!(matrix["left_out"][0]["context"], 4096, "{matrix}");
    assert_eq!(matrix["left_out"][0]["reason"]["kind"], "too_long");
}

#[test]
fn a_bench_tells_gaps_processor_time_and_what_memory_holds() {
    let folder = folder();
    let data = folder.path();
    import_tiny(data);
    let mut bench = vec!["bench", "--variant", "tiny:f32", "--prompt-tokens", "16"];
    bench.extend(["--gen-tokens", "4", "--batch", "1,2"]);
    let rows = answered(data, &bench);
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["gaps_ms"], Value::Null);
    for row in &rows[1..] {
        // 5 repeats of 4 steps each, however many sequences take part.
        assert_eq!(row["gaps_ms"]["n"], 20, "{row}");
    }
    for row in rows {
        let bytes = |name: &str| row[name].as_u64().expect("bytes");
        assert_eq!(row["cpu_s_per_1000"]["n"], 5);
        assert_eq!(
            bytes("peak_memory_bytes"),
            bytes("model_size") + bytes("kv_cache_bytes") + bytes("rest_bytes"),
            "{row}"
        );
    }
    let words = stdout(&trimtab(data, &bench));
    assert!(words.contains("GAPS P50/P90/P95/P99"), "{words}");
    assert!(words.contains("(n = 20)"), "{words}");
    assert!(words.contains("after 1 warm-up"), "{words}");

    let matrix = ["bench", "--variant", "tiny:f32", "--matrix"];
    check_matrix(&answered(data, &matrix)["matrix"]);
    let words = stdout(&trimtab(data, &matrix));
    assert!(words.contains("TOKENS/S, BATCH 16"), "{words}");
    assert!(words.contains("context 4096 left out"), "{words}");
    let both = [&matrix[..], &["--batch", "2"]].concat();
    assert_eq!(trimtab(data, &both).status.code(), Some(2));
}

#[test]
fn a_run_measures_as_deep_as_it_was_asked_to() {
    let folder = folder();
    let data = folder.path();
    import_tiny(data);
    let mut evaluate = vec!["evaluate", "--variants", "tiny:f32", "--suite", "starter"];
    evaluate.extend(["--limit", "1", "--max-tokens", "2"]);
    answered(data, &[&evaluate[..], &["--performance", "full"]].concat());
    answered(data, &evaluate);

    let full = answered(data, &["runs", "show", "1"]);
    assert_eq!(full["spec"]["performance"], "full");
    assert_eq!(full["manifest"]["spec"]["performance"], "full");
    let performance = &full["results"][0]["performance"];
    check_matrix(&performance["matrix"]);
    let quick = answered(data, &["runs", "show", "2"]);
    assert_eq!(quick["spec"]["performance"], "quick");
    let performance = &quick["results"][0]["performance"];
    assert_eq!(performance["matrix"], Value::Null);
    let detail = &performance["detail"];
    assert_eq!(
        (&detail["ttft_ms"]["n"], &detail["gaps_ms"]["n"]),
        (&5.into(), &320.into())
    );
    for command in [&["runs", "show", "1"][..], &["analyze", "1"]] {
        let words = stdout(&trimtab(data, command));
        assert!(words.contains("Speed and memory"), "{words}");
        assert!(words.contains("TOKENS/S, BATCH 4"), "{words}");
    }
    let wrong = [&evaluate[..], &["--performance", "deep"]].concat();
    assert!(refused(&wrong).contains("depths are `quick` and `full`"));
}

#[test]
fn a_bench_waits_for_whoever_measures_and_says_so() {
    let folder = folder();
    let data = folder.path();
    import_tiny(data);
    answered(data, &["compress", "--model", "tiny", "--recipe", "int8"]);
    let leases = data.join("leases");
    fs::create_dir_all(&leases).expect("writable");
    let path = leases.join("cpu.lease");
    fs::write(&path, "process 7 (bench of m:f16)").expect("writable");
    let held = File::options().write(true).open(&path).expect("there");
    held.lock().expect("nobody else has it");

    let mut bench = vec!["bench", "--variant", "tiny:int8", "--prompt-tokens", "4"];
    bench.extend(["--gen-tokens", "2", "--repeats", "1", "--json"]);
    let mut child = command(data, &bench)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let said = BufReader::new(child.stderr.take().expect("piped"));
    let waits = said
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("waiting for"))
        .expect("it says that it waits");
    assert!(
        waits.contains("waiting for `cpu`: process 7 (bench of m:f16) measures there"),
        "{waits}"
    );
    assert!(child.try_wait().expect("known").is_none());
    drop(held);
    let mut answer = String::new();
    let mut out = child.stdout.take().expect("piped");
    out.read_to_string(&mut answer).expect("UTF-8");
    assert!(child.wait().expect("it ends").success());
    let rows: Value = serde_json::from_str(&answer).expect("one document");
    assert_eq!(rows.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_folder_of_leases_that_others_can_write_to_is_refused() {
    let folder = folder();
    let data = folder.path();
    import_tiny(data);
    answered(data, &["compress", "--model", "tiny", "--recipe", "int8"]);
    fs::write(data.join("leases"), "a file").expect("writable");
    let output = trimtab(data, &["bench", "--variant", "tiny:int8", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let body = json(&output);
    let error = body["error"].as_str().expect("told");
    assert!(error.contains("only this user may write to"), "{error}");
    let hint = body["hint"].as_str().expect("told");
    assert!(hint.contains("TRIMTAB_LEASES"), "{hint}");
}
