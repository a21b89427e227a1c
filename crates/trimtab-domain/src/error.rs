//! How a failure is told to people and programs: one line, and a hint where they can act.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The JSON body of every HTTP error and of `--json` failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What failed, as one lower-case line.
    pub error: String,
    /// What the reader can do about it.
    pub hint: Option<String>,
}

/// Who has to act on a failure; decides exit codes and HTTP statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The input was wrong: exit code 2, HTTP 400.
    BadInput,
    /// The thing asked for does not exist: exit code 2, HTTP 404.
    NotFound,
    /// The thing asked for clashes with what is going on: exit code 2, HTTP 409.
    Conflict,
    /// The work itself failed: exit code 1, HTTP 500.
    Failed,
    /// A defect of this program: exit code 70, HTTP 500.
    Bug,
}

/// A failure on its way to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Failure {
    /// Who has to act.
    pub kind: FailureKind,
    /// What failed, as one lower-case line.
    pub message: String,
    /// What the reader can do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    /// A failure of `kind` without a hint.
    pub fn new(kind: FailureKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            hint: None,
        }
    }

    /// Wrong input.
    pub fn bad_input(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::BadInput, message)
    }

    /// Something that does not exist.
    pub fn not_found(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::NotFound, message)
    }

    /// Work that failed.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::Failed, message)
    }

    /// A clash with what is going on.
    pub fn conflict(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::Conflict, message)
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The body that HTTP and `--json` show.
    pub fn to_body(&self) -> ErrorBody {
        ErrorBody {
            error: self.message.clone(),
            hint: self.hint.clone(),
        }
    }

    /// The process exit code of the command line.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            FailureKind::BadInput | FailureKind::NotFound | FailureKind::Conflict => 2,
            FailureKind::Failed => 1,
            FailureKind::Bug => 70,
        }
    }
}
