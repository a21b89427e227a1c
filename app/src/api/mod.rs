//! Server functions: each calls one method of the service and hands its answer on.
//!
//! They live under `/rpc`, apart from the public `/api`. A failure of the service reaches
//! the page whole, with its hint; see [`ApiError`].

mod compress;
mod error;
mod models;
mod overview;
mod runs;
mod tradeoffs;

pub(crate) use compress::{
    StartCompression, get_compression, list_compressions, preview_compression,
};
pub(crate) use error::ApiError;
pub(crate) use models::{list_capacities, list_models};
pub(crate) use overview::{StartQuickstart, overview};
pub(crate) use runs::{CancelRun, ResumeRun, get_flips, get_run, get_scores, list_runs};
pub(crate) use tradeoffs::{get_costs, get_tradeoffs};

#[cfg(feature = "ssr")]
pub(crate) use error::{failed, service};
