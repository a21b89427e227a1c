//! The first two parts of CodeBLEU: BLEU over words, and recall with keywords weighted.
//!
//! Source: Ren et al. 2020, <https://arxiv.org/abs/2009.10297>, sections 3.1 and 3.2. The reference
//! package computes them as NLTK does, with its first smoothing: 0.1 where an order has no match.

use super::{Language, expressions::Expressions, keywords::is_keyword};
use crate::{
    ngrams::{MAX_ORDER, Vocabulary, closest_length},
    python_text::words,
};
use std::ops::AddAssign;
use trimtab_domain::CodeBleuTally;

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
        if references == [hypothesis] {
            return Self::of_equal(hypothesis, language);
        }
        let mut vocabulary = Vocabulary::default();
        let words_of_hypothesis = vocabulary.number(words(hypothesis));
        let words_of_references: Vec<Vec<u32>> = references
            .iter()
            .map(|text| vocabulary.number(words(text)))
            .collect();
        let n_words = words_of_hypothesis.len();
        let mut counts = Self {
            n_words: n_words as u64,
            reference_length: closest_length(&words_of_references, n_words) as u64,
            n_pairs: 1,
            ..Self::default()
        };
        let spellings = vocabulary.spellings();
        let mut longer = Expressions::default();
        let mut hypothesis = words_of_hypothesis.clone();
        let mut references = words_of_references.clone();
        for order in 1..=MAX_ORDER {
            let mut n_numbers = spellings.len();
            if order > 1 {
                lengthen(&mut hypothesis, &words_of_hypothesis, order, &mut longer);
                for (ngrams, words) in references.iter_mut().zip(&words_of_references) {
                    lengthen(ngrams, words, order, &mut longer);
                }
                n_numbers = longer.len();
            }
            let in_hypothesis = tally(&hypothesis, n_numbers);
            let in_references: Vec<Vec<u64>> =
                references.iter().map(|r| tally(r, n_numbers)).collect();
            let most = |number: usize| in_references.iter().map(|counts| counts[number]).max();
            let shared = |(number, &count): (usize, &u64)| count.min(most(number).unwrap_or(0));
            let matched = in_hypothesis.iter().enumerate().map(shared).sum();
            counts
                .plain
                .add(order, matched, (hypothesis.len() as u64).max(1));
            for in_reference in &in_references {
                let weigh = |number: usize| {
                    let is_full = order == 1 && is_keyword(language, spellings[number]);
                    if is_full { KEYWORD_WEIGHT } else { 1 }
                };
                let (matched, total) = weighted(&in_hypothesis, in_reference, weigh);
                let least = if order == 1 { KEYWORD_WEIGHT } else { 1 };
                counts.weighted.add(order, matched, total.max(least));
            }
        }
        counts
    }

    /// The comparison of a text with itself: all that there is matches.
    fn of_equal(text: &str, language: Language) -> Self {
        let weight = |word| {
            if is_keyword(language, word) {
                KEYWORD_WEIGHT
            } else {
                1
            }
        };
        let (n_words, in_fifths) =
            words(text).fold((0, 0), |(n, sum), word| (n + 1, sum + weight(word)));
        let mut counts = Self {
            n_words,
            reference_length: n_words,
            n_pairs: 1,
            ..Self::default()
        };
        for order in 1..=MAX_ORDER {
            let n_ngrams = (n_words + 1).saturating_sub(order as u64);
            counts.plain.add(order, n_ngrams, n_ngrams.max(1));
            let (matched, least) = if order == 1 {
                (in_fifths, KEYWORD_WEIGHT)
            } else {
                (n_ngrams, 1)
            };
            counts.weighted.add(order, matched, matched.max(least));
        }
        counts
    }

    /// The counts as plain numbers; what they do not know of stays 0.
    pub(super) fn tally(&self) -> CodeBleuTally {
        CodeBleuTally {
            words_matched: self.plain.matched,
            words_total: self.plain.total,
            weighted_matched: self.weighted.matched,
            weighted_total: self.weighted.total,
            n_words: self.n_words,
            reference_length: self.reference_length,
            ..CodeBleuTally::default()
        }
    }

    /// The counts of one pair.
    pub(super) fn from_tally(tally: &CodeBleuTally) -> Self {
        Self {
            plain: OrderCounts {
                matched: tally.words_matched,
                total: tally.words_total,
            },
            weighted: OrderCounts {
                matched: tally.weighted_matched,
                total: tally.weighted_total,
            },
            n_words: tally.n_words,
            reference_length: tally.reference_length,
            n_pairs: 1,
        }
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

/// From n-grams of one order less to those of `order` words, each as a number.
fn lengthen(ngrams: &mut Vec<u32>, words: &[u32], order: usize, longer: &mut Expressions) {
    let ends = words.get(order - 1..).unwrap_or_default();
    ngrams.truncate(ends.len());
    for (ngram, &end) in ngrams.iter_mut().zip(ends) {
        *ngram = longer.number(&[*ngram, end]);
    }
}

/// How often each number occurs.
fn tally(ngrams: &[u32], n_numbers: usize) -> Vec<u64> {
    let mut counts = vec![0; n_numbers];
    for &ngram in ngrams {
        counts[ngram as usize] += 1;
    }
    counts
}

/// The n-grams of a reference that the hypothesis has, and all of them, by their weight.
fn weighted(
    in_hypothesis: &[u64],
    in_reference: &[u64],
    weight: impl Fn(usize) -> u64,
) -> (u64, u64) {
    let (mut matched, mut total) = (0, 0);
    for (number, &count) in in_reference.iter().enumerate() {
        if count > 0 {
            let weight = weight(number);
            matched += weight * count.min(in_hypothesis[number]);
            total += weight * count;
        }
    }
    (matched, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ngrams::{Counts, clipped, count};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// The same with a map for each order.
    fn of_reference(hypothesis: &str, references: &[&str], language: Language) -> NgramMatch {
        let mut vocabulary = Vocabulary::default();
        let hypothesis = vocabulary.number(words(hypothesis));
        let numbered: Vec<Vec<u32>> = references
            .iter()
            .map(|text| vocabulary.number(words(text)))
            .collect();
        let mut counts = NgramMatch {
            n_words: hypothesis.len() as u64,
            reference_length: closest_length(&numbered, hypothesis.len()) as u64,
            n_pairs: 1,
            ..NgramMatch::default()
        };
        for order in 1..=MAX_ORDER {
            let in_hypothesis = count(&hypothesis, order);
            let in_references: Vec<Counts<'_>> = numbered.iter().map(|r| count(r, order)).collect();
            let n_ngrams: u64 = in_hypothesis.values().sum();
            let matched = clipped(&in_hypothesis, &in_references);
            counts.plain.add(order, matched, n_ngrams.max(1));
            for (idx, in_reference) in in_references.iter().enumerate() {
                let (matched, total) = if order == 1 {
                    words_reference(&in_hypothesis, &numbered[idx], references[idx], language)
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

    fn words_reference(
        in_hypothesis: &Counts<'_>,
        reference: &[u32],
        text: &str,
        language: Language,
    ) -> (u64, u64) {
        let mut seen = Counts::default();
        let (mut matched, mut total) = (0, 0);
        for (word, spelling) in reference.chunks(1).zip(words(text)) {
            let weight = if is_keyword(language, spelling) { 5 } else { 1 };
            let n_seen = seen.entry(word).or_insert(0);
            *n_seen += 1;
            let n_there = in_hypothesis.get(word).copied().unwrap_or(0);
            matched += if *n_seen <= n_there { weight } else { 0 };
            total += weight;
        }
        (matched, total.max(5))
    }

    #[test]
    fn numbers_count_as_maps_do() {
        let mut random = ChaCha8Rng::seed_from_u64(8);
        let mut text = || {
            let n_words = random.random_range(0..40);
            let words = ["int", "a", "b", "return", "=", "c;", "while"];
            let picked = (0..n_words).map(|_| words[random.random_range(0..words.len())]);
            picked.collect::<Vec<_>>().join(" ")
        };
        for n_references in [1, 1, 2, 3].repeat(50) {
            let hypothesis = text();
            let texts: Vec<String> = (0..n_references).map(|_| text()).collect();
            let references: Vec<&str> = texts.iter().map(String::as_str).collect();
            let equal = [&*hypothesis];
            let expected = of_reference(&hypothesis, &equal, Language::Java);
            let got = NgramMatch::of(&hypothesis, &equal, Language::Java);
            assert_eq!(got, expected, "{hypothesis:?}");
            let expected = of_reference(&hypothesis, &references, Language::Java);
            let got = NgramMatch::of(&hypothesis, &references, Language::Java);
            assert_eq!(got, expected, "{hypothesis:?}, {references:?}");
        }
    }

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
