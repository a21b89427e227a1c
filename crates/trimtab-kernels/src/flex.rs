//! The operations on the CPU backend: tensors in, slices to the kernels, tensors out.

use crate::{
    AttentionStep, HiddenShape, KvShape, PackedShape, PanelView, PrefixCopy, Simd, activation,
    attention,
    norm::{self, Norm},
    ops::{Bias, HeadNorm, KernelOps, MlpShape, Rope},
    panel, product,
};
use burn::backend::{
    Flex, TensorMetadata,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::TensorData;

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

/// The tensor's own values, copied only where it is a view or shared.
fn owned(tensor: FlexFloat) -> FlexFloat {
    let n_bytes = 4 * tensor.shape().num_elements();
    if tensor.is_contiguous() && tensor.bytes().len() == n_bytes {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

fn weight(packed: &FlexInt, shape: PackedShape) -> PanelView<'_> {
    PanelView::new(shape, packed.bytes()).expect("the module was built with this shape")
}

/// The dimensions of `x` with another last axis.
fn with_last(x: &FlexFloat, last: usize) -> Vec<usize> {
    let mut dims = x.shape().to_vec();
    *dims.last_mut().expect("a tensor has an axis") = last;
    dims
}

fn bias_floats(bias: &Bias<Flex>) -> Option<&[f32]> {
    match bias {
        Bias::Absent => None,
        Bias::Present(bias) => Some(floats(bias)),
    }
}

fn product_of(x: &[f32], weight: &PanelView<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let shape = weight.shape();
    let mut out = vec![0.0; x.len() / shape.d_in * shape.d_out];
    product::linear(Simd::detect(), weight, x, &mut out);
    if let Some(bias) = bias {
        product::add_bias(bias, &mut out);
    }
    out
}

fn normed(x: FlexFloat, norm: Norm<'_>) -> FlexFloat {
    let mut x = owned(x);
    norm::normalize(Simd::detect(), norm, x.storage_mut::<f32>());
    x
}

fn added(x: FlexFloat, residual: FlexFloat) -> FlexFloat {
    let residual = residual.to_contiguous();
    let mut sum = owned(x);
    let values = sum.storage_mut::<f32>();
    assert_eq!(
        values.len(),
        floats(&residual).len(),
        "residual of another shape"
    );
    for (value, residual) in values.iter_mut().zip(floats(&residual)) {
        *value += residual;
    }
    sum
}

impl KernelOps for Flex {
    fn arrange(packed: FlexInt, shape: PackedShape) -> FlexInt {
        let mut bytes = packed
            .into_data()
            .try_into_vec::<i8>()
            .expect("packed weights are bytes");
        panel::into_panels(shape, &mut bytes);
        let n_bytes = bytes.len();
        FlexInt::from_data(TensorData::new(bytes, [n_bytes]))
    }

    fn packed_linear(
        x: FlexFloat,
        packed: FlexInt,
        bias: Bias<Self>,
        shape: PackedShape,
    ) -> FlexFloat {
        let x = x.to_contiguous();
        let out = product_of(floats(&x), &weight(&packed, shape), bias_floats(&bias));
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
        product::gather_rows(&weight(&packed, shape), &rows, &mut out);
        tensor(out, vec![1, rows.len(), shape.d_in])
    }

    fn rms_norm(x: FlexFloat, gain: FlexFloat, epsilon: f32) -> FlexFloat {
        let norm = Norm {
            is_centred: false,
            gain: floats(&gain),
            bias: None,
            epsilon,
        };
        normed(x, norm)
    }

    fn add_rms_norm(
        x: FlexFloat,
        residual: FlexFloat,
        gain: FlexFloat,
        epsilon: f32,
    ) -> (FlexFloat, FlexFloat) {
        let sum = added(x, residual);
        (sum.clone(), Self::rms_norm(sum, gain, epsilon))
    }

    fn layer_norm(x: FlexFloat, gain: FlexFloat, bias: Bias<Self>, epsilon: f32) -> FlexFloat {
        let norm = Norm {
            is_centred: true,
            gain: floats(&gain),
            bias: bias_floats(&bias),
            epsilon,
        };
        normed(x, norm)
    }

    fn add_layer_norm(
        x: FlexFloat,
        residual: FlexFloat,
        gain: FlexFloat,
        bias: Bias<Self>,
        epsilon: f32,
    ) -> (FlexFloat, FlexFloat) {
        let sum = added(x, residual);
        (sum.clone(), Self::layer_norm(sum, gain, bias, epsilon))
    }

    fn norm_heads(
        qkv: FlexFloat,
        query_gain: FlexFloat,
        key_gain: FlexFloat,
        norm: HeadNorm,
    ) -> FlexFloat {
        let mut qkv = owned(qkv);
        let gains = (floats(&query_gain), floats(&key_gain));
        let values = qkv.storage_mut::<f32>();
        norm::norm_heads(Simd::detect(), norm.shape, gains, norm.epsilon, values);
        qkv
    }

    fn packed_mlp(
        x: FlexFloat,
        up: FlexInt,
        up_bias: Bias<Self>,
        down: FlexInt,
        down_bias: Bias<Self>,
        shape: MlpShape,
    ) -> FlexFloat {
        let x = x.to_contiguous();
        let (simd, d_ff) = (Simd::detect(), shape.down.d_in);
        let n_parts = if shape.is_gated { 2 } else { 1 };
        assert_eq!(shape.up.d_out, n_parts * d_ff, "an MLP of {shape:?}");
        let mut hidden = product_of(floats(&x), &weight(&up, shape.up), bias_floats(&up_bias));
        if shape.is_gated {
            hidden = activation::gate_tokens(simd, shape.activation, &hidden, d_ff);
        } else {
            activation::activate(simd, shape.activation, &mut hidden);
        }
        let out = product_of(&hidden, &weight(&down, shape.down), bias_floats(&down_bias));
        tensor(out, with_last(&x, shape.down.d_out))
    }

    fn activate(up: FlexFloat, shape: HiddenShape) -> FlexFloat {
        let up = up.to_contiguous();
        let hidden = activation::activate_tokens(Simd::detect(), shape, floats(&up));
        tensor(hidden, with_last(&up, shape.d_ff))
    }

    fn cached_attention(
        qkv: FlexFloat,
        rope: Rope<Self>,
        mut cache: FlexInt,
        step: AttentionStep,
    ) -> (FlexFloat, FlexInt) {
        let mut qkv = owned(qkv);
        let mut out = vec![0.0; step.n_tokens() * step.shape.d_out()];
        let dims = with_last(&qkv, step.shape.d_out());
        let call = attention::AttentionCall {
            step: &step,
            qkv: qkv.storage_mut::<f32>(),
            rope: match &rope {
                Rope::Absent => None,
                Rope::Tables { cos, sin } => Some((floats(cos), floats(sin))),
            },
            cache: bytemuck::cast_slice_mut(cache.storage_mut::<i8>()),
        };
        attention::cached_attention(Simd::detect(), call, &mut out);
        (tensor(out, dims), cache)
    }

    fn copy_prefix(mut cache: FlexInt, shape: KvShape, copy: PrefixCopy) -> FlexInt {
        let bytes = bytemuck::cast_slice_mut(cache.storage_mut::<i8>());
        attention::copy_prefix(&shape, bytes, copy);
        cache
    }
}
