//! Programs that are compiled once and run several times, each time in a sandbox of its own: what
//! the compiler made is taken out and handed to every run, so that no run sees what another did.

use crate::launch::random_word;
use crate::outcome::Proof;
use crate::sandbox::all_files;
use crate::steps::{Step, decode, encode, files_of};
use crate::toolchains::Tools;
use crate::watch::Watched;
use crate::{Limits, Outcome, Program, Sandbox, SandboxError, SourceFile, Stage, Toolchain};
use trimtab_domain::Verdict;

/// More than any exercise compiles to.
const MAX_BUILT_BYTES: u64 = 8 << 20;

/// What became of a program that was to be compiled once.
#[derive(Debug)]
pub enum Build {
    /// It can be run.
    Built(Built),
    /// The compiler did not take it: what every run of it would end with.
    Refused(Outcome),
    /// Programs of its kind are compiled and run in one go, by [`Sandbox::grade`].
    NotShared,
}

/// A compiled program.
#[derive(Debug)]
pub struct Built {
    toolchain: Toolchain,
    /// Where each file lies below `/tmp`, and its bytes.
    files: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Sandbox {
    /// Compiles a program whose support has a runner; see [`Program`].
    ///
    /// # Errors
    /// Failures of the sandbox, and [`SandboxError::FilePath`] for a support file with such a
    /// path; whatever the compiler says is a [`Build`].
    pub fn build(
        &self,
        toolchain: &Toolchain,
        program: &Program<'_>,
    ) -> Result<Build, SandboxError> {
        program.support.iter().try_for_each(SourceFile::check)?;
        let Some(tools) = toolchain.tools() else {
            return Ok(Build::NotShared);
        };
        let Some(folder) = tools.built(program) else {
            return Ok(Build::NotShared);
        };
        if program.solution.trim().is_empty() {
            return Ok(Build::Refused(Outcome::of_nothing()));
        }
        let files = all_files(tools, program);
        let Some(mut step) = tools.compile(&files) else {
            return Ok(Build::NotShared);
        };
        step.limits.output_bytes = MAX_BUILT_BYTES;
        self.build_with(toolchain, tools, &files, (step, folder))
    }

    fn build_with(
        &self,
        toolchain: &Toolchain,
        tools: &dyn Tools,
        files: &[SourceFile],
        (step, folder): (Step, &str),
    ) -> Result<Build, SandboxError> {
        let word = random_word().map_err(SandboxError::io("draw a random word"))?;
        let (steps, limits) = ([step.clone()], [step.limits]);
        let job = encode(&files_of(files), &steps, folder, &word);
        let mut watched = self.watch_steps(tools, &job, &steps)?;
        let handed_out = watched.take_handed_out(&word);
        let outcome = Outcome {
            stage: Stage::Compile,
            ..Outcome::judge(watched, Proof::ExitStatus, &limits)
        };
        if outcome.verdict != Verdict::Passed {
            return Ok(Build::Refused(outcome));
        }
        let records = handed_out.as_deref().and_then(decode);
        let Some(records) = records.filter(|records| records.len() % 2 == 0) else {
            let detail = "what was compiled did not come back whole".to_owned();
            return Err(SandboxError::Broken { detail });
        };
        let pairs = records.chunks_exact(2);
        Ok(Build::Built(Built {
            toolchain: toolchain.clone(),
            files: pairs
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
        }))
    }

    /// Runs a compiled program with arguments for its runner, and grades it as
    /// [`Self::grade`] does.
    ///
    /// # Errors
    /// Failures of the sandbox only; whatever the program does is a verdict.
    pub fn run_built(
        &self,
        built: &Built,
        arguments: &[&str],
        limits: &Limits,
    ) -> Result<Outcome, SandboxError> {
        let Some(tools) = built.toolchain.tools() else {
            let detail = "there is nothing to run".to_owned();
            return Err(SandboxError::Broken { detail });
        };
        let mut step = tools.run(limits);
        step.arguments.extend(arguments.iter().map(Into::into));
        let files = built.files.iter();
        let files: Vec<_> = files.map(|(path, bytes)| (&path[..], &bytes[..])).collect();
        self.run_steps(tools, &files, &[step], Proof::Word)
    }
}

impl Watched {
    /// Takes what stands behind the word out of the output.
    fn take_handed_out(&mut self, word: &str) -> Option<Vec<u8>> {
        let line = format!("\n@trimtab {word}\n");
        let start = self
            .output
            .windows(line.len())
            .position(|bytes| bytes == line.as_bytes())?;
        let handed_out = self.output.split_off(start + line.len());
        self.output.truncate(start);
        Some(handed_out)
    }
}
