//! Pruning: which weights of a layer go, and what is left of it.

mod magnitude;
mod mask;
mod sparsegpt;
mod sparsity;
mod wanda;

pub use magnitude::{MaskScope, magnitude};
pub use mask::KeepMask;
pub use sparsegpt::{SparseLayer, sparsegpt};
pub use sparsity::{Pattern, Sparsity};
pub use wanda::wanda;
