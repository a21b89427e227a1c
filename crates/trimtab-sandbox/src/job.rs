//! What is to be run, and how it is handed to the supervisor inside the sandbox.
//!
//! The text travels in a memory file that becomes the supervisor's standard input: it never
//! appears on a command line or on a disk, and the program under test is forked before the tests
//! are read, so that it does not carry them.

use crate::Limits;

/// A solution graded by its tests, which run in the solution's namespace after it.
///
/// The solution is executed as the module `solution` (its `if __name__ == "__main__":` block
/// does not run), then the tests with the same globals. The check passes only if the tests were
/// run to their end: leaving early with `sys.exit(0)` or `os._exit(0)` fails.
///
/// What is guaranteed: while the solution's own body runs, the process holds neither the tests
/// nor the word that proves success. That word is random, lies unread in a pipe until the tests
/// have ended, and a wrong one fails the check. What is not: the tests call the solution inside
/// one interpreter, so a program written against this very protocol could speak it by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PythonCheck<'a> {
    /// The program text of the solution.
    pub solution: &'a str,
    /// The program text of the tests, usually assertions.
    pub tests: &'a str,
}

/// A whole program, run as `__main__`. It passes if it ends with status 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PythonScript<'a> {
    /// The program text.
    pub source: &'a str,
    /// What it reads on standard input.
    pub stdin: &'a [u8],
}

/// Open files of one process. No exercise needs more, and it bounds what sockets can buffer.
const N_OPEN_FILES: u32 = 64;

/// Length of the first line, padded with blanks.
const HEADER_LEN: usize = 192;

/// The whole job: a header line of numbers, then the three texts.
pub(crate) struct Job<'a> {
    pub(crate) kind: Kind,
    pub(crate) program: &'a str,
    pub(crate) tests: &'a str,
    pub(crate) stdin: &'a [u8],
}

/// How the program is to be run.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Check,
    Script,
}

impl<'a> From<&PythonCheck<'a>> for Job<'a> {
    fn from(check: &PythonCheck<'a>) -> Self {
        Self {
            kind: Kind::Check,
            program: check.solution,
            tests: check.tests,
            stdin: b"",
        }
    }
}

impl<'a> From<&PythonScript<'a>> for Job<'a> {
    fn from(script: &PythonScript<'a>) -> Self {
        Self {
            kind: Kind::Script,
            program: script.source,
            tests: "",
            stdin: script.stdin,
        }
    }
}

impl Job<'_> {
    /// The bytes that the supervisor reads.
    pub(crate) fn encode(&self, limits: &Limits) -> Vec<u8> {
        let kind = match self.kind {
            Kind::Check => "check",
            Kind::Script => "script",
        };
        let header = format!(
            "{kind} {} {} {} {} {} {} {} {N_OPEN_FILES}",
            self.program.len(),
            self.tests.len(),
            self.stdin.len(),
            limits.cpu_seconds(),
            limits.memory_bytes,
            limits.n_processes,
            limits.file_bytes,
        );
        let mut bytes = format!("{header:<HEADER_LEN$}").into_bytes();
        bytes.extend_from_slice(self.program.as_bytes());
        bytes.extend_from_slice(self.tests.as_bytes());
        bytes.extend_from_slice(self.stdin);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_its_length_even_for_the_largest_numbers() {
        let limits = Limits {
            cpu: std::time::Duration::MAX,
            memory_bytes: u64::MAX,
            n_processes: u32::MAX,
            file_bytes: u64::MAX,
            ..Limits::default()
        };
        let limits = Limits {
            cpu: std::time::Duration::from_secs(u64::MAX),
            ..limits
        };
        let check = PythonCheck {
            solution: "s",
            tests: "t",
        };
        assert_eq!(Job::from(&check).encode(&limits).len(), HEADER_LEN + 2);
    }
}
