//! The first process inside a sandbox: a trusted Python program whose byte code stands before every
//! job, which spares each start the compilation.

use crate::{Interpreter, SandboxError};
use std::ffi::OsString;

/// Runs one Python program.
const PYTHON: &str = concat!(
    include_str!("python/common.py"),
    "\n\n",
    include_str!("python/supervisor.py")
);

/// Runs one command after another.
const STEPS: &str = concat!(
    include_str!("python/common.py"),
    "\n\n",
    include_str!("python/steps.py")
);

/// A first process, ready to be started.
#[derive(Clone, Debug)]
pub(crate) struct First {
    code: Vec<u8>,
    command: Vec<OsString>,
}

impl First {
    pub(crate) fn of_python(interpreter: &Interpreter) -> Result<Self, SandboxError> {
        Self::new(interpreter, PYTHON)
    }

    pub(crate) fn of_steps(interpreter: &Interpreter) -> Result<Self, SandboxError> {
        Self::new(interpreter, STEPS)
    }

    fn new(interpreter: &Interpreter, source: &str) -> Result<Self, SandboxError> {
        let code = interpreter.compile(source)?;
        let n_bytes = code.len();
        let start = format!("import marshal, posix\nexec(marshal.loads(posix.read(0, {n_bytes})))");
        // `-s -S`: only the standard library; `-B`: no compiled files; `-X utf8`: one encoding.
        let flags = ["-s", "-S", "-B", "-X", "utf8", "-c", &start];
        let command = std::iter::once(interpreter.path().into())
            .chain(flags.iter().map(OsString::from))
            .collect();
        Ok(Self { code, command })
    }

    /// The command inside the sandbox.
    pub(crate) fn command(&self) -> &[OsString] {
        &self.command
    }

    /// What it reads: its own code, then the job.
    pub(crate) fn input(&self, job: &[u8]) -> Vec<u8> {
        [&self.code, job].concat()
    }
}
