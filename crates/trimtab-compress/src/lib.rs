//! Compression methods: weights in, weights out, and a report for every layer.
//!
//! [`compress()`] carries out a recipe that looks at weights only, [`compress_calibrated`] one that
//! watches the model read; both write the variant's artifact. [`layer`] has the methods; [`train`]
//! learns low-rank adapters.

mod calibration;
mod choice;
mod compress;
mod divergence;
mod error;
mod format;
mod identity;
mod inputs;
mod joint;
mod keep;
pub mod layer;
mod layerwise;
mod make;
mod pack;
mod plan;
mod predict;
mod scaling;
mod state;
pub mod train;

pub use calibration::{
    CalibrationError, CalibrationSet, N_WORDS, Overlap, Passage, ReadText, bundled_text,
    bundled_text_names, find_overlap,
};
pub use compress::{Compressed, Compression, compress, compress_calibrated};
pub use error::CompressError;
pub use identity::identity;
pub use layerwise::{Calibrated, CompressEvent};
pub use predict::{WeightGroup, predicted_bytes, predicted_bytes_of, predicted_file_bytes};
