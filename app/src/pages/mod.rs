//! One file a page.

mod answers;
mod glossary;
mod models;
mod not_found;
mod overview;
mod run;
mod run_jobs;
mod run_results;
mod runs;
mod tradeoffs;

pub(crate) use glossary::Glossary;
pub(crate) use models::Models;
pub(crate) use not_found::NotFound;
pub(crate) use overview::Overview;
pub(crate) use run::Run;
pub(crate) use runs::Runs;
pub(crate) use tradeoffs::Tradeoffs;
