//! Compression methods: weights in, weights out, and a report for every layer.
//!
//! [`compress()`] carries out a recipe on a model file and writes the variant's artifact; [`layer`] has the
//! methods, as functions of one layer.

mod compress;
mod error;
mod format;
mod keep;
pub mod layer;
mod predict;
mod rtn;

pub use compress::{Compressed, compress};
pub use error::CompressError;
pub use predict::{WeightGroup, predicted_bytes, predicted_bytes_of};
pub use rtn::{Grid, round_to_nearest};
