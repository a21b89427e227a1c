//! The operations on burn's CubeCL backend: tensors in, buffers to the kernels, tensors out.

use super::{
    attention::{self, StepBuffers},
    matvec,
    norm::{NormBuffers, NormSizes, launch_norm, launch_norm_heads},
    panel, uses_matvec,
};
use crate::{
    Activation, AttentionStep, KvShape, PackedFormat, PackedShape, PrefixCopy, Segment,
    fused_attention,
    ops::{Bias, HeadNorm, KernelOps, MlpShape, Rope},
};
use burn::backend::{
    TensorMetadata,
    ops::FloatTensorOps,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{DType, Shape};
use burn_cubecl::{
    CubeBackend,
    kernel::{
        into_contiguous,
        matmul::{MatmulStrategy, matmul},
    },
    ops::numeric::empty_device_contiguous_dtype,
    tensor::CubeTensor,
};
use cubecl::{
    ir::{ElemType, FloatKind},
    server::Handle,
};
use std::{cell::RefCell, sync::Arc};

/// An uninitialised tensor on the device of another.
fn empty(like: &CubeTensor, dims: &[usize], dtype: DType) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, Shape::from(dims.to_vec()), dtype)
}

/// A buffer on the device of a tensor as numbers of a type.
fn viewed(like: &CubeTensor, handle: &Handle, dims: &[usize], dtype: DType) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    CubeTensor::new_contiguous(
        client,
        device,
        Shape::from(dims.to_vec()),
        handle.clone(),
        dtype,
    )
}

/// The tensor's numbers in a row.
///
/// # Panics
///
/// If they are not f32: the kernels read nothing else.
fn floats(tensor: CubeTensor) -> CubeTensor {
    assert_eq!(tensor.dtype, DType::F32, "activations on a GPU");
    into_contiguous(tensor)
}

/// The tensor itself if nobody else holds it, else a copy, to be written to.
fn owned(tensor: CubeTensor) -> CubeTensor {
    let tensor = into_contiguous(tensor);
    if tensor.can_mut() {
        tensor
    } else {
        tensor.copy()
    }
}

fn bias_handle(bias: Bias<CubeBackend>, d_out: usize) -> Option<Handle> {
    match bias {
        Bias::Absent => None,
        Bias::Present(bias) => {
            assert_eq!(bias.shape().num_elements(), d_out, "a bias");
            Some(floats(bias).handle)
        }
    }
}

/// The dimensions of `x` with another last axis.
fn with_last(x: &CubeTensor, last: usize) -> Vec<usize> {
    let mut dims = x.shape().to_vec();
    *dims.last_mut().expect("a tensor has an axis") = last;
    dims
}

/// A product and what is done to it.
struct Product {
    shape: PackedShape,
    activation: Option<Activation>,
    is_gated: bool,
}

impl Product {
    /// # Panics
    ///
    /// If the format wants activations of eight bits, or sizes contradict each other.
    fn run(&self, x: CubeTensor, packed: CubeTensor, bias: Bias<CubeBackend>) -> CubeTensor {
        let shape = self.shape;
        assert!(
            !shape.format.has_int8_activations(),
            "products with activations of 8 bits run on the CPU only"
        );
        let n_bytes = packed.shape().num_elements();
        assert_eq!(n_bytes, shape.n_bytes(), "bytes of {shape:?}");
        let x = floats(x);
        let n_tokens = x.shape().num_elements() / shape.d_in;
        assert_eq!(x.shape().num_elements(), n_tokens * shape.d_in, "{shape:?}");
        let bias = bias_handle(bias, shape.d_out);
        if uses_matvec(&shape, n_tokens) {
            self.run_matvec(x, packed, bias, n_tokens)
        } else {
            self.run_panel(x, packed, bias, n_tokens)
        }
    }

    fn d_out(&self) -> usize {
        match self.is_gated {
            true => self.shape.d_out / 2,
            false => self.shape.d_out,
        }
    }

    fn run_matvec(
        &self,
        x: CubeTensor,
        packed: CubeTensor,
        bias: Option<Handle>,
        n_tokens: usize,
    ) -> CubeTensor {
        let out = empty(&x, &with_last(&x, self.d_out()), DType::F32);
        let call = matvec::Call {
            shape: self.shape,
            n_tokens,
            activation: self.activation,
            is_gated: self.is_gated,
        };
        matvec::launch(
            &out.client,
            (&packed.handle, bias),
            (x.handle, out.handle.clone()),
            call,
        );
        out
    }

    fn run_panel(
        &self,
        x: CubeTensor,
        packed: CubeTensor,
        bias: Option<Handle>,
        n_tokens: usize,
    ) -> CubeTensor {
        let PackedShape { d_out, d_in, .. } = self.shape;
        let out = empty(&x, &with_last(&x, self.d_out()), DType::F32);
        let client = out.client.clone();
        let (dtype, kind) = half_type(self.shape.format);
        let halves = empty(&x, &[n_tokens, d_in], dtype);
        let factors = client.empty(4 * n_tokens);
        let targets = (halves.handle.clone(), factors.clone());
        panel::launch_halve(&client, x.handle, targets, (n_tokens, d_in), kind);
        let mut weight = halves_of(&packed, self.shape);
        weight.meta.swap(0, 1);
        let product = empty(&halves, &[n_tokens, d_out], DType::F32);
        let product = matmul(
            halves,
            weight,
            Some(product),
            MatmulStrategy::default(),
            DType::F32,
        )
        .expect("matmul takes 16-bit floats of these shapes on every CUDA device");
        panel::launch_finish(
            &client,
            (product.handle, factors),
            (bias, self.activation, self.is_gated),
            out.handle.clone(),
            (n_tokens, self.d_out()),
        );
        out
    }
}

/// The 16-bit floats in which many tokens are multiplied with a weight: its own, or f16.
fn half_type(format: PackedFormat) -> (DType, FloatKind) {
    match format {
        PackedFormat::Bf16 => (DType::BF16, FloatKind::BF16),
        _ => (DType::F16, FloatKind::F16),
    }
}

/// A weight in 16-bit floats, `[d_out, d_in]`: its own bytes where it has them already.
fn halves_of(packed: &CubeTensor, shape: PackedShape) -> CubeTensor {
    let dims = [shape.d_out, shape.d_in];
    let (dtype, kind) = half_type(shape.format);
    if matches!(shape.format, PackedFormat::F16 | PackedFormat::Bf16) {
        return viewed(packed, &packed.handle, &dims, dtype);
    }
    let halves = empty(packed, &dims, dtype);
    panel::launch_rows(
        &packed.client,
        (&packed.handle, shape),
        None,
        halves.handle.clone(),
        ElemType::Float(kind),
    );
    halves
}

/// Normalises tokens, after adding a residual if there is one; returns sum and normed tokens.
fn normed(
    x: CubeTensor,
    residual: Option<CubeTensor>,
    (gain, bias): (CubeTensor, Bias<CubeBackend>),
    (epsilon, is_centred): (f32, bool),
) -> (CubeTensor, CubeTensor) {
    let (x, gain) = (floats(x), floats(gain));
    let d_model = gain.shape().num_elements();
    let sizes = NormSizes {
        n_tokens: x.shape().num_elements() / d_model,
        d_model,
        epsilon,
        is_centred,
    };
    assert_eq!(
        x.shape().num_elements(),
        sizes.n_tokens * d_model,
        "tokens of {d_model} channels"
    );
    let out = empty(&x, &x.shape().to_vec(), DType::F32);
    let mut sum = x.clone();
    let residual = residual.map(|residual| {
        assert_eq!(x.shape(), residual.shape(), "a residual");
        sum = empty(&x, &x.shape().to_vec(), DType::F32);
        (floats(residual).handle, sum.handle.clone())
    });
    let buffers = NormBuffers {
        x: x.handle,
        residual,
        gain: gain.handle,
        bias: bias_handle(bias, d_model),
        out: out.handle.clone(),
    };
    launch_norm(&out.client, buffers, sizes);
    (sum, out)
}

thread_local! {
    /// Places of the last step's tokens: all layers of a step share one upload.
    static PLACES: RefCell<Option<(Arc<[Segment]>, CubeTensor)>> = const { RefCell::new(None) };
}

/// Slot and position of each token, `[n_tokens, 2]`, on the device of `like`.
fn places(step: &AttentionStep, like: &CubeTensor) -> Handle {
    PLACES.with_borrow_mut(|last| {
        if let Some((segments, places)) = last
            && Arc::ptr_eq(segments, &step.segments)
            && places.device == like.device
        {
            return places.handle.clone();
        }
        let numbers: Vec<u32> = step
            .segments
            .iter()
            .flat_map(|segment| {
                (0..segment.n_tokens)
                    .flat_map(move |idx| [segment.slot as u32, (segment.position + idx) as u32])
            })
            .collect();
        let handle = like
            .client
            .create_from_slice(bytemuck::cast_slice(&numbers));
        let places = viewed(like, &handle, &[step.n_tokens(), 2], DType::U32);
        *last = Some((step.segments.clone(), places));
        handle
    })
}

type Float = FloatTensor<CubeBackend>;
type Int = IntTensor<CubeBackend>;

impl KernelOps for CubeBackend {
    /// Kernels of cards read stored rows.
    fn arrange(packed: Int, _: PackedShape) -> Int {
        packed
    }

    fn packed_linear(x: Float, packed: Int, bias: Bias<Self>, shape: PackedShape) -> Float {
        let product = Product {
            shape,
            activation: None,
            is_gated: false,
        };
        product.run(x, packed, bias)
    }

    /// An id outside the vocabulary reads the last row.
    fn packed_rows(ids: Int, packed: Int, shape: PackedShape) -> Float {
        assert_eq!(ids.dtype, DType::I32, "token ids");
        let n_bytes = packed.shape().num_elements();
        assert_eq!(n_bytes, shape.n_bytes(), "bytes of {shape:?}");
        let ids = into_contiguous(ids);
        let n_rows = ids.shape().num_elements();
        let out = empty(&ids, &[1, n_rows, shape.d_in], DType::F32);
        panel::launch_rows(
            &out.client,
            (&packed.handle, shape),
            Some((ids.handle, n_rows)),
            out.handle.clone(),
            ElemType::Float(FloatKind::F32),
        );
        out
    }

    fn rms_norm(x: Float, gain: Float, epsilon: f32) -> Float {
        normed(x, None, (gain, Bias::Absent), (epsilon, false)).1
    }

    fn add_rms_norm(x: Float, residual: Float, gain: Float, epsilon: f32) -> (Float, Float) {
        normed(x, Some(residual), (gain, Bias::Absent), (epsilon, false))
    }

    fn layer_norm(x: Float, gain: Float, bias: Bias<Self>, epsilon: f32) -> Float {
        normed(x, None, (gain, bias), (epsilon, true)).1
    }

    fn add_layer_norm(
        x: Float,
        residual: Float,
        gain: Float,
        bias: Bias<Self>,
        epsilon: f32,
    ) -> (Float, Float) {
        normed(x, Some(residual), (gain, bias), (epsilon, true))
    }

    fn norm_heads(qkv: Float, query_gain: Float, key_gain: Float, norm: HeadNorm) -> Float {
        let qkv = owned(floats(qkv));
        let n_tokens = qkv.shape().num_elements() / norm.shape.d_qkv();
        for gain in [&query_gain, &key_gain] {
            assert_eq!(gain.shape().num_elements(), norm.shape.d_key, "{norm:?}");
        }
        launch_norm_heads(
            &qkv.client,
            qkv.handle.clone(),
            (floats(query_gain).handle, floats(key_gain).handle),
            n_tokens,
            (norm.shape, norm.epsilon),
        );
        qkv
    }

    fn packed_mlp(
        x: Float,
        up: Int,
        up_bias: Bias<Self>,
        down: Int,
        down_bias: Bias<Self>,
        shape: MlpShape,
    ) -> Float {
        let n_parts = if shape.is_gated { 2 } else { 1 };
        let d_ff = shape.down.d_in;
        assert_eq!(shape.up.d_out, n_parts * d_ff, "an MLP of {shape:?}");
        let hidden = Product {
            shape: shape.up,
            activation: Some(shape.activation),
            is_gated: shape.is_gated,
        };
        let hidden = hidden.run(x, up, up_bias);
        Self::packed_linear(hidden, down, down_bias, shape.down)
    }

    fn cached_attention(
        qkv: Float,
        rope: Rope<Self>,
        cache: Int,
        step: AttentionStep,
    ) -> (Float, Int) {
        let (qkv, cache) = (floats(qkv), owned(cache));
        let (shape, n_tokens) = (step.shape, step.n_tokens());
        let n_values = qkv.shape().num_elements();
        assert_eq!(n_values, n_tokens * shape.d_qkv(), "{shape:?}");
        let n_bytes = cache.shape().num_elements();
        assert_eq!(n_bytes, step.kv.n_bytes(), "{:?}", step.kv);
        let client = qkv.client.clone();
        let dims = with_last(&qkv, shape.d_out());
        let rope = match rope {
            Rope::Absent => None,
            Rope::Tables { cos, sin } => {
                let max_len = cos.shape()[0].min(sin.shape()[0]);
                Some((floats(cos).handle, floats(sin).handle, max_len))
            }
        };
        let buffers = StepBuffers {
            places: places(&step, &qkv),
            queries: client.empty(4 * n_tokens * shape.n_heads * shape.d_key),
            qkv: qkv.handle.clone(),
            rope,
            cache: cache.handle.clone(),
        };
        if fused_attention::applies(&step) {
            let queries = viewed(
                &qkv,
                &buffers.queries,
                &[n_tokens, shape.n_heads * shape.d_key],
                DType::F32,
            );
            let kv = &step.kv;
            let heads = [kv.n_slots, kv.n_kv_heads, kv.head_bytes() / 2];
            attention::launch(&client, buffers, None, &step);
            let cached = viewed(&qkv, &cache.handle, &heads, DType::F16);
            let out = fused_attention::attend::<Self>(queries, cached, &step);
            return (Self::float_reshape(out, Shape::from(dims)), cache);
        }
        let out = empty(&qkv, &dims, DType::F32);
        attention::launch(&client, buffers, Some(out.handle.clone()), &step);
        (out, cache)
    }

    fn copy_prefix(cache: Int, shape: KvShape, copy: PrefixCopy) -> Int {
        let cache = owned(cache);
        attention::launch_copy(&cache.client, &cache.handle, &shape, copy);
        cache
    }
}
