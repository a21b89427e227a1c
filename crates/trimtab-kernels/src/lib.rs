//! Packed weights and the products that read them: reference, AVX2 and portable paths, as burn operations.
//!
//! A weight is one block of bytes ([`PackedShape`] says where codes, scales and zero points lie).
//! [`product`] multiplies activations with it: one row at a time while decoding, in dequantised
//! panels while prefilling. [`ops`] offers this and the widened operations of a decoder block
//! (norm, gated MLP, attention over the cache) to burn modules.

pub mod activation;
pub mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod decode;
mod flex;
mod isa;
mod join;
pub mod norm;
pub mod ops;
mod pack;
mod portable;
mod prefill;
pub mod product;
mod product_tile;
mod quantized_activations;
mod shape;
mod simd;
mod unpack;
mod vector;

pub use activation::Activation;
pub use attention::{
    AttentionShape, AttentionStep, HeadValues, KvFormat, KvShape, PrefixCopy, RopeTable, Segment,
};
pub use join::join_packed;
pub use pack::{pack_f16, pack_f32, pack_int4, pack_int8};
pub use shape::{PackedFormat, PackedShape, PackedView, SizeMismatch};
pub use simd::Simd;
pub use unpack::GridRow;
