//! How failures look on a terminal: `error: …`, and `hint: …` below where someone can act.

use std::io::{self, Write};
use trimtab_domain::ErrorBody;

/// Writes a failure to standard error.
pub(crate) fn tell_error(message: &str, hint: Option<&str>) {
    let message = message.trim_end().replace('\n', "; ");
    let hint = hint
        .map(|hint| format!("hint: {hint}\n"))
        .unwrap_or_default();
    let lines = format!("error: {message}\n{hint}");
    // Nobody is left to be told when standard error is closed.
    let _ = io::stderr().lock().write_all(lines.as_bytes());
}

/// Writes a failure as the one JSON document of a command that was asked for JSON.
pub(super) fn print_error_json(body: &ErrorBody) {
    let json = serde_json::to_string(body).expect("two strings are always JSON");
    let _ = writeln!(io::stdout().lock(), "{json}");
}
