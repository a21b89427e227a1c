//! Suites of problems: read from files, put to a model, and answers graded in the sandbox.
//!
//! Nothing here knows a model: [`ask`] says what is sent, [`program_of`] takes the program out of
//! what comes back, and a [`Grader`] runs it with the problem's tests. [`read_suite`] reads the
//! files of published suites and of one's own.

mod code_text;
mod compilation_unit;
mod compile_errors;
mod error;
mod extract;
mod grade;
mod lines;
mod problem;
mod program;
mod prompt;
mod readers;
mod references;
mod suite;

pub use compilation_unit::compilation_unit;
pub use error::{LineError, SuiteError};
pub use extract::{EXTRACTION_VERSION, extract_in, extract_program, is_complete, is_complete_in};
pub use grade::{COMPILED, Grade, Grader};
pub use lines::{MAX_FILE_BYTES, MAX_LINE_BYTES};
pub use problem::{Difficulty, Problem, PromptForm};
pub use program::{complete_program, program_of};
pub use prompt::{Ask, NotAsked, PROMPT_VERSION, ask, chat_message};
pub use readers::{FieldMap, SuiteFormat, read_suite};
pub use references::{BrokenReference, References};
pub use suite::{Suite, suite, suite_names};
