//! What is found out of one answer: the verdict of its tests, what a repair did, or how alike it is
//! to the reference where there are no tests.

use crate::EvalError;
use std::collections::{HashMap, HashSet};
use std::time::Instant;
use trimtab_domain::{ExcludedProblem, Likeness, PromptStyle, Repair, Verdict};
use trimtab_metrics::{Language, is_same_program, reference_likeness};
use trimtab_sandbox::Limits;
use trimtab_suites::{Grade, Grader, Problem, References, complete_program, program_of};

/// What the references of a suite say about its problems.
#[derive(Debug)]
pub(crate) struct Standards {
    pub(crate) limits: HashMap<String, Limits>,
    before_repair: HashMap<String, Vec<Verdict>>,
    compiled: HashSet<String>,
}

/// What was found out of one answer.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) grade: Grade,
    pub(crate) likeness: Option<Box<Likeness>>,
    pub(crate) repair: Option<Repair>,
}

impl Standards {
    /// Splits what references tell into what answers are held against and what is left out.
    pub(crate) fn new(suite: &str, references: References) -> (Self, Vec<ExcludedProblem>) {
        let excluded = references.broken.into_iter().map(|broken| {
            let verdict = broken.verdict.as_str();
            ExcludedProblem {
                suite: suite.to_owned(),
                problem_id: broken.id,
                reason: format!("its own solution does not pass its tests: {verdict}"),
            }
        });
        let excluded = excluded.collect();
        let standards = Self {
            limits: references.limits,
            before_repair: references.before_repair,
            compiled: references.compiled,
        };
        (standards, excluded)
    }

    /// Whether answers to a problem can be judged.
    pub(crate) fn has(&self, problem: &Problem) -> bool {
        problem.is_reference_only() || self.limits.contains_key(&problem.id)
    }

    /// Judges an answer to a problem that [`Self::has`] holds of.
    pub(crate) fn judge(
        &self,
        grader: &Grader,
        style: PromptStyle,
        problem: &Problem,
        answer: &str,
    ) -> Result<Judged, EvalError> {
        let program = program_of(problem, style, answer);
        if problem.is_reference_only() {
            return self.compare(grader, problem, &program.unwrap_or_default());
        }
        let limits = &self.limits[&problem.id];
        let Some(program) = program else {
            return Ok(Judged {
                grade: Grade::of_no_program(),
                likeness: None,
                repair: self.repair_without_program(problem),
            });
        };
        let grade = grader.grade_program(problem, &program, limits)?;
        let repair = self.repair(grader, problem, &program, &grade)?;
        Ok(Judged {
            grade,
            likeness: None,
            repair,
        })
    }

    fn compare(
        &self,
        grader: &Grader,
        problem: &Problem,
        program: &str,
    ) -> Result<Judged, EvalError> {
        let clock = Instant::now();
        let language = language_of(problem)?;
        let mut likeness = reference_likeness(language, program, &problem.canonical_solution)?;
        if self.compiled.contains(&problem.id) {
            likeness.compiles = grader.compiles(problem.language, program)?;
        }
        Ok(Judged {
            grade: Grade {
                verdict: Verdict::Compared,
                duration_ms: clock.elapsed().as_secs_f64() * 1e3,
                ..Grade::of_no_program()
            },
            likeness: Some(Box::new(likeness)),
            repair: None,
        })
    }

    fn repair(
        &self,
        grader: &Grader,
        problem: &Problem,
        program: &str,
        grade: &Grade,
    ) -> Result<Option<Repair>, EvalError> {
        if problem.buggy_solution.is_none() {
            return Ok(None);
        }
        let fix = complete_program(problem, &problem.canonical_solution);
        let same = is_same_program(language_of(problem)?, program, &fix);
        let passes_extended = match grade.verdict {
            Verdict::Passed => {
                grader.passes_extended(problem, program, &self.limits[&problem.id])?
            }
            _ => problem.with_extended_tests().map(|_| false),
        };
        let (n_passed_before, n_regressed) = self.regressions(problem, &grade.cases);
        Ok(Some(Repair {
            is_same_tree: same? == Some(true),
            passes_extended,
            n_passed_before,
            n_regressed,
        }))
    }

    fn repair_without_program(&self, problem: &Problem) -> Option<Repair> {
        problem.buggy_solution.as_ref()?;
        let (n_passed_before, n_regressed) = self.regressions(problem, &[]);
        Some(Repair {
            is_same_tree: false,
            passes_extended: problem.with_extended_tests().map(|_| false),
            n_passed_before,
            n_regressed,
        })
    }

    /// Cases that the broken program passed, and of them those that the answer does not.
    fn regressions(&self, problem: &Problem, cases: &[Verdict]) -> (u32, u32) {
        let before = self.before_repair.get(&problem.id);
        let before = before.map_or(&[][..], Vec::as_slice);
        let passed = |verdicts: &[Verdict], idx: usize| verdicts.get(idx) == Some(&Verdict::Passed);
        let passed_before = (0..before.len()).filter(|idx| passed(before, *idx));
        let n_passed_before = passed_before.clone().count() as u32;
        let n_regressed = passed_before.filter(|idx| !passed(cases, *idx)).count();
        (n_passed_before, n_regressed as u32)
    }
}

/// The language of a problem, as the metrics call it.
fn language_of(problem: &Problem) -> Result<Language, EvalError> {
    let name = problem.language.as_str();
    name.parse()
        .map_err(|_| EvalError::NoMetric(problem.language))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use trimtab_sandbox::Sandbox;
    use trimtab_suites::Suite;

    fn judged(suite: &Suite, answer: &str) -> Judged {
        let sandbox = Sandbox::detect().expect("bubblewrap is installed by `make test`");
        let grader = Arc::new(Grader::new(sandbox, [suite]));
        let references = References::check(&grader, suite, Vec::new(), 2, &mut |_| {}).unwrap();
        let (standards, excluded) = Standards::new(&suite.name, references);
        assert_eq!(excluded, []);
        let problem = &suite.problems[0];
        assert!(standards.has(problem));
        standards
            .judge(&grader, PromptStyle::Chat, problem, answer)
            .unwrap()
    }

    /// A problem of repair whose broken program passes one of three cases.
    fn repair() -> Suite {
        let line = serde_json::json!({
            "id": "r", "track": "repair", "prompt": "Repair it.", "entry_point": "f",
            "canonical_solution": "def f(x):\n    return x + 1\n",
            "buggy_solution": "def f(x):\n    return 1\n",
            "test_cases": ["assert f(0) == 1", "assert f(1) == 2", "assert f(2) == 3"],
            "extended_tests": "assert f(-5) == -4",
        });
        Suite::from_jsonl("s", "S", &line.to_string()).unwrap()
    }

    #[test]
    fn a_repair_is_told_from_the_fix_and_from_a_regression() {
        let suite = repair();
        let fixed = "```python\ndef f(x):\n    # fixed\n    return (x + 1)\n```";
        let got = judged(&suite, fixed);
        assert_eq!(got.grade.verdict, Verdict::Passed);
        let right = Repair {
            is_same_tree: true,
            passes_extended: Some(true),
            n_passed_before: 1,
            n_regressed: 0,
        };
        assert_eq!(got.repair, Some(right));

        // Passes what is shown, and nothing else.
        let fitted = "```python\ndef f(x):\n    return abs(x) + 1\n```";
        let got = judged(&suite, fitted).repair.unwrap();
        assert!(!got.is_same_tree && got.passes_extended == Some(false));

        let worse = "```python\ndef f(x):\n    return x + 2\n```";
        let got = judged(&suite, worse);
        assert_eq!(got.grade.cases, [Verdict::Failed; 3]);
        assert_eq!(got.repair.unwrap().n_regressed, 1);
        let none = judged(&suite, "I cannot.");
        assert_eq!(none.grade.verdict, Verdict::NoProgram);
        assert_eq!(none.repair.unwrap().n_regressed, 1);
    }

    #[test]
    fn without_tests_an_answer_is_compared_with_the_reference() {
        let line = serde_json::json!({
            "id": "t", "track": "translate", "language": "rust", "prompt": "Translate.",
            "canonical_solution": "fn one() -> u8 { 1 }", "tests": null,
        });
        let suite = Suite::from_jsonl("s", "S", &line.to_string()).unwrap();
        let got = judged(&suite, "```rust\nfn one() -> u8 {\n    1\n}\n```");
        assert_eq!(got.grade.verdict, Verdict::Compared);
        let likeness = got.likeness.unwrap();
        assert!(!likeness.is_exact && likeness.is_same_tree == Some(true));
        // Rust is here: it has compiled this test.
        assert_eq!(likeness.compiles, Some(true));
        let wrong = judged(&suite, "```rust\nfn one() -> u8 { \"1\" }\n```");
        assert_eq!(wrong.likeness.unwrap().compiles, Some(false));
        let nothing = judged(&suite, "I cannot.").likeness.unwrap();
        assert_eq!(nothing.compiles, Some(false));
        assert_eq!(nothing.edit_similarity, Some(0.0));
    }
}
