//! How programs were repaired: plausible, correct and regression rates.
//!
//! A repair is *plausible* when its tests pass; *correct* when it also is the known fix, or passes
//! tests that the problem does not show; a *regression* when it fails a test case that the broken
//! program passed.
//!
//! Source: Qi et al. 2015, "An Analysis of Patch Plausibility and Correctness for Generate-and-Validate
//! Patch Generation Systems", <https://doi.org/10.1145/2771783.2771791>.

use crate::wilson_interval;
use trimtab_domain::{CompletionScore, Repair, RepairScore};

/// The rates over all answers to problems of repair; `None` if there is none.
pub fn repair_score(scores: &[CompletionScore]) -> Option<RepairScore> {
    let repairs: Vec<(bool, Repair)> = scores
        .iter()
        .filter_map(|score| Some((score.verdict.has_passed(), score.detail.repair?)))
        .collect();
    let count = |is: &dyn Fn(bool, Repair) -> bool| {
        let counted = repairs
            .iter()
            .filter(|(passed, repair)| is(*passed, *repair));
        counted.count() as u32
    };
    let n = repairs.len() as u32;
    let n_could_regress = count(&|_, repair| repair.n_passed_before > 0);
    (n > 0).then(|| RepairScore {
        plausible: wilson_interval(count(&|passed, _| passed), n),
        correct: wilson_interval(count(&|passed, repair| passed && repair.is_correct()), n),
        regression: (n_could_regress > 0)
            .then(|| wilson_interval(count(&|_, repair| repair.n_regressed > 0), n_could_regress)),
        n_with_extended: count(&|_, repair| repair.passes_extended.is_some()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flips::tests::score;

    fn repaired(passed: bool, repair: Repair) -> CompletionScore {
        let mut score = score("m:int4", "p", passed, "x");
        score.detail.repair = Some(repair);
        score
    }

    #[test]
    fn a_repair_is_correct_only_if_it_is_plausible_too() {
        let same = Repair {
            is_same_tree: true,
            passes_extended: None,
            n_passed_before: 0,
            n_regressed: 0,
        };
        let other = Repair {
            is_same_tree: false,
            n_passed_before: 3,
            ..same
        };
        let scores = [
            repaired(true, same),
            // A reference whose own tests were unsteady is no success.
            repaired(false, same),
            repaired(true, other),
            repaired(
                true,
                Repair {
                    passes_extended: Some(true),
                    ..other
                },
            ),
            repaired(
                false,
                Repair {
                    n_regressed: 1,
                    ..other
                },
            ),
            score("m:int4", "no-repair", true, "x"),
        ];
        let got = repair_score(&scores).unwrap();
        assert_eq!(got.plausible, wilson_interval(3, 5));
        assert_eq!(got.correct, wilson_interval(2, 5));
        assert_eq!(got.regression, Some(wilson_interval(1, 3)));
        assert_eq!(got.n_with_extended, 1);
        assert_eq!(repair_score(&scores[5..]), None);
    }
}
