//! Shows how the memory of a process grows while a variant is loaded and first used.
//!
//! `cargo run --release -p trimtab-service -p trimtab-runtime --example memory -- ARTIFACT MODEL`,
//! where MODEL is the file or folder that has the tokenizer. Without ARTIFACT, `memory MODEL`
//! builds the tokenizer alone. Sizes are in kB, as Linux counts them.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program prints"
)]

use std::{error::Error, path::Path, process::ExitCode};
use trimtab_domain::DeviceName;
use trimtab_models::{ModelFiles, SpecialTokens};
use trimtab_runtime::Engine;

const TEXT: &str = "def middle(values):\n    return sorted(values)[len(values) // 2]\n";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let paths: Vec<&Path> = arguments.iter().map(Path::new).collect();
    let done = match paths.as_slice() {
        [model] => tokenizer_alone(model),
        [artifact, model] => engine(artifact, model),
        _ => Err("say `memory MODEL` or `memory ARTIFACT MODEL`".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tokenizer_alone(model: &Path) -> Result<(), Box<dyn Error>> {
    show("the program")?;
    let files = ModelFiles::open(model)?;
    show("its files open")?;
    let tokenizer = files.tokenizer()?;
    show("the tokenizer")?;
    drop(files);
    show("its files closed")?;
    let ids = tokenizer.encode(TEXT, SpecialTokens::AsText)?;
    show(&format!("{} tokens", ids.len()))
}

fn engine(artifact: &Path, model: &Path) -> Result<(), Box<dyn Error>> {
    show("the program")?;
    let engine = Engine::load(artifact, model, DeviceName::Cpu)?;
    println!("{:20} {:>9}", "weights", engine.weights().0 / 1024);
    show("the engine")?;
    let ids = engine.encode_text(TEXT)?;
    engine.next_token_logits(&ids)?;
    show("one answer")
}

/// Resident memory of this process: its own, that of mapped files, and the most there was.
fn show(stage: &str) -> Result<(), Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("?", |line| line.trim().trim_end_matches(" kB"))
    };
    let (own, files, peak) = (field("RssAnon:"), field("RssFile:"), field("VmHWM:"));
    println!("{stage:20} own {own:>8}  files {files:>8}  peak {peak:>8}");
    Ok(())
}
