//! Runs untrusted programs in namespaces with hard limits and says how they ended.
//!
//! [`Sandbox::detect`] proves once that this machine can isolate a program, then
//! [`Sandbox::check`] grades a Python solution by its tests and [`Sandbox::run`] runs a whole
//! script. [`Sandbox::toolchain`] does the same for the compiler and runtime of a [`Language`], and
//! [`Sandbox::grade`] compiles and grades a [`Program`] with it. A [`Pool`] grades many side by side.
//! There is no way to run a program without isolation: what is missing is an error with a hint.
//!
//! What holds a program, from the outside in:
//!
//! 1. bubblewrap gives it its own mount, process, network, IPC, host name and cgroup namespaces,
//!    a read-only system without `/proc`, `/etc`, `/home` or `/root`, and a small private `/tmp`;
//! 2. it has no capability and a user of its own (module `bubblewrap`), so that the process
//!    limit holds even where the caller is root;
//! 3. a system-call filter takes away what the namespaces leave open (module `seccomp`);
//! 4. resource limits bound CPU time, memory, processes and files, and a watcher outside bounds
//!    wall-clock time, output and the memory of all its processes together (module `watch`).
//!
//! When a call returns, every process that it started is dead.

mod bubblewrap;
mod built;
mod error;
mod first;
mod interpreter;
mod job;
mod judge;
mod language;
mod launch;
mod limits;
mod outcome;
mod pool;
mod processes;
mod program;
mod sandbox;
mod seccomp;
mod steps;
mod toolchains;
mod usage;
mod version;
mod watch;

pub use built::{Build, Built};
pub use error::SandboxError;
pub use interpreter::Interpreter;
pub use job::{PythonCheck, PythonScript};
pub use language::Language;
pub use limits::Limits;
pub use outcome::{Outcome, Stage};
pub use pool::Pool;
pub use program::{Program, SourceFile};
pub use sandbox::Sandbox;
pub use toolchains::Toolchain;
