//! Rust, by the `rustc` in `PATH` and a C linker; tests are `#[test]` functions.

use super::{Tools, first_line, missing, outside_usr, real_path};
use crate::bubblewrap::find_in_path;
use crate::steps::{COMPILE_LIMITS, Step};
use crate::{Language, Limits, Program, SandboxError, SourceFile};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const FINISH: &str = include_str!("../harness/finish.rs");

#[derive(Debug)]
pub(super) struct Rust {
    /// The folder of the toolchain; what is in `PATH` may be a chooser of toolchains.
    root: PathBuf,
    linker: PathBuf,
    version: String,
}

impl Rust {
    pub(super) fn find() -> Result<Self, SandboxError> {
        let language = Language::Rust;
        let found = find_in_path("rustc").ok_or_else(|| missing(language, "rustc"))?;
        let root =
            crate::launch::read_output(&found, &["--print", "sysroot"]).map_err(|error| {
                SandboxError::ToolchainUnusable {
                    language,
                    detail: error.to_string(),
                }
            })?;
        let root = real_path(language, Path::new(root.trim()))?;
        let linker = find_in_path("cc").ok_or_else(|| missing(language, "cc"))?;
        let linker = real_path(language, &linker)?;
        let version = first_line(language, &root.join("bin/rustc"), "--version")?;
        let version = version.split(" (").next().unwrap_or_default().to_owned();
        Ok(Self {
            root,
            linker,
            version,
        })
    }
}

impl Tools for Rust {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn folders(&self) -> Vec<PathBuf> {
        outside_usr(vec![self.root.clone()])
    }

    fn files(&self, program: &Program<'_>) -> Vec<SourceFile> {
        vec![SourceFile {
            path: "program.rs".into(),
            text: format!("{}{FINISH}", program.joined()),
        }]
    }

    fn compile(&self, _files: &[SourceFile]) -> Option<Step> {
        let mut linker = OsString::from("linker=");
        linker.push(&self.linker);
        let mut arguments: Vec<OsString> = vec![self.root.join("bin/rustc").into()];
        let rest = [
            "--test",
            "--edition=2021",
            "--crate-name=program",
            "--cap-lints=allow",
            "-Copt-level=0",
            "-Cdebuginfo=0",
            "-o",
            "/tmp/program",
            "/tmp/program.rs",
            "-C",
        ];
        arguments.extend(rest.iter().map(OsString::from));
        arguments.push(linker);
        Some(Step {
            arguments,
            // Without `/proc` the loader does not find libraries beside the program by itself.
            environment: vec![(
                "LD_LIBRARY_PATH",
                self.root.join("lib").display().to_string(),
            )],
            limits: COMPILE_LIMITS,
            limits_address_space: false,
        })
    }

    fn run(&self, limits: &Limits) -> Step {
        Step {
            arguments: ["/tmp/program", "--test-threads=1"]
                .iter()
                .map(OsString::from)
                .collect(),
            environment: vec![("RUST_BACKTRACE", "0".into())],
            limits: *limits,
            limits_address_space: true,
        }
    }

    fn sample(&self) -> [&'static str; 3] {
        [
            "fn one() -> i32 { 1 }",
            "#[test] fn is_one() { assert_eq!(one(), 1); }",
            "#[test] fn is_two() { assert_eq!(one(), 2); }",
        ]
    }
}
