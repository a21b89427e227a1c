//! From what was seen of a program to its outcome.

use crate::outcome::{Proof, Stage};
use crate::watch::Watched;
use crate::{Limits, Outcome};
use std::time::Duration;
use trimtab_domain::Verdict;

/// What the runtimes say before they end for want of memory.
const MEMORY_MARKS: [&str; 5] = [
    "java.lang.OutOfMemoryError",
    "System.OutOfMemoryException",
    "Garbage collector could not allocate",
    "JavaScript heap out of memory",
    "memory allocation of ",
];

impl Watched {
    /// Takes the line with the word out of the output; whether it was there.
    pub(crate) fn take_proof(&mut self, word: &str) -> bool {
        let line = format!("\n@trimtab {word}\n");
        let found = self
            .output
            .windows(line.len())
            .rposition(|bytes| bytes == line.as_bytes());
        if let Some(start) = found {
            self.output.drain(start..start + line.len());
        }
        found.is_some()
    }
}

impl Outcome {
    /// The outcome of a program whose stages had these limits.
    pub(crate) fn judge(watched: Watched, proof: Proof, stages: &[Limits]) -> Self {
        let Watched {
            stop,
            ending,
            output,
            wall,
            n_stages,
        } = watched;
        let idx = n_stages.clamp(1, stages.len()) - 1;
        let has_run = n_stages == stages.len();
        // Of a stopped program only the reason counts: how it died is the sandbox's doing.
        let ending = if stop.is_some() { None } else { ending };
        let output = String::from_utf8_lossy(&output).into_owned();
        let verdict = match (stop, &ending) {
            (Some(stop), _) => stop.into(),
            (None, Some(ending)) => ending.verdict(proof, &stages[idx]),
            // The program took its supervisor down with it.
            (None, None) => Verdict::Crashed,
        };
        let ended_badly = matches!(verdict, Verdict::Failed | Verdict::Crashed);
        let names_memory = MEMORY_MARKS.iter().any(|mark| output.contains(mark));
        let verdict = match verdict {
            _ if proof == Proof::Word && has_run && ended_badly && names_memory => {
                Verdict::OutOfMemory
            }
            // What was not compiled did not run, so nothing but failing is left.
            Verdict::Passed if !has_run => Verdict::Failed,
            verdict => verdict,
        };
        Self {
            verdict,
            exit_code: ending.and_then(|ending| ending.exit_code()),
            signal: ending.and_then(|ending| ending.signal()),
            output,
            stage: if has_run { Stage::Run } else { Stage::Compile },
            wall,
            cpu: ending.map(|ending| ending.cpu),
            peak_memory: ending.map(|ending| ending.peak_memory),
        }
    }

    /// A program that ended well without having run its tests to their end has failed.
    pub(crate) fn without_proof(mut self) -> Self {
        if self.verdict == Verdict::Passed {
            self.verdict = Verdict::Failed;
            self.output
                .push_str("the program ended itself before its tests had run\n");
        }
        self
    }

    /// An answer without a program is judged without running anything.
    pub(crate) fn of_nothing() -> Self {
        Self {
            verdict: Verdict::NoProgram,
            exit_code: None,
            signal: None,
            output: String::new(),
            stage: Stage::Compile,
            wall: Duration::ZERO,
            cpu: None,
            peak_memory: None,
        }
    }

    /// Nothing to compile.
    pub(crate) fn of_compiled_nothing() -> Self {
        Self {
            verdict: Verdict::Passed,
            ..Self::of_nothing()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(output: &str) -> Watched {
        Watched {
            stop: None,
            ending: None,
            output: output.as_bytes().to_vec(),
            wall: Duration::ZERO,
            n_stages: 1,
        }
    }

    #[test]
    fn the_word_is_found_and_taken_out() {
        let mut seen = watched("a\n@trimtab word\nb\n");
        assert!(seen.take_proof("word"));
        assert_eq!(seen.output, b"ab\n");
        assert!(!seen.take_proof("word"));
        assert!(!watched("@trimtab word").take_proof("word"));
    }

    #[test]
    fn a_program_that_ended_well_without_the_word_has_failed() {
        let outcome = Outcome::of_compiled_nothing().without_proof();
        assert_eq!(outcome.verdict, Verdict::Failed);
        assert!(outcome.output.contains("before its tests had run"));
    }
}
