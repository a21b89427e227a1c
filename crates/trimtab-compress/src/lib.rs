//! Compression methods: weights in, weights out, and a report for every layer.
//!
//! [`compress()`] carries out a recipe on a model file and writes the variant's artifact;
//! [`train`] learns low-rank adapters.

mod compress;
mod error;
mod format;
mod keep;
mod predict;
mod rtn;
pub mod train;

pub use compress::{Compressed, compress};
pub use error::CompressError;
pub use predict::{WeightGroup, predicted_bytes, predicted_bytes_of};
pub use rtn::{Grid, round_to_nearest};
