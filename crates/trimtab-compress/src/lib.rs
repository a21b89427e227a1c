//! Compression methods: weights in, weights out, and a report for every layer.
//!
//! [`compress()`] carries out a recipe on a model file and writes the variant's artifact.

mod compress;
mod error;
mod format;
mod keep;
mod rtn;

pub use compress::{Compressed, compress, predicted_bytes};
pub use error::CompressError;
pub use rtn::{Grid, round_to_nearest};
