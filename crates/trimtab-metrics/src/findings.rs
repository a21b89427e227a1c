//! The detector of results that cannot be true, or cannot show what they seem to.
//!
//! Each rule is a defect that evaluations have had: prompts left in what was scored, one model
//! evaluated under two names, a mixture scored on other problems than its members, a verdict from
//! five problems. A finding changes no number; it stands beside the result until someone has looked.

use crate::{
    PairedCounts,
    finding_words::words,
    flips::{paired, paired_outcomes},
    has_several_samples,
    normal::Z_95,
    paired_ratio,
};
use std::collections::{HashMap, HashSet};
use trimtab_domain::{
    CardUse, CompletionScore, Criterion, Finding, FindingKind, Performance, QUIET_LOAD, VariantName,
};

/// Fewer equal answers can be chance, or easy problems.
const MIN_SAME_ANSWERS: u32 = 5;

/// A shorter prompt may well occur in an honest answer.
const MIN_PROMPT_CHARS: usize = 40;

/// All answers of one variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VariantOutcomes<'a> {
    /// The variant.
    pub variant: &'a VariantName,
    /// Its graded answers.
    pub scores: &'a [CompletionScore],
    /// The variants that it chooses between, if it is a mixture.
    pub members: &'a [VariantName],
}

/// All answers of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOutcomes<'a> {
    /// The variant that all others are compared with.
    pub baseline: &'a VariantName,
    /// Every variant with its answers.
    pub variants: Vec<VariantOutcomes<'a>>,
    /// What was sent to the model, by suite and problem; where it is missing, answers are not
    /// searched for it.
    pub prompts: HashMap<(&'a str, &'a str), String>,
    /// What has to be proven.
    pub criterion: Criterion,
}

/// Looks at the outcomes of a run for what cannot be true, variant by variant.
///
/// A run without answers has no findings.
pub fn findings(run: &RunOutcomes<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let baseline = run
        .variants
        .iter()
        .find(|outcomes| outcomes.variant == run.baseline);
    for (idx, outcomes) in run.variants.iter().enumerate() {
        let kinds = [
            empty_answers(outcomes),
            prompt_in_answers(outcomes, &run.prompts),
            same_answers(outcomes, &run.variants[..idx]),
            baseline.and_then(|base| above_base(outcomes, base)),
            too_few_problems(outcomes, run),
            above_best_member(outcomes, &run.variants),
        ];
        found.extend(kinds.into_iter().flatten().map(|kind| Finding {
            variant: outcomes.variant.clone(),
            words: words(outcomes.variant, &kind),
            kind,
        }));
    }
    found
}

fn empty_answers(outcomes: &VariantOutcomes<'_>) -> Option<FindingKind> {
    let is_empty = |score: &&CompletionScore| score.completion.trim().is_empty();
    let first = outcomes.scores.iter().find(is_empty)?;
    Some(FindingKind::EmptyAnswers {
        n_empty: outcomes.scores.iter().filter(is_empty).count() as u32,
        n: outcomes.scores.len() as u32,
        problem_id: first.problem_id.clone(),
    })
}

fn prompt_in_answers(
    outcomes: &VariantOutcomes<'_>,
    prompts: &HashMap<(&str, &str), String>,
) -> Option<FindingKind> {
    let mut known = 0;
    let mut with_prompt: Vec<&CompletionScore> = Vec::new();
    for score in outcomes.scores {
        let Some(prompt) = prompts.get(&(score.suite.as_str(), score.problem_id.as_str())) else {
            continue;
        };
        known += 1;
        // Blanks are not compared: a tokenizer's round trip may change them.
        let prompt = without_blanks(prompt);
        if prompt.chars().count() >= MIN_PROMPT_CHARS
            && without_blanks(&score.completion).contains(&prompt)
        {
            with_prompt.push(score);
        }
    }
    Some(FindingKind::PromptInAnswers {
        n_with_prompt: with_prompt.len() as u32,
        n: known,
        problem_id: with_prompt.first()?.problem_id.clone(),
    })
}

fn without_blanks(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// The first earlier variant whose answers to all shared problems are the same text.
fn same_answers(
    outcomes: &VariantOutcomes<'_>,
    earlier: &[VariantOutcomes<'_>],
) -> Option<FindingKind> {
    earlier.iter().find_map(|other| {
        // A mixture repeats its members by design.
        let is_member =
            outcomes.members.contains(other.variant) || other.members.contains(outcomes.variant);
        let pairs = paired(other.scores, outcomes.scores);
        let n = pairs.len() as u32;
        let is_same = pairs
            .iter()
            .all(|(other, own)| other.completion == own.completion);
        (n >= MIN_SAME_ANSWERS && is_same && !is_member).then(|| FindingKind::SameAnswers {
            other: other.variant.clone(),
            n,
        })
    })
}

fn above_base(outcomes: &VariantOutcomes<'_>, base: &VariantOutcomes<'_>) -> Option<FindingKind> {
    if outcomes.variant == base.variant {
        return None;
    }
    // Several answers to a problem are not independent, as the interval takes them to be.
    if has_several_samples(outcomes.scores) {
        return None;
    }
    let counts = PairedCounts::of(&paired_outcomes(base.scores, outcomes.scores));
    let retention = paired_ratio(counts)?;
    (retention.low > 1.0).then_some(FindingKind::AboveBase {
        retention: retention.value,
        low: retention.low,
        n_won: counts.n_won as u32,
        n_lost: counts.n_lost as u32,
        n: retention.n,
    })
}

/// Without a single lost problem the interval of retention reaches down to k/(k + z²), k the
/// problems that the base passes: below k = z²·θ/(1 − θ) it covers the criterion θ whatever happens.
fn too_few_problems(outcomes: &VariantOutcomes<'_>, run: &RunOutcomes<'_>) -> Option<FindingKind> {
    let asked = run.criterion.min_retention;
    let can_be_proven = asked > 0.0 && asked < 1.0;
    let is_compared_with = outcomes.variant == run.baseline && run.variants.len() > 1;
    let by_tests = outcomes
        .scores
        .iter()
        .filter(|score| score.verdict.is_of_tests());
    let n = by_tests.count() as u32;
    if !is_compared_with || n == 0 || !can_be_proven || has_several_samples(outcomes.scores) {
        return None;
    }
    let passed = outcomes
        .scores
        .iter()
        .filter(|score| score.verdict.has_passed());
    let n_base_passed = passed.count() as u32;
    let n_base_needed = (Z_95 * Z_95 * asked / (1.0 - asked)).ceil() as u32;
    (n_base_passed < n_base_needed).then_some(FindingKind::TooFewProblems {
        n,
        n_base_passed,
        n_base_needed,
    })
}

fn above_best_member(
    outcomes: &VariantOutcomes<'_>,
    all: &[VariantOutcomes<'_>],
) -> Option<FindingKind> {
    let members: Vec<&VariantOutcomes<'_>> = all
        .iter()
        .filter(|other| outcomes.members.contains(other.variant))
        .collect();
    let passed_by: Vec<HashMap<_, bool>> = members
        .iter()
        .map(|member| {
            member
                .scores
                .iter()
                .map(|score| (key(score), score.verdict.has_passed()))
                .collect()
        })
        .collect();
    // Only problems that everyone answered are the same problems.
    let shared: HashMap<_, bool> = outcomes
        .scores
        .iter()
        .map(|score| (key(score), score.verdict.has_passed()))
        .filter(|(key, _)| passed_by.iter().all(|passed| passed.contains_key(key)))
        .collect();
    let n_passed_by = |passed: &HashMap<_, bool>| {
        shared
            .keys()
            .filter(|key| passed.get(*key) == Some(&true))
            .count() as u32
    };
    let best = (0..members.len()).max_by_key(|&idx| n_passed_by(&passed_by[idx]))?;
    let passed: HashSet<_> = shared
        .iter()
        .filter(|(_, passed)| **passed)
        .map(|(k, _)| k)
        .collect();
    let n_member_passed = n_passed_by(&passed_by[best]);
    let n_unexplained = passed
        .iter()
        .filter(|key| {
            passed_by
                .iter()
                .all(|passed| passed.get(**key) == Some(&false))
        })
        .count() as u32;
    (passed.len() as u32 > n_member_passed).then(|| FindingKind::AboveBestMember {
        member: members[best].variant.clone(),
        n_passed: passed.len() as u32,
        n_member_passed,
        n_unexplained,
        n: shared.len() as u32,
    })
}

/// Whether other processes used more than [`QUIET_LOAD`] of the cores, or computed on the same card,
/// while speed was measured.
pub fn disturbed(variant: &VariantName, performance: &Performance) -> Vec<Finding> {
    let other_load = performance.other_load().filter(|share| *share > QUIET_LOAD);
    let by_load = other_load.map(|other_load| FindingKind::Disturbed { other_load });
    let card_use = performance.card_use.as_deref();
    let n_others = card_use.and_then(CardUse::n_disturbing);
    let by_card = n_others.map(|n_others| FindingKind::SharedCard { n_others });
    by_load
        .into_iter()
        .chain(by_card)
        .map(|kind| Finding {
            words: words(variant, &kind),
            variant: variant.clone(),
            kind,
        })
        .collect()
}

fn key(score: &CompletionScore) -> (&str, &str, u32) {
    (&score.suite, &score.problem_id, score.sample_idx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flips::tests::score;

    const PROMPT: &str = "Write a function that returns the sum of its two arguments, please.";

    /// Answers of a variant, all different; `passed` says which pass.
    fn answers(variant: &str, passed: &[bool]) -> Vec<CompletionScore> {
        let answer = |(idx, &passed): (usize, &bool)| {
            score(
                variant,
                &idx.to_string(),
                passed,
                &format!("{variant} says {idx}"),
            )
        };
        passed.iter().enumerate().map(answer).collect()
    }

    /// What is found in a run whose last variant may be a mixture.
    fn look(all: &[Vec<CompletionScore>], members: &[VariantName]) -> Vec<Finding> {
        findings(&RunOutcomes {
            baseline: &all[0][0].variant,
            variants: all
                .iter()
                .enumerate()
                .map(|(idx, scores)| VariantOutcomes {
                    variant: &scores[0].variant,
                    scores,
                    members: if idx + 1 == all.len() { members } else { &[] },
                })
                .collect(),
            prompts: HashMap::from([(("s", "1"), PROMPT.to_owned())]),
            criterion: Criterion::default(),
        })
    }

    #[test]
    fn an_ordinary_result_has_no_findings() {
        let base = vec![true; 100];
        let mut variant = base.clone();
        variant[3] = false;
        let all = [answers("m:f16", &base), answers("m:int8", &variant)];
        assert_eq!(look(&all, &[]), []);
    }

    #[test]
    fn a_variant_far_above_its_base_is_flagged() {
        let half: Vec<bool> = (0..200).map(|i| i % 2 == 0).collect();
        let all = [answers("m:f16", &half), answers("m:int4", &[true; 200])];
        let found = look(&all, &[]);
        assert_eq!(found.len(), 1);
        let FindingKind::AboveBase {
            retention,
            low,
            n_won,
            n_lost,
            n,
        } = found[0].kind
        else {
            panic!("{found:?}");
        };
        assert_eq!((n_won, n_lost, n), (100, 0, 200));
        assert!((retention - 2.0).abs() < 1e-12 && low > 1.0);
        assert!(found[0].words.contains("100 won and 0 lost of 200"));
    }

    #[test]
    fn several_answers_to_a_problem_are_not_taken_for_as_many_problems() {
        let half: Vec<bool> = (0..200).map(|i| i % 2 == 0).collect();
        let mut all = [answers("m:f16", &half), answers("m:int4", &[true; 200])];
        for score in all.iter_mut().flatten() {
            let idx: u32 = score.problem_id.parse().unwrap();
            (score.problem_id, score.sample_idx) = ((idx / 50).to_string(), idx % 50);
        }
        assert_eq!(look(&all, &[]), []);
    }

    #[test]
    fn equal_answers_under_two_names_are_flagged() {
        let mut copy = answers("m:f16", &[true; 80]);
        for score in &mut copy {
            score.variant = "m:int4".parse().unwrap();
        }
        let found = look(&[answers("m:f16", &[true; 80]), copy.clone()], &[]);
        let [Finding { kind, .. }] = &found[..] else {
            panic!("{found:?}")
        };
        let other = "m:f16".parse().unwrap();
        assert_eq!(*kind, FindingKind::SameAnswers { other, n: 80 });
        copy[7].completion.push('!');
        assert_eq!(look(&[answers("m:f16", &[true; 80]), copy], &[]), []);
    }

    #[test]
    fn too_few_problems_are_flagged_up_to_the_exact_number() {
        let found = look(
            &[
                answers("m:f16", &[true; 72]),
                answers("m:int4", &[true; 72]),
            ],
            &[],
        );
        let [Finding { kind, .. }] = &found[..] else {
            panic!("{found:?}")
        };
        // Closed form without differing problems: k/(k + z²) ≥ 0.95 needs k ≥ 19 z² = 72.99.
        assert_eq!(
            *kind,
            FindingKind::TooFewProblems {
                n: 72,
                n_base_passed: 72,
                n_base_needed: 73
            }
        );
        assert_eq!(
            look(
                &[
                    answers("m:f16", &[true; 73]),
                    answers("m:int4", &[true; 73])
                ],
                &[]
            ),
            []
        );
    }

    #[test]
    fn a_mixture_above_its_members_is_flagged() {
        let mut a = vec![true; 100];
        a[..20].fill(false);
        let mut b = vec![true; 100];
        b[15..30].fill(false);
        let mut mixed = vec![true; 100];
        mixed[19] = false;
        let members = ["m:a".parse().unwrap(), "m:b".parse().unwrap()];
        let base = vec![true; 100];
        let all = [
            answers("m:f16", &base),
            answers("m:a", &a),
            answers("m:b", &b),
            answers("m:mix", &mixed),
        ];
        let found = look(&all, &members);
        let [Finding { kind, variant, .. }] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(variant.as_str(), "m:mix");
        assert_eq!(
            *kind,
            FindingKind::AboveBestMember {
                member: "m:b".parse().unwrap(),
                n_passed: 99,
                n_member_passed: 85,
                n_unexplained: 4,
                n: 100
            }
        );
        let within = [&all[0], &all[1], &all[2], &answers("m:mix", &a)].map(Clone::clone);
        assert_eq!(look(&within, &members), []);
    }

    #[test]
    fn prompts_and_nothing_in_answers_are_flagged() {
        let mut odd = answers("m:int4", &[true; 90]);
        odd[1].completion = format!("  {}\n\ndef add(a, b): ...", PROMPT.replace(' ', "\n"));
        odd[4].completion = " \n".into();
        odd[5].completion.clear();
        let found = look(&[answers("m:f16", &[true; 90]), odd], &[]);
        let kinds: Vec<&FindingKind> = found.iter().map(|finding| &finding.kind).collect();
        assert_eq!(
            kinds,
            [
                &FindingKind::EmptyAnswers {
                    n_empty: 2,
                    n: 90,
                    problem_id: "4".into()
                },
                &FindingKind::PromptInAnswers {
                    n_with_prompt: 1,
                    n: 1,
                    problem_id: "1".into()
                },
            ]
        );
    }

    #[test]
    fn a_run_without_answers_has_no_findings() {
        let baseline = "m:f16".parse().unwrap();
        let run = RunOutcomes {
            baseline: &baseline,
            variants: vec![VariantOutcomes {
                variant: &baseline,
                scores: &[],
                members: &[],
            }],
            prompts: HashMap::new(),
            criterion: Criterion::default(),
        };
        assert_eq!(findings(&run), []);
    }
}
