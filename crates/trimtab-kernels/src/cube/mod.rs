//! The operations on CUDA devices, as CubeCL kernels that NVRTC compiles at run time.
//!
//! Weights and caches have the bytes that they have on the CPU; a file or a cache needs no change to
//! move. Activations are f32 between operations. Up to [`MATVEC_TOKENS`] tokens go through the
//! matrix–vector kernel of [`matvec`], more through burn's matmul ([`panel`]).
//! Whole prompts attend through burn's fused attention where it applies
//! ([`crate::fused_attention::applies`]).
//!
//! Nothing in the kernels is CUDA's own: whatever runs CubeCL can run them.

#![expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::used_underscore_binding,
    reason = "arrays and structs stand for registers of a kernel, and `_dtype` names the type of a buffer"
)]

mod activation;
mod attention;
mod matvec;
mod norm;
mod ops;
mod panel;
mod reduce;
mod weight;

use crate::{PackedFormat, PackedShape};

/// Most tokens of the matrix–vector kernel, where weights are small next to their f16 form.
const MATVEC_TOKENS: usize = 2 * matvec::MAX_TOKENS;

/// Whether `n_tokens` tokens are multiplied by the matrix–vector kernel.
fn uses_matvec(shape: &PackedShape, n_tokens: usize) -> bool {
    match shape.format {
        PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => {
            n_tokens <= matvec::MAX_TOKENS
        }
        PackedFormat::Int8 { .. } | PackedFormat::Int4 { .. } => n_tokens <= MATVEC_TOKENS,
    }
}
