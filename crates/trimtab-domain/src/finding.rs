//! Results that are too good, too equal or too few to be believed as they stand.

use crate::VariantName;
use serde::{Deserialize, Serialize};

/// Something about a result that a reader should know before believing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The variant whose result it is.
    pub variant: VariantName,
    /// What was found, with the numbers that show it.
    #[serde(flatten)]
    pub kind: FindingKind,
    /// The same in one sentence, and what to do.
    pub words: String,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FindingKind {
    /// A compressed variant solves more than its base, and its interval says that this is no chance.
    AboveBase {
        /// Retention: variant's share / base's share.
        retention: f64,
        /// Lower end of its 95 % interval; above 1.
        low: f64,
        /// Problems that the variant alone passed.
        n_won: u32,
        /// Problems that the base alone passed.
        n_lost: u32,
        /// Problems compared.
        n: u32,
    },
    /// Every answer is equal, letter by letter, to that of another variant.
    SameAnswers {
        /// The other variant.
        other: VariantName,
        /// Problems that both answered.
        n: u32,
    },
    /// A mixture solves more than the best of the variants that it is made of.
    AboveBestMember {
        /// The best member on the same problems.
        member: VariantName,
        /// Problems that the mixture passed.
        n_passed: u32,
        /// Problems that this member passed.
        n_member_passed: u32,
        /// Problems that the mixture passed and no member did.
        n_unexplained: u32,
        /// Problems that the mixture and all members answered.
        n: u32,
    },
    /// The base solves so few problems that not even a variant that loses none could be proven.
    TooFewProblems {
        /// Problems that the base answered.
        n: u32,
        /// Of them, problems that the base passes.
        n_base_passed: u32,
        /// How many the base would have to pass.
        n_base_needed: u32,
    },
    /// Other processes worked while speed was measured.
    Disturbed {
        /// Share of the machine's cores that they used, 0 to 1.
        other_load: f64,
    },
    /// Other processes computed on the same graphics card while speed was measured.
    SharedCard {
        /// How many, at most at once.
        n_others: u32,
    },
    /// Answers that hold the text of their prompt.
    PromptInAnswers {
        /// How many do.
        n_with_prompt: u32,
        /// Answers whose prompt is known.
        n: u32,
        /// One of the problems.
        problem_id: String,
    },
    /// Answers without any text.
    EmptyAnswers {
        /// How many are empty.
        n_empty: u32,
        /// Answers in all.
        n: u32,
        /// One of the problems.
        problem_id: String,
    },
}
