//! Calibration: the tokens that a model reads while the inputs of its layers are measured.

mod error;
mod overlap;
mod pack;
mod set;
mod texts;

pub use error::CalibrationError;
pub use overlap::{N_WORDS, Overlap, Passage, find_overlap};
pub use set::{CalibrationSet, ReadText};
pub use texts::{bundled_text, bundled_text_names};
