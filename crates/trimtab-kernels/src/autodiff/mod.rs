//! Gradients through the kernels, so that the module tree that generates also trains.
//!
//! Weights stay frozen and packed: [`operations`] records each kernel on burn's autodiff backend and
//! hands gradients to the activations alone. What a backward pass computes is in a file of its own,
//! over slices; [`KernelGradients`] is what a backend offers of it.

mod activation;
mod attention;
mod flex;
mod gradients;
mod linear;
mod matrix;
mod norm;
mod operations;
mod weight_rows;

#[cfg(test)]
mod tests;

pub use activation::activate_backward;
pub use attention::{AttentionGradient, attention_backward};
pub use gradients::{AttentionInputs, KernelGradients, NormShape};
pub use linear::{linear_backward, linear_backward_reference};
pub use norm::{NormGradient, norm_backward, norm_heads_backward};
