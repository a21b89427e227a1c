//! The parsers under test, compiled from the same source files as the product.
//!
//! Included by path and not as a dependency on `trimtab-models`, because that crate brings the
//! whole engine, which takes twenty minutes to build with instrumentation and is not under test.

#[path = "../../crates/trimtab-models/src/gguf/mod.rs"]
pub mod gguf;
