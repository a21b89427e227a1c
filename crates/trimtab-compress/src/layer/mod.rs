//! What compression does to one layer: pure functions from weights and what was seen of the
//! layer's inputs to codes, masks or scales.
//!
//! [`round_to_nearest`] and [`gptq()`] quantise, [`awq_scales`] prepares weights for that,
//! [`prune`] removes weights, and [`choose_bits`] spreads a budget of bytes over modules.
//! The second-order methods share a [`Hessian`] and its [`InverseFactor`].

mod awq;
mod bit_choice;
mod column_sweep;
mod error;
mod gptq;
mod grid;
mod hessian;
mod input_stats;
mod inverse_factor;
mod layer_codes;
pub mod linalg;
mod output_error;
pub mod prune;
mod round;
mod weight;

pub use awq::{AwqScales, ScaledFloat, awq_scales, divide_rows, multiply_columns};
pub use bit_choice::{BitChoice, BitOption, Budget, ModuleOptions, choose_bits};
pub use error::LayerError;
pub use gptq::{GptqLayer, GptqOptions, gptq};
pub use grid::{GridSpec, GroupGrid, Grouping, RangeSearch, ScaleFormat};
pub use hessian::{Hessian, HessianSum};
pub use input_stats::{InputStats, InputStatsSum};
pub use inverse_factor::{ColumnOrder, FactorOptions, FactorReport, InverseFactor};
pub use layer_codes::LayerCodes;
pub use output_error::output_error;
pub use round::round_to_nearest;
pub use weight::{WeightFloat, WeightView};
