//! What is found out before any answer: which problems can be graded here, and how long answers to
//! them may take.
//!
//! References belong to the run: what an earlier job has found out of the same suite holds for this
//! one, so that all variants have the same limits and nothing is graded twice.

use crate::{EvalError, judge::Standards, solve::progress};
use std::sync::Arc;
use trimtab_domain::{
    ExcludedProblem, JobEvent, LogLevel, ReferenceFinding, SuiteReferences, VariantName,
};
use trimtab_suites::{Grader, Problem, References, Suite};

type Sink<'a> = dyn FnMut(JobEvent) + Send + 'a;

/// A suite whose references are known.
pub(crate) struct Ready {
    pub(crate) suite: Suite,
    pub(crate) standards: Arc<Standards>,
}

/// Finds out which problems can be graded here: languages without a toolchain and references that
/// fail their own tests are told and left out. What is `known` is not found out again.
pub(crate) fn prepare(
    grader: &Arc<Grader>,
    variant: &VariantName,
    suites: Vec<Suite>,
    known: &[SuiteReferences],
    sink: &mut Sink<'_>,
) -> Result<Vec<Ready>, EvalError> {
    for (language, error) in grader.missing() {
        let hint = error.hint().unwrap_or_default();
        warn(
            sink,
            format!("problems in {language} are not graded: {error}; {hint}"),
        );
    }
    for (language, error) in grader.missing_compilers() {
        let message = format!("whether answers in {language} compile is not told: {error}");
        warn(sink, message);
    }
    let mut ready = Vec::new();
    for suite in suites {
        let references = references(grader, &suite, known, sink)?;
        let (standards, mut excluded) = Standards::new(&suite.name, references);
        for problem in &excluded {
            let ExcludedProblem {
                problem_id, reason, ..
            } = problem;
            warn(sink, format!("{problem_id} is left out: {reason}"));
        }
        excluded.extend(ungraded(grader, &suite));
        // An event is one line, whose length is limited.
        for problems in excluded.chunks(200) {
            sink(JobEvent::ProblemsExcluded {
                variant: variant.clone(),
                problems: problems.to_vec(),
            });
        }
        if !suite.problems.iter().any(|problem| standards.has(problem)) {
            return Err(EvalError::NothingToGrade(suite.name));
        }
        let standards = Arc::new(standards);
        ready.push(Ready { suite, standards });
    }
    Ok(ready)
}

/// What the references of a suite tell; what is new is told as it is found out.
fn references(
    grader: &Arc<Grader>,
    suite: &Suite,
    known: &[SuiteReferences],
    sink: &mut Sink<'_>,
) -> Result<References, EvalError> {
    let digest = suite.digest();
    let of_suite = known
        .iter()
        .filter(|known| known.suite == suite.name && known.digest == digest);
    let known: Vec<ReferenceFinding> = of_suite
        .flat_map(|known| known.findings.iter().cloned())
        .collect();
    if !known.is_empty() {
        let (n_known, name) = (known.len(), &suite.name);
        sink(JobEvent::Log {
            level: LogLevel::Info,
            message: format!("{n_known} references of {name} were checked earlier in this run"),
        });
    }
    let stage = format!("Checking the references of {}", suite.name);
    let n_total = suite.problems.len() as u64;
    let mut n_done = known.len() as u64;
    sink(progress(&stage, n_done, n_total));
    let n_threads = trimtab_runtime::n_threads();
    let references = References::check(grader, suite, known, n_threads, &mut |found| {
        n_done += found.len() as u64;
        sink(progress(&stage, n_done, n_total));
        sink(JobEvent::ReferencesChecked {
            references: SuiteReferences {
                suite: suite.name.clone(),
                digest: digest.clone(),
                findings: found.to_vec(),
            },
        });
    })?;
    sink(progress(&stage, n_total, n_total));
    Ok(references)
}

/// Problems in languages that cannot be graded here.
fn ungraded(grader: &Grader, suite: &Suite) -> Vec<ExcludedProblem> {
    let is_ungraded =
        |problem: &&Problem| !problem.is_reference_only() && !grader.can_grade(problem);
    let ungraded = suite.problems.iter().filter(is_ungraded);
    let excluded = ungraded.map(|problem| ExcludedProblem {
        suite: suite.name.clone(),
        problem_id: problem.id.clone(),
        reason: format!("there is no toolchain for {} here", problem.language),
    });
    excluded.collect()
}

fn warn(sink: &mut Sink<'_>, message: String) {
    let level = LogLevel::Warning;
    sink(JobEvent::Log { level, message });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use trimtab_domain::ReferenceOutcome;
    use trimtab_sandbox::Sandbox;
    use trimtab_suites::suite;

    /// What one job prepares and tells.
    fn prepared(
        variant: &str,
        suite: &Suite,
        known: &[SuiteReferences],
    ) -> (Vec<Ready>, Vec<JobEvent>) {
        let sandbox = Sandbox::detect().expect("bubblewrap is installed by `make test`");
        let grader = Arc::new(Grader::new(sandbox, [suite]));
        let mut told = Vec::new();
        let variant = variant.parse().unwrap();
        let suites = vec![suite.clone()];
        let ready = prepare(&grader, &variant, suites, known, &mut |event| {
            told.push(event);
        })
        .unwrap();
        (ready, told)
    }

    fn checked(told: &[JobEvent]) -> Vec<SuiteReferences> {
        let checked = told.iter().filter_map(|event| match event {
            JobEvent::ReferencesChecked { references } => Some(references.clone()),
            _ => None,
        });
        checked.collect()
    }

    fn excluded(told: &[JobEvent]) -> Vec<(String, String)> {
        let excluded = told.iter().filter_map(|event| match event {
            JobEvent::ProblemsExcluded { variant, problems } => {
                Some((variant.to_string(), problems[0].problem_id.clone()))
            }
            _ => None,
        });
        excluded.collect()
    }

    #[test]
    fn the_first_job_tells_what_references_tell_and_the_second_takes_it() {
        let mut used = suite("starter").unwrap().limited(3);
        used.problems[1].tests.push_str("\nassert False\n");
        let broken = used.problems[1].id.clone();
        let (_, told) = prepared("m:f16", &used, &[]);
        let mut known = checked(&told);
        assert_eq!((known.len(), known[0].findings.len()), (1, 3));
        assert_eq!(known[0].digest, used.digest());
        assert_eq!(excluded(&told), [("m:f16".to_owned(), broken.clone())]);

        // A mark by which to see that the second job has it from the first.
        for finding in &mut known[0].findings {
            if let ReferenceOutcome::Passed { cpu_ms, .. } = &mut finding.outcome {
                *cpu_ms = 3_000;
            }
        }
        let (ready, told) = prepared("m:int8", &used, &known);
        assert_eq!(checked(&told), []);
        assert_eq!(excluded(&told), [("m:int8".to_owned(), broken)]);
        let limits = ready[0].standards.limits[&used.problems[0].id];
        assert_eq!(limits.cpu, Duration::from_secs(12));
        assert!(!ready[0].standards.has(&used.problems[1]));

        // What was found out of a longer or another suite says nothing of this one.
        let shorter = used.clone().limited(2);
        let (ready, told) = prepared("m:int8", &shorter, &known);
        assert_eq!(checked(&told)[0].digest, shorter.digest());
        let limits = ready[0].standards.limits[&used.problems[0].id];
        assert_eq!(limits.cpu, Duration::from_secs(4));
        known[0].suite = "other".to_owned();
        assert_eq!(checked(&prepared("m:int8", &used, &known).1).len(), 1);
    }
}
