//! Writes a tiny model with arbitrary weights, for tests that need a model file but not its sense.
//!
//! `cargo run --release -p trimtab-models --example tiny_gguf -- OUT.gguf`

#![expect(clippy::print_stderr, reason = "a program speaks on standard error")]

use std::{path::PathBuf, process::ExitCode};
use trimtab_models::tiny::{TinyModel, write_tiny_gguf};

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("error: no file was named\nhint: tiny_gguf OUT.gguf");
        return ExitCode::from(2);
    };
    match write_tiny_gguf(&path, &TinyModel::default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
