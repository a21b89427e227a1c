//! The built program as scripts use it: exit status, error lines, JSON.
#![expect(
    clippy::disallowed_methods,
    reason = "the program under test is a process"
)]

mod calibrated;
mod commands;
mod datasets;
mod doctor;
mod evaluation;
mod program;
mod recipes;
mod serve;
mod speed;
mod text_metrics;
mod variants;
