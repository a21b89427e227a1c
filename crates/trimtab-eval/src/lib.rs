//! Measurement of one variant: answers, grades, perplexity and speed, as events.

mod card;
mod error;
mod evaluate;
mod judge;
mod performance;
mod solve;
mod texts;

pub use error::EvalError;
pub use evaluate::{EvaluateRequest, evaluate};
pub use performance::{OnStage, throughput_matrix};
pub use texts::{PerplexityText, UnknownText, perplexity_text, perplexity_text_names};
pub use trimtab_suites::{Suite, suite, suite_names};
