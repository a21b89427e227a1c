//! The sandbox: set up and proven once, then used for any number of programs, from any thread.

use crate::bubblewrap::{Bubblewrap, Wrapping};
use crate::first::First;
use crate::job::{Job, Kind};
use crate::launch::{launch, random_word};
use crate::outcome::Proof;
use crate::steps::{File, Step, encode, files_of};
use crate::toolchains::{Toolchain, Tools};
use crate::watch::{Watched, watch};
use crate::{
    Interpreter, Language, Limits, Outcome, Program, PythonCheck, PythonScript, SandboxError,
    SourceFile, Stage, seccomp,
};
use std::path::{Path, PathBuf};
use trimtab_domain::Verdict;

const PROBE: &str = include_str!("python/probe.py");

/// A place to run programs that nobody trusts.
#[derive(Clone, Debug)]
pub struct Sandbox {
    bubblewrap: Bubblewrap,
    interpreter: Interpreter,
    /// Runs Python programs.
    python: First,
    /// Runs the commands that compile and run all others.
    steps: First,
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

    /// Finds the compiler and runtime of a language and proves them by programs inside: a right
    /// one must pass and a wrong one must fail.
    ///
    /// # Errors
    /// [`SandboxError::ToolchainMissing`] and [`SandboxError::ToolchainUnusable`], with a hint;
    /// problems in the language are then not graded, which is not the same as failed.
    pub fn toolchain(&self, language: Language) -> Result<Toolchain, SandboxError> {
        if language == Language::Python {
            return Ok(Toolchain::python(self.interpreter.version()));
        }
        let toolchain = Toolchain::find(language, self.interpreter.path())?;
        if let Some(tools) = toolchain.tools() {
            let [solution, right, wrong] = tools.sample();
            for (tests, expected) in [(right, Verdict::Passed), (wrong, Verdict::Failed)] {
                let program = Program {
                    solution,
                    tests,
                    support: &[],
                };
                let outcome = self.grade(&toolchain, &program, &Limits::default())?;
                if outcome.verdict != expected {
                    let detail = format!(
                        "a sample program {} instead of {}: {}",
                        outcome.verdict.as_str(),
                        expected.as_str(),
                        outcome.output.trim()
                    );
                    return Err(SandboxError::ToolchainUnusable { language, detail });
                }
            }
        }
        Ok(toolchain)
    }

    /// Grades a Python solution by its tests.
    ///
    /// # Errors
    /// Failures of the sandbox only; whatever the program does is a verdict.
    pub fn check(&self, check: &PythonCheck<'_>, limits: &Limits) -> Result<Outcome, SandboxError> {
        if check.solution.trim().is_empty() {
            return Ok(Outcome::of_nothing());
        }
        self.run_python(&check.into(), limits)
    }

    /// Runs a whole script. [`Verdict::Passed`] means that it ended with status 0, no more.
    ///
    /// # Errors
    /// Failures of the sandbox only; whatever the program does is a verdict.
    pub fn run(&self, script: &PythonScript<'_>, limits: &Limits) -> Result<Outcome, SandboxError> {
        self.run_python(&script.into(), limits)
    }

    /// Compiles a program where its language is compiled, and grades it by its tests. The limits
    /// are those of the run; compilers have limits of their own.
    ///
    /// # Errors
    /// Failures of the sandbox, and [`SandboxError::FilePath`] for a support file with such a
    /// path; whatever the program does is a verdict.
    pub fn grade(
        &self,
        toolchain: &Toolchain,
        program: &Program<'_>,
        limits: &Limits,
    ) -> Result<Outcome, SandboxError> {
        program.support.iter().try_for_each(SourceFile::check)?;
        if program.solution.trim().is_empty() {
            return Ok(Outcome::of_nothing());
        }
        let Some(tools) = toolchain.tools() else {
            let check = PythonCheck {
                solution: &program.python_solution()?,
                tests: program.tests,
            };
            return self.check(&check, limits);
        };
        let files = all_files(tools, program);
        let compile = tools.compile(&files);
        let steps: Vec<Step> = compile.into_iter().chain([tools.run(limits)]).collect();
        self.run_steps(tools, &files_of(&files), &steps, Proof::Word)
    }

    /// Only compiles a program. [`Verdict::Passed`] means that the compiler took it; a language
    /// that is not compiled passes without running anything.
    ///
    /// # Errors
    /// As [`Self::grade`].
    pub fn compile(
        &self,
        toolchain: &Toolchain,
        program: &Program<'_>,
    ) -> Result<Outcome, SandboxError> {
        program.support.iter().try_for_each(SourceFile::check)?;
        let Some(tools) = toolchain.tools() else {
            return Ok(Outcome::of_compiled_nothing());
        };
        let files = all_files(tools, program);
        match tools.compile(&files) {
            Some(step) => {
                let files = files_of(&files);
                let outcome = self.run_steps(tools, &files, &[step], Proof::ExitStatus)?;
                Ok(Outcome {
                    stage: Stage::Compile,
                    ..outcome
                })
            }
            None => Ok(Outcome::of_compiled_nothing()),
        }
    }

    fn new(interpreter: Interpreter) -> Result<Self, SandboxError> {
        let bubblewrap = Bubblewrap::find()?;
        let sandbox = Self {
            bubblewrap,
            python: First::of_python(&interpreter)?,
            steps: First::of_steps(&interpreter)?,
            interpreter,
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

    fn run_python(&self, job: &Job<'_>, limits: &Limits) -> Result<Outcome, SandboxError> {
        // Input lies in `/tmp` while the program reads it, and must not eat its share.
        let tmp_bytes = limits.tmp_bytes.saturating_add(job.stdin.len() as u64);
        let input = self.python.input(&job.encode(limits));
        let shown = Shown {
            folders: Vec::new(),
            links: &[],
            tmp_bytes,
        };
        let watched = self.start(&self.python, &input, shown, &[*limits])?;
        let proof = match job.kind {
            Kind::Check => Proof::Claimed,
            Kind::Script => Proof::ExitStatus,
        };
        Ok(Outcome::judge(watched, proof, &[*limits]))
    }

    pub(crate) fn run_steps(
        &self,
        tools: &dyn Tools,
        files: &[File<'_>],
        steps: &[Step],
        proof: Proof,
    ) -> Result<Outcome, SandboxError> {
        let word = random_word().map_err(SandboxError::io("draw a random word"))?;
        let mut watched = self.watch_steps(tools, &encode(files, steps, "", &word), steps)?;
        let has_proof = watched.take_proof(&word);
        let stages: Vec<Limits> = steps.iter().map(|step| step.limits).collect();
        let outcome = Outcome::judge(watched, proof, &stages);
        if proof == Proof::Word && !has_proof {
            return Ok(outcome.without_proof());
        }
        Ok(outcome)
    }

    /// Runs steps that are encoded as `job`.
    pub(crate) fn watch_steps(
        &self,
        tools: &dyn Tools,
        job: &[u8],
        steps: &[Step],
    ) -> Result<Watched, SandboxError> {
        let stages: Vec<Limits> = steps.iter().map(|step| step.limits).collect();
        let tmp_bytes = stages.iter().map(|limits| limits.tmp_bytes).max();
        let shown = Shown {
            folders: tools.folders(),
            links: tools.links(),
            tmp_bytes: tmp_bytes.unwrap_or(0),
        };
        self.start(&self.steps, &self.steps.input(job), shown, &stages)
    }

    fn start(
        &self,
        first: &First,
        input: &[u8],
        mut shown: Shown,
        stages: &[Limits],
    ) -> Result<Watched, SandboxError> {
        let prefix = self.interpreter.prefix();
        if !prefix.starts_with("/usr") {
            shown.folders.push(prefix.to_owned());
        }
        let arguments = |seccomp_fd, info_fd| {
            self.bubblewrap.arguments(&Wrapping {
                folders: &shown.folders,
                links: shown.links,
                tmp_bytes: shown.tmp_bytes,
                seccomp_fd,
                info_fd,
                command: first.command(),
            })
        };
        let launched = launch(&self.bubblewrap.path, input, &self.filter, arguments)?;
        watch(launched, stages)
    }
}

/// What a program sees besides the system.
struct Shown {
    folders: Vec<PathBuf>,
    links: &'static [[&'static str; 2]],
    tmp_bytes: u64,
}

pub(crate) fn all_files(tools: &dyn Tools, program: &Program<'_>) -> Vec<SourceFile> {
    let mut files = tools.files(program);
    files.extend_from_slice(program.support);
    files
}
