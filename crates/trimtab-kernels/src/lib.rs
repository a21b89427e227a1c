//! Packed weights and the products that read them, as burn operations.
//!
//! A weight is one block of bytes ([`PackedShape`] says where codes, scales and zero points lie). In
//! the memory of a CPU its rows lie in panels ([`PanelView`]), which [`product`] multiplies
//! activations with, one token or many. [`attention`] runs over a cache of many sequences. [`ops`] offers these and the widened
//! operations of a decoder block to burn modules. Kernels are written once, over a trait of vector
//! instructions; AVX-512, AVX2, NEON and plain Rust implement it, and [`Simd`] chooses at run time.

#![expect(
    clippy::inline_always,
    reason = "generic kernels have to be inlined into the function that enables their instructions"
)]

pub mod activation;
pub mod attention;
#[cfg(not(feature = "cuda"))]
pub mod autodiff;
#[cfg(feature = "cuda")]
mod cube;
mod flex;
#[cfg(any(test, feature = "cuda"))]
mod fused_attention;
mod grid_row;
mod isa;
mod join;
pub mod matrix_product;
pub mod norm;
pub mod ops;
mod pack;
mod panel;
mod panel_codes;
mod panel_floats;
mod panel_product;
mod plain_activation;
pub mod product;
mod product_tile;
mod shape;
mod shared_out;
mod simd;
pub mod team;
mod token_tile;
mod vector;

pub use activation::{Activation, HiddenShape};
pub use attention::{
    AttentionShape, AttentionStep, HeadValues, KvFormat, KvShape, PrefixCopy, RopeTable, Segment,
};
pub use grid_row::GridRow;
pub use join::join_packed;
pub use pack::{pack_bf16, pack_f16, pack_f32, pack_int4, pack_int8};
pub use panel::PanelView;
pub use shape::{PackedFormat, PackedShape, PackedView, SizeMismatch};
pub use simd::Simd;
