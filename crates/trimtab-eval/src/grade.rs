//! Grades an answer: takes the program out of it and runs it with the problem's tests in the sandbox.

use crate::{Problem, extract_program};
use std::time::Instant;
use trimtab_domain::Verdict;
use trimtab_sandbox::{Limits, PythonCheck, Sandbox, SandboxError};

/// Characters of a program's output that are kept with its score.
const OUTPUT_CHARS: usize = 2000;

/// How an answer was graded.
#[derive(Clone, Debug, PartialEq)]
pub struct Grade {
    /// How the program ended.
    pub verdict: Verdict,
    /// What it printed, cut to its last part.
    pub output: String,
    /// Wall-clock time of grading.
    pub duration_ms: f64,
}

/// Grades `answer` to `problem`.
///
/// # Errors
///
/// [`SandboxError`] if the program could not be run at all; whatever the program does is a [`Grade`].
pub fn grade(sandbox: &Sandbox, problem: &Problem, answer: &str) -> Result<Grade, SandboxError> {
    let clock = Instant::now();
    let elapsed_ms = || clock.elapsed().as_secs_f64() * 1e3;
    let Some(program) = extract_program(answer) else {
        let output = String::new();
        return Ok(Grade {
            verdict: Verdict::NoProgram,
            output,
            duration_ms: elapsed_ms(),
        });
    };
    let check = PythonCheck {
        solution: &program,
        tests: &problem.tests,
    };
    let outcome = sandbox.check(&check, &Limits::default())?;
    Ok(Grade {
        verdict: outcome.verdict,
        output: last_chars(&outcome.output, OUTPUT_CHARS),
        duration_ms: elapsed_ms(),
    })
}

/// The last `n` characters: a Python error says what happened in its last lines.
fn last_chars(text: &str, n: usize) -> String {
    let n_chars = text.chars().count();
    text.chars().skip(n_chars.saturating_sub(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[test]
    fn every_canonical_solution_passes_and_every_buggy_one_fails() {
        let sandbox = Sandbox::detect().expect("bubblewrap is installed by `make test`");
        for problem in suite("starter").unwrap().problems {
            let fenced = |program: &str| format!("Here it is:\n```python\n{program}\n```\nDone.");
            let good = grade(&sandbox, &problem, &fenced(&problem.canonical_solution)).unwrap();
            assert_eq!(
                good.verdict,
                Verdict::Passed,
                "{}: {}",
                problem.id,
                good.output
            );
            if let Some(buggy) = &problem.buggy_solution {
                let bad = grade(&sandbox, &problem, &fenced(buggy)).unwrap();
                assert_ne!(
                    bad.verdict,
                    Verdict::Passed,
                    "{} passes with its bug",
                    problem.id
                );
            }
        }
    }

    #[test]
    fn an_answer_in_prose_holds_no_program() {
        let sandbox = Sandbox::detect().expect("bubblewrap is installed by `make test`");
        let problem = suite("starter").unwrap().problems.remove(0);
        let graded = grade(&sandbox, &problem, "I cannot help with that.").unwrap();
        assert_eq!(graded.verdict, Verdict::NoProgram);
    }

    #[test]
    fn only_the_end_of_long_output_is_kept() {
        assert_eq!(last_chars("äbc", 2), "bc");
        assert_eq!(last_chars("abc", 9), "abc");
    }
}
