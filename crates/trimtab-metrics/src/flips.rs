//! Pairing answers by problem, and the problems on which base and variant part.

use crate::{PairedOutcome, token_difference};
use std::collections::HashMap;
use trimtab_domain::{CompletionScore, Flip, Flips};

/// Suite, problem and sample: what makes two answers comparable.
type Key<'a> = (&'a str, &'a str, u32);

fn key(score: &CompletionScore) -> Key<'_> {
    (&score.suite, &score.problem_id, score.sample_idx)
}

/// Answers of both sides to the same problem, in the variant's order.
///
/// Answers that the other side lacks are left out; of two answers with the same key the last counts.
pub fn paired<'a>(
    base: &'a [CompletionScore],
    variant: &'a [CompletionScore],
) -> Vec<(&'a CompletionScore, &'a CompletionScore)> {
    let of_base: HashMap<Key<'_>, &CompletionScore> =
        base.iter().map(|score| (key(score), score)).collect();
    let mut of_variant: HashMap<Key<'_>, usize> = HashMap::new();
    let mut pairs: Vec<(&CompletionScore, &CompletionScore)> = Vec::new();
    for score in variant {
        let Some(base) = of_base.get(&key(score)) else {
            continue;
        };
        if let Some(&idx) = of_variant.get(&key(score)) {
            pairs[idx] = (base, score);
        } else {
            of_variant.insert(key(score), pairs.len());
            pairs.push((base, score));
        }
    }
    pairs
}

/// How both sides did on each problem that both answered and tests decided.
pub fn paired_outcomes(
    base: &[CompletionScore],
    variant: &[CompletionScore],
) -> Vec<PairedOutcome> {
    paired(base, variant)
        .into_iter()
        .filter(|(base, variant)| base.verdict.is_of_tests() && variant.verdict.is_of_tests())
        .map(|(base, variant)| PairedOutcome {
            base_passed: base.verdict.has_passed(),
            variant_passed: variant.verdict.has_passed(),
        })
        .collect()
}

/// The problems that one side passed and the other failed, in the variant's order.
pub fn flips(base: &[CompletionScore], variant: &[CompletionScore]) -> Flips {
    // What no test decided cannot flip.
    let is_of_tests = |score: &&CompletionScore| score.verdict.is_of_tests();
    let mut pairs = paired(base, variant);
    pairs.retain(|(base, variant)| is_of_tests(base) && is_of_tests(variant));
    let n_answers = [base, variant].map(|side| side.iter().filter(is_of_tests).count());
    let mut flips = Flips {
        n_compared: pairs.len() as u32,
        n_unpaired: n_answers
            .iter()
            .sum::<usize>()
            .saturating_sub(2 * pairs.len()) as u32,
        ..Flips::default()
    };
    for (base, variant) in pairs {
        let side = match (base.verdict.has_passed(), variant.verdict.has_passed()) {
            (true, false) => &mut flips.lost,
            (false, true) => &mut flips.won,
            (true, true) | (false, false) => continue,
        };
        let same = |(a, b): &(char, char)| a == b;
        let chars = base.completion.chars().zip(variant.completion.chars());
        side.push(Flip {
            base: base.clone(),
            variant: variant.clone(),
            n_same_chars: chars.take_while(same).count() as u32,
            first_difference: token_difference(base, variant),
        });
    }
    flips
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use trimtab_domain::{AnswerDetail, FinishReason, Verdict};

    /// An answer to `problem_id` of suite `s`.
    pub(crate) fn score(
        variant: &str,
        problem_id: &str,
        passed: bool,
        text: &str,
    ) -> CompletionScore {
        CompletionScore {
            variant: variant.parse().unwrap(),
            suite: "s".into(),
            problem_id: problem_id.into(),
            track: "write".into(),
            sample_idx: 0,
            verdict: if passed {
                Verdict::Passed
            } else {
                Verdict::Failed
            },
            completion: text.into(),
            output: String::new(),
            n_prompt_tokens: 1,
            n_output_tokens: 1,
            finish_reason: FinishReason::Stop,
            ttft_ms: 1.0,
            tpot_ms: None,
            grading_ms: 1.0,
            detail: AnswerDetail::default(),
        }
    }

    #[test]
    fn flips_pair_by_problem_whatever_the_order() {
        let base = [
            score("m:f16", "1", true, "return a + b"),
            score("m:f16", "2", false, "x"),
            score("m:f16", "3", true, "y"),
            score("m:f16", "4", true, "z"),
        ];
        let variant = [
            score("m:int4", "3", true, "y"),
            score("m:int4", "2", true, "é"),
            score("m:int4", "1", false, "return a - b"),
            score("m:int4", "9", false, "only here"),
        ];
        let got = flips(&base, &variant);
        assert_eq!((got.n_compared, got.n_unpaired), (3, 2));
        assert_eq!((got.lost.len(), got.won.len()), (1, 1));
        assert_eq!(got.lost[0].base.problem_id, "1");
        assert_eq!(got.lost[0].variant.completion, "return a - b");
        assert_eq!(got.lost[0].n_same_chars, 9);
        assert_eq!(
            (got.won[0].base.problem_id.as_str(), got.won[0].n_same_chars),
            ("2", 0)
        );
    }

    #[test]
    fn what_was_only_compared_cannot_flip() {
        let compared = |variant: &str, text: &str| {
            let mut score = score(variant, "1", false, text);
            score.verdict = Verdict::Compared;
            score
        };
        let got = flips(&[compared("m:f16", "a")], &[compared("m:int4", "b")]);
        assert_eq!((got.n_compared, got.n_unpaired), (0, 0));
        assert!(got.lost.is_empty() && got.won.is_empty());
    }

    #[test]
    fn an_answer_given_twice_counts_once() {
        let base = [score("m:f16", "1", true, "a")];
        let variant = [
            score("m:int4", "1", true, "a"),
            score("m:int4", "1", false, "b"),
        ];
        let outcomes = paired_outcomes(&base, &variant);
        assert_eq!(
            outcomes,
            [PairedOutcome {
                base_passed: true,
                variant_passed: false
            }]
        );
    }

    #[test]
    fn samples_are_told_apart() {
        let mut second = score("m:f16", "1", true, "a");
        second.sample_idx = 1;
        assert!(paired(&[score("m:f16", "1", true, "a")], &[second]).is_empty());
    }
}
