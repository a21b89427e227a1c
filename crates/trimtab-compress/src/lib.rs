//! Compression methods: weights in, weights out, and a report for every layer.
//!
//! [`compress()`] carries out a recipe that looks at weights only, [`compress_calibrated`] one that
//! watches the model read; both write the variant's artifact. A recipe that begins with steps that
//! make another model is carried out link by link: [`shrink()`] makes that model in a
//! [`StageFolder`], which the next link reads. [`layer`] has the methods; [`train`] learns low-rank
//! adapters.

mod base;
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
mod passes;
mod plan;
mod predict;
mod scaling;
mod shrink;
mod stage;
mod state;
mod teach;
pub mod train;

pub use base::Base;
pub use calibration::{
    CalibrationError, CalibrationSet, N_WORDS, Overlap, Passage, ReadText, bundled_text,
    bundled_text_names, find_overlap,
};
pub use compress::{Compressed, Compression, compress, compress_calibrated};
pub use error::CompressError;
pub use identity::identity;
pub use passes::{Calibrated, CompressEvent};
pub use predict::{
    Prediction, WeightGroup, predicted_bytes, predicted_bytes_of, predicted_config,
    predicted_file_bytes, with_joint_weights,
};
pub use shrink::{ShrinkError, shrink};
pub use stage::StageFolder;
pub use teach::{Lesson, teach};
