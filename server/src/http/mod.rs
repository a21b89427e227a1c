//! HTTP: the dashboard's pages, the JSON API, live events and static files, one file a resource.

mod compress;
mod datasets;
mod error;
mod events;
mod extract;
mod health;
mod models;
mod pages;
mod router;
mod runs;
mod security;
mod suites;
mod tradeoffs;

pub use router::{AppState, router};
