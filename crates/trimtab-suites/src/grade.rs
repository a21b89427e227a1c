//! Grades programs: runs them with their problem's tests in the sandbox.

use crate::{
    Problem, Suite, compilation_unit, compile_errors::only_unknown_names, complete_program,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use trimtab_domain::Verdict;
use trimtab_sandbox::{
    Build, Built, Language, Limits, Outcome, Program, Sandbox, SandboxError, Toolchain,
};

/// Characters of a program's output that are kept with its score.
const OUTPUT_CHARS: usize = 2000;

/// No suite has more cases in a problem; those beyond are not told one by one.
const MAX_CASES: usize = 64;

/// Cases of a broken program that may run into the time limit before the rest is not run.
const MAX_TIME_OUTS: u32 = 3;

/// Languages whose programs are compiled before they run.
pub const COMPILED: [Language; 3] = [Language::Java, Language::CSharp, Language::Rust];

/// How an answer was graded.
#[derive(Clone, Debug, PartialEq)]
pub struct Grade {
    /// How the program ended with all tests.
    pub verdict: Verdict,
    /// How it ended with each test case alone; empty for a problem whose tests are one piece.
    pub cases: Vec<Verdict>,
    /// What it printed, cut to its last part.
    pub output: String,
    /// CPU time of the run with all tests; unknown if it was stopped.
    pub cpu: Option<Duration>,
    /// Wall-clock time of grading.
    pub duration_ms: f64,
}

impl Grade {
    /// The grade of an answer that holds no program.
    pub fn of_no_program() -> Self {
        Self {
            verdict: Verdict::NoProgram,
            cases: Vec::new(),
            output: String::new(),
            cpu: None,
            duration_ms: 0.0,
        }
    }
}

/// A sandbox with the toolchains that some suites need.
#[derive(Debug)]
pub struct Grader {
    sandbox: Sandbox,
    toolchains: BTreeMap<Language, Toolchain>,
    missing: BTreeMap<Language, SandboxError>,
    /// Of these only a compiler would have been wanted.
    missing_compilers: BTreeMap<Language, SandboxError>,
}

impl Grader {
    /// Finds the toolchain of every language in which `suites` have something to run or to compile.
    pub fn new<'a>(sandbox: Sandbox, suites: impl IntoIterator<Item = &'a Suite>) -> Self {
        let (mut to_run, mut to_compile) = (BTreeSet::new(), BTreeSet::new());
        for problem in suites.into_iter().flat_map(|suite| &suite.problems) {
            let language = problem.language;
            if !problem.is_reference_only() {
                to_run.insert(language);
            } else if COMPILED.contains(&language) {
                to_compile.insert(language);
            }
        }
        let mut grader = Self {
            sandbox,
            toolchains: BTreeMap::new(),
            missing: BTreeMap::new(),
            missing_compilers: BTreeMap::new(),
        };
        for language in to_run.union(&to_compile).copied() {
            match grader.sandbox.toolchain(language) {
                Ok(found) => drop(grader.toolchains.insert(language, found)),
                Err(error) if to_run.contains(&language) => {
                    grader.missing.insert(language, error);
                }
                Err(error) => drop(grader.missing_compilers.insert(language, error)),
            }
        }
        grader
    }

    /// Languages that cannot be graded here, and why. Their problems are left out, never failed.
    pub fn missing(&self) -> impl Iterator<Item = (Language, &SandboxError)> {
        self.missing
            .iter()
            .map(|(language, error)| (*language, error))
    }

    /// Languages whose answers are only compared with references, and cannot be compiled here.
    pub fn missing_compilers(&self) -> impl Iterator<Item = (Language, &SandboxError)> {
        self.missing_compilers
            .iter()
            .map(|(language, error)| (*language, error))
    }

    /// Whether the answers to a problem can be graded here.
    pub fn can_grade(&self, problem: &Problem) -> bool {
        !problem.is_reference_only() && self.toolchains.contains_key(&problem.language)
    }

    /// Whether answers to a problem that has nothing to run can be compiled here.
    pub fn can_compile(&self, problem: &Problem) -> bool {
        let language = problem.language;
        problem.is_reference_only()
            && COMPILED.contains(&language)
            && self.toolchains.contains_key(&language)
    }

    /// Grades the reference solution of a problem.
    ///
    /// # Errors
    ///
    /// As [`Self::grade_program`].
    pub fn grade_reference(
        &self,
        problem: &Problem,
        limits: &Limits,
    ) -> Result<Grade, SandboxError> {
        let program = complete_program(problem, &problem.canonical_solution);
        self.grade_program(problem, &program, limits)
    }

    /// Whether the compiler takes `program` alone, or inside a class where it is a bare method, but
    /// for names that are defined elsewhere; `None` for a language that is not compiled, or without a
    /// compiler here.
    ///
    /// # Errors
    ///
    /// [`SandboxError`] if the compiler could not be run at all.
    pub fn compiles(
        &self,
        language: Language,
        program: &str,
    ) -> Result<Option<bool>, SandboxError> {
        let toolchain = self.toolchains.get(&language);
        let Some(toolchain) = toolchain.filter(|_| COMPILED.contains(&language)) else {
            return Ok(None);
        };
        if program.trim().is_empty() {
            return Ok(Some(false));
        }
        let program = Program {
            solution: &compilation_unit(language, program),
            tests: "",
            support: &[],
        };
        let outcome = self.sandbox.compile(toolchain, &program)?;
        let is_taken = outcome.verdict == Verdict::Passed;
        Ok(Some(
            is_taken || only_unknown_names(language, &outcome.output),
        ))
    }

    /// The verdict of each test case on the program of a problem that is to be repaired. After a few
    /// cases that run too long the others count as such without being run.
    ///
    /// # Errors
    ///
    /// As [`Self::grade_program`].
    pub fn cases_of_broken(
        &self,
        problem: &Problem,
        limits: &Limits,
    ) -> Result<Vec<Verdict>, SandboxError> {
        let Some(broken) = &problem.buggy_solution else {
            return Ok(Vec::new());
        };
        let program = complete_program(problem, broken);
        let prepared = self.prepare(problem, &program)?;
        let (mut verdicts, mut n_timed_out) = (Vec::new(), 0);
        for idx in 0..problem.test_cases.len().min(MAX_CASES) {
            let verdict = if n_timed_out < MAX_TIME_OUTS {
                self.run_case(&prepared, idx, limits)?.verdict
            } else {
                Verdict::TimedOut
            };
            n_timed_out += u32::from(verdict == Verdict::TimedOut);
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    /// Whether a program passes the extended tests as well; `None` where there are none.
    ///
    /// # Errors
    ///
    /// As [`Self::grade_program`].
    pub fn passes_extended(
        &self,
        problem: &Problem,
        program: &str,
        limits: &Limits,
    ) -> Result<Option<bool>, SandboxError> {
        let Some(tests) = problem.with_extended_tests() else {
            return Ok(None);
        };
        let outcome = self.run(problem, program, &tests, limits)?;
        Ok(Some(outcome.verdict == Verdict::Passed))
    }

    /// Grades a program as it stands.
    ///
    /// # Errors
    ///
    /// [`SandboxError`] if the program could not be run at all; whatever the program does is a
    /// [`Grade`]. A language without its toolchain is [`SandboxError::ToolchainMissing`].
    pub fn grade_program(
        &self,
        problem: &Problem,
        program: &str,
        limits: &Limits,
    ) -> Result<Grade, SandboxError> {
        let clock = Instant::now();
        let prepared = self.prepare(problem, program)?;
        let outcome = self.run_together(&prepared, limits)?;
        let cases = self.verdicts_of_cases(&prepared, outcome.verdict, limits)?;
        Ok(Grade {
            verdict: outcome.verdict,
            output: told(&cases, &outcome.output),
            cases,
            cpu: outcome.cpu,
            duration_ms: clock.elapsed().as_secs_f64() * 1e3,
        })
    }

    /// The verdict of each case alone. What passes all together passes each, so that only a
    /// program that does not is run again.
    fn verdicts_of_cases(
        &self,
        prepared: &Prepared<'_>,
        together: Verdict,
        limits: &Limits,
    ) -> Result<Vec<Verdict>, SandboxError> {
        let n_cases = prepared.problem.test_cases.len();
        let cases = 0..n_cases.min(MAX_CASES);
        if together == Verdict::Passed || n_cases < 2 {
            return Ok(cases.map(|_| together).collect());
        }
        cases
            .map(|idx| Ok(self.run_case(prepared, idx, limits)?.verdict))
            .collect()
    }

    /// Compiles a program whose cases are chosen when it runs.
    fn prepare<'a>(
        &self,
        problem: &'a Problem,
        program: &'a str,
    ) -> Result<Prepared<'a>, SandboxError> {
        let tests = problem.all_tests();
        let whole = Program {
            solution: program,
            tests: &tests,
            support: &problem.support,
        };
        let build = self.sandbox.build(self.toolchain(problem)?, &whole)?;
        Ok(Prepared {
            problem,
            program,
            build,
        })
    }

    /// Runs a program with all its tests.
    fn run_together(
        &self,
        prepared: &Prepared<'_>,
        limits: &Limits,
    ) -> Result<Outcome, SandboxError> {
        let problem = prepared.problem;
        match &prepared.build {
            Build::Built(built) => self.run_built(problem, built, &[], limits),
            Build::Refused(outcome) => Ok(outcome.clone()),
            Build::NotShared => self.run(problem, prepared.program, &problem.all_tests(), limits),
        }
    }

    /// Runs a program with one of its test cases.
    fn run_case(
        &self,
        prepared: &Prepared<'_>,
        idx: usize,
        limits: &Limits,
    ) -> Result<Outcome, SandboxError> {
        let problem = prepared.problem;
        match &prepared.build {
            Build::Built(built) => self.run_built(problem, built, &[&idx.to_string()], limits),
            Build::Refused(outcome) => Ok(outcome.clone()),
            Build::NotShared => {
                let tests = problem.tests_of_case(&problem.test_cases[idx]);
                self.run(problem, prepared.program, &tests, limits)
            }
        }
    }

    fn toolchain(&self, problem: &Problem) -> Result<&Toolchain, SandboxError> {
        let language = problem.language;
        let missing = SandboxError::ToolchainMissing {
            language,
            program: "its toolchain",
        };
        self.toolchains.get(&language).ok_or(missing)
    }

    fn run(
        &self,
        problem: &Problem,
        solution: &str,
        tests: &str,
        limits: &Limits,
    ) -> Result<Outcome, SandboxError> {
        let toolchain = self.toolchain(problem)?;
        let program = Program {
            solution,
            tests,
            support: &problem.support,
        };
        let outcome = self.sandbox.grade(toolchain, &program, limits)?;
        Ok(heeding_lines(problem, outcome))
    }

    fn run_built(
        &self,
        problem: &Problem,
        built: &Built,
        arguments: &[&str],
        limits: &Limits,
    ) -> Result<Outcome, SandboxError> {
        let outcome = self.sandbox.run_built(built, arguments, limits)?;
        Ok(heeding_lines(problem, outcome))
    }
}

/// A program that is to be run with its tests, together or one by one.
struct Prepared<'a> {
    problem: &'a Problem,
    program: &'a str,
    build: Build,
}

/// The outcome, failed if a line of the output says so.
fn heeding_lines(problem: &Problem, mut outcome: Outcome) -> Outcome {
    let fails = |line: &str| problem.failing_line.as_deref() == Some(line.trim());
    if outcome.verdict == Verdict::Passed && outcome.output.lines().any(fails) {
        outcome.verdict = Verdict::Failed;
    }
    outcome
}

/// How many cases passed, then the end of the output.
fn told(cases: &[Verdict], output: &str) -> String {
    let output = last_chars(output, OUTPUT_CHARS);
    let n_passed = cases.iter().filter(|verdict| **verdict == Verdict::Passed);
    match (cases.len(), n_passed.count()) {
        (n_cases, n_passed) if n_cases > 1 && n_passed < n_cases => {
            let words: Vec<&str> = cases.iter().map(|verdict| verdict.as_str()).collect();
            let words = words.join(", ");
            format!("{n_passed} of {n_cases} tests passed ({words})\n{output}")
        }
        _ => output,
    }
}

/// The last `n` characters: an error says what happened in its last lines.
fn last_chars(text: &str, n: usize) -> String {
    let n_chars = text.chars().count();
    text.chars().skip(n_chars.saturating_sub(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    fn grader(suite: &Suite) -> Grader {
        let sandbox = Sandbox::detect().expect("bubblewrap is installed by `make test`");
        Grader::new(sandbox, [suite])
    }

    fn grade(grader: &Grader, problem: &Problem, program: &str) -> Grade {
        grader
            .grade_program(problem, program, &Limits::default())
            .expect("a grade")
    }

    #[test]
    fn every_canonical_solution_passes_and_every_buggy_one_fails() {
        let suite = suite("starter").unwrap();
        let grader = grader(&suite);
        for problem in &suite.problems {
            let good = grade(&grader, problem, &problem.canonical_solution);
            assert_eq!(
                good.verdict,
                Verdict::Passed,
                "{}: {}",
                problem.id,
                good.output
            );
            if let Some(buggy) = &problem.buggy_solution {
                let bad = grade(&grader, problem, buggy);
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
    fn each_case_has_a_verdict_of_its_own() {
        let mut suite = suite("starter").unwrap().limited(1);
        let problem = &mut suite.problems[0];
        problem.tests = "limit = 3".into();
        problem.test_cases = [
            "assert f(1) == 1",
            "assert f(2) == 2",
            "assert f(limit) == 3",
        ]
        .map(str::to_owned)
        .to_vec();
        let (grader, problem) = (grader(&suite), &suite.problems[0]);
        let program =
            "def f(x):\n    if x == 2:\n        while True: pass\n    return 3 if x < 3 else x";
        let limits = Limits {
            cpu: Duration::from_secs(1),
            ..Limits::default()
        };
        let graded = grader.grade_program(problem, program, &limits).unwrap();
        assert_eq!(graded.verdict, Verdict::Failed);
        assert_eq!(
            graded.cases,
            [Verdict::Failed, Verdict::TimedOut, Verdict::Passed]
        );
        assert!(
            graded
                .output
                .starts_with("1 of 3 tests passed (failed, timed_out, passed)\n"),
            "{}",
            graded.output
        );
        let right = grade(&grader, problem, "def f(x): return x");
        assert_eq!(right.cases, [Verdict::Passed; 3]);
        assert_eq!(right.output, "");
    }

    #[test]
    fn a_line_that_means_failure_fails_a_program_that_ends_well() {
        let mut suite = suite("starter").unwrap().limited(1);
        let problem = &mut suite.problems[0];
        problem.tests = "print(f(1) == 1)".into();
        problem.failing_line = Some("False".into());
        let grader = grader(&suite);
        for (body, verdict) in [("x", Verdict::Passed), ("2", Verdict::Failed)] {
            let program = format!("def f(x): return {body}");
            let graded = grade(&grader, &suite.problems[0], &program);
            assert_eq!(graded.verdict, verdict);
        }
    }

    #[test]
    fn only_the_end_of_long_output_is_kept() {
        assert_eq!(last_chars("äbc", 2), "bc");
        assert_eq!(last_chars("abc", 9), "abc");
    }
}
