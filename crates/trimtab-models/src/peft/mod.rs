//! PEFT adapters: low-rank changes of linear layers, added to the weights or kept beside them.
//!
//! An adapter changes a layer from `x·Wᵀ` to `x·Wᵀ + scaling · (x·Aᵀ)·Bᵀ`. [`PeftAdapter::merge`]
//! and [`MergedSource`] add `scaling · B·A` to the weight, in f32, before it is packed;
//! [`PeftAdapter::part`] gives the factors to a layer that keeps them apart. [`PeftAdapter::start`]
//! makes one to be trained, [`PeftAdapter::write`] the folder that PEFT reads.
//!
//! Source: Hu et al. 2021, <https://arxiv.org/abs/2106.09685>, section 4.1; rank-stabilised scaling:
//! Kalajdzievski 2023, <https://arxiv.org/abs/2312.03732>; files as written by
//! <https://github.com/huggingface/peft>.

mod adapter;
mod config;
mod error;
mod linears;
mod low_rank;
mod merged_source;
mod pattern;
mod start;
mod targets;
#[cfg(test)]
mod tests;
mod write;

pub use adapter::PeftAdapter;
pub use config::AdapterConfig;
pub use error::AdapterError;
pub use linears::{AdaptableLinear, adaptable_linears};
pub use low_rank::LowRank;
pub use merged_source::MergedSource;
pub use start::{LoraSettings, LoraTargets};
