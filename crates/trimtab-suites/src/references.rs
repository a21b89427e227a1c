//! Reference solutions, graded before any answer: they say how long a program may take, and a
//! problem whose own solution fails its own tests cannot grade anybody's. What they tell can be kept,
//! so that all variants of a run are held against the same.

use crate::{Grade, Grader, Problem, Suite};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use trimtab_domain::{Bytes, ReferenceFinding, ReferenceOutcome, Verdict};
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

/// References that are checked before what they tell is told: a part that is lost is checked again.
const N_TOGETHER: usize = 64;

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
    /// only compared with, `n_threads` at a time. What is `known` of this suite is not found out
    /// again; `on_found` hears what is new, part by part.
    ///
    /// # Errors
    ///
    /// [`SandboxError`] if a program could not be run at all.
    pub fn check(
        grader: &Arc<Grader>,
        suite: &Suite,
        known: Vec<ReferenceFinding>,
        n_threads: usize,
        on_found: &mut dyn FnMut(&[ReferenceFinding]),
    ) -> Result<Self, SandboxError> {
        let known = known.into_iter();
        let mut outcomes: HashMap<String, ReferenceOutcome> = known
            .map(|finding| (finding.problem_id, finding.outcome))
            .collect();
        let is_open = |problem: &&Problem| {
            let known = outcomes.get(&problem.id);
            is_checked(grader, problem) && !known.is_some_and(|known| fits(known, problem))
        };
        let open: Vec<&Problem> = suite.problems.iter().filter(is_open).collect();
        for part in open.chunks(N_TOGETHER) {
            let found = check_part(grader, part, n_threads)?;
            on_found(&found);
            for finding in found {
                outcomes.insert(finding.problem_id, finding.outcome);
            }
        }
        let mut references = Self::default();
        for problem in &suite.problems {
            if is_checked(grader, problem)
                && let Some(outcome) = outcomes.remove(&problem.id)
            {
                references.add(problem.id.clone(), outcome);
            }
        }
        Ok(references)
    }

    fn add(&mut self, id: String, outcome: ReferenceOutcome) {
        match outcome {
            ReferenceOutcome::Passed {
                cpu_ms,
                memory,
                before_repair,
            } => {
                if !before_repair.is_empty() {
                    self.before_repair.insert(id.clone(), before_repair);
                }
                self.limits.insert(id, limits(cpu_ms, memory));
            }
            ReferenceOutcome::Broken { verdict, output } => self.broken.push(BrokenReference {
                id,
                verdict,
                output,
            }),
            ReferenceOutcome::Compiled { compiles: true } => drop(self.compiled.insert(id)),
            ReferenceOutcome::Compiled { compiles: false } => {}
        }
    }
}

/// Whether the reference of a problem can tell something here.
fn is_checked(grader: &Grader, problem: &Problem) -> bool {
    grader.can_grade(problem) || grader.can_compile(problem)
}

/// Whether an outcome can be that of the problem's reference.
fn fits(outcome: &ReferenceOutcome, problem: &Problem) -> bool {
    let is_compiled = matches!(outcome, ReferenceOutcome::Compiled { .. });
    is_compiled == problem.is_reference_only()
}

/// The limits of answers whose reference took so much time, and was given so much memory.
fn limits(cpu_ms: u64, memory: Bytes) -> Limits {
    Limits {
        memory_bytes: memory.0,
        ..Limits::for_reference(Duration::from_millis(cpu_ms))
    }
}

/// What the references of some problems tell, in their order.
fn check_part(
    grader: &Arc<Grader>,
    problems: &[&Problem],
    n_threads: usize,
) -> Result<Vec<ReferenceFinding>, SandboxError> {
    let own = grader.clone();
    let pool = Pool::start(n_threads, move |(idx, problem): (usize, Problem)| {
        let outcome = check_one(&own, &problem);
        (idx, problem.id, outcome)
    });
    for (idx, problem) in problems.iter().enumerate() {
        pool.submit((idx, (*problem).clone()));
    }
    let mut answers = pool.finish();
    answers.sort_by_key(|(idx, _, _)| *idx);
    let findings = answers.into_iter().map(|(_, problem_id, outcome)| {
        Ok(ReferenceFinding {
            problem_id,
            outcome: outcome?,
        })
    });
    findings.collect()
}

fn check_one(grader: &Grader, problem: &Problem) -> Result<ReferenceOutcome, SandboxError> {
    if problem.is_reference_only() {
        let compiles = grader.compiles(problem.language, &problem.canonical_solution)?;
        let compiles = compiles == Some(true);
        return Ok(ReferenceOutcome::Compiled { compiles });
    }
    let (grade, memory_bytes) = grade_reference(grader, problem)?;
    let (Verdict::Passed, Some(cpu)) = (grade.verdict, grade.cpu) else {
        return Ok(ReferenceOutcome::Broken {
            verdict: grade.verdict,
            output: grade.output,
        });
    };
    let cpu_ms = u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX);
    let memory = Bytes(memory_bytes);
    Ok(ReferenceOutcome::Passed {
        cpu_ms,
        memory,
        before_repair: grader.cases_of_broken(problem, &limits(cpu_ms, memory))?,
    })
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

    fn grader(suite: &Suite) -> Arc<Grader> {
        let sandbox = Sandbox::detect().expect("bubblewrap is installed by `make test`");
        Arc::new(Grader::new(sandbox, [suite]))
    }

    /// What the references tell, and what of it was found out just now.
    fn check(suite: &Suite, known: &[ReferenceFinding]) -> (References, Vec<ReferenceFinding>) {
        let mut found = Vec::new();
        let mut on_found = |part: &[ReferenceFinding]| found.extend_from_slice(part);
        let known = known.to_vec();
        let references = References::check(&grader(suite), suite, known, 2, &mut on_found).unwrap();
        (references, found)
    }

    #[test]
    fn a_reference_that_fails_is_listed_and_the_others_set_the_time() {
        let mut suite = suite("starter").unwrap().limited(3);
        suite.problems[1].tests.push_str("\nassert False\n");
        let broken = suite.problems[1].id.clone();
        let (references, _) = check(&suite, &[]);
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
        let (references, _) = check(&suite, &[]);
        let memory = |idx: usize| {
            let limits = references.limits.get(&suite.problems[idx].id);
            limits.map(|limits| limits.memory_bytes >> 20)
        };
        assert_eq!([0, 1, 2].map(memory), [Some(512), Some(1024), None]);
        assert_eq!(references.broken[0].verdict, Verdict::OutOfMemory);
    }

    #[test]
    fn what_is_known_is_not_found_out_again_and_what_is_missing_is() {
        let mut suite = suite("starter").unwrap().limited(4);
        suite.problems[1].tests.push_str("\nassert False\n");
        suite.problems[3].tests = String::new();
        let (before, mut known) = check(&suite, &[]);
        // Nothing is to be found out of a reference in Python that is only compared with.
        assert_eq!(known.len(), 3);
        let (after, found) = check(&suite, &known);
        assert_eq!(found, []);
        assert_eq!(
            (&after.limits, &after.broken),
            (&before.limits, &before.broken)
        );

        let ReferenceOutcome::Passed { cpu_ms, memory, .. } = &mut known[0].outcome else {
            panic!("{:?}", known[0]);
        };
        (*cpu_ms, *memory) = (2_500, Bytes(1 << 28));
        // What cannot be told of a problem with tests, and of a problem of another suite.
        known[1].outcome = ReferenceOutcome::Compiled { compiles: true };
        known[2].problem_id = "elsewhere".to_owned();
        let (mixed, found) = check(&suite, &known);
        let ids = |idx: usize| suite.problems[idx].id.clone();
        let found: Vec<String> = found.into_iter().map(|found| found.problem_id).collect();
        assert_eq!(found, [ids(1), ids(2)]);
        let kept = mixed.limits[&ids(0)];
        assert_eq!(
            (kept.cpu, kept.memory_bytes),
            (Duration::from_secs(10), 1 << 28)
        );
        assert_eq!((mixed.limits.len(), mixed.broken), (2, before.broken));
        assert!(mixed.compiled.is_empty());
    }
}
