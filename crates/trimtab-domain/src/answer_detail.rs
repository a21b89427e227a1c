//! What is known of one answer beyond its verdict: its tokens, each test alone, how alike it is to
//! the reference, and what a repair did.

use crate::Verdict;
use serde::{Deserialize, Serialize};

/// What is known of one answer beyond its verdict. Answers stored before there was such a thing
/// have none of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswerDetail {
    /// The verdict of each test case alone; empty for a problem whose tests are one piece.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<Verdict>,
    /// The answer's tokens. Left out where answers are listed.
    #[serde(default, skip_serializing_if = "AnswerTokens::is_empty")]
    pub tokens: AnswerTokens,
    /// How alike the program is to the reference, for a problem that has nothing to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likeness: Option<Box<Likeness>>,
    /// What became of a program that was to be repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
}

/// The tokens of an answer and where each of them ends in its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerTokens {
    /// Tokens in order, the end-of-text token left out.
    pub ids: Vec<u32>,
    /// Bytes of the text up to and with each token. A token that only begins a character, or may
    /// begin a text that ends answers, adds its bytes to a later one.
    pub ends: Vec<u32>,
}

impl AnswerTokens {
    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// One answer beside its reference. Counts add up over answers to those of a corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    /// Version of the metrics together; likenesses of different versions are not added.
    pub version: u32,
    /// The language of both, as metrics call it.
    pub language: String,
    /// Whether the texts are equal but for white space around them.
    pub is_exact: bool,
    /// Whether they are equal but for layout and comments; absent where one of them does not parse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_same_tree: Option<bool>,
    /// 1 − edit distance / length of the longer text; absent for texts above the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit_similarity: Option<f64>,
    /// Counts of BLEU; absent for texts above the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bleu: Option<BleuTally>,
    /// Counts of CodeBLEU; absent for texts that are too long or too deep to be parsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codebleu: Option<CodeBleuTally>,
    /// Whether the compiler takes the program, but for names that are defined elsewhere; absent where
    /// there is no compiler, or where it does not take the reference either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiles: Option<bool>,
}

/// Counts that BLEU is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BleuTally {
    /// N-grams that the reference has too, by order.
    pub correct: [u64; 4],
    /// N-grams, by order.
    pub total: [u64; 4],
    /// Words of the answer.
    pub hypothesis_length: u64,
    /// Words of the reference.
    pub reference_length: u64,
}

/// Counts that CodeBLEU is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeBleuTally {
    /// Words: n-grams that match, by order.
    pub words_matched: [u64; 4],
    /// Words: n-grams, by order.
    pub words_total: [u64; 4],
    /// The same with keywords counting more.
    pub weighted_matched: [u64; 4],
    /// The same with keywords counting more.
    pub weighted_total: [u64; 4],
    /// Words of the answer.
    pub n_words: u64,
    /// Words of the reference.
    pub reference_length: u64,
    /// Subtrees of the reference that the answer has too, and all of them.
    pub subtrees: [u64; 2],
    /// Relations of the reference's data flow that the answer has too, and all of them.
    pub flows: [u64; 2],
    /// Answers without a word, references without a data flow, references and answers that do not
    /// parse, and texts nested too deeply for a data flow.
    pub degenerate: [u64; 5],
}

/// What became of a program that was to be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Whether the repaired program equals the reference's but for layout and comments.
    pub is_same_tree: bool,
    /// Whether it passes tests beyond those that the problem shows; absent without such tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes_extended: Option<bool>,
    /// Test cases that the broken program passed.
    pub n_passed_before: u32,
    /// Of them, cases that the answer fails.
    pub n_regressed: u32,
}

impl Repair {
    /// Whether a repair that passes its tests is also correct: it is the reference's, or it passes
    /// the extended tests.
    pub fn is_correct(self) -> bool {
        self.is_same_tree || self.passes_extended == Some(true)
    }
}
