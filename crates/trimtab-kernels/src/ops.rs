//! The kernels as burn operations, so that one module tree serves generation, scoring and calibration.
//!
//! Wide operations (norm with residual, MLP, attention over the cache) exist because a decode
//! step of a small model is otherwise dominated by the small operations between the products.
//! Packed weights and caches travel as byte tensors (`[n_bytes]`, I8), read and written in place.

use crate::{
    Activation, AttentionShape, AttentionStep, HiddenShape, KvShape, PackedShape, PrefixCopy,
    plain_activation,
};
use burn::backend::{
    Backend, Dispatch, ExtensionType, TensorMetadata, backend_extension,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// The two products of an MLP and what lies between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlpShape {
    /// `[d_ff, d_model]`; gated: gate rows, then up rows, `[2 · d_ff, d_model]`.
    pub up: PackedShape,
    /// `[d_model, d_ff]`.
    pub down: PackedShape,
    /// The function of the hidden channels, or of the gate.
    pub activation: Activation,
    /// Whether the first product has a gate.
    pub is_gated: bool,
}

impl MlpShape {
    /// What lies between the products.
    pub fn hidden(&self) -> HiddenShape {
        HiddenShape {
            activation: self.activation,
            is_gated: self.is_gated,
            d_ff: self.down.d_in,
        }
    }
}

/// Which heads [`norm_heads`] finds in its buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadNorm {
    /// Heads.
    pub shape: AttentionShape,
    /// Added to the mean square.
    pub epsilon: f32,
}

/// What is added to a product, if anything.
#[derive(Debug, ExtensionType)]
pub enum Bias<B: Backend> {
    /// Nothing.
    Absent,
    /// `[d_out]`
    Present(FloatTensor<B>),
}

impl Bias<Dispatch> {
    fn new(bias: Option<Tensor<1>>) -> Self {
        bias.map_or(Self::Absent, |bias| Self::Present(bias.into_dispatch()))
    }
}

/// Angles of the rotary embedding, if there is one.
#[derive(Clone, Debug, ExtensionType)]
pub enum Rope<B: Backend> {
    /// Positions are not rotated.
    Absent,
    /// `[max_len, rotary / 2]` each.
    Tables {
        /// Cosines.
        cos: FloatTensor<B>,
        /// Sines.
        sin: FloatTensor<B>,
    },
}

/// The kernels, as a backend offers them.
///
/// Gradients go through them on processors; a build for cards has none.
#[backend_extension(Flex, Cube: cfg(feature = "cuda"), Autodiff: cfg(not(feature = "cuda")))]
pub trait KernelOps: Backend {
    /// A stored weight in the order in which this backend reads it.
    fn arrange(packed: IntTensor<Self>, shape: PackedShape) -> IntTensor<Self>;
    /// `x · weightᵀ + bias`; `x`: `[…, d_in]`, result `[…, d_out]`.
    fn packed_linear(
        x: FloatTensor<Self>,
        packed: IntTensor<Self>,
        #[extension_type] bias: Bias<Self>,
        shape: PackedShape,
    ) -> FloatTensor<Self>;
    /// Rows `ids` (`[1, n_tokens]`) of a weight: `[1, n_tokens, d_in]`.
    fn packed_rows(
        ids: IntTensor<Self>,
        packed: IntTensor<Self>,
        shape: PackedShape,
    ) -> FloatTensor<Self>;
    /// Root-mean-square norm of `x`: `[…, d_model]`.
    fn rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self>;
    /// `x + residual`, and its norm.
    fn add_rms_norm(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// Layer norm of `x`: `[…, d_model]`.
    fn layer_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        #[extension_type] bias: Bias<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;
    /// `x + residual`, and its layer norm.
    fn add_layer_norm(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        #[extension_type] bias: Bias<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// `qkv` with a root-mean-square norm of every query and key head.
    fn norm_heads(
        qkv: FloatTensor<Self>,
        query_gain: FloatTensor<Self>,
        key_gain: FloatTensor<Self>,
        norm: HeadNorm,
    ) -> FloatTensor<Self>;
    /// `down · activation(up · x)`, or `down · (activation(gate · x) ⊙ (up · x))`, with biases.
    fn packed_mlp(
        x: FloatTensor<Self>,
        up: IntTensor<Self>,
        #[extension_type] up_bias: Bias<Self>,
        down: IntTensor<Self>,
        #[extension_type] down_bias: Bias<Self>,
        shape: MlpShape,
    ) -> FloatTensor<Self>;
    /// `activation(gate) ⊙ up` of `[…, 2 · d_ff]`, or `activation(up)` of `[…, d_ff]`.
    fn activate(up: FloatTensor<Self>, shape: HiddenShape) -> FloatTensor<Self> {
        plain_activation::activate::<Self>(up, shape)
    }
    /// Attention of new tokens over the cache; returns the output and the cache with the new tokens.
    fn cached_attention(
        qkv: FloatTensor<Self>,
        #[extension_type] rope: Rope<Self>,
        cache: IntTensor<Self>,
        step: AttentionStep,
    ) -> (FloatTensor<Self>, IntTensor<Self>);
    /// The cache with the first tokens of one slot copied to another.
    fn copy_prefix(cache: IntTensor<Self>, shape: KvShape, copy: PrefixCopy) -> IntTensor<Self>;
    /// `value`, a number computed from `x` elsewhere, whose gradient at `x` is `gradient`: `[1]`.
    fn with_gradient(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        value: f32,
    ) -> FloatTensor<Self> {
        drop(gradient);
        Self::float_from_data(TensorData::new(vec![value], [1]), &x.device())
    }
}

/// A stored weight as a tensor, in the order in which the device's kernels read it: what all other
/// operations take as `packed`.
///
/// # Panics
///
/// If `stored` does not have the length that `shape` says.
pub fn weight(stored: Vec<i8>, shape: PackedShape, device: &Device) -> Tensor<1, Int> {
    assert_eq!(stored.len(), shape.n_bytes(), "a stored weight {shape:?}");
    let n_bytes = stored.len();
    let data = TensorData::new(stored, [n_bytes]);
    let packed = Tensor::<1, Int>::from_data(data, (device, DType::I8));
    Tensor::from_dispatch(Dispatch::arrange(packed.into_dispatch(), shape))
}

/// `x · weightᵀ + bias` of a packed weight.
///
/// # Shapes
///
/// - `x`: `[…, d_in]`; `packed`: made by [`weight`]; `bias`: `[d_out]`; result: `[…, d_out]`
pub fn linear<const D: usize>(
    x: Tensor<D>,
    packed: Tensor<1, Int>,
    bias: Option<Tensor<1>>,
    shape: PackedShape,
) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::packed_linear(
        x.into_dispatch(),
        packed.into_dispatch(),
        Bias::new(bias),
        shape,
    ))
}

/// Rows of a packed weight: the embedding of tokens.
///
/// # Shapes
///
/// - `ids`: `[1, n_tokens]`; `packed`: made by [`weight`]; result: `[1, n_tokens, d_model]`
pub fn rows(ids: Tensor<2, Int>, packed: Tensor<1, Int>, shape: PackedShape) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::packed_rows(
        ids.into_dispatch(),
        packed.into_dispatch(),
        shape,
    ))
}

/// Root-mean-square norm.
///
/// # Shapes
///
/// - `x`: `[1, n_tokens, d_model]`; `gain`: `[d_model]`
pub fn rms_norm(x: Tensor<3>, gain: Tensor<1>, epsilon: f32) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::rms_norm(
        x.into_dispatch(),
        gain.into_dispatch(),
        epsilon,
    ))
}

/// `x + residual`, and its root-mean-square norm.
///
/// # Shapes
///
/// - `x`, `residual`: `[1, n_tokens, d_model]`; `gain`: `[d_model]`
pub fn add_rms_norm(
    x: Tensor<3>,
    residual: Tensor<3>,
    gain: Tensor<1>,
    epsilon: f32,
) -> (Tensor<3>, Tensor<3>) {
    let (sum, normed) = Dispatch::add_rms_norm(
        x.into_dispatch(),
        residual.into_dispatch(),
        gain.into_dispatch(),
        epsilon,
    );
    (Tensor::from_dispatch(sum), Tensor::from_dispatch(normed))
}

/// Layer norm: mean and variance over the channels of a token.
///
/// # Shapes
///
/// - `x`: `[1, n_tokens, d_model]`; `gain`, `bias`: `[d_model]`
pub fn layer_norm(
    x: Tensor<3>,
    gain: Tensor<1>,
    bias: Option<Tensor<1>>,
    epsilon: f32,
) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::layer_norm(
        x.into_dispatch(),
        gain.into_dispatch(),
        Bias::new(bias),
        epsilon,
    ))
}

/// `x + residual`, and its layer norm.
///
/// # Shapes
///
/// - `x`, `residual`: `[1, n_tokens, d_model]`; `gain`, `bias`: `[d_model]`
pub fn add_layer_norm(
    x: Tensor<3>,
    residual: Tensor<3>,
    gain: Tensor<1>,
    bias: Option<Tensor<1>>,
    epsilon: f32,
) -> (Tensor<3>, Tensor<3>) {
    let (sum, normed) = Dispatch::add_layer_norm(
        x.into_dispatch(),
        residual.into_dispatch(),
        gain.into_dispatch(),
        Bias::new(bias),
        epsilon,
    );
    (Tensor::from_dispatch(sum), Tensor::from_dispatch(normed))
}

/// Root-mean-square norm of every query and key head; values stay as they are.
///
/// # Shapes
///
/// - `qkv`: `[1, n_tokens, d_qkv]`; `query_gain`, `key_gain`: `[d_key]`
pub fn norm_heads(
    qkv: Tensor<3>,
    (query_gain, key_gain): (Tensor<1>, Tensor<1>),
    norm: HeadNorm,
) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::norm_heads(
        qkv.into_dispatch(),
        query_gain.into_dispatch(),
        key_gain.into_dispatch(),
        norm,
    ))
}

/// A packed weight and its bias.
///
/// # Shapes
///
/// - `packed`: made by [`weight`]; `bias`: `[d_out]`
#[derive(Clone, Debug)]
pub struct Weight {
    /// The packed weight.
    pub packed: Tensor<1, Int>,
    /// Added to the product.
    pub bias: Option<Tensor<1>>,
}

/// MLP: `down · activation(up · x)`, or gated `down · (activation(gate · x) ⊙ (up · x))`.
///
/// # Shapes
///
/// - `x`: `[1, n_tokens, d_model]`
pub fn mlp(x: Tensor<3>, up: Weight, down: Weight, shape: MlpShape) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::packed_mlp(
        x.into_dispatch(),
        up.packed.into_dispatch(),
        Bias::new(up.bias),
        down.packed.into_dispatch(),
        Bias::new(down.bias),
        shape,
    ))
}

/// The non-linear part of an MLP by itself, for products that are not [`mlp`]'s.
///
/// # Shapes
///
/// - `up`: `[1, n_tokens, d_up]`; result: `[1, n_tokens, d_ff]`
pub fn activate(up: Tensor<3>, shape: HiddenShape) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::activate(up.into_dispatch(), shape))
}

/// The cache of one layer, moved through [`cached_attention`].
#[derive(Clone, Debug)]
pub struct LayerCache {
    /// `[KvShape::n_bytes()]`
    pub bytes: Tensor<1, Int>,
}

impl LayerCache {
    /// An empty cache; on a CPU it takes memory only as far as it is written.
    pub fn new(shape: &KvShape, device: &Device) -> Self {
        let bytes = Tensor::zeros([shape.n_bytes()], (device, DType::I8));
        Self { bytes }
    }

    /// Copies the first tokens of a slot to another; in place when the cache is not shared.
    #[must_use]
    pub fn copy_prefix(self, shape: &KvShape, copy: PrefixCopy) -> Self {
        let bytes = Dispatch::copy_prefix(self.bytes.into_dispatch(), *shape, copy);
        Self {
            bytes: Tensor::from_dispatch(bytes),
        }
    }
}

/// Attention of new tokens over the cache, which is extended in place when it is not shared.
///
/// # Shapes
///
/// - `qkv`: `[1, n_tokens, d_qkv]`, the tokens of all segments; `rope`: `[max_len, rotary / 2]` each
/// - result: `[1, n_tokens, n_heads · d_value]`
pub fn cached_attention(
    qkv: Tensor<3>,
    rope: Option<(Tensor<2>, Tensor<2>)>,
    cache: LayerCache,
    step: AttentionStep,
) -> (Tensor<3>, LayerCache) {
    let rope = rope.map_or(Rope::Absent, |(cos, sin)| Rope::Tables {
        cos: cos.into_dispatch(),
        sin: sin.into_dispatch(),
    });
    let (out, bytes) =
        Dispatch::cached_attention(qkv.into_dispatch(), rope, cache.bytes.into_dispatch(), step);
    let bytes = Tensor::from_dispatch(bytes);
    (Tensor::from_dispatch(out), LayerCache { bytes })
}

/// A number that was computed from `x` together with its gradient, as a tensor that hands the
/// gradient on: a loss over a large vocabulary need not be recorded operation by operation.
///
/// # Shapes
///
/// - `x`, `gradient`: the same; result: `[1]`
pub fn with_gradient<const D: usize>(x: Tensor<D>, gradient: Tensor<D>, value: f32) -> Tensor<1> {
    assert_eq!(x.dims(), gradient.dims(), "a gradient of another shape");
    Tensor::from_dispatch(Dispatch::with_gradient(
        x.into_dispatch(),
        gradient.into_dispatch(),
        value,
    ))
}
