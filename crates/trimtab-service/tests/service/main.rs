//! The service as a whole: a real store, real worker processes, and everything that goes wrong.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod compressions;
mod fetch;
mod models;
mod queue;
mod recovery;
mod references;
mod reproduce;
mod statistics;
mod support;
