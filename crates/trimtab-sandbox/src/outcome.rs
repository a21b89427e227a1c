//! How a program ended, and the verdict that follows from it.

use crate::Limits;
use std::time::Duration;
use trimtab_domain::{Bytes, Verdict};

/// How one program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The judgement.
    pub verdict: Verdict,
    /// The exit status, if the program ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended the program, if one did and it was not sent by the sandbox.
    pub signal: Option<i32>,
    /// Standard output and standard error as they came, at most [`Limits::output_bytes`];
    /// what is not UTF-8 is replaced.
    pub output: String,
    /// How far it came.
    pub stage: Stage,
    /// Elapsed time from the program's start to its end.
    pub wall: Duration,
    /// CPU time of its first process and the children that it waited for; unknown if the sandbox
    /// stopped the program.
    pub cpu: Option<Duration>,
    /// Largest resident memory of one process, interpreter included; unknown if the sandbox
    /// stopped the program.
    pub peak_memory: Option<Bytes>,
}

/// The step of a program that its outcome tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was not compiled; nothing ran.
    Compile,
    /// It ran.
    Run,
}

/// Why the watcher stopped a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    TimedOut,
    OutputFlood,
    OutOfMemory,
}

/// What the program told the supervisor about its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The tests ran to their end, proven by the word.
    Passed,
    /// A `MemoryError` nobody caught.
    OutOfMemory,
    /// An error nobody caught, by which the sandbox had refused something.
    Refused,
    /// Anything that the protocol does not know; the supervisor kills the program for it.
    Forged,
    /// Nothing.
    None,
}

/// The supervisor's account of the program's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) claim: Claim,
    /// As `wait4` gives it.
    pub(crate) wait_status: i32,
    pub(crate) peak_memory: Bytes,
    pub(crate) cpu: Duration,
}

/// Whether status 0 alone is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The tests must have claimed it with the right word.
    Claimed,
    /// The exit status is enough.
    ExitStatus,
    /// The exit status, and the word in the output, which the caller looks for.
    Word,
}

impl Ending {
    /// Reads `@trimtab ended CLAIM WAIT_STATUS PEAK_KIB CPU_MS`.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("@trimtab ended ")?.split(' ');
        let claim = match words.next()? {
            "passed" => Claim::Passed,
            "memory" => Claim::OutOfMemory,
            "refused" => Claim::Refused,
            "forged" => Claim::Forged,
            "none" => Claim::None,
            _ => return None,
        };
        Some(Self {
            claim,
            wait_status: words.next()?.parse().ok()?,
            peak_memory: Bytes(words.next()?.parse::<u64>().ok()? << 10),
            cpu: Duration::from_millis(words.next()?.parse().ok()?),
        })
    }

    /// The exit status, if the program ended by itself.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        libc::WIFEXITED(self.wait_status).then(|| libc::WEXITSTATUS(self.wait_status))
    }

    /// The signal that ended the program.
    pub(crate) fn signal(&self) -> Option<i32> {
        libc::WIFSIGNALED(self.wait_status).then(|| libc::WTERMSIG(self.wait_status))
    }

    /// The judgement on a program that the watcher did not stop.
    pub(crate) fn verdict(&self, proof: Proof, limits: &Limits) -> Verdict {
        if self.claim == Claim::Forged {
            return Verdict::Failed;
        }
        if let Some(signal) = self.signal() {
            let used_up_cpu = self.cpu.as_secs() >= limits.cpu_seconds();
            return match signal {
                libc::SIGXCPU => Verdict::TimedOut,
                libc::SIGSYS => Verdict::Refused,
                libc::SIGKILL if used_up_cpu => Verdict::TimedOut,
                _ => Verdict::Crashed,
            };
        }
        let ended_well = self.exit_code() == Some(0);
        match (proof, self.claim) {
            (_, Claim::OutOfMemory) => Verdict::OutOfMemory,
            (_, Claim::Refused) => Verdict::Refused,
            (Proof::Claimed, Claim::Passed) | (Proof::ExitStatus, Claim::None) if ended_well => {
                Verdict::Passed
            }
            (Proof::Word, Claim::None) if ended_well => Verdict::Passed,
            (_, Claim::Passed | Claim::Forged | Claim::None) => Verdict::Failed,
        }
    }
}

impl From<Stop> for Verdict {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::TimedOut => Self::TimedOut,
            Stop::OutputFlood => Self::OutputFlood,
            Stop::OutOfMemory => Self::OutOfMemory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGXCPU: i32 = libc::SIGXCPU;
    const SIGKILL: i32 = libc::SIGKILL;

    #[track_caller]
    fn check(report: &str, proof: Proof, want: Verdict) {
        let ending = Ending::parse(report).expect("a well-formed report");
        assert_eq!(ending.verdict(proof, &Limits::default()), want, "{report}");
    }

    #[test]
    fn a_check_passes_only_by_its_proof() {
        check(
            "@trimtab ended passed 0 9000 12",
            Proof::Claimed,
            Verdict::Passed,
        );
        check(
            "@trimtab ended none 0 9000 12",
            Proof::Claimed,
            Verdict::Failed,
        );
        check(
            "@trimtab ended forged 0 9000 12",
            Proof::Claimed,
            Verdict::Failed,
        );
        check(
            "@trimtab ended passed 256 9000 12",
            Proof::Claimed,
            Verdict::Failed,
        );
    }

    #[test]
    fn a_script_passes_by_its_exit_status() {
        check(
            "@trimtab ended none 0 9000 12",
            Proof::ExitStatus,
            Verdict::Passed,
        );
        check(
            "@trimtab ended none 256 9000 12",
            Proof::ExitStatus,
            Verdict::Failed,
        );
    }

    #[test]
    fn a_kill_after_the_cpu_limit_is_a_time_out() {
        check(
            &format!("@trimtab ended none {SIGXCPU} 9000 5000"),
            Proof::Claimed,
            Verdict::TimedOut,
        );
        check(
            &format!("@trimtab ended none {SIGKILL} 9000 6000"),
            Proof::Claimed,
            Verdict::TimedOut,
        );
        check(
            &format!("@trimtab ended none {SIGKILL} 9000 40"),
            Proof::Claimed,
            Verdict::Crashed,
        );
        check(
            &format!("@trimtab ended none {} 9000 9", libc::SIGSEGV),
            Proof::Claimed,
            Verdict::Crashed,
        );
    }

    #[test]
    fn memory_is_told_from_other_failures() {
        check(
            "@trimtab ended memory 256 500000 90",
            Proof::Claimed,
            Verdict::OutOfMemory,
        );
        check(
            "@trimtab ended memory 256 500000 90",
            Proof::ExitStatus,
            Verdict::OutOfMemory,
        );
    }

    #[test]
    fn what_the_sandbox_refused_is_told_from_other_failures() {
        check(
            "@trimtab ended refused 256 9000 90",
            Proof::Claimed,
            Verdict::Refused,
        );
        let killed = format!("@trimtab ended none {} 9000 9", libc::SIGSYS);
        check(&killed, Proof::ExitStatus, Verdict::Refused);
    }

    #[test]
    fn a_torn_report_is_no_report() {
        assert_eq!(Ending::parse("@trimtab ended passed 0 90"), None);
        assert_eq!(Ending::parse("@trimtab ended won 0 9000 12"), None);
        assert_eq!(Ending::parse("bwrap: no"), None);
    }
}
