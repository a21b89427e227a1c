//! The command line: one file a command, each parses, calls the service and renders.

mod analyze;
mod arguments;
mod bench;
mod compress;
mod context;
mod datasets;
mod doctor;
mod error;
mod evaluate;
mod flips;
mod generate;
mod metrics;
mod models;
mod output;
mod perplexity;
mod plan;
mod program;
mod progress;
mod reproduce;
mod runs;
mod serve;
mod speed_tables;
mod suite_scores;
mod table;
mod text_argument;
mod tokenize;
mod train;
mod worker;

pub(crate) use error::tell_error;
pub use program::run;
