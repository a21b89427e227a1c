//! The backward passes on the CPU backend: tensors in, slices to the kernels, tensors out.

use super::{AttentionInputs, KernelGradients, NormShape, activation, attention, linear, norm};
use crate::{
    AttentionStep, HiddenShape, PackedShape, PanelView, Simd,
    ops::{HeadNorm, Rope},
};
use burn::backend::{
    Flex, TensorMetadata,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::TensorData;

type FlexFloat = FloatTensor<Flex>;

/// The values of a contiguous tensor.
fn floats(tensor: &FlexFloat) -> &[f32] {
    tensor
        .as_slice::<f32>()
        .expect("callers make the tensor contiguous f32")
}

/// A tensor shaped as another but for its last axis.
fn with_last(like: &FlexFloat, last: usize, values: Vec<f32>) -> FlexFloat {
    let mut dims = like.shape().to_vec();
    *dims.last_mut().expect("a tensor has an axis") = last;
    FlexFloat::from_data(TensorData::new(values, dims))
}

/// The tensor as one that can be written, copied where it is a view.
fn writable(tensor: FlexFloat) -> FlexFloat {
    let n_bytes = 4 * tensor.shape().num_elements();
    if tensor.is_contiguous() && tensor.bytes().len() == n_bytes {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

impl KernelGradients for Flex {
    fn packed_linear_backward(
        gradient: FlexFloat,
        packed: IntTensor<Self>,
        shape: PackedShape,
    ) -> FlexFloat {
        let gradient = gradient.to_contiguous();
        let weight = PanelView::new(shape, packed.bytes());
        let weight = weight.expect("the module was built with this shape");
        let d_out = floats(&gradient);
        let mut d_x = vec![0.0; d_out.len() / shape.d_out * shape.d_in];
        linear::linear_backward(Simd::detect(), &weight, d_out, &mut d_x);
        with_last(&gradient, shape.d_in, d_x)
    }

    fn norm_backward(
        x: FlexFloat,
        gain: FlexFloat,
        gradient: FlexFloat,
        shape: NormShape,
    ) -> FlexFloat {
        let (x, mut gradient) = (x.to_contiguous(), writable(gradient));
        let norm = norm::NormGradient {
            is_centred: shape.is_centred,
            gain: floats(&gain),
            epsilon: shape.epsilon,
        };
        norm::norm_backward(
            Simd::detect(),
            norm,
            floats(&x),
            gradient.storage_mut::<f32>(),
        );
        gradient
    }

    fn norm_heads_backward(
        qkv: FlexFloat,
        gains: (FlexFloat, FlexFloat),
        gradient: FlexFloat,
        shape: HeadNorm,
    ) -> FlexFloat {
        let (qkv, mut gradient) = (qkv.to_contiguous(), writable(gradient));
        norm::norm_heads_backward(
            Simd::detect(),
            shape.shape,
            (floats(&gains.0), floats(&gains.1)),
            shape.epsilon,
            (floats(&qkv), gradient.storage_mut::<f32>()),
        );
        gradient
    }

    fn activate_backward(up: FlexFloat, gradient: FlexFloat, shape: HiddenShape) -> FlexFloat {
        let (up, gradient) = (up.to_contiguous(), gradient.to_contiguous());
        let inputs = (floats(&up), floats(&gradient));
        let mut d_up = vec![0.0; inputs.0.len()];
        activation::activate_backward(Simd::detect(), shape, inputs, &mut d_up);
        with_last(&up, shape.d_up(), d_up)
    }

    fn attention_backward(
        inputs: AttentionInputs<Self>,
        gradient: FlexFloat,
        step: AttentionStep,
    ) -> FlexFloat {
        let (qkv, gradient) = (inputs.qkv.to_contiguous(), gradient.to_contiguous());
        let call = attention::AttentionGradient {
            step: &step,
            qkv: floats(&qkv),
            rope: match &inputs.rope {
                Rope::Absent => None,
                Rope::Tables { cos, sin } => Some((floats(cos), floats(sin))),
            },
            d_out: floats(&gradient),
        };
        let mut d_qkv = vec![0.0; call.qkv.len()];
        attention::attention_backward(Simd::detect(), call, &mut d_qkv);
        with_last(&qkv, step.shape.d_qkv(), d_qkv)
    }
}
