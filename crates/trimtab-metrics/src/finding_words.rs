//! Findings in words: what was seen, with its numbers, and what to do about it.

use trimtab_domain::{FindingKind, VariantName, load_words, shared_card_words};

/// What is said of a variant, as a sentence.
fn of(variant: &VariantName, words: &str) -> String {
    format!("{variant}: {words}.")
}

/// One sentence on what was found of `variant`.
pub(crate) fn words(variant: &VariantName, kind: &FindingKind) -> String {
    match kind {
        FindingKind::AboveBase {
            retention,
            low,
            n_won,
            n_lost,
            n,
        } => format!(
            "{variant} solves more than its base ({:.0} %, at least {:.0} % with 95 % confidence; \
             {n_won} won and {n_lost} lost of {n}): compression adds no ability, so look at the \
             won problems before believing it.",
            100.0 * retention,
            100.0 * low
        ),
        FindingKind::SameAnswers { other, n } => format!(
            "All {n} answers of {variant} are the same text as those of {other}: check that they \
             are two variants, and that the compression was applied."
        ),
        FindingKind::AboveBestMember {
            member,
            n_passed,
            n_member_passed,
            n_unexplained,
            n,
        } => {
            format!(
                "{variant} solves {n_passed} of {n} problems, its best member {member} \
                 {n_member_passed}; {n_unexplained} of them no member solves: check that all were \
                 scored on the same answers."
            )
        }
        FindingKind::TooFewProblems {
            n,
            n_base_passed,
            n_base_needed,
        } => format!(
            "{n} problems, of which {variant} solves {n_base_passed}, are too few for a verdict: not \
             even a variant that loses none is proven before the base solves {n_base_needed}."
        ),
        FindingKind::Disturbed { other_load } => of(variant, &load_words(*other_load)),
        FindingKind::SharedCard { n_others } => of(variant, &shared_card_words(*n_others)),
        FindingKind::PromptInAnswers {
            n_with_prompt,
            n,
            problem_id,
        } => format!(
            "{n_with_prompt} of {n} answers of {variant} hold the text of their prompt, for example \
             `{problem_id}`: scores of them measure the prompt, not the model."
        ),
        FindingKind::EmptyAnswers {
            n_empty,
            n,
            problem_id,
        } => format!(
            "{n_empty} of {n} answers of {variant} are empty, for example `{problem_id}`: check stop \
             rules and the limit on tokens; some text scores give points for nothing."
        ),
    }
}
