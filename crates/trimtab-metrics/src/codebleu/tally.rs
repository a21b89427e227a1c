//! Counts of CodeBLEU as plain numbers, to be stored with an answer and added up later.

use super::{CodeBleuCounts, Degenerate, NgramMatch};
use trimtab_domain::CodeBleuTally;

impl From<&CodeBleuCounts> for CodeBleuTally {
    fn from(counts: &CodeBleuCounts) -> Self {
        let Degenerate {
            n_empty_hypotheses,
            n_undefined_data_flows,
            n_references_with_errors,
            n_hypotheses_with_errors,
            n_too_deep,
        } = counts.degenerate;
        Self {
            subtrees: [counts.n_subtrees_matched, counts.n_subtrees],
            flows: [counts.n_flows_matched, counts.n_flows],
            degenerate: [
                n_empty_hypotheses,
                n_undefined_data_flows,
                n_references_with_errors,
                n_hypotheses_with_errors,
                n_too_deep,
            ],
            ..counts.words.tally()
        }
    }
}

impl From<&CodeBleuTally> for CodeBleuCounts {
    /// The counts of one pair.
    fn from(tally: &CodeBleuTally) -> Self {
        let [empty, undefined, references, hypotheses, deep] = tally.degenerate;
        let mut counts = Self::of_words(NgramMatch::from_tally(tally));
        [counts.n_subtrees_matched, counts.n_subtrees] = tally.subtrees;
        [counts.n_flows_matched, counts.n_flows] = tally.flows;
        counts.degenerate = Degenerate {
            n_empty_hypotheses: empty,
            n_undefined_data_flows: undefined,
            n_references_with_errors: references,
            n_hypotheses_with_errors: hypotheses,
            n_too_deep: deep,
        };
        counts
    }
}

#[cfg(test)]
mod tests {
    use crate::{CodeBleu, CodeBleuCounts, CodeBleuOptions, Language};
    use trimtab_domain::CodeBleuTally;

    #[test]
    fn what_was_stored_adds_up_as_what_was_counted() {
        let mut codebleu = CodeBleu::new(Language::Java, CodeBleuOptions::default()).unwrap();
        let pairs = [
            (
                "int f(int a) { return a; }",
                "int f(int b) { int c = b; return c; }",
            ),
            ("", "void g() { }"),
            ("int (", "int h() { return 1; }"),
        ];
        let (mut counted, mut stored) = (CodeBleuCounts::default(), CodeBleuCounts::default());
        for (hypothesis, reference) in pairs {
            let pair = codebleu.counts(hypothesis, &[reference]).unwrap();
            let json = serde_json::to_string(&CodeBleuTally::from(&pair)).unwrap();
            let tally: CodeBleuTally = serde_json::from_str(&json).unwrap();
            counted += pair;
            stored += CodeBleuCounts::from(&tally);
        }
        assert_eq!(counted, stored);
        assert_eq!(counted.degenerate.n_empty_hypotheses, 1);
        assert_eq!(codebleu.score(&counted), codebleu.score(&stored));
    }
}
