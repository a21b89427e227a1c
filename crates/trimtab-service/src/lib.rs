//! The use cases and the job queue: what pages, HTTP and command line call.
//!
//! [`Service`] is the one door. It joins the store with the crates that compress, evaluate and
//! compare; each job runs in a worker process of its own ([`worker`]), supervised from here.

mod adapter_import;
mod adapter_training;
mod answer_likeness;
mod bounded;
mod calibration_text;
mod capacity;
mod catalog_fetch;
mod clock;
mod compression;
mod compressions;
mod config;
mod costs;
mod dataset_fetch;
mod dataset_files;
mod datasets;
mod devices;
mod disk;
mod doctor;
mod drive;
mod export;
mod forecast;
mod hardware;
mod hub;
mod import;
mod inference;
mod landing;
mod likelihood;
mod live_jobs;
mod made;
mod mirror;
mod model_cache;
mod models;
mod owner;
mod paths;
mod plan;
mod preview;
mod process;
mod queue;
mod recipe_text;
mod recorded_shapes;
mod reproduce;
mod runs;
mod service;
mod stages;
mod supervisor;
mod teaching;
pub mod text_metrics;
mod tradeoff;
mod train;
mod training_log;
mod training_memory;
mod variants;
pub mod worker;

pub use capacity::CapacityRequest;
pub use catalog_fetch::{FetchSettings, fetch};
pub use config::{Limits, ServiceConfig};
pub use datasets::DatasetImport;
pub use devices::check_device;
pub use export::{ExportFormat, ExportRequest, Exported, FidelityCounts};
pub use inference::{
    BenchRequest, BenchRow, GenerateReply, GenerateRequest, PerplexityRequest, Timings,
};
pub use likelihood::{LikelihoodReply, LikelihoodRequest};
pub use paths::DataPaths;
pub use recipe_text::{parse_recipe, parse_recipe_toml, recipe_failure};
pub use service::Service;
pub use train::LoraRequest;
pub use trimtab_metrics::pass_at_k;
