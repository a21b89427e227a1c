//! CodeBLEU: likeness of code in words, keywords, syntax and data flow.
//!
//! Source: Ren et al. 2020, "CodeBLEU: a method for automatic evaluation of code synthesis",
//! <https://arxiv.org/abs/2009.10297>, section 3. Equal to the Python package `codebleu` 0.7.0 with
//! tree-sitter 0.22.3, run with a fixed `PYTHONHASHSEED` ([`HASH_SEED`]); `docs/metrics.md` lists
//! what that package does differently from the paper.

mod clean;
mod counts;
mod dataflow;
mod expressions;
mod keywords;
mod kinds;
mod language;
mod ngram_match;
mod python_clean;
mod python_set;
mod python_tokens;
mod same_tree;
mod score;
mod subtrees;
mod tally;
mod tree;
mod wide_tables;

use crate::{
    python_text::strip,
    registry::{self, MetricDisabled, MetricId},
};
pub use counts::{CodeBleuCounts, Degenerate};
use dataflow::{Flow, MAX_DEPTH, MAX_STEPS, Rules};
use expressions::Expressions;
use kinds::Kinds;
pub use language::{Language, UnknownLanguage};
use ngram_match::NgramMatch;
use python_set::HASH_SEED;
pub use same_tree::is_same_program;
pub use score::CodeBleuScore;
use std::fmt;
use thiserror::Error;
use tree::FlatTree;
use tree_sitter::Parser;

/// The version of tree-sitter that parses.
pub(crate) const PARSER_VERSION: &str = "0.22.6";

/// The longest text that is parsed, in bytes.
pub const MAX_CODE_BYTES: usize = 256 * 1024;

/// What is done about parts that are undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CodeBleuMode {
    /// As the reference package: a data-flow match that is zero or undefined counts as 1.
    #[default]
    Compatible,
    /// An undefined data-flow match is left out and the other weights grow in proportion; a match
    /// of zero counts as zero.
    Strict,
}

impl CodeBleuMode {
    /// The name in signatures and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compatible => "compatible",
            Self::Strict => "strict",
        }
    }
}

/// All that changes the number, beside the language.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodeBleuOptions {
    /// What is done about parts that are undefined.
    pub mode: CodeBleuMode,
    /// Weights of n-gram, weighted n-gram, syntax and data-flow match.
    pub weights: [f64; 4],
}

impl Default for CodeBleuOptions {
    fn default() -> Self {
        Self {
            mode: CodeBleuMode::default(),
            weights: [0.25; 4],
        }
    }
}

/// Why CodeBLEU is not computed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum CodeBleuError {
    /// The self-test of this language failed.
    #[error(transparent)]
    Disabled(#[from] MetricDisabled),
    /// The grammar does not fit the parser.
    #[error("the grammar of `{language}` cannot be used: {reason}")]
    Grammar {
        /// The language.
        language: Language,
        /// What tree-sitter said.
        reason: String,
    },
    /// Weights that no mean can be taken with.
    #[error("the weights {0:?} are not finite, negative, or all zero")]
    InvalidWeights([f64; 4]),
    /// The hypothesis has nothing to be compared with.
    #[error("the hypothesis has no reference")]
    NoReference,
    /// There is no pair in the corpus.
    #[error("there is no pair of hypothesis and reference to score")]
    NothingToScore,
    /// All weight lies on a data flow that the references do not have.
    #[error("the references have no data flow, and the other weights are zero")]
    UndefinedDataFlow,
    /// A text above the limit.
    #[error("a text of {n_bytes} bytes is longer than {MAX_CODE_BYTES}, the most that is parsed")]
    TooLong {
        /// Its length.
        n_bytes: usize,
    },
    /// Loops in loops, or a very long expression.
    #[error("the data flow of a text takes more than {limit} steps: it nests too many loops")]
    TooComplex {
        /// The most steps.
        limit: u64,
    },
}

/// CodeBLEU of one language, after its self-test.
///
/// It holds a parser, so each thread makes its own; counts of pairs add up to those of a corpus.
///
/// ```
/// use trimtab_metrics::{CodeBleu, CodeBleuOptions, Language};
///
/// let mut codebleu = CodeBleu::new(Language::Java, CodeBleuOptions::default())?;
/// let code = "int twice(int a) { return a + a; }";
/// let counts = codebleu.counts(code, &[code])?;
/// assert!((codebleu.score(&counts)?.codebleu - 1.0).abs() < 1e-12);
/// # Ok::<(), trimtab_metrics::CodeBleuError>(())
/// ```
pub struct CodeBleu {
    language: Language,
    options: CodeBleuOptions,
    parser: Parser,
    hash_seed: u32,
}

impl fmt::Debug for CodeBleu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeBleu")
            .field("language", &self.language)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl CodeBleu {
    /// # Errors
    ///
    /// [`CodeBleuError::Disabled`] if the self-test of the language failed,
    /// [`CodeBleuError::InvalidWeights`].
    pub fn new(language: Language, options: CodeBleuOptions) -> Result<Self, CodeBleuError> {
        registry::require(MetricId::CodeBleu(language))?;
        let parser = language.parser()?;
        Ok(Self {
            parser,
            ..Self::untested(language, options)?
        })
    }

    /// For the self-test itself, with the plain grammar: what is made for speed takes memory, and
    /// all languages are tested where few are used.
    pub(crate) fn untested(
        language: Language,
        options: CodeBleuOptions,
    ) -> Result<Self, CodeBleuError> {
        let weights = options.weights;
        let is_usable = weights
            .iter()
            .all(|weight| weight.is_finite() && *weight >= 0.0)
            && weights.iter().sum::<f64>() > 0.0;
        if !is_usable {
            return Err(CodeBleuError::InvalidWeights(weights));
        }
        Ok(Self {
            language,
            options,
            parser: language.parser_reference()?,
            hash_seed: HASH_SEED,
        })
    }

    /// Counts one hypothesis against its references.
    ///
    /// # Errors
    ///
    /// [`CodeBleuError::NoReference`], [`CodeBleuError::TooLong`] and [`CodeBleuError::TooComplex`].
    pub fn counts(
        &mut self,
        hypothesis: &str,
        references: &[&str],
    ) -> Result<CodeBleuCounts, CodeBleuError> {
        let texts = references.iter().chain(std::iter::once(&hypothesis));
        if let Some(text) = texts.into_iter().find(|text| text.len() > MAX_CODE_BYTES) {
            let n_bytes = text.len();
            return Err(CodeBleuError::TooLong { n_bytes });
        }
        if references.is_empty() {
            return Err(CodeBleuError::NoReference);
        }
        let hypothesis = strip(hypothesis);
        let references: Vec<&str> = references.iter().map(|text| strip(text)).collect();
        let mut counts =
            CodeBleuCounts::of_words(NgramMatch::of(hypothesis, &references, self.language));
        let mut expressions = Expressions::default();
        let mut cleaned = clean::clean(hypothesis, self.language);
        let mut hypothesis = self.read(&cleaned, &mut expressions)?;
        for (idx, reference) in references.iter().enumerate() {
            if idx > 0 {
                // The package cleans the hypothesis once more for each reference.
                let again = clean::clean(&cleaned, self.language).into_owned();
                if again != cleaned {
                    hypothesis = self.read(&again, &mut expressions)?;
                    cleaned = again.into();
                }
            }
            let reference = clean::clean(reference, self.language);
            if reference == cleaned {
                counts.add_texts(&hypothesis, &hypothesis);
            } else {
                let reference = self.read(&reference, &mut expressions)?;
                counts.add_texts(&hypothesis, &reference);
            }
        }
        counts.end_pair(&hypothesis);
        Ok(counts)
    }

    fn read(&mut self, code: &str, expressions: &mut Expressions) -> Result<Text, CodeBleuError> {
        let tree = self.parser.parse(code, None);
        let tree = tree.ok_or_else(|| CodeBleuError::Grammar {
            language: self.language,
            reason: "the parser gave no tree".to_owned(),
        })?;
        let kinds = Kinds::of(self.language);
        let flat = FlatTree::new(&tree, kinds);
        let rules = Rules::of(self.language);
        Ok(Text {
            subtrees: expressions.subtrees(&flat, kinds),
            flows: dataflow::flows(&flat, code, rules, self.hash_seed)?,
            has_parse_error: flat.has_error(),
            is_too_deep: flat.depth() > MAX_DEPTH,
        })
    }

    /// The score of one pair or, with added counts, of a corpus.
    ///
    /// # Errors
    ///
    /// [`CodeBleuError::NothingToScore`] for counts of no pair.
    pub fn score(&self, counts: &CodeBleuCounts) -> Result<CodeBleuScore, CodeBleuError> {
        score::score(&self.options, counts)
    }

    /// All that changes the number, in one line.
    ///
    /// `n_references` is `None` where hypotheses differ in how many references they have.
    pub fn signature(&self, n_references: Option<usize>) -> String {
        let (grammar, grammar_version) = self.language.grammar();
        let n_references = n_references.map_or_else(|| "var".to_owned(), |n| n.to_string());
        let [ngram, weighted, syntax, flow] = self.options.weights;
        format!(
            "codebleu|nrefs:{n_references}|lang:{}|mode:{}|weights:{ngram},{weighted},{syntax},{flow}\
             |tok:split|hashseed:{}|grammar:{grammar}-{grammar_version}\
             |parser:tree-sitter-{PARSER_VERSION}|limits:{MAX_CODE_BYTES},{MAX_DEPTH},{MAX_STEPS}\
             |as:codebleu-0.7.0|version:{}",
            self.language,
            self.options.mode.name(),
            self.hash_seed,
            MetricId::CodeBleu(self.language).version()
        )
    }
}

/// What is compared of a text.
#[derive(Debug)]
struct Text {
    subtrees: Vec<u32>,
    flows: Vec<Flow>,
    has_parse_error: bool,
    is_too_deep: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_reference_counts_as_if_it_were_read_again() {
        for language in Language::ALL {
            let mut codebleu = CodeBleu::untested(language, CodeBleuOptions::default()).unwrap();
            for code in [
                "int f(int a) { int b = a + 1; return b * a; }",
                "x = [1",
                "",
            ] {
                let mut expressions = Expressions::default();
                let cleaned = clean::clean(code, language);
                let one = codebleu.read(&cleaned, &mut expressions).unwrap();
                let other = codebleu.read(&cleaned, &mut expressions).unwrap();
                let mut expected =
                    CodeBleuCounts::of_words(NgramMatch::of(code, &[code], language));
                expected.add_texts(&one, &other);
                expected.end_pair(&one);
                let got = codebleu.counts(code, &[code]).unwrap();
                assert_eq!(got, expected, "{language}: {code:?}");
            }
        }
    }

    #[test]
    fn both_forms_of_the_grammar_give_the_same_counts() {
        let lines: Vec<&str> = include_str!("mod.rs").lines().collect();
        for language in Language::ALL {
            let options = CodeBleuOptions::default();
            let mut quick = CodeBleu::new(language, options).unwrap();
            let mut reference = CodeBleu::untested(language, options).unwrap();
            for pair in lines.chunks(8) {
                let (hypothesis, code) = (pair[1..].join("\n"), pair.join("\n"));
                let expected = reference.counts(&hypothesis, &[&code]);
                assert_eq!(quick.counts(&hypothesis, &[&code]), expected, "{language}");
            }
        }
    }
}
