//! Java, by the JDK whose `javac` is in `PATH`.
//!
//! The virtual machine is kept small: one collector thread, the first compiler only, shared class
//! data, no performance files. Its heap is limited by its own option, since it reserves far more
//! address space than it uses.

use super::{Tools, first_line, missing, outside_usr, real_path, sources, widened};
use crate::bubblewrap::find_in_path;
use crate::program::public_class;
use crate::steps::{COMPILE_LIMITS, Step};
use crate::{Language, Limits, Program, SandboxError, SourceFile};
use std::ffi::OsString;
use std::path::PathBuf;

const HARNESS: &str = include_str!("../harness/TrimtabHarness.java");

/// A support class with this name has the main method that counts. It is told to the harness in its
/// text, so that no program can name another.
const RUNNER: &str = "TrimtabRunner";

/// Where the compiled program lies.
const CLASSES: &str = "/tmp/classes";

/// What the virtual machine takes besides the heap, and its threads.
const OWN_BYTES: u64 = 192 << 20;
const OWN_THREADS: u32 = 32;

const SMALL: [&str; 5] = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:ActiveProcessorCount=1",
    "-Xshare:auto",
];

#[derive(Debug)]
pub(super) struct Java {
    home: PathBuf,
    version: String,
}

impl Java {
    pub(super) fn find() -> Result<Self, SandboxError> {
        let language = Language::Java;
        let found = find_in_path("javac").ok_or_else(|| missing(language, "javac"))?;
        let compiler = real_path(language, &found)?;
        let home = compiler
            .parent()
            .and_then(|bin| bin.parent())
            .ok_or_else(|| missing(language, "javac"))?
            .to_owned();
        if !home.join("bin/java").is_file() {
            return Err(missing(language, "java"));
        }
        let version = first_line(language, &compiler, "-version")?;
        Ok(Self { home, version })
    }

    /// Without `/proc` the loader does not find libraries beside the program by itself.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let folder = self.home.join("lib").display().to_string();
        vec![("LD_LIBRARY_PATH", folder)]
    }

    fn program(&self, name: &str) -> OsString {
        self.home.join("bin").join(name).into()
    }
}

impl Tools for Java {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn folders(&self) -> Vec<PathBuf> {
        // Debian keeps the configuration of the virtual machine elsewhere.
        let settings = std::fs::canonicalize(self.home.join("lib/jvm.cfg"))
            .ok()
            .and_then(|file| file.parent().map(PathBuf::from))
            .filter(|folder| !folder.starts_with(&self.home));
        outside_usr(std::iter::once(self.home.clone()).chain(settings).collect())
    }

    fn files(&self, program: &Program<'_>) -> Vec<SourceFile> {
        let text = program.joined();
        let path = format!("program/{}.java", public_class(&text));
        let named = format!("RUNNER = \"{RUNNER}\"");
        let harness = SourceFile {
            path: "TrimtabHarness.java".into(),
            text: match has_runner(program) {
                true => HARNESS.replace("RUNNER = \"\"", &named),
                false => HARNESS.into(),
            },
        };
        vec![harness, SourceFile { path, text }]
    }

    fn compile(&self, files: &[SourceFile]) -> Option<Step> {
        let mut arguments = vec![self.program("javac")];
        arguments.extend(SMALL.iter().map(|flag| format!("-J{flag}").into()));
        let rest = [
            "-J-Xmx512m",
            "-encoding",
            "UTF-8",
            "-proc:none",
            "-nowarn",
            "-d",
            CLASSES,
        ];
        arguments.extend(rest.iter().map(OsString::from));
        arguments.extend(sources(files, "java"));
        Some(Step {
            arguments,
            environment: self.environment(),
            limits: COMPILE_LIMITS,
            limits_address_space: false,
        })
    }

    fn built(&self, program: &Program<'_>) -> Option<&'static str> {
        has_runner(program).then_some(CLASSES)
    }

    fn run(&self, limits: &Limits) -> Step {
        let mut arguments = vec![self.program("java")];
        arguments.extend(SMALL.iter().map(OsString::from));
        arguments.push(format!("-Xmx{}k", (limits.memory_bytes >> 10).max(4 << 10)).into());
        let rest = [
            "-XX:+ExitOnOutOfMemoryError",
            "-Dfile.encoding=UTF-8",
            "-ea",
            "-cp",
            CLASSES,
            "TrimtabHarness",
            CLASSES,
        ];
        arguments.extend(rest.iter().map(OsString::from));
        Step {
            arguments,
            environment: self.environment(),
            limits: widened(limits, OWN_BYTES, OWN_THREADS),
            limits_address_space: false,
        }
    }

    fn sample(&self) -> [&'static str; 3] {
        [
            "class Sample { static int one() { return 1; }",
            "public static void main(String[] a) { assert one() == 1; } }",
            "public static void main(String[] a) { assert one() == 2; } }",
        ]
    }
}

fn has_runner(program: &Program<'_>) -> bool {
    let name = format!("{RUNNER}.java");
    program.support.iter().any(|file| file.path == name)
}
