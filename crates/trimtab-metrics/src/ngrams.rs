//! Counting n-grams of words: what BLEU and CodeBLEU share.

use crate::keyed_hash::Keyed;
use std::collections::HashMap;

/// The longest n-gram that is counted.
pub(crate) const MAX_ORDER: usize = 4;

/// Words of one comparison as small numbers, so that n-grams are slices of numbers.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary<'a> {
    ids: HashMap<&'a str, u32, Keyed>,
    spellings: Vec<&'a str>,
}

impl<'a> Vocabulary<'a> {
    /// The numbers of words, in their order.
    pub(crate) fn number(&mut self, words: impl Iterator<Item = &'a str>) -> Vec<u32> {
        words
            .map(|word| {
                *self.ids.entry(word).or_insert_with(|| {
                    self.spellings.push(word);
                    self.spellings.len() as u32 - 1
                })
            })
            .collect()
    }

    /// The words by their numbers.
    pub(crate) fn spellings(&self) -> &[&'a str] {
        &self.spellings
    }
}

/// How often each n-gram of one order occurs.
pub(crate) type Counts<'a> = HashMap<&'a [u32], u64, Keyed>;

/// Counts the n-grams of `order` words; none if there are fewer words.
pub(crate) fn count(words: &[u32], order: usize) -> Counts<'_> {
    let mut counts = Counts::default();
    for ngram in words.windows(order) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

/// N-grams of the hypothesis that a reference has too, each at most as often as in the reference
/// that has it most.
pub(crate) fn clipped(hypothesis: &Counts<'_>, references: &[Counts<'_>]) -> u64 {
    let shared = |(ngram, count): (&&[u32], &u64)| {
        let in_references = references.iter().filter_map(|counts| counts.get(*ngram));
        in_references.max().map_or(0, |most| *most.min(count))
    };
    hypothesis.iter().map(shared).sum()
}

/// The length that is nearest to that of the hypothesis; of two, the shorter.
pub(crate) fn closest_length(references: &[Vec<u32>], hypothesis_length: usize) -> usize {
    let lengths = references.iter().map(Vec::len);
    let closest = lengths.min_by_key(|&length| (length.abs_diff(hypothesis_length), length));
    closest.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_word_counts_as_often_as_the_reference_has_it() {
        let mut vocabulary = Vocabulary::default();
        let hypothesis = vocabulary.number("the the the cat".split(' '));
        let first = vocabulary.number("the cat".split(' '));
        let second = vocabulary.number("the dog and the cat".split(' '));
        let references = [count(&first, 1), count(&second, 1)];
        assert_eq!(clipped(&count(&hypothesis, 1), &references), 3);
        assert_eq!(clipped(&count(&hypothesis, 2), &[count(&first, 2)]), 1);
        assert!(count(&first, 3).is_empty());
    }

    #[test]
    fn of_two_lengths_as_near_the_shorter_counts() {
        assert_eq!(closest_length(&[vec![0; 6], vec![0; 4]], 5), 4);
        assert_eq!(closest_length(&[vec![0; 9], vec![0; 4]], 7), 9);
    }
}
