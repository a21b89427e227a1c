//! Logs and panics: lines on standard error, in the format that the rest of the program uses.

use std::{io::IsTerminal, panic};
use tracing_subscriber::{EnvFilter, fmt};

/// The variable that chooses what is logged, for example `trimtab_service=debug`.
pub(crate) const LOG_ENV: &str = "TRIMTAB_LOG";

/// Sends logs to standard error; what [`LOG_ENV`] says goes before `default_filter`.
///
/// # Panics
///
/// If called twice in a process.
pub(crate) fn start_logging(default_filter: &str) {
    let filter =
        EnvFilter::try_from_env(LOG_ENV).unwrap_or_else(|_| EnvFilter::new(default_filter));
    fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// Makes a panic one line that says it is a defect, instead of a report for developers.
///
/// With `RUST_BACKTRACE` set the usual report follows.
pub(crate) fn tell_panics_in_one_line() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or("the program panicked");
        let place = info
            .location()
            .map(|l| format!(" at {}:{}", l.file(), l.line()));
        let line = message.lines().next().unwrap_or_default();
        crate::cli::tell_error(
            &format!("{line}{} (this is a bug)", place.unwrap_or_default()),
            None,
        );
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            usual(info);
        }
    }));
}
