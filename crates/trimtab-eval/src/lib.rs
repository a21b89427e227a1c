//! Measurement of one variant: answers, grades, perplexity and speed, as events.

mod card;
mod error;
mod evaluate;
mod judge;
mod matrix_time;
mod performance;
mod prepare;
mod solve;
mod texts;

pub use card::on_device;
pub use error::EvalError;
pub use evaluate::{EvaluateRequest, evaluate};
pub use matrix_time::{matrix_seconds, matrix_seconds_at_one_speed};
pub use performance::{OnStage, after_repeat, counted_part, throughput_matrix};
pub use texts::{PerplexityText, UnknownText, perplexity_text, perplexity_text_names};
pub use trimtab_suites::{Suite, suite, suite_names};
