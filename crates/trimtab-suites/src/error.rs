//! Why a suite cannot be read, with its line, and what to do about it.

use crate::lines::MAX_LINE_BYTES;
use trimtab_domain::Failure;

/// A suite that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// No suite has the name.
    #[error("no suite is called `{name}`; there is `{}`", known.join("`, `"))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What exists.
        known: Vec<&'static str>,
    },
    /// A line is not a problem.
    #[error("suite `{suite}`, line {line}: {problem}")]
    Line {
        /// The suite.
        suite: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: LineError,
    },
    /// A file that is no file of a suite.
    #[error("suite `{suite}`: {detail}")]
    File {
        /// The suite.
        suite: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A suite without a problem.
    #[error("suite `{suite}` has no problems")]
    Empty {
        /// The suite.
        suite: String,
    },
}

/// What is wrong with a line of a suite.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not JSON, a field missing, or a field too many.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A field that must say something is blank.
    #[error("`{0}` is empty")]
    EmptyField(&'static str),
    /// Two problems with one id.
    #[error("the id `{id}` was used in line {first_line} already")]
    DuplicateId {
        /// The id.
        id: String,
        /// Where it was seen first.
        first_line: usize,
    },
    /// Longer than any problem.
    #[error("it has {n_bytes} bytes; a problem has at most {MAX_LINE_BYTES}")]
    TooLong {
        /// Its length.
        n_bytes: usize,
    },
    /// Text in another encoding.
    #[error("it is not UTF-8 from byte {} on", n_valid + 1)]
    NotUtf8 {
        /// Bytes before the first wrong one.
        n_valid: usize,
    },
    /// Neither tests nor the word that there are none.
    #[error("it has no tests")]
    NoTests,
    /// Single cases in a language whose tests are not statements.
    #[error("`test_cases` are for Python")]
    CasesOnlyInPython,
    /// A field whose content makes no sense.
    #[error("{0}")]
    Content(String),
    /// Tests that would pass whatever the answer.
    #[error("the tests never call `{0}`")]
    UntestedEntryPoint(String),
}

impl SuiteError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "`trimtab datasets list` shows what can be had",
            Self::Line { problem, .. } => problem.hint(),
            Self::File { .. } => {
                "get the files again as they were published, and name all of them in the order of \
                 their format; `docs/suites.md` has a table of formats"
            }
            Self::Empty { .. } => "give it a file with a problem in each line",
        }
    }
}

impl LineError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Json(error) if error.is_data() => {
                "compare the line with the fields of its format, in `docs/suites.md`; `--format` says \
                 which format a file has, and `--fields OURS=THEIRS` which of its fields stand for \
                 those of a problem"
            }
            Self::Json(_) => {
                "a line holds one whole JSON object; `python3 -m json.tool --json-lines FILE` finds \
                 the place"
            }
            Self::EmptyField(_) => "fill it in, or leave the problem out",
            Self::DuplicateId { .. } => "give each problem an id of its own",
            Self::TooLong { .. } => "put each problem into a line of its own",
            Self::NotUtf8 { .. } => "save the file as UTF-8",
            Self::NoTests => {
                "give `tests` or `test_cases`, or say `\"tests\": null` for a problem that is only \
                 compared with its reference"
            }
            Self::CasesOnlyInPython => "put the tests of other languages into `tests`",
            Self::Content(_) => "correct the line, or leave the problem out",
            Self::UntestedEntryPoint(_) => "call it in the tests, or correct `entry_point`",
        }
    }
}

impl From<SuiteError> for Failure {
    fn from(error: SuiteError) -> Self {
        Self::bad_input(&error).with_hint(error.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FieldMap, SuiteFormat, read_suite};

    const GOOD: &str =
        r#"{"id":"a","prompt":"p","reference":"def f(): pass","tests":"f()","entry_point":"f"}"#;

    #[track_caller]
    fn check(format: SuiteFormat, text: &str, said: &str, hint: &str) {
        let files = [text.as_bytes()];
        let error = read_suite("s", "S", format, &files, &FieldMap::default()).unwrap_err();
        let failure = Failure::from(error);
        assert!(failure.message.contains(said), "{failure}");
        let found = failure.hint.unwrap();
        assert!(found.contains(hint), "{said}: {found}");
    }

    #[test]
    fn what_is_wrong_with_a_line_comes_with_what_to_do() {
        let own = |text: &str, said: &str, hint: &str| check(SuiteFormat::Own, text, said, hint);
        own("{\"id\": ", "line 1: EOF", "json.tool");
        own(
            &format!("{GOOD}\n{{'id': 1}}"),
            "line 2: key must",
            "json.tool",
        );
        let misspelt = GOOD.replace("entry_point", "entry_pint");
        own(
            &misspelt,
            "unknown field `entry_pint`",
            "--fields OURS=THEIRS",
        );
        let number = GOOD.replace("\"p\"", "7");
        own(&number, "invalid type: integer `7`", "`docs/suites.md`");
        let without = GOOD.replace("\"prompt\":\"p\",", "");
        own(&without, "missing field `prompt`", "--fields");
        own("[1]", "invalid type: sequence", "the fields of its format");
        own(
            &GOOD.replace("\"p\"", "\" \""),
            "`prompt` is empty",
            "fill it in",
        );
        own(
            &format!("{GOOD}\n{GOOD}"),
            "line 2: the id `a`",
            "an id of its own",
        );
        let untested = GOOD.replace("\"f()\"", "\"g()\"");
        own(&untested, "never call `f`", "call it");
        let no_tests = GOOD.replace("\"tests\":\"f()\",", "");
        own(&no_tests, "it has no tests", "`\"tests\": null`");
        let cases = r#"{"prompt":"p","reference":"r","tests":["f()"],"language":"rust"}"#;
        own(cases, "are for Python", "into `tests`");
        own("\n", "has no problems", "a problem in each line");
        // A file of another format, and one that names what cannot be graded.
        check(SuiteFormat::Mbpp, GOOD, "missing field", "--format");
        let files = [GOOD.as_bytes(), GOOD.as_bytes()];
        let error = read_suite("s", "S", SuiteFormat::Mbpp, &files, &FieldMap::default());
        assert!(
            error
                .unwrap_err()
                .hint()
                .contains("in the order of their format")
        );
    }
}
