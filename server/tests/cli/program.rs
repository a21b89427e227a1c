//! Runs the built program.

use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};
use tempfile::TempDir;

/// Runs a command to its end; one that does not end within a minute is killed and fails the test.
pub(crate) fn trimtab(data_dir: &Path, arguments: &[&str]) -> Output {
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

pub(crate) fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
    command.args(arguments).env("TRIMTAB_DATA_DIR", data_dir);
    command
        .env("TRIMTAB_OFFLINE", "1")
        // Tests do not wait for each other, nor for what else is measured on this machine.
        .env("TRIMTAB_LEASES", data_dir.join("leases"))
        .env_remove("TRIMTAB_SITE_DIR")
        .env_remove("TRIMTAB_LOG");
    command.env_remove("RUST_BACKTRACE").current_dir(data_dir);
    command
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// The one JSON document on standard output.
pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).expect("exactly one JSON document")
}

/// Runs a command that must be refused as bad input, and returns its standard error.
#[track_caller]
pub(crate) fn refused(arguments: &[&str]) -> String {
    let folder = folder();
    let output = trimtab(folder.path(), arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(stdout(&output).is_empty());
    assert!(said.starts_with("error: "), "{said}");
    said
}

/// Runs a command that must succeed, and returns its JSON answer.
#[track_caller]
pub(crate) fn answered(data_dir: &Path, arguments: &[&str]) -> Value {
    let output = trimtab(data_dir, &[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    json(&output)
}
