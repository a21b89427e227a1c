//! The first two parts of CodeBLEU: BLEU over words, and recall with keywords weighted.
//!
//! Source: Ren et al. 2020, <https://arxiv.org/abs/2009.10297>, sections 3.1 and 3.2. The reference
//! package computes them as NLTK does, with its first smoothing: 0.1 where an order has no match.

use super::{Language, keywords::is_keyword};
use crate::{
    ngrams::{Counts, MAX_ORDER, Vocabulary, clipped, closest_length, count},
    python_text::words,
};
use std::ops::AddAssign;

/// What a keyword counts, in units of what another word counts: 1 and 0.2 in the paper.
const KEYWORD_WEIGHT: u64 = 5;

/// Added to the matches of an order that has none.
const EPSILON: f64 = 0.1;

/// The brevity penalty of the weighted match compares with 2 words a pair, whatever the reference:
/// the package takes the length of the list of words and weights.
const WEIGHTED_LENGTH: u64 = 2;

/// Matches and totals by order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OrderCounts {
    matched: [u64; MAX_ORDER],
    total: [u64; MAX_ORDER],
}

impl OrderCounts {
    fn add(&mut self, order: usize, matched: u64, total: u64) {
        self.matched[order - 1] += matched;
        self.total[order - 1] += total;
    }

    /// Geometric mean of the shares, times the brevity penalty.
    fn score(&self, n_words: u64, reference_length: u64) -> f64 {
        if self.matched[0] == 0 {
            return 0.0;
        }
        let log_share = |idx: usize| {
            let matched = match self.matched[idx] {
                0 => EPSILON,
                matched => matched as f64,
            };
            (matched / self.total[idx] as f64).ln() / MAX_ORDER as f64
        };
        let mean: f64 = (0..MAX_ORDER).map(log_share).sum();
        let brevity = if reference_length < n_words {
            1.0
        } else {
            (1.0 - reference_length as f64 / n_words as f64).exp()
        };
        brevity * mean.exp()
    }
}

/// What both parts are made of; counts of pairs add up to those of a corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NgramMatch {
    plain: OrderCounts,
    weighted: OrderCounts,
    n_words: u64,
    reference_length: u64,
    n_pairs: u64,
}

impl AddAssign for NgramMatch {
    fn add_assign(&mut self, other: Self) {
        for (sum, part) in [
            (&mut self.plain, other.plain),
            (&mut self.weighted, other.weighted),
        ] {
            for order in 1..=MAX_ORDER {
                sum.add(order, part.matched[order - 1], part.total[order - 1]);
            }
        }
        self.n_words += other.n_words;
        self.reference_length += other.reference_length;
        self.n_pairs += other.n_pairs;
    }
}

impl NgramMatch {
    /// Compares one hypothesis with its references.
    pub(super) fn of(hypothesis: &str, references: &[&str], language: Language) -> Self {
        let mut vocabulary = Vocabulary::default();
        let hypothesis = vocabulary.number(words(hypothesis));
        let texts = references;
        let references: Vec<Vec<u32>> = texts
            .iter()
            .map(|text| vocabulary.number(words(text)))
            .collect();
        let mut counts = Self {
            n_words: hypothesis.len() as u64,
            reference_length: closest_length(&references, hypothesis.len()) as u64,
            n_pairs: 1,
            ..Self::default()
        };
        for order in 1..=MAX_ORDER {
            let in_hypothesis = count(&hypothesis, order);
            let in_references: Vec<Counts<'_>> =
                references.iter().map(|r| count(r, order)).collect();
            let n_ngrams: u64 = in_hypothesis.values().sum();
            let matched = clipped(&in_hypothesis, &in_references);
            counts.plain.add(order, matched, n_ngrams.max(1));
            for (idx, in_reference) in in_references.iter().enumerate() {
                let (matched, total) = if order == 1 {
                    weighted_words(&in_hypothesis, &references[idx], texts[idx], language)
                } else {
                    let total: u64 = in_reference.values().sum();
                    let matched = clipped(in_reference, std::slice::from_ref(&in_hypothesis));
                    (matched, total.max(1))
                };
                counts.weighted.add(order, matched, total);
            }
        }
        counts
    }

    /// Words of the hypothesis.
    pub(super) fn n_words(&self) -> u64 {
        self.n_words
    }

    /// The plain and the weighted match, 0 to 1.
    pub(super) fn scores(&self) -> (f64, f64) {
        let weighted_length = WEIGHTED_LENGTH * self.n_pairs;
        (
            self.plain.score(self.n_words, self.reference_length),
            self.weighted.score(self.n_words, weighted_length),
        )
    }
}

/// Words of a reference that the hypothesis has, and all of them, in fifths.
fn weighted_words(
    in_hypothesis: &Counts<'_>,
    reference: &[u32],
    text: &str,
    language: Language,
) -> (u64, u64) {
    let mut seen = Counts::default();
    let (mut matched, mut total) = (0, 0);
    for (word, spelling) in reference.chunks(1).zip(words(text)) {
        let weight = if is_keyword(language, spelling) {
            KEYWORD_WEIGHT
        } else {
            1
        };
        let n_seen = seen.entry(word).or_insert(0);
        *n_seen += 1;
        let n_there = in_hypothesis.get(word).copied().unwrap_or(0);
        matched += if *n_seen <= n_there { weight } else { 0 };
        total += weight;
    }
    (matched, total.max(KEYWORD_WEIGHT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_weigh_five_times_as_much() {
        let counts = NgramMatch::of("return x", &["return y"], Language::Java);
        assert_eq!(
            (counts.weighted.matched[0], counts.weighted.total[0]),
            (5, 6)
        );
        assert_eq!((counts.plain.matched[0], counts.plain.total[0]), (1, 2));
    }

    #[test]
    fn a_total_is_at_least_one_whole_word() {
        let counts = NgramMatch::of("x", &["y z"], Language::Java);
        assert_eq!(
            (counts.weighted.matched[0], counts.weighted.total[0]),
            (0, 5)
        );
        assert_eq!(counts.scores(), (0.0, 0.0));
    }

    #[test]
    fn an_empty_hypothesis_scores_nothing() {
        assert_eq!(
            NgramMatch::of("", &["y z"], Language::Go).scores(),
            (0.0, 0.0)
        );
        assert_eq!(NgramMatch::of("", &[""], Language::Go).scores(), (0.0, 0.0));
    }
}
