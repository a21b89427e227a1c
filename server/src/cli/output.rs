//! Standard output: text for people, or exactly one JSON document.

use serde::Serialize;
use std::io::{self, ErrorKind, Write};
use trimtab_domain::{Failure, FailureKind};

/// In which form a command answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) is_json: bool,
}

impl Output {
    /// Prints the answer of a command.
    pub(super) fn answer(
        self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let mut shown = if self.is_json {
            serde_json::to_string_pretty(document)
                .map_err(|error| Failure::new(FailureKind::Bug, error))?
        } else {
            text()
        };
        if !shown.ends_with('\n') {
            shown.push('\n');
        }
        print(&shown)
    }
}

/// Writes to standard output; a reader that has gone away, as `head` does, is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}
