//! C#, by Mono: its compiler `mcs` and its runtime, as a library.
//!
//! The runtime insists on two things that the sandbox does not give: a file `/proc/self/maps`, for
//! which an empty one does, and the place of the first thread's stack, which is why a small program
//! runs it on another thread.

use super::{Tools, first_line, missing, sources, widened};
use crate::bubblewrap::find_in_path;
use crate::steps::{COMPILE_LIMITS, Step};
use crate::{Language, Limits, Program, SandboxError, SourceFile};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const HARNESS: &str = include_str!("../harness/TrimtabHarness.cs");
const HOST: &str = include_str!("../harness/mono_host.py");

/// Where distributions put the runtime.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/libmonosgen-2.0.so.1",
    "/usr/lib/x86_64-linux-gnu/libmonosgen-2.0.so.1",
    "/usr/lib/aarch64-linux-gnu/libmonosgen-2.0.so.1",
    "/usr/lib64/libmonosgen-2.0.so.1",
];

/// The compiler and the assemblies.
const ASSEMBLIES: &str = "/usr/lib/mono/4.5";

/// What the runtime takes besides the heap, and its threads.
const OWN_BYTES: u64 = 64 << 20;
const OWN_THREADS: u32 = 16;

/// Assemblies that exercises use and the compiler does not add by itself.
const REFERENCES: [&str; 3] = ["System.dll", "System.Core.dll", "System.Numerics.dll"];

/// What .NET's SDK lets every program use without saying so; on the program's own first line, so that
/// errors name the right ones.
const IMPLICIT_USINGS: &str = "using System; using System.Collections.Generic; using System.IO; \
    using System.Linq; using System.Threading; using System.Threading.Tasks; ";

#[derive(Debug)]
pub(super) struct Mono {
    python: PathBuf,
    runtime: PathBuf,
    version: String,
}

impl Mono {
    pub(super) fn find(python: &Path) -> Result<Self, SandboxError> {
        let language = Language::CSharp;
        let found = find_in_path("mono").ok_or_else(|| missing(language, "mono"))?;
        if !Path::new(ASSEMBLIES).join("mcs.exe").is_file() {
            return Err(missing(language, "mcs"));
        }
        let runtime = LIBRARIES
            .iter()
            .map(PathBuf::from)
            .find(|file| file.exists());
        let runtime = runtime.ok_or_else(|| missing(language, "libmonosgen-2.0.so.1"))?;
        let version = first_line(language, &found, "--version")?;
        let version = version.split(" (").next().unwrap_or_default();
        Ok(Self {
            python: python.to_owned(),
            runtime,
            version: version.replace("JIT compiler version ", ""),
        })
    }

    /// The words before the arguments of the runtime.
    fn host(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![self.python.clone().into()];
        arguments.extend(["-s", "-S", "-B", "/tmp/mono_host.py"].map(OsString::from));
        arguments.push(self.runtime.clone().into());
        arguments.push("mono".into());
        arguments
    }

    /// The runtime looks for settings in its home and shares memory between processes; neither here.
    fn environment(heap_bytes: u64) -> Vec<(&'static str, String)> {
        let heap = format!("max-heap-size={}m", (heap_bytes >> 20).max(32));
        vec![
            ("MONO_GC_PARAMS", heap),
            ("MONO_DISABLE_SHARED_AREA", "1".into()),
        ]
    }
}

impl Tools for Mono {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn folders(&self) -> Vec<PathBuf> {
        let settings = PathBuf::from("/etc/mono");
        settings.is_dir().then_some(settings).into_iter().collect()
    }

    fn links(&self) -> &'static [[&'static str; 2]] {
        &[["/tmp/maps", "/proc/self/maps"]]
    }

    fn files(&self, program: &Program<'_>) -> Vec<SourceFile> {
        let harness = SourceFile {
            path: "TrimtabHarness.cs".into(),
            text: HARNESS.into(),
        };
        let own = SourceFile {
            path: "Program.cs".into(),
            text: format!("{IMPLICIT_USINGS}{}", program.joined()),
        };
        let host = SourceFile {
            path: "mono_host.py".into(),
            text: HOST.into(),
        };
        let maps = SourceFile {
            path: "maps".into(),
            text: String::new(),
        };
        vec![harness, own, host, maps]
    }

    fn compile(&self, files: &[SourceFile]) -> Option<Step> {
        let mut arguments = self.host();
        arguments.push(Path::new(ASSEMBLIES).join("mcs.exe").into());
        let rest = [
            "-nologo",
            "-warn:0",
            "-langversion:latest",
            "-define:DEBUG",
            "-define:TRACE",
            "-codepage:utf8",
            "-main:TrimtabHarness",
            "-out:/tmp/program.exe",
        ];
        arguments.extend(rest.iter().map(OsString::from));
        for name in REFERENCES {
            if Path::new(ASSEMBLIES).join(name).exists() {
                arguments.push(format!("-reference:{name}").into());
            }
        }
        arguments.extend(sources(files, "cs"));
        Some(Step {
            arguments,
            environment: Self::environment(512 << 20),
            limits: COMPILE_LIMITS,
            limits_address_space: false,
        })
    }

    fn run(&self, limits: &Limits) -> Step {
        let mut arguments = self.host();
        arguments.extend(["--debug", "/tmp/program.exe"].map(OsString::from));
        Step {
            arguments,
            environment: Self::environment(limits.memory_bytes),
            limits: widened(limits, OWN_BYTES, OWN_THREADS),
            limits_address_space: false,
        }
    }

    fn sample(&self) -> [&'static str; 3] {
        [
            "using System.Diagnostics; class Sample { static int One() { return 1; }",
            "static void Main() { Debug.Assert(One() == 1); } }",
            "static void Main() { Debug.Assert(One() == 2); } }",
        ]
    }
}
