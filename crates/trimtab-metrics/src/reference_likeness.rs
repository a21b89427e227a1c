//! How alike an answer is to its reference by several metrics at once, as counts that are stored
//! with the answer and add up to those of a corpus.

use crate::{
    Bleu, BleuCounts, BleuError, BleuOptions, CodeBleu, CodeBleuError, CodeBleuOptions,
    EditSimilarity, EditSimilarityError, ExactMatch, Language, MetricDisabled, is_same_program,
};
use trimtab_domain::{BleuTally, CodeBleuTally, Likeness};

/// Counts up when any of the metrics gives the same texts another number, so that stored
/// likenesses are never added to others.
pub const LIKENESS_VERSION: u32 = 1;

/// Why an answer is not compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LikenessError {
    /// A metric whose self-test failed.
    #[error(transparent)]
    Disabled(#[from] MetricDisabled),
    /// CodeBLEU.
    #[error(transparent)]
    CodeBleu(#[from] CodeBleuError),
    /// BLEU.
    #[error(transparent)]
    Bleu(#[from] BleuError),
    /// Edit similarity.
    #[error(transparent)]
    EditSimilarity(#[from] EditSimilarityError),
}

/// Compares `answer` with `reference`. Whether it compiles is for the caller to find out.
///
/// # Errors
///
/// [`LikenessError`] for a failed self-test. A text that is too long for a metric leaves that metric
/// out.
pub fn reference_likeness(
    language: Language,
    answer: &str,
    reference: &str,
) -> Result<Likeness, LikenessError> {
    let edit_similarity = match EditSimilarity::new()?.of(answer, &[reference]) {
        Ok(similarity) => Some(similarity),
        Err(EditSimilarityError::TooLong { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let codebleu =
        CodeBleu::new(language, CodeBleuOptions::default())?.counts(answer, &[reference]);
    let codebleu = match codebleu {
        Ok(counts) => Some(CodeBleuTally::from(&counts)),
        Err(CodeBleuError::TooLong { .. } | CodeBleuError::TooComplex { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let bleu = Bleu::new(BleuOptions::default())?.counts(answer, &[reference])?;
    Ok(Likeness {
        version: LIKENESS_VERSION,
        language: language.name().to_owned(),
        is_exact: ExactMatch::new()?.of(answer, &[reference]) == Some(true),
        is_same_tree: is_same_program(language, answer, reference)?,
        edit_similarity,
        bleu: Some(BleuTally {
            correct: bleu.correct,
            total: bleu.total,
            hypothesis_length: bleu.hypothesis_length,
            reference_length: bleu.reference_length,
        }),
        codebleu,
        compiles: None,
    })
}

impl From<&BleuTally> for BleuCounts {
    fn from(tally: &BleuTally) -> Self {
        Self {
            correct: tally.correct,
            total: tally.total,
            hypothesis_length: tally.hypothesis_length,
            reference_length: tally.reference_length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MetricId;

    #[test]
    fn the_version_follows_those_of_the_metrics() {
        // Raise LIKENESS_VERSION together with a version here.
        let versions = MetricId::all().map(MetricId::version).max();
        assert_eq!((versions, LIKENESS_VERSION), (Some(1), 1));
    }

    #[test]
    fn an_answer_that_is_the_reference_in_another_layout_is_told_from_an_exact_one() {
        let reference = "int f(int a) { return a + 1; }";
        let exact = reference_likeness(Language::Java, reference, reference).unwrap();
        assert!(exact.is_exact && exact.is_same_tree == Some(true));
        assert_eq!(exact.edit_similarity, Some(1.0));
        let laid_out = "int f(int a) {\n    return a + 1;\n}";
        let other = reference_likeness(Language::Java, laid_out, reference).unwrap();
        assert!(!other.is_exact && other.is_same_tree == Some(true));
        assert!(other.edit_similarity.unwrap() < 1.0);
        let nothing = reference_likeness(Language::Java, "", reference).unwrap();
        assert_eq!(nothing.edit_similarity, Some(0.0));
        assert_eq!(nothing.codebleu.unwrap().degenerate[0], 1);
    }

    #[test]
    fn texts_that_are_too_long_are_left_out_metric_by_metric() {
        let long = "x = 1;\n".repeat(crate::MAX_CODE_BYTES / 7 + 1);
        let likeness = reference_likeness(Language::Java, &long, "x = 1;").unwrap();
        assert_eq!(likeness.codebleu, None);
        assert_eq!(likeness.edit_similarity, None);
        assert_eq!(likeness.is_same_tree, None);
        assert!(likeness.bleu.is_some());
    }
}
