//! Finds the compiler and runtime of a language, and says how they are used inside the sandbox.
//!
//! Each file has one language: where its programs are found, what of the file system they need to
//! see, and the commands. A toolchain is proven before it is used: a right program must pass inside
//! the sandbox and a wrong one fail, so that a broken installation never fails a model's answer.

mod csharp;
mod java;
mod javascript;
mod rust;

use crate::steps::Step;
use crate::{Language, Limits, Program, SandboxError, SourceFile};
use std::ffi::OsString;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A proven compiler and runtime.
#[derive(Clone, Debug)]
pub struct Toolchain {
    language: Language,
    version: String,
    /// Nothing for Python, which the sandbox itself runs.
    tools: Option<Arc<dyn Tools>>,
}

/// What differs from language to language.
pub(crate) trait Tools: Debug + Send + Sync {
    /// Name and version of what compiles or runs.
    fn version(&self) -> String;

    /// Folders outside `/usr` that must be seen inside.
    fn folders(&self) -> Vec<PathBuf>;

    /// Links that must be seen inside: where they point, and where they lie.
    fn links(&self) -> &'static [[&'static str; 2]] {
        &[]
    }

    /// The files of a program: its own and the harness around it.
    fn files(&self, program: &Program<'_>) -> Vec<SourceFile>;

    /// The command that compiles them; the files are those of [`Self::files`] and the support.
    fn compile(&self, files: &[SourceFile]) -> Option<Step>;

    /// The folder in which everything lies that [`Self::run`] needs, where the program can be
    /// compiled once and run with different arguments.
    fn built(&self, _program: &Program<'_>) -> Option<&'static str> {
        None
    }

    /// The command that runs the compiled program; further arguments can stand behind it.
    fn run(&self, limits: &Limits) -> Step;

    /// A solution, tests that it passes and tests that it fails.
    fn sample(&self) -> [&'static str; 3];
}

impl Toolchain {
    /// Python, whose interpreter the sandbox has found already.
    pub(crate) fn python(version: &str) -> Self {
        Self {
            language: Language::Python,
            version: version.to_owned(),
            tools: None,
        }
    }

    /// Finds the programs; they are not proven yet.
    pub(crate) fn find(language: Language, python: &Path) -> Result<Self, SandboxError> {
        let tools: Arc<dyn Tools> = match language {
            Language::Python => return Err(SandboxError::PythonMissing),
            Language::Java => Arc::new(java::Java::find()?),
            Language::CSharp => Arc::new(csharp::Mono::find(python)?),
            Language::JavaScript => Arc::new(javascript::Node::find()?),
            Language::Rust => Arc::new(rust::Rust::find()?),
        };
        Ok(Self {
            language,
            version: tools.version(),
            tools: Some(tools),
        })
    }

    /// The language.
    pub fn language(&self) -> Language {
        self.language
    }

    /// Name and version of what compiles or runs; another one may judge otherwise.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn tools(&self) -> Option<&dyn Tools> {
        self.tools.as_deref()
    }
}

/// The file behind all links.
fn real_path(language: Language, path: &Path) -> Result<PathBuf, SandboxError> {
    std::fs::canonicalize(path).map_err(|error| SandboxError::ToolchainUnusable {
        language,
        detail: format!("`{}`: {error}", path.display()),
    })
}

/// The folders that are not in `/usr`, which the sandbox shows anyway.
fn outside_usr(folders: Vec<PathBuf>) -> Vec<PathBuf> {
    folders
        .into_iter()
        .filter(|folder| !folder.starts_with("/usr"))
        .collect()
}

/// Asks a program for its version; its first line.
fn first_line(language: Language, program: &Path, option: &str) -> Result<String, SandboxError> {
    let answer = crate::launch::read_output(program, &[option]).map_err(|error| {
        SandboxError::ToolchainUnusable {
            language,
            detail: error.to_string(),
        }
    })?;
    Ok(answer.lines().next().unwrap_or_default().trim().to_owned())
}

fn missing(language: Language, program: &'static str) -> SandboxError {
    SandboxError::ToolchainMissing { language, program }
}

/// Where the files with an extension lie inside.
fn sources<'a>(files: &'a [SourceFile], extension: &'a str) -> impl Iterator<Item = OsString> + 'a {
    let is_source = move |file: &&SourceFile| {
        let found = Path::new(&file.path).extension();
        found.is_some_and(|found| found == extension)
    };
    let sources = files.iter().filter(is_source);
    sources.map(|file| format!("/tmp/{}", file.path).into())
}

/// Limits of a run, wider by what the runtime takes for itself.
fn widened(limits: &Limits, memory_bytes: u64, n_processes: u32) -> Limits {
    Limits {
        memory_bytes: limits.memory_bytes.saturating_add(memory_bytes),
        n_processes: limits.n_processes.saturating_add(n_processes),
        ..*limits
    }
}
