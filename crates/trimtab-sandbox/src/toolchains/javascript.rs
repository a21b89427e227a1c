//! JavaScript, by Node.js; nothing is compiled.
//!
//! The heap is limited by the engine's own option, since it reserves far more address space than it
//! uses.

use super::{Tools, first_line, missing, outside_usr, real_path, widened};
use crate::bubblewrap::find_in_path;
use crate::steps::Step;
use crate::{Language, Limits, Program, SandboxError, SourceFile};
use std::path::{Path, PathBuf};

const HARNESS: &str = include_str!("../harness/harness.js");

/// What the engine takes besides the heap, and its threads.
const OWN_BYTES: u64 = 128 << 20;
const OWN_THREADS: u32 = 16;

#[derive(Debug)]
pub(super) struct Node {
    program: PathBuf,
    version: String,
}

impl Node {
    pub(super) fn find() -> Result<Self, SandboxError> {
        let language = Language::JavaScript;
        let found = find_in_path("node").ok_or_else(|| missing(language, "node"))?;
        let program = real_path(language, &found)?;
        let version = first_line(language, &program, "--version")?;
        Ok(Self { program, version })
    }
}

impl Tools for Node {
    fn version(&self) -> String {
        format!("Node.js {}", self.version.trim_start_matches('v'))
    }

    fn folders(&self) -> Vec<PathBuf> {
        let folder = self.program.parent().map(Path::to_owned);
        outside_usr(folder.into_iter().collect())
    }

    fn files(&self, program: &Program<'_>) -> Vec<SourceFile> {
        let harness = SourceFile {
            path: "harness.js".into(),
            text: HARNESS.into(),
        };
        let own = SourceFile {
            path: "program.js".into(),
            text: program.joined(),
        };
        vec![harness, own]
    }

    fn compile(&self, _files: &[SourceFile]) -> Option<Step> {
        None
    }

    fn run(&self, limits: &Limits) -> Step {
        let heap = format!(
            "--max-old-space-size={}",
            (limits.memory_bytes >> 20).max(16)
        );
        Step {
            arguments: vec![
                self.program.clone().into(),
                heap.into(),
                "--single-threaded".into(),
                "/tmp/harness.js".into(),
            ],
            environment: vec![("UV_THREADPOOL_SIZE", "1".into())],
            limits: widened(limits, OWN_BYTES, OWN_THREADS),
            limits_address_space: false,
        }
    }

    fn sample(&self) -> [&'static str; 3] {
        [
            "function one() { return 1; }",
            "console.assert(one() === 1);",
            "console.assert(one() === 2);",
        ]
    }
}
