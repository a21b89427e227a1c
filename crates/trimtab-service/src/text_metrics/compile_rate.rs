//! The share of programs that their language's compiler takes, asked in the sandbox.

use super::{pairs::read_texts, require_metric};
use serde::Serialize;
use std::{num::NonZeroUsize, path::Path, sync::Arc, thread};
use trimtab_domain::{Failure, Verdict};
use trimtab_metrics::MetricId;
use trimtab_sandbox::{Language, Pool, Program, Sandbox, SandboxError};

/// Languages whose programs are compiled before they run.
const COMPILED: [Language; 3] = [Language::Java, Language::CSharp, Language::Rust];

/// The share with its 95 % Wilson interval.
#[derive(Clone, Debug, Serialize)]
pub struct CompileRateReply {
    /// The share.
    pub compile_rate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Programs.
    pub n: u32,
    /// Numbers of the lines that do not compile, from 1.
    pub refused_lines: Vec<usize>,
    /// All that changes the number.
    pub signature: String,
}

/// Compiles each line of a file as a program of its own, as many at a time as there are cores.
/// A text that is empty does not compile.
///
/// # Errors
///
/// A language that is not compiled or has no compiler here, a file that cannot be read, a failed
/// self-test.
pub fn compile_rate(programs: &Path, language: &str) -> Result<CompileRateReply, Failure> {
    let known = Language::parse(language).filter(|known| COMPILED.contains(known));
    let language = known.ok_or_else(|| {
        let names = COMPILED.map(Language::as_str).join(", ");
        Failure::bad_input(format!("`{language}` is no language that is compiled here"))
            .with_hint(format!("those are {names}"))
    })?;
    require_metric(MetricId::CompileRate)?;
    let texts = read_texts(programs)?;
    let n = texts.len() as u32;
    let sandbox = Arc::new(Sandbox::detect().map_err(of_sandbox)?);
    let toolchain = Arc::new(sandbox.toolchain(language).map_err(of_sandbox)?);
    let n_threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let pool = Pool::start(n_threads, move |(line, text): (usize, String)| {
        let program = Program {
            solution: &text,
            tests: "",
            support: &[],
        };
        let outcome = sandbox.compile(&toolchain, &program);
        let compiles = |verdict: Verdict| verdict == Verdict::Passed && !text.trim().is_empty();
        (line, outcome.map(|outcome| compiles(outcome.verdict)))
    });
    for (idx, text) in texts.into_iter().enumerate() {
        pool.submit((idx + 1, text));
    }
    let mut refused_lines = Vec::new();
    for (line, compiles) in pool.finish() {
        if !compiles.map_err(of_sandbox)? {
            refused_lines.push(line);
        }
    }
    refused_lines.sort_unstable();
    let share = trimtab_metrics::compile_rate(n - refused_lines.len() as u32, n)
        .expect("a file holds a text, and no more compile than there are");
    Ok(CompileRateReply {
        compile_rate: share.value,
        low: share.low,
        high: share.high,
        n,
        refused_lines,
        signature: MetricId::CompileRate.signature().map_err(Failure::failed)?,
    })
}

fn of_sandbox(error: SandboxError) -> Failure {
    let failure = Failure::failed(&error);
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn programs_are_counted_that_the_compiler_takes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("programs.jsonl");
        let texts = [
            "fn one() -> u8 { 1 }",
            "fn two() -> u8 { \"2\" }",
            "",
            "struct Three(u8);",
        ];
        let lines = texts.map(|text| serde_json::json!({ "text": text }).to_string());
        fs::write(&file, lines.join("\n")).unwrap();
        // Rust is here: it has compiled this test.
        let reply = compile_rate(&file, "rust").unwrap();
        assert_eq!((reply.n, reply.refused_lines), (4, vec![2, 3]));
        assert!((reply.compile_rate - 0.5).abs() < 1e-15);
        assert!(reply.low < 0.5 && 0.5 < reply.high);
    }

    #[test]
    fn languages_that_are_not_compiled_are_refused() {
        for language in ["python", "javascript", "cobol"] {
            let failure = compile_rate(Path::new("/no/such/file"), language).unwrap_err();
            assert!(
                failure
                    .message
                    .contains("no language that is compiled here")
            );
            assert_eq!(
                failure.hint.as_deref(),
                Some("those are java, csharp, rust")
            );
        }
        let failure = compile_rate(Path::new("/no/such/file"), "rust").unwrap_err();
        assert!(failure.message.starts_with("cannot read `/no/such/file`"));
    }
}
