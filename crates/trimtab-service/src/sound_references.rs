//! Whether what a worker says of references can be true: limits of answers follow from it.

use std::collections::HashSet;
use trimtab_domain::{Bytes, ReferenceOutcome, SuiteReferences, Verdict};

/// More than a worker tells at once.
const MAX_FINDINGS: usize = 4096;

/// Longer than a reference may run.
const MAX_CPU_MS: u64 = 10 * 60 * 1000;

/// More memory than a reference is given.
const MAX_MEMORY: Bytes = Bytes(16 << 30);

/// More cases than are told of a problem.
const MAX_CASES: usize = 1024;

/// More than is kept of what a program prints.
const MAX_OUTPUT_BYTES: usize = 64 << 10;

/// Whether the numbers are possible, the parts bounded, and each problem told once.
pub(crate) fn are_sound_references(references: &SuiteReferences) -> bool {
    let findings = &references.findings;
    let mut seen = HashSet::new();
    findings.len() <= MAX_FINDINGS
        && findings.iter().all(|finding| {
            !finding.problem_id.is_empty()
                && seen.insert(&finding.problem_id)
                && is_sound(&finding.outcome)
        })
}

fn is_sound(outcome: &ReferenceOutcome) -> bool {
    match outcome {
        ReferenceOutcome::Passed {
            cpu_ms,
            memory,
            before_repair,
        } => {
            // A program was there, and it was run.
            let was_run =
                |verdict: &Verdict| verdict.is_of_tests() && *verdict != Verdict::NoProgram;
            *cpu_ms <= MAX_CPU_MS
                && (1..=MAX_MEMORY.0).contains(&memory.0)
                && before_repair.len() <= MAX_CASES
                && before_repair.iter().all(was_run)
        }
        ReferenceOutcome::Broken { verdict, output } => {
            verdict.is_of_tests() && output.len() <= MAX_OUTPUT_BYTES
        }
        ReferenceOutcome::Compiled { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::ReferenceFinding;

    fn passed(cpu_ms: u64, memory: u64, before_repair: &[Verdict]) -> ReferenceOutcome {
        ReferenceOutcome::Passed {
            cpu_ms,
            memory: Bytes(memory),
            before_repair: before_repair.to_vec(),
        }
    }

    fn broken(verdict: Verdict, n_bytes: usize) -> ReferenceOutcome {
        ReferenceOutcome::Broken {
            verdict,
            output: "x".repeat(n_bytes),
        }
    }

    fn are_sound(findings: &[(&str, ReferenceOutcome)]) -> bool {
        let finding = |(problem_id, outcome): &(&str, ReferenceOutcome)| ReferenceFinding {
            problem_id: (*problem_id).to_owned(),
            outcome: outcome.clone(),
        };
        are_sound_references(&SuiteReferences {
            suite: "s".to_owned(),
            digest: "a".repeat(64).parse().unwrap(),
            findings: findings.iter().map(finding).collect(),
        })
    }

    #[test]
    fn what_references_tell_is_possible_bounded_and_told_once() {
        let compiled = ReferenceOutcome::Compiled { compiles: false };
        assert!(are_sound(&[
            ("a", passed(0, 512 << 20, &[])),
            (
                "b",
                passed(61_000, 1 << 30, &[Verdict::TimedOut, Verdict::Passed])
            ),
            ("c", broken(Verdict::OutOfMemory, 2_100)),
            ("d", compiled.clone()),
        ]));
        for wrong in [
            passed(MAX_CPU_MS + 1, 1 << 20, &[]),
            passed(1, 0, &[]),
            passed(1, u64::MAX, &[]),
            passed(1, 1 << 20, &[Verdict::Compared]),
            passed(1, 1 << 20, &[Verdict::NoProgram]),
            passed(1, 1 << 20, &[Verdict::Failed; MAX_CASES + 1]),
            broken(Verdict::Compared, 1),
            broken(Verdict::Failed, MAX_OUTPUT_BYTES + 1),
        ] {
            assert!(!are_sound(&[("a", wrong.clone())]), "{wrong:?}");
        }
        assert!(!are_sound(&[("", compiled.clone())]));
        assert!(!are_sound(&[
            ("a", compiled.clone()),
            ("a", compiled.clone())
        ]));
        let many: Vec<String> = (0..=MAX_FINDINGS).map(|idx| idx.to_string()).collect();
        let many: Vec<_> = many
            .iter()
            .map(|id| (id.as_str(), compiled.clone()))
            .collect();
        assert!(are_sound(&many[1..]) && !are_sound(&many));
    }
}
