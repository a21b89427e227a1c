//! What a backend computes for the backward passes of the kernels, beside the kernels themselves.

use crate::{
    AttentionStep, HiddenShape, PackedShape,
    ops::{HeadNorm, KernelOps, Rope},
};
use burn::backend::tensor::{FloatTensor, IntTensor};

/// Constants of a norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormShape {
    /// Whether the mean is subtracted first: layer norm.
    pub is_centred: bool,
    /// Added to the mean square or variance.
    pub epsilon: f32,
}

/// Queries, keys and values before they are rotated, and what they are rotated by.
#[derive(Clone, Debug)]
pub struct AttentionInputs<B: KernelOps> {
    /// `[…, d_qkv]`
    pub qkv: FloatTensor<B>,
    /// Rotary tables.
    pub rope: Rope<B>,
}

/// The backward passes of [`KernelOps`].
pub trait KernelGradients: KernelOps {
    /// `gradient · weight`; `gradient`: `[…, d_out]`, result `[…, d_in]`.
    fn packed_linear_backward(
        gradient: FloatTensor<Self>,
        packed: IntTensor<Self>,
        shape: PackedShape,
    ) -> FloatTensor<Self>;
    /// The gradient at `x` of its norm.
    fn norm_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        norm: NormShape,
    ) -> FloatTensor<Self>;
    /// The gradient at `qkv` of the norms of query and key heads.
    fn norm_heads_backward(
        qkv: FloatTensor<Self>,
        gains: (FloatTensor<Self>, FloatTensor<Self>),
        gradient: FloatTensor<Self>,
        norm: HeadNorm,
    ) -> FloatTensor<Self>;
    /// The gradient at what the first product of an MLP made.
    fn activate_backward(
        up: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        shape: HiddenShape,
    ) -> FloatTensor<Self>;
    /// The gradient at queries, keys and values of sequences that begin at position 0.
    fn attention_backward(
        inputs: AttentionInputs<Self>,
        gradient: FloatTensor<Self>,
        step: AttentionStep,
    ) -> FloatTensor<Self>;
}
