//! Scores of a variant beyond pass@1: likeness to references, repairs, several answers a problem,
//! and the problems that were left out.

use crate::Estimate;
use serde::{Deserialize, Serialize};

/// How alike the answers of one track are to their references.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LikenessScore {
    /// The suite.
    pub suite: String,
    /// The track, for example `java-cs`.
    pub track: String,
    /// The language of the answers.
    pub language: String,
    /// Answers compared.
    pub n: u32,
    /// Share that equals the reference but for white space around it.
    pub exact_match: Estimate,
    /// Share that equals the reference but for layout and comments, of those that parse.
    pub same_tree: Option<Estimate>,
    /// Mean edit similarity, 0 to 1.
    pub edit_similarity: Option<Estimate>,
    /// BLEU of all answers as one corpus, 0 to 100.
    pub bleu: Option<Estimate>,
    /// CodeBLEU of all answers as one corpus, 0 to 1.
    pub codebleu: Option<Estimate>,
    /// The four parts of CodeBLEU: words, weighted words, syntax, data flow.
    pub codebleu_parts: Option<[Option<f64>; 4]>,
    /// Share that compiles but for names that are defined elsewhere, of the answers whose reference
    /// does.
    pub compile_rate: Option<Estimate>,
    /// What a reader should know: texts left out, degenerate pairs, intervals that cannot be had.
    pub notes: Vec<String>,
    /// What the numbers are made with, a line a metric.
    pub signatures: Vec<String>,
}

/// How programs were repaired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepairScore {
    /// Share that passes its tests.
    pub plausible: Estimate,
    /// Share that passes them and equals the fix but for layout and comments, or passes the
    /// extended tests: a lower bound where there are none.
    pub correct: Estimate,
    /// Share that fails a test case which the broken program passed, of the problems that have one.
    pub regression: Option<Estimate>,
    /// Answers whose problem has extended tests.
    pub n_with_extended: u32,
}

/// pass@k: the chance that at least one of `k` answers passes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PassAtK {
    /// Answers drawn.
    pub k: u32,
    /// The mean over problems, with a bootstrap interval over problems.
    pub estimate: Estimate,
}

/// A problem that no answer is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExcludedProblem {
    /// The suite.
    pub suite: String,
    /// Its id.
    pub problem_id: String,
    /// Why, for people.
    pub reason: String,
}
