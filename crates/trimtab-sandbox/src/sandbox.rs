//! The sandbox: set up and proven once, then used for any number of programs, from any thread.

use crate::bubblewrap::{Bubblewrap, Wrapping};
use crate::job::{Job, Kind};
use crate::launch::launch;
use crate::outcome::Proof;
use crate::watch::{Watched, watch};
use crate::{Interpreter, Limits, Outcome, PythonCheck, PythonScript, SandboxError, seccomp};
use std::ffi::OsString;
use std::path::Path;
use trimtab_domain::Verdict;

const SUPERVISOR: &str = include_str!("supervisor.py");
const PROBE: &str = include_str!("probe.py");

/// A place to run programs that nobody trusts.
#[derive(Clone, Debug)]
pub struct Sandbox {
    bubblewrap: Bubblewrap,
    interpreter: Interpreter,
    /// What runs inside.
    command: Vec<OsString>,
    /// The byte code of the supervisor, which stands before every job.
    supervisor: Vec<u8>,
    filter: Vec<u8>,
}

impl Sandbox {
    /// Finds bubblewrap and Python, and proves by a program inside that they isolate it here.
    ///
    /// # Errors
    /// What is missing or forbidden, each with a [`hint`](SandboxError::hint); a machine that
    /// cannot isolate never gets a sandbox.
    pub fn detect() -> Result<Self, SandboxError> {
        Self::new(Interpreter::find()?)
    }

    /// As [`Self::detect`], with the Python at `path`.
    ///
    /// # Errors
    /// As [`Self::detect`].
    pub fn with_python(path: &Path) -> Result<Self, SandboxError> {
        Self::new(Interpreter::ask(path)?)
    }

    /// The Python that runs the programs; part of what makes a verdict reproducible.
    pub fn python(&self) -> &Interpreter {
        &self.interpreter
    }

    /// The version of bubblewrap.
    pub fn bubblewrap_version(&self) -> &str {
        &self.bubblewrap.version
    }

    /// Grades a solution by its tests.
    ///
    /// # Errors
    /// Failures of the sandbox only; whatever the program does is a verdict.
    pub fn check(&self, check: &PythonCheck<'_>, limits: &Limits) -> Result<Outcome, SandboxError> {
        if check.solution.trim().is_empty() {
            return Ok(Outcome::of_nothing());
        }
        self.run_job(&check.into(), limits)
    }

    /// Runs a whole script. [`Verdict::Passed`] means that it ended with status 0, no more.
    ///
    /// # Errors
    /// Failures of the sandbox only; whatever the program does is a verdict.
    pub fn run(&self, script: &PythonScript<'_>, limits: &Limits) -> Result<Outcome, SandboxError> {
        self.run_job(&script.into(), limits)
    }

    fn new(interpreter: Interpreter) -> Result<Self, SandboxError> {
        let bubblewrap = Bubblewrap::find()?;
        let supervisor = interpreter.compile(SUPERVISOR)?;
        let n_bytes = supervisor.len();
        let start = format!("import marshal, posix\nexec(marshal.loads(posix.read(0, {n_bytes})))");
        // `-s -S`: only the standard library; `-B`: no compiled files; `-X utf8`: one encoding.
        let flags = ["-s", "-S", "-B", "-X", "utf8", "-c", &start];
        let command = std::iter::once(interpreter.path().into())
            .chain(flags.iter().map(OsString::from))
            .collect();
        let sandbox = Self {
            bubblewrap,
            interpreter,
            command,
            supervisor,
            filter: seccomp::filter_bytes(),
        };
        sandbox.prove()?;
        Ok(sandbox)
    }

    /// Runs the probe; any hole it reports ends the set-up.
    fn prove(&self) -> Result<(), SandboxError> {
        let probe = PythonScript {
            source: PROBE,
            stdin: b"",
        };
        let outcome = self
            .run(&probe, &Limits::default())
            .map_err(|error| match error {
                SandboxError::Broken { detail } => self.explain(detail),
                other => other,
            })?;
        let holes: Vec<&str> = outcome.output.lines().collect();
        if let Some(missing) = holes.iter().find(|hole| hole.starts_with("missing module")) {
            let (path, detail) = (self.interpreter.path().to_owned(), (*missing).to_owned());
            return Err(SandboxError::PythonUnusable { path, detail });
        }
        if outcome.verdict == Verdict::Passed && holes.is_empty() {
            return Ok(());
        }
        let verdict = outcome.verdict.as_str();
        let hole = if holes.is_empty() {
            format!("the probe {verdict}")
        } else {
            holes.join("; ")
        };
        Err(SandboxError::NotIsolated { hole })
    }

    /// Tells a system that forbids namespaces from other failures to start.
    fn explain(&self, detail: String) -> SandboxError {
        let python = self.interpreter.path();
        let names_python =
            detail.starts_with("Traceback") || detail.contains(&*python.to_string_lossy());
        let is_forbidden = [
            "permission",
            "not permitted",
            "No space left",
            "Invalid argument",
        ]
        .iter()
        .any(|word| detail.to_lowercase().contains(&word.to_lowercase()));
        if names_python {
            SandboxError::PythonUnusable {
                path: python.to_owned(),
                detail,
            }
        } else if is_forbidden {
            SandboxError::NamespacesForbidden { detail }
        } else {
            SandboxError::Broken { detail }
        }
    }

    fn run_job(&self, job: &Job<'_>, limits: &Limits) -> Result<Outcome, SandboxError> {
        let arguments = |seccomp_fd, info_fd| {
            // Input lies in `/tmp` while the program reads it, and must not eat its share.
            let tmp_bytes = limits.tmp_bytes.saturating_add(job.stdin.len() as u64);
            let wrapping = Wrapping {
                tmp_bytes,
                seccomp_fd,
                info_fd,
                command: &self.command,
            };
            self.bubblewrap.arguments(&self.interpreter, &wrapping)
        };
        let input = [&self.supervisor[..], &job.encode(limits)].concat();
        let launched = launch(&self.bubblewrap.path, &input, &self.filter, arguments)?;
        let watched = watch(launched, limits)?;
        let proof = match job.kind {
            Kind::Check => Proof::Claimed,
            Kind::Script => Proof::ExitStatus,
        };
        Ok(Outcome::judge(watched, proof, limits))
    }
}

impl Outcome {
    fn judge(watched: Watched, proof: Proof, limits: &Limits) -> Self {
        let Watched {
            stop,
            ending,
            output,
            wall,
        } = watched;
        // Of a stopped program only the reason counts: how it died is the sandbox's doing.
        let ending = if stop.is_some() { None } else { ending };
        let verdict = match (stop, &ending) {
            (Some(stop), _) => stop.into(),
            (None, Some(ending)) => ending.verdict(proof, limits),
            // The program took its supervisor down with it.
            (None, None) => Verdict::Crashed,
        };
        Self {
            verdict,
            exit_code: ending.and_then(|ending| ending.exit_code()),
            signal: ending.and_then(|ending| ending.signal()),
            output: String::from_utf8_lossy(&output).into_owned(),
            wall,
            peak_memory: ending.map(|ending| ending.peak_memory),
        }
    }

    /// An answer without a program is judged without running anything.
    fn of_nothing() -> Self {
        Self {
            verdict: Verdict::NoProgram,
            exit_code: None,
            signal: None,
            output: String::new(),
            wall: std::time::Duration::ZERO,
            peak_memory: None,
        }
    }
}
