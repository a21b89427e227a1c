//! The `trimtab` program: command line, HTTP server and worker processes.
//!
//! Commands and handlers parse, call one method of the service, and render; they decide nothing.

mod cli;
mod http;
mod run_request;
mod site;
mod telemetry;

pub use cli::run;
pub use http::{AppState, router};
pub use site::SiteDir;
