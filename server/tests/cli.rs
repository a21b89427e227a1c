//! The built program as scripts use it: exit status, error lines, JSON.
#![expect(
    clippy::disallowed_methods,
    reason = "the program under test is a process"
)]

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use trimtab_models::tiny::{TinyModel, write_tiny_gguf};

/// Runs a command to its end; one that does not end within a minute is killed and fails the test.
fn trimtab(data_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = command(data_dir, arguments);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.expect("the program starts");
    let id = child.id().to_string();
    let (done, watchdog) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let is_late =
            watchdog.recv_timeout(Duration::from_mins(1)) == Err(RecvTimeoutError::Timeout);
        if is_late {
            // Its output then ends, and the assertions on it fail.
            let _ = Command::new("kill").args(["-KILL", &id]).status();
        }
    });
    let output = child.wait_with_output().expect("its output can be read");
    drop(done);
    output
}

fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
    command.args(arguments).env("TRIMTAB_DATA_DIR", data_dir);
    command
        .env("TRIMTAB_OFFLINE", "1")
        .env_remove("TRIMTAB_SITE_DIR")
        .env_remove("TRIMTAB_LOG");
    command.env_remove("RUST_BACKTRACE").current_dir(data_dir);
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// The one JSON document on standard output.
fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).expect("exactly one JSON document")
}

/// Runs a command that must be refused as bad input, and returns its standard error.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let folder = folder();
    let output = trimtab(folder.path(), arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(stdout(&output).is_empty());
    assert!(said.starts_with("error: "), "{said}");
    said
}

/// A folder with the one file that makes it a site.
fn site(folder: &Path) -> String {
    let site = folder.join("site");
    fs::create_dir_all(site.join("pkg")).expect("writable");
    fs::write(site.join("pkg/trimtab.wasm"), b"\0asm").expect("writable");
    site.to_str().expect("UTF-8").to_owned()
}

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
    assert_eq!(names, ["f32", "f16", "int8", "int4"]);
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

#[test]
fn a_worker_without_a_job_is_bad_input() {
    let folder = folder();
    let output = trimtab(folder.path(), &["worker"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).is_empty());
}

#[test]
fn serving_without_a_built_site_says_how_to_build_it() {
    let folder = folder();
    let missing = folder.path().join("nothing");
    let said = refused(&["serve", "--site-dir", missing.to_str().expect("UTF-8")]);
    assert!(said.starts_with("error: no built site in"), "{said}");
    assert!(said.contains("hint: run `make build`"), "{said}");
}

#[test]
fn serving_on_a_port_in_use_says_so_and_leaves_nothing_behind() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("bound").to_string();
    let data_dir = folder.path().join("data");
    fs::create_dir(&data_dir).expect("writable");
    let output = trimtab(
        &data_dir,
        &["serve", "--addr", &addr, "--site-dir", &site(folder.path())],
    );
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.contains(&format!("error: address {addr} is in use\nhint: ")),
        "{said}"
    );
    assert_eq!(fs::read_dir(&data_dir).expect("there").count(), 0);
}

/// A server that is killed when the test ends.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(data_dir: &Path, site_dir: &str) -> Self {
        let arguments = ["serve", "--addr", "127.0.0.1:0", "--site-dir", site_dir];
        let mut child = command(data_dir, &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("a first line");
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .expect("the address")
            .to_owned();
        Self { child, url }
    }

    fn tell(&self, signal: &str) {
        let id = self.child.id().to_string();
        let told = Command::new("kill")
            .args([signal, &id])
            .status()
            .expect("`kill` is there");
        assert!(told.success());
    }

    fn wait(&mut self, longest: Duration) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < longest {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has usually ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn serve_tells_its_address_and_ends_on_either_signal() {
    let folder = folder();
    let site_dir = site(folder.path());
    for signal in ["-TERM", "-INT"] {
        let mut server = Server::start(folder.path(), &site_dir);
        assert!(
            server.url.starts_with("http://127.0.0.1:"),
            "{}",
            server.url
        );
        server.tell(signal);
        assert_eq!(server.wait(Duration::from_secs(15)), Some(0), "{signal}");
    }
}

#[test]
fn two_servers_on_one_data_folder_are_refused() {
    let folder = folder();
    let site_dir = site(folder.path());
    let _first = Server::start(folder.path(), &site_dir);
    let second = trimtab(
        folder.path(),
        &["serve", "--addr", "127.0.0.1:0", "--site-dir", &site_dir],
    );
    let said = stderr(&second);
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(
        said.contains("error: ") && said.contains("hint: "),
        "{said}"
    );
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

/// Runs a command that must succeed, and returns its JSON answer.
#[track_caller]
fn answered(data_dir: &Path, arguments: &[&str]) -> Value {
    let output = trimtab(data_dir, &[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    json(&output)
}

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
    const HANDBOOK: &str = include_str!("../../crates/trimtab-eval/texts/handbook.txt");
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
