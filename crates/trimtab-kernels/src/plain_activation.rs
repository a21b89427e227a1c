//! The non-linear part of an MLP in a backend's own operations, for backends without a kernel for it.

use crate::{
    Activation, HiddenShape,
    activation::{CUBE, SQRT_2_OVER_PI},
};
use burn::{
    backend::{Backend, TensorMetadata, tensor::FloatTensor},
    tensor::Slice,
};
use std::ops::Range;

/// `activation(gate) ⊙ up` of `[…, 2 · d_ff]`, or `activation(up)` of `[…, d_ff]`.
pub(crate) fn activate<B: Backend>(up: FloatTensor<B>, shape: HiddenShape) -> FloatTensor<B> {
    let rank = up.shape().num_dims();
    let channels = |range: Range<usize>| {
        let mut slices = vec![Slice::full(); rank];
        slices[rank - 1] = range.into();
        B::float_slice(up.clone(), &slices)
    };
    let x = channels(0..shape.d_ff);
    let activated = match shape.activation {
        Activation::Silu => B::float_mul(x.clone(), B::sigmoid(x)),
        Activation::Gelu => B::gelu(x),
        Activation::Relu => B::relu(x),
        Activation::GeluTanh => {
            let square = B::float_mul(x.clone(), x.clone());
            let inner =
                B::float_add_scalar(B::float_mul_scalar(square, CUBE.into()), 1.0_f32.into());
            let inner = B::float_mul(inner, x.clone());
            let twice = B::float_mul_scalar(inner, (2.0 * SQRT_2_OVER_PI).into());
            B::float_mul(x, B::sigmoid(twice))
        }
    };
    match shape.is_gated {
        true => B::float_mul(activated, channels(shape.d_ff..2 * shape.d_ff)),
        false => activated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Simd, activation::activate_tokens};
    use burn::{backend::Flex, tensor::TensorData};

    /// Rounding of e^x in f32, and of the error function's formula.
    const MAX_DIFFERENCE: f32 = 4e-6;

    #[test]
    fn plain_and_fast_activations_of_tokens_agree() {
        for activation in [
            Activation::Silu,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Relu,
        ] {
            for is_gated in [false, true] {
                let shape = HiddenShape {
                    activation,
                    is_gated,
                    d_ff: 19,
                };
                let n = 3 * shape.d_up();
                let up: Vec<f32> = (0..n).map(|i| (i as f32 * 0.61).sin() * 4.0).collect();
                let want = activate_tokens(Simd::detect(), shape, &up);
                let data = TensorData::new(up, [1, 3, shape.d_up()]);
                let got = activate::<Flex>(FloatTensor::<Flex>::from_data(data), shape);
                let got: Vec<f32> = got.into_data().try_into_vec().unwrap();
                assert_eq!(got.len(), want.len());
                for (got, want) in got.iter().zip(&want) {
                    let difference = (got - want).abs();
                    assert!(difference <= MAX_DIFFERENCE, "{shape:?}: {want} {got}");
                }
            }
        }
    }
}
