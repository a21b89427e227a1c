//! Finds the Python that runs the programs.
//!
//! The distribution's own comes first: it is the same on every machine of that release, and the
//! sandbox shows `/usr` anyway. Others are taken from `PATH`; a shim (pyenv, conda) is asked for
//! the interpreter behind it, whose installation is then shown inside read-only.

use crate::bubblewrap::find_in_path;
use crate::version::major_minor;
use crate::{SandboxError, launch};
use std::path::{Path, PathBuf};
use trimtab_domain::Failure;

/// `os.pidfd_open` came with it.
const MIN_VERSION: (u32, u32) = (3, 9);

/// Prints what has to be known, one fact a line.
const QUESTION: &str = "import sys, platform\n\
    print(sys.executable, sys.base_prefix, platform.python_version(), \
    platform.python_implementation(), sep='\\n')";

/// Prints its argument compiled, as hexadecimal digits.
const COMPILE: &str = "import marshal, sys\n\
    print(marshal.dumps(compile(sys.argv[1], 'supervisor.py', 'exec')).hex())";

/// A Python that can run programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    path: PathBuf,
    prefix: PathBuf,
    version: String,
}

impl Interpreter {
    /// The program file, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Implementation and full version, such as `CPython 3.11.2`. Store it with the verdicts:
    /// another version may judge otherwise.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The folder of its installation.
    pub(crate) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The byte code of a trusted program, which spares every run the compilation.
    pub(crate) fn compile(&self, source: &str) -> Result<Vec<u8>, SandboxError> {
        let flags = ["-I", "-S", "-B", "-X", "utf8", "-c", COMPILE, source];
        let digits = launch::read_output(&self.path, &flags)?;
        hex::decode(digits.trim()).map_err(|error| SandboxError::PythonUnusable {
            path: self.path.clone(),
            detail: error.to_string(),
        })
    }

    /// The first usable one of `/usr/bin/python3` and `PATH`.
    pub(crate) fn find() -> Result<Self, SandboxError> {
        let system = Some(PathBuf::from("/usr/bin/python3")).filter(|path| path.exists());
        let mut first_error = None;
        for path in system.into_iter().chain(find_in_path("python3")) {
            match Self::ask(&path) {
                Ok(interpreter) => return Ok(interpreter),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or(SandboxError::PythonMissing))
    }

    /// Asks a program for its facts. It runs unconfined: it is the user's own Python.
    pub(crate) fn ask(path: &Path) -> Result<Self, SandboxError> {
        let unusable = |detail: String| SandboxError::PythonUnusable {
            path: path.to_owned(),
            detail,
        };
        let answer = launch::read_output(path, &["-I", "-S", "-B", "-c", QUESTION])
            .map_err(|error| unusable(Failure::from(error).message))?;
        let facts: Vec<&str> = answer.lines().collect();
        let [executable, prefix, version, implementation] = facts[..] else {
            return Err(unusable(format!("it answered `{}`", answer.trim())));
        };
        if major_minor(version).is_none_or(|version| version < MIN_VERSION) {
            let (major, minor) = MIN_VERSION;
            return Err(unusable(format!(
                "version {version} is older than {major}.{minor}"
            )));
        }
        let resolve = |text: &str| {
            std::fs::canonicalize(text).map_err(|error| unusable(format!("`{text}`: {error}")))
        };
        let (path, prefix) = (resolve(executable)?, resolve(prefix)?);
        let is_inside = path.starts_with(&prefix) || path.starts_with("/usr");
        if !is_inside || prefix.parent().is_none() {
            let (path, prefix) = (path.display(), prefix.display());
            return Err(unusable(format!(
                "`{path}` has no folder of its own, only `{prefix}`"
            )));
        }
        Ok(Self {
            path,
            prefix,
            version: format!("{implementation} {version}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_is_a_real_file_with_a_version() {
        let interpreter = Interpreter::find().unwrap();
        assert!(interpreter.path().is_file());
        assert!(!interpreter.path().is_symlink());
        assert!(
            interpreter.version().contains(" 3."),
            "{}",
            interpreter.version()
        );
    }

    #[test]
    fn a_program_that_is_no_python_is_refused() {
        let error = Interpreter::ask(Path::new("/usr/bin/true")).unwrap_err();
        assert!(
            matches!(error, SandboxError::PythonUnusable { .. }),
            "{error:?}"
        );
    }
}
