//! What CodeBLEU is made of, and what was degenerate on the way.

use super::{
    CodeBleuError, CodeBleuOptions, CodeBleuScore, NgramMatch, Text, dataflow, score, subtrees,
};
use std::ops::AddAssign;

/// Pairs whose score says less than it seems to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Degenerate {
    /// Hypotheses without a word.
    pub n_empty_hypotheses: u64,
    /// Pairs whose references have no data flow: they say nothing on it.
    pub n_undefined_data_flows: u64,
    /// Pairs with a reference that does not parse.
    pub n_references_with_errors: u64,
    /// Hypotheses that do not parse.
    pub n_hypotheses_with_errors: u64,
    /// Pairs with a text that is nested too deeply for a data flow.
    pub n_too_deep: u64,
}

/// Counts of one or more pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeBleuCounts {
    /// Pairs.
    pub n_pairs: u64,
    /// Subtrees of references that the hypothesis has too.
    pub n_subtrees_matched: u64,
    /// Subtrees of references.
    pub n_subtrees: u64,
    /// Relations of references that the hypothesis has too.
    pub n_flows_matched: u64,
    /// Relations of references.
    pub n_flows: u64,
    /// What was degenerate.
    pub degenerate: Degenerate,
    pub(super) words: NgramMatch,
    /// Of the pair that is being counted.
    has_reference_with_error: bool,
    has_deep_reference: bool,
}

impl CodeBleuCounts {
    /// The score of these counts, as of one corpus.
    ///
    /// # Errors
    ///
    /// [`CodeBleuError::NothingToScore`] for counts of no pair, and
    /// [`CodeBleuError::UndefinedDataFlow`].
    pub fn score(&self, options: &CodeBleuOptions) -> Result<CodeBleuScore, CodeBleuError> {
        score::score(options, self)
    }

    pub(super) fn of_words(words: NgramMatch) -> Self {
        Self {
            n_pairs: 1,
            words,
            ..Self::default()
        }
    }

    /// Adds the comparison with one reference.
    pub(super) fn add_texts(&mut self, hypothesis: &Text, reference: &Text) {
        let (matched, total) = subtrees::count_matches(&hypothesis.subtrees, &reference.subtrees);
        self.n_subtrees_matched += matched;
        self.n_subtrees += total;
        self.n_flows_matched += dataflow::count_matches(&hypothesis.flows, &reference.flows);
        self.n_flows += reference.flows.len() as u64;
        self.has_reference_with_error |= reference.has_parse_error;
        self.has_deep_reference |= reference.is_too_deep;
    }

    /// Notes what was degenerate, behind the last reference.
    pub(super) fn end_pair(&mut self, hypothesis: &Text) {
        self.degenerate = Degenerate {
            n_empty_hypotheses: u64::from(self.words.n_words() == 0),
            n_undefined_data_flows: u64::from(self.n_flows == 0),
            n_references_with_errors: u64::from(self.has_reference_with_error),
            n_hypotheses_with_errors: u64::from(hypothesis.has_parse_error),
            n_too_deep: u64::from(self.has_deep_reference || hypothesis.is_too_deep),
        };
        (self.has_reference_with_error, self.has_deep_reference) = (false, false);
    }
}

impl AddAssign for CodeBleuCounts {
    fn add_assign(&mut self, other: Self) {
        self.n_pairs += other.n_pairs;
        self.n_subtrees_matched += other.n_subtrees_matched;
        self.n_subtrees += other.n_subtrees;
        self.n_flows_matched += other.n_flows_matched;
        self.n_flows += other.n_flows;
        self.words += other.words;
        let (sum, more) = (&mut self.degenerate, other.degenerate);
        sum.n_empty_hypotheses += more.n_empty_hypotheses;
        sum.n_undefined_data_flows += more.n_undefined_data_flows;
        sum.n_references_with_errors += more.n_references_with_errors;
        sum.n_hypotheses_with_errors += more.n_hypotheses_with_errors;
        sum.n_too_deep += more.n_too_deep;
    }
}
