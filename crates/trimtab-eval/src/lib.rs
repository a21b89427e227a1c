//! Suites, prompts, answer extraction, grading and measurement: one run into events.

mod error;
mod evaluate;
mod extract;
mod grade;
mod prompt;
mod suite;
mod texts;

pub use error::EvalError;
pub use evaluate::{EvaluateRequest, evaluate};
pub use extract::{EXTRACTION_VERSION, extract_program, is_complete};
pub use grade::{Grade, grade};
pub use prompt::{PROMPT_VERSION, chat_message};
pub use suite::{Difficulty, LineError, Problem, Suite, SuiteError, suite, suite_names};
pub use texts::{PerplexityText, UnknownText, perplexity_text, perplexity_text_names};
