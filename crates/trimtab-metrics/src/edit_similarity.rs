//! Edit similarity: how few characters have to be typed to make one text of the other.
//!
//! 1 − d / max(|a|, |b|), where d is Levenshtein's distance (insertions, deletions and
//! replacements) and lengths are in characters. Source: Zhang et al. 2023, RepoCoder,
//! <https://arxiv.org/abs/2303.12570>, the metrics of its evaluation. Other benchmarks print another
//! number under this name: `fuzz.ratio` counts a replacement as two edits.

use crate::registry::{self, MetricDisabled, MetricId};
use std::collections::HashMap;
use thiserror::Error;

/// The longest text that is compared, in bytes: the work grows with the product of both lengths.
pub const MAX_TEXT_BYTES: usize = 256 * 1024;

/// Why there is no edit similarity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EditSimilarityError {
    /// The self-test failed.
    #[error(transparent)]
    Disabled(#[from] MetricDisabled),
    /// The hypothesis has nothing to be compared with.
    #[error("the hypothesis has no reference")]
    NoReference,
    /// A text above the limit.
    #[error("a text of {n_bytes} bytes is longer than {MAX_TEXT_BYTES}, the most that is compared")]
    TooLong {
        /// Its length.
        n_bytes: usize,
    },
}

/// Edit similarity, after its self-test.
#[derive(Clone, Copy, Debug)]
pub struct EditSimilarity(());

impl EditSimilarity {
    /// # Errors
    ///
    /// [`EditSimilarityError::Disabled`] if the self-test failed.
    pub fn new() -> Result<Self, EditSimilarityError> {
        registry::require(MetricId::EditSimilarity)?;
        Ok(Self::untested())
    }

    /// For the self-test itself.
    pub(crate) const fn untested() -> Self {
        Self(())
    }

    /// The similarity to the reference that is nearest, 0 to 1; two empty texts are the same.
    ///
    /// # Errors
    ///
    /// [`EditSimilarityError::NoReference`] and [`EditSimilarityError::TooLong`].
    pub fn of(self, hypothesis: &str, references: &[&str]) -> Result<f64, EditSimilarityError> {
        let texts = references.iter().chain(std::iter::once(&hypothesis));
        if let Some(text) = texts.into_iter().find(|text| text.len() > MAX_TEXT_BYTES) {
            let n_bytes = text.len();
            return Err(EditSimilarityError::TooLong { n_bytes });
        }
        let hypothesis: Vec<char> = hypothesis.chars().collect();
        let similarity = |reference: &&str| {
            let reference: Vec<char> = reference.chars().collect();
            match hypothesis.len().max(reference.len()) {
                0 => 1.0,
                longest => 1.0 - distance(&hypothesis, &reference) as f64 / longest as f64,
            }
        };
        let best = references.iter().map(similarity).reduce(f64::max);
        best.ok_or(EditSimilarityError::NoReference)
    }

    /// All that changes the number, in one line.
    pub fn signature(self) -> String {
        format!(
            "edit-similarity|distance:levenshtein|over:max|unit:character|limit:{MAX_TEXT_BYTES}|version:{}",
            MetricId::EditSimilarity.version()
        )
    }
}

/// The vertical differences of 64 rows of the table, as bits: plus one, and minus one.
struct Rows {
    plus: u64,
    minus: u64,
}

impl Rows {
    /// Moves one column on and returns the horizontal difference in the row of `last`.
    ///
    /// `above` is the horizontal difference above the first row.
    fn step(&mut self, mut equal: u64, above: i8, last: u64) -> i8 {
        let vertical = equal | self.minus;
        equal |= u64::from(above < 0);
        let horizontal = ((equal & self.plus).wrapping_add(self.plus) ^ self.plus) | equal;
        let mut up = self.minus | !(horizontal | self.plus);
        let mut down = self.plus & horizontal;
        let below = i8::from(up & last != 0) - i8::from(down & last != 0);
        up = (up << 1) | u64::from(above > 0);
        down = (down << 1) | u64::from(above < 0);
        self.plus = down | !(vertical | up);
        self.minus = up & vertical;
        below
    }
}

/// Levenshtein's distance, 64 rows of the table at a time.
///
/// Source: Myers 1999, "A fast bit-vector algorithm for approximate string matching based on dynamic
/// programming", sections 3 and 4, in the form of Hyyrö 2003, "A bit-vector algorithm for computing
/// Levenshtein and Damerau edit distances".
fn distance(a: &[char], b: &[char]) -> usize {
    if a.is_empty() {
        return b.len();
    }
    let n_blocks = a.len().div_ceil(64);
    let mut places: HashMap<char, Vec<u64>> = HashMap::new();
    for (row, character) in a.iter().enumerate() {
        let blocks = places
            .entry(*character)
            .or_insert_with(|| vec![0; n_blocks]);
        blocks[row / 64] |= 1 << (row % 64);
    }
    let mut rows: Vec<Rows> = (0..n_blocks)
        .map(|_| Rows {
            plus: u64::MAX,
            minus: 0,
        })
        .collect();
    let last_row = 1 << ((a.len() - 1) % 64);
    let nowhere = vec![0; n_blocks];
    let mut distance = a.len();
    for character in b {
        let equal = places.get(character).unwrap_or(&nowhere);
        let mut difference = 1;
        for (idx, block) in rows.iter_mut().enumerate() {
            let last = if idx + 1 == n_blocks {
                last_row
            } else {
                1 << 63
            };
            difference = block.step(equal[idx], difference, last);
        }
        distance = distance.saturating_add_signed(isize::from(difference));
    }
    distance
}

/// The same, cell by cell.
#[cfg(test)]
fn distance_reference(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hypothesis: &str, reference: &str) -> f64 {
        EditSimilarity::untested()
            .of(hypothesis, &[reference])
            .unwrap()
    }

    #[test]
    fn agrees_with_edits_by_hand() {
        // kitten, sitten, sittin, sitting.
        assert!((of("kitten", "sitting") - 4.0 / 7.0).abs() < 1e-15);
        assert!((of("", "") - 1.0).abs() < 1e-15);
        assert!(of("", "abc").abs() < 1e-15);
        assert!((of("é", "e")).abs() < 1e-15);
    }

    #[test]
    fn the_nearest_reference_counts() {
        let similarity = EditSimilarity::untested().of("abc", &["xyz", "abd"]);
        assert!((similarity.unwrap() - 2.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn no_reference_and_long_texts_are_refused() {
        let edit = EditSimilarity::untested();
        assert_eq!(edit.of("a", &[]), Err(EditSimilarityError::NoReference));
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        let refused = edit.of("a", &[&long]).unwrap_err();
        let n_bytes = MAX_TEXT_BYTES + 1;
        assert_eq!(refused, EditSimilarityError::TooLong { n_bytes });
    }

    proptest::proptest! {
        #[test]
        fn blocks_agree_with_cells(a in "[ab]{0,200}", b in "[abc]{0,140}") {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            proptest::prop_assert_eq!(distance(&a, &b), distance_reference(&a, &b));
        }

        #[test]
        fn lies_between_0_and_1_and_is_1_for_the_same(a in ".{0,90}", b in ".{0,90}") {
            proptest::prop_assert!((0.0..=1.0).contains(&of(&a, &b)));
            proptest::prop_assert!((of(&a, &b) - of(&b, &a)).abs() < 1e-12);
            proptest::prop_assert!((of(&a, &a) - 1.0).abs() < 1e-15);
        }
    }
}
