//! The kernels as burn operations, so that one module tree serves generation, scoring and calibration.
//!
//! Wide operations (norm with residual, gated MLP, attention over the cache) exist because a decode
//! step of a small model is otherwise dominated by the small operations between the products.
//! Packed weights travel as byte tensors (`[n_bytes]`, I8), read in place.

use crate::{
    AttentionShape, PackedShape, PackedView, Simd, activation::silu_mul, attention, norm, product,
};
use burn::backend::{
    Backend, Dispatch, Flex, TensorMetadata, backend_extension,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{Int, Tensor, TensorData};

/// Shapes of the two products of a gated MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlpShape {
    /// Gate rows, then up rows: `[2 · d_ff, d_model]`.
    pub gate_up: PackedShape,
    /// `[d_model, d_ff]`.
    pub down: PackedShape,
}

/// Heads, and where the new tokens stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionStep {
    /// Heads.
    pub shape: AttentionShape,
    /// Tokens that the cache holds.
    pub position: usize,
}

/// The kernels, as a backend offers them.
#[backend_extension(Flex)]
pub trait KernelOps: Backend {
    /// `x · weightᵀ`; `x`: `[…, d_in]`, result `[…, d_out]`.
    fn packed_linear(
        x: FloatTensor<Self>,
        packed: IntTensor<Self>,
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
    /// `down · (silu(gate · x) ⊙ (up · x))`.
    fn gated_mlp(
        x: FloatTensor<Self>,
        gate_up: IntTensor<Self>,
        down: IntTensor<Self>,
        shape: MlpShape,
    ) -> FloatTensor<Self>;
    /// Attention of new tokens over the cache; returns the output and the cache with the new tokens.
    fn cached_attention(
        qkv: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        step: AttentionStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

type FlexFloat = FloatTensor<Flex>;
type FlexInt = IntTensor<Flex>;

fn tensor(values: Vec<f32>, dims: Vec<usize>) -> FlexFloat {
    FlexFloat::from_data(TensorData::new(values, dims))
}

fn floats(tensor: &FlexFloat) -> &[f32] {
    tensor
        .as_slice::<f32>()
        .expect("callers make the tensor contiguous f32")
}

fn weight(packed: &FlexInt, shape: PackedShape) -> PackedView<'_> {
    PackedView::new(shape, packed.bytes()).expect("the module was built with this shape")
}

/// The dimensions of `x` with another last axis.
fn with_last(x: &FlexFloat, last: usize) -> Vec<usize> {
    let mut dims = x.shape().to_vec();
    *dims.last_mut().expect("a tensor has an axis") = last;
    dims
}

impl KernelOps for Flex {
    fn packed_linear(x: FlexFloat, packed: FlexInt, shape: PackedShape) -> FlexFloat {
        let x = x.to_contiguous();
        let mut out = vec![0.0; floats(&x).len() / shape.d_in * shape.d_out];
        product::linear(
            Simd::detect(),
            &weight(&packed, shape),
            floats(&x),
            &mut out,
        );
        tensor(out, with_last(&x, shape.d_out))
    }

    fn packed_rows(ids: FlexInt, packed: FlexInt, shape: PackedShape) -> FlexFloat {
        let ids = ids.to_contiguous();
        let rows: Vec<usize> = ids
            .as_slice::<i32>()
            .expect("token ids are made as i32")
            .iter()
            .map(|id| usize::try_from(*id).expect("token ids are not negative"))
            .collect();
        let mut out = vec![0.0; rows.len() * shape.d_in];
        product::gather_rows(Simd::detect(), &weight(&packed, shape), &rows, &mut out);
        tensor(out, vec![1, rows.len(), shape.d_in])
    }

    fn rms_norm(x: FlexFloat, gain: FlexFloat, epsilon: f32) -> FlexFloat {
        let x = x.to_contiguous();
        let mut out = vec![0.0; floats(&x).len()];
        norm::rms_norm(Simd::detect(), floats(&x), floats(&gain), epsilon, &mut out);
        tensor(out, x.shape().to_vec())
    }

    fn add_rms_norm(
        x: FlexFloat,
        residual: FlexFloat,
        gain: FlexFloat,
        epsilon: f32,
    ) -> (FlexFloat, FlexFloat) {
        let (x, residual) = (x.to_contiguous(), residual.to_contiguous());
        let sum: Vec<f32> = floats(&x)
            .iter()
            .zip(floats(&residual))
            .map(|(x, residual)| x + residual)
            .collect();
        let mut out = vec![0.0; sum.len()];
        norm::rms_norm(Simd::detect(), &sum, floats(&gain), epsilon, &mut out);
        (
            tensor(sum, x.shape().to_vec()),
            tensor(out, x.shape().to_vec()),
        )
    }

    fn gated_mlp(x: FlexFloat, gate_up: FlexInt, down: FlexInt, shape: MlpShape) -> FlexFloat {
        let x = x.to_contiguous();
        let simd = Simd::detect();
        let (n_tokens, d_ff) = (floats(&x).len() / shape.gate_up.d_in, shape.down.d_in);
        let mut gate_up_out = vec![0.0; n_tokens * shape.gate_up.d_out];
        product::linear(
            simd,
            &weight(&gate_up, shape.gate_up),
            floats(&x),
            &mut gate_up_out,
        );
        let mut hidden = Vec::with_capacity(n_tokens * d_ff);
        for token in gate_up_out.chunks_exact_mut(2 * d_ff) {
            let (gate, up) = token.split_at_mut(d_ff);
            silu_mul(simd, gate, up);
            hidden.extend_from_slice(gate);
        }
        let mut out = vec![0.0; n_tokens * shape.down.d_out];
        product::linear(simd, &weight(&down, shape.down), &hidden, &mut out);
        tensor(out, with_last(&x, shape.down.d_out))
    }

    fn cached_attention(
        qkv: FlexFloat,
        cos: FlexFloat,
        sin: FlexFloat,
        mut keys: FlexFloat,
        mut values: FlexFloat,
        step: AttentionStep,
    ) -> (FlexFloat, FlexFloat, FlexFloat) {
        let AttentionStep { shape, position } = step;
        let mut qkv = qkv.to_contiguous();
        let d_out = shape.n_heads * shape.d_head;
        let mut out = vec![0.0; floats(&qkv).len() / shape.d_qkv() * d_out];
        let dims = with_last(&qkv, d_out);
        let call = attention::AttentionCall {
            shape,
            qkv: qkv.storage_mut::<f32>(),
            cos: floats(&cos),
            sin: floats(&sin),
            keys: keys.storage_mut::<f32>(),
            values: values.storage_mut::<f32>(),
            position,
        };
        attention::cached_attention(Simd::detect(), call, &mut out);
        (tensor(out, dims), keys, values)
    }
}

/// `x · weightᵀ` of a packed weight.
///
/// # Shapes
///
/// - `x`: `[…, d_in]`; `packed`: `[n_bytes]`; result: `[…, d_out]`
pub fn linear<const D: usize>(
    x: Tensor<D>,
    packed: Tensor<1, Int>,
    shape: PackedShape,
) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::packed_linear(
        x.into_dispatch(),
        packed.into_dispatch(),
        shape,
    ))
}

/// Rows of a packed weight: the embedding of tokens.
///
/// # Shapes
///
/// - `ids`: `[1, n_tokens]`; `packed`: `[n_bytes]`; result: `[1, n_tokens, d_model]`
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

/// Gated MLP: `down · (silu(gate · x) ⊙ (up · x))`.
///
/// # Shapes
///
/// - `x`: `[1, n_tokens, d_model]`; `gate_up`, `down`: `[n_bytes]`
pub fn gated_mlp(
    x: Tensor<3>,
    gate_up: Tensor<1, Int>,
    down: Tensor<1, Int>,
    shape: MlpShape,
) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::gated_mlp(
        x.into_dispatch(),
        gate_up.into_dispatch(),
        down.into_dispatch(),
        shape,
    ))
}

/// The cache of one layer, moved through [`cached_attention`].
#[derive(Clone, Debug)]
pub struct LayerCache {
    /// `[n_kv_heads, capacity, d_head]`
    pub keys: Tensor<3>,
    /// `[n_kv_heads, capacity, d_head]`
    pub values: Tensor<3>,
}

/// Attention of new tokens over the cache, which is extended in place when it is not shared.
///
/// # Shapes
///
/// - `qkv`: `[1, n_tokens, d_qkv]`; `cos`, `sin`: `[max_len, d_head / 2]`
/// - result: `[1, n_tokens, n_heads · d_head]`
pub fn cached_attention(
    qkv: Tensor<3>,
    (cos, sin): (Tensor<2>, Tensor<2>),
    cache: LayerCache,
    position: usize,
    shape: AttentionShape,
) -> (Tensor<3>, LayerCache) {
    let (out, keys, values) = Dispatch::cached_attention(
        qkv.into_dispatch(),
        cos.into_dispatch(),
        sin.into_dispatch(),
        cache.keys.into_dispatch(),
        cache.values.into_dispatch(),
        AttentionStep { shape, position },
    );
    let cache = LayerCache {
        keys: Tensor::from_dispatch(keys),
        values: Tensor::from_dispatch(values),
    };
    (Tensor::from_dispatch(out), cache)
}
