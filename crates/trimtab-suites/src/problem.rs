//! A problem: what a model is asked, and the tests that grade its answer.

use serde::{Deserialize, Serialize};
use trimtab_sandbox::{Language, SourceFile};

/// One task for a model, with the tests that grade the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Id, unique in its suite, for example `starter/w01`.
    pub id: String,
    /// The kind of task, for example `write`, `repair`, `translate`.
    pub track: String,
    /// How hard the author thinks it is; absent where a suite does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<Difficulty>,
    /// The language of the answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub language: Language,
    /// The function that the tests call; empty where a suite does not say.
    #[serde(default)]
    pub entry_point: String,
    /// What to do, in words and code; see [`ask`](crate::ask) for what is sent.
    pub prompt: String,
    /// What kind of text the prompt is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub form: PromptForm,
    /// Code that stands before every answer that is a program of its own: what the prompt has
    /// defined above the function that it asks for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preamble: String,
    /// A program that passes the tests, or the reference that an answer is compared with.
    pub canonical_solution: String,
    /// For `repair`: the program in the prompt, which fails the tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buggy_solution: Option<String>,
    /// Statements that run after the answer; any exception is a failure. Languages with classes
    /// have their own form; see [`Program`](trimtab_sandbox::Program).
    #[serde(default)]
    pub tests: String,
    /// More tests, each of which can also be run alone after [`Self::tests`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_cases: Vec<String>,
    /// Tests beyond those that decide: a repair that passes them too counts as correct.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub extended_tests: String,
    /// Files that answer and tests use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub support: Vec<SourceFile>,
    /// A line of output that means a failed test, for tests that only print what they found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_line: Option<String>,
}

/// How hard a problem is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difficulty {
    /// A line or two.
    Easy,
    /// A loop with one thing to watch.
    Medium,
    /// Several conditions, or a trap.
    Hard,
}

/// What kind of text a prompt is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptForm {
    /// Words that say what to do.
    #[default]
    Instruction,
    /// The beginning of a program, up to and with a function's signature and description.
    Code,
    /// The whole message, the form of the answer included.
    Message,
}

impl Problem {
    /// Whether there is nothing to run: answers can only be compared with the reference.
    pub fn is_reference_only(&self) -> bool {
        self.tests.trim().is_empty() && self.test_cases.is_empty()
    }

    /// All tests together.
    pub fn all_tests(&self) -> String {
        let mut text = self.tests.clone();
        for case in &self.test_cases {
            text.push('\n');
            text.push_str(case);
        }
        text
    }

    /// All tests and the extended ones; `None` where there are none.
    pub fn with_extended_tests(&self) -> Option<String> {
        let extended = self.extended_tests.trim_end();
        (!extended.is_empty()).then(|| format!("{}\n{extended}\n", self.all_tests()))
    }

    /// The tests of one case alone, with what it needs.
    pub fn tests_of_case(&self, case: &str) -> String {
        format!("{}\n{case}", self.tests)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
