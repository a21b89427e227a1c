//! Pages, components and server functions of the dashboard.
//!
//! Every page is rendered on the server, whole and readable without wasm, then hydrated.
//! Pages hold no arithmetic beyond formatting: every number they show comes from the service.

#![recursion_limit = "256"]
#![expect(
    unreachable_pub,
    reason = "the macros of components and server functions write `pub` for what is private here"
)]

mod api;
mod components;
mod format;
mod glossary;
mod live;
mod pages;
mod recipe_fields;
mod shell;

pub use shell::{App, shell};
