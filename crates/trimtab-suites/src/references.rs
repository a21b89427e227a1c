//! Reference solutions, graded before any answer: they say how long a program may take, and a
//! problem whose own solution fails its own tests cannot grade anybody's.

use crate::{Grade, Grader, Problem, Suite};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use trimtab_domain::Verdict;
use trimtab_sandbox::{Limits, Pool, SandboxError};

/// A reference may take long; its time is the measure for all others.
const REFERENCE_LIMITS: Limits = Limits {
    wall: Duration::from_secs(90),
    cpu: Duration::from_mins(1),
    memory_bytes: 512 << 20,
    n_processes: 16,
    file_bytes: 16 << 20,
    tmp_bytes: 32 << 20,
    output_bytes: 256 << 10,
};

/// Memory for a problem whose reference needs more than others.
const MORE_MEMORY: u64 = 1 << 30;

/// What the reference solutions of a suite tell.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// Limits of every problem whose reference passes, by id.
    pub limits: HashMap<String, Limits>,
    /// Problems whose reference does not pass, in the order of the suite.
    pub broken: Vec<BrokenReference>,
    /// Problems without tests whose reference compiles alone, but for names that are defined
    /// elsewhere: only they can tell whether an answer does.
    pub compiled: HashSet<String>,
    /// The verdict of each test case on the program that is to be repaired, by problem.
    pub before_repair: HashMap<String, Vec<Verdict>>,
}

/// A problem that cannot grade answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenReference {
    /// The problem.
    pub id: String,
    /// How its reference solution ended.
    pub verdict: Verdict,
    /// What it printed.
    pub output: String,
}

impl References {
    /// Grades the reference of every problem that can be graded here, and compiles those that are
    /// only compared with, `n_threads` at a time.
    ///
    /// # Errors
    ///
    /// [`SandboxError`] if a program could not be run at all.
    pub fn check(
        grader: &Arc<Grader>,
        suite: &Suite,
        n_threads: usize,
    ) -> Result<Self, SandboxError> {
        let own = grader.clone();
        let pool = Pool::start(n_threads, move |(idx, problem): (usize, Problem)| {
            let checked = check_one(&own, &problem);
            (idx, problem.id, checked)
        });
        let problems = suite.problems.iter().enumerate();
        let is_checked =
            |problem: &Problem| grader.can_grade(problem) || problem.is_reference_only();
        for (idx, problem) in problems.filter(|(_, problem)| is_checked(problem)) {
            pool.submit((idx, problem.clone()));
        }
        let mut answers = pool.finish();
        answers.sort_by_key(|(idx, _, _)| *idx);
        let mut references = Self::default();
        for (_, id, checked) in answers {
            match checked? {
                Checked::Compiled(true) => drop(references.compiled.insert(id)),
                Checked::Compiled(false) => {}
                Checked::Graded(grade, limits, before) => {
                    if !before.is_empty() {
                        references.before_repair.insert(id.clone(), before);
                    }
                    references.add(id, grade, limits);
                }
            }
        }
        Ok(references)
    }

    fn add(&mut self, id: String, grade: Grade, limits: Option<Limits>) {
        match limits {
            Some(limits) => drop(self.limits.insert(id, limits)),
            None => self.broken.push(BrokenReference {
                id,
                verdict: grade.verdict,
                output: grade.output,
            }),
        }
    }
}

/// What is known of one reference.
enum Checked {
    Compiled(bool),
    /// The grade, the limits that follow from it if it passed, and the cases of the broken program.
    Graded(Grade, Option<Limits>, Vec<Verdict>),
}

fn check_one(grader: &Grader, problem: &Problem) -> Result<Checked, SandboxError> {
    if problem.is_reference_only() {
        let compiles = grader.compiles(problem.language, &problem.canonical_solution)?;
        return Ok(Checked::Compiled(compiles == Some(true)));
    }
    let (grade, memory_bytes) = grade_reference(grader, problem)?;
    let (limits, before) = match (grade.verdict, grade.cpu) {
        (Verdict::Passed, Some(cpu)) => {
            let limits = Limits {
                memory_bytes,
                ..Limits::for_reference(cpu)
            };
            (Some(limits), grader.cases_of_broken(problem, &limits)?)
        }
        _ => (None, Vec::new()),
    };
    Ok(Checked::Graded(grade, limits, before))
}

/// The grade of a reference, and the memory with which it was made: a reference that runs out of it
/// is given more once, and answers to its problem then have as much.
fn grade_reference(grader: &Grader, problem: &Problem) -> Result<(Grade, u64), SandboxError> {
    let grade = grader.grade_reference(problem, &REFERENCE_LIMITS)?;
    if grade.verdict != Verdict::OutOfMemory {
        return Ok((grade, REFERENCE_LIMITS.memory_bytes));
    }
    let limits = Limits {
        memory_bytes: MORE_MEMORY,
        ..REFERENCE_LIMITS
    };
    Ok((grader.grade_reference(problem, &limits)?, MORE_MEMORY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;
    use trimtab_sandbox::Sandbox;

    #[test]
    fn a_reference_that_fails_is_listed_and_the_others_set_the_time() {
        let mut suite = suite("starter").unwrap().limited(3);
        suite.problems[1].tests.push_str("\nassert False\n");
        let broken = suite.problems[1].id.clone();
        let sandbox = Sandbox::detect().expect("bubblewrap is installed by `make test`");
        let grader = Arc::new(Grader::new(sandbox, [&suite]));
        let references = References::check(&grader, &suite, 2).unwrap();
        assert_eq!(references.limits.len(), 2);
        assert_eq!(references.broken.len(), 1);
        assert_eq!(references.broken[0].id, broken);
        assert_eq!(references.broken[0].verdict, Verdict::Failed);
        let limits = references.limits[&suite.problems[0].id];
        assert_eq!(limits.cpu, Duration::from_secs(4));
    }

    #[test]
    fn a_reference_that_needs_more_memory_is_given_it_with_its_answers() {
        let mut suite = suite("starter").unwrap().limited(3);
        for (problem, n_mib) in suite.problems.iter_mut().zip([100, 700, 2000]) {
            problem.tests = format!("kept = bytearray({n_mib} << 20)\n");
        }
        let sandbox = Sandbox::detect().expect("bubblewrap is installed by `make test`");
        let grader = Arc::new(Grader::new(sandbox, [&suite]));
        let references = References::check(&grader, &suite, 2).unwrap();
        let memory = |idx: usize| {
            let limits = references.limits.get(&suite.problems[idx].id);
            limits.map(|limits| limits.memory_bytes >> 20)
        };
        assert_eq!([0, 1, 2].map(memory), [Some(512), Some(1024), None]);
        assert_eq!(references.broken[0].verdict, Verdict::OutOfMemory);
    }
}
