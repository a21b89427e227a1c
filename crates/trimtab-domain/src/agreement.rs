//! How far one model answers as another does.

use serde::{Deserialize, Serialize};

/// A mean with its standard error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The mean.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
}

/// What two models expect after each token of a text that neither was trained on for this.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Tokens that were expected.
    pub n_tokens: u64,
    /// Sequences that they belong to.
    pub n_sequences: u64,
    /// Share of tokens at which both have the same first choice.
    pub top1: Measured,
    /// Share of tokens at which the teacher's first choice is among the student's first five.
    pub top5: Measured,
    /// Divergence of the student from the teacher, KL(teacher ‖ student), in natural logarithms.
    pub kl: Measured,
    /// Perplexity of the teacher.
    pub teacher_perplexity: Measured,
    /// Perplexity of the student.
    pub student_perplexity: Measured,
}

/// What a student has learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgreementReport {
    /// Name of the teacher.
    pub teacher: String,
    /// Before.
    pub before: Agreement,
    /// After.
    pub after: Agreement,
}
