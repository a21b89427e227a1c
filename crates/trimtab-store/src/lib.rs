//! Results in SQLite and artifacts named by their digest.
//!
//! All SQL of the project is in this crate. Rows are private; what comes in and goes out are the
//! wire types of `trimtab-domain`, and a few structs that say what is stored beside them.
//! Everything that lands while work goes on may be written twice without changing anything.

mod artifacts;
mod card_uses;
mod database;
mod error;
mod excluded_problems;
mod jobs;
mod layer_reports;
mod log;
mod models;
mod references;
mod reproductions;
mod results;
mod runs;
mod variants;

pub use artifacts::{Artifacts, DigestWriter, digest_of_file, digest_of_folder};
pub use database::Store;
pub use error::StoreError;
pub use jobs::{Changes, ClaimedJob, HeldJob, JobEnd, Owner};
pub use log::LogLine;
pub use models::StoredModel;
pub use results::{DoneKey, LandedResults};
pub use runs::{NewRun, StoredRun};
pub use variants::{NewVariant, StoredVariant};
