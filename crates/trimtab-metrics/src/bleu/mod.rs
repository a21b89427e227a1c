//! BLEU: how many n-grams of a text stand in a reference too.
//!
//! Source: Papineni et al. 2002, "BLEU: a method for automatic evaluation of machine translation",
//! <https://aclanthology.org/P02-1040>, section 2; smoothing of Chen & Cherry 2014,
//! <https://aclanthology.org/W14-3346>, section 3. Equal to sacreBLEU 2.6.0.

mod score;
mod tokenize;

use crate::{
    ngrams::{MAX_ORDER, Vocabulary, clipped, closest_length, count},
    python_text::words,
    registry::{self, MetricDisabled, MetricId},
};
pub use score::BleuScore;
use std::{fmt, ops::AddAssign};
use thiserror::Error;
pub use tokenize::Tokenization;

/// What is done where an n-gram order has no match.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Smoothing {
    /// Each further order without a match counts half as much as the one before.
    #[default]
    Exponential,
    /// A count of zero is raised to this value.
    Floor(f64),
    /// This value is added to counts and totals of all orders but the first.
    AddK(f64),
    /// The score is zero.
    None,
}

impl Smoothing {
    fn value(self) -> Option<f64> {
        match self {
            Self::Floor(value) | Self::AddK(value) => Some(value),
            Self::Exponential | Self::None => None,
        }
    }
}

impl fmt::Display for Smoothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exponential => f.write_str("exp"),
            Self::Floor(value) => write!(f, "floor[{value:.2}]"),
            Self::AddK(value) => write!(f, "add-k[{value:.2}]"),
            Self::None => f.write_str("none"),
        }
    }
}

/// All that changes the number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BleuOptions {
    /// How texts are cut into words.
    pub tokenization: Tokenization,
    /// What is done about orders without a match.
    pub smoothing: Smoothing,
    /// Leaves out orders that are longer than the hypothesis: for single sentences.
    pub has_effective_order: bool,
}

/// Why BLEU is not computed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum BleuError {
    /// The self-test failed.
    #[error(transparent)]
    Disabled(#[from] MetricDisabled),
    /// The hypothesis has nothing to be compared with.
    #[error("the hypothesis has no reference")]
    NoReference,
    /// A value of smoothing that is no count.
    #[error("the smoothing value {0} is negative or not finite")]
    InvalidSmoothing(f64),
}

/// What the score is made of; counts of several pairs add up to those of a corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BleuCounts {
    /// N-grams of the hypothesis that a reference has, by order.
    pub correct: [u64; MAX_ORDER],
    /// N-grams of the hypothesis, by order.
    pub total: [u64; MAX_ORDER],
    /// Words of the hypothesis.
    pub hypothesis_length: u64,
    /// Words of the reference whose length is nearest.
    pub reference_length: u64,
}

impl AddAssign for BleuCounts {
    fn add_assign(&mut self, other: Self) {
        for order in 0..MAX_ORDER {
            self.correct[order] += other.correct[order];
            self.total[order] += other.total[order];
        }
        self.hypothesis_length += other.hypothesis_length;
        self.reference_length += other.reference_length;
    }
}

/// BLEU with its options, after its self-test.
///
/// ```
/// use trimtab_metrics::{Bleu, BleuOptions};
///
/// let bleu = Bleu::new(BleuOptions::default())?;
/// let counts = bleu.counts("a = b + c;", &["a = b + d;"])?;
/// assert!((bleu.score(&counts).score - 53.7284).abs() < 1e-4);
/// # Ok::<(), trimtab_metrics::BleuError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Bleu {
    options: BleuOptions,
}

impl Bleu {
    /// # Errors
    ///
    /// [`BleuError::Disabled`] if the self-test failed, [`BleuError::InvalidSmoothing`].
    pub fn new(options: BleuOptions) -> Result<Self, BleuError> {
        registry::require(MetricId::Bleu)?;
        Self::untested(options)
    }

    /// For the self-test itself.
    pub(crate) fn untested(options: BleuOptions) -> Result<Self, BleuError> {
        match options.smoothing.value() {
            Some(value) if !value.is_finite() || value < 0.0 => {
                Err(BleuError::InvalidSmoothing(value))
            }
            _ => Ok(Self { options }),
        }
    }

    /// Counts one hypothesis against its references.
    ///
    /// # Errors
    ///
    /// [`BleuError::NoReference`].
    pub fn counts(&self, hypothesis: &str, references: &[&str]) -> Result<BleuCounts, BleuError> {
        if references.is_empty() {
            return Err(BleuError::NoReference);
        }
        let tokenization = self.options.tokenization;
        let hypothesis = tokenization.apply(hypothesis);
        let references: Vec<_> = references.iter().map(|r| tokenization.apply(r)).collect();
        let mut vocabulary = Vocabulary::default();
        let hypothesis = vocabulary.number(words(&hypothesis));
        let references: Vec<Vec<u32>> = references
            .iter()
            .map(|reference| vocabulary.number(words(reference)))
            .collect();
        let mut counts = BleuCounts {
            hypothesis_length: hypothesis.len() as u64,
            reference_length: closest_length(&references, hypothesis.len()) as u64,
            ..BleuCounts::default()
        };
        for idx in 0..MAX_ORDER {
            let in_references: Vec<_> = references.iter().map(|r| count(r, idx + 1)).collect();
            let in_hypothesis = count(&hypothesis, idx + 1);
            counts.correct[idx] = clipped(&in_hypothesis, &in_references);
            counts.total[idx] = in_hypothesis.values().sum();
        }
        Ok(counts)
    }

    /// The score of one pair or, with added counts, of a corpus.
    pub fn score(&self, counts: &BleuCounts) -> BleuScore {
        score::score(&self.options, counts)
    }

    /// All that changes the number, in one line.
    ///
    /// `n_references` is `None` where hypotheses differ in how many references they have.
    pub fn signature(&self, n_references: Option<usize>) -> String {
        let BleuOptions {
            tokenization,
            smoothing,
            has_effective_order,
        } = self.options;
        let n_references = n_references.map_or_else(|| "var".to_owned(), |n| n.to_string());
        let effective = if has_effective_order { "yes" } else { "no" };
        format!(
            "bleu|nrefs:{n_references}|case:mixed|eff:{effective}|tok:{}|smooth:{smoothing}\
             |as:sacrebleu-2.6.0|version:{}",
            tokenization.name(),
            MetricId::Bleu.version()
        )
    }
}
