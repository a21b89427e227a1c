//! One file a page.

mod answers;
mod compress;
mod compress_fields;
mod compress_forecast;
mod compress_form;
mod compression;
mod compression_map;
mod costs;
mod flips;
mod glossary;
mod models;
mod not_found;
mod overview;
mod run;
mod run_cards;
mod run_jobs;
mod run_of_address;
mod run_results;
mod run_speed;
mod runs;
mod stage_reports;
mod suite_scores;
mod tradeoffs;

pub(crate) use compress::Compress;
pub(crate) use compression::Compression;
pub(crate) use flips::FlipsPage;
pub(crate) use glossary::Glossary;
pub(crate) use models::Models;
pub(crate) use not_found::NotFound;
pub(crate) use overview::Overview;
pub(crate) use run::Run;
pub(crate) use runs::Runs;
pub(crate) use tradeoffs::Tradeoffs;
