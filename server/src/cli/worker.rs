//! `trimtab worker`: one job in a process of its own, so that a crash ends nothing else.
//!
//! The job comes in on standard input and names its folders, events go out on standard output:
//! the failure of a job is one of them, and not an error of this command.

/// Does the job, and returns the exit status that its supervisor expects.
pub(super) fn run() -> u8 {
    trimtab_service::worker::run_stdio()
}
