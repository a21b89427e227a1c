//! Norms of the residual stream.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use trimtab_kernels::ops;

/// A root-mean-square norm, or a layer norm where there is a bias.
#[derive(Module, Debug)]
pub struct Norm {
    /// `[d_model]`
    pub gain: Param<Tensor<1>>,
    /// `[d_model]`; makes it a layer norm.
    pub bias: Option<Param<Tensor<1>>>,
    /// Added to the mean square, or to the variance.
    pub epsilon: f32,
}

impl Norm {
    /// The norm of each token.
    ///
    /// # Shapes
    ///
    /// - `x`, result: `[1, n_tokens, d_model]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        if self.gain.val().is_require_grad() {
            return self.forward_trained(x);
        }
        match &self.bias {
            None => ops::rms_norm(x, self.gain.val(), self.epsilon),
            Some(bias) => ops::layer_norm(x, self.gain.val(), Some(bias.val()), self.epsilon),
        }
    }

    /// `x + residual`, and its norm.
    ///
    /// # Shapes
    ///
    /// - all: `[1, n_tokens, d_model]`
    pub fn forward_sum(&self, x: Tensor<3>, residual: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let (gain, epsilon) = (self.gain.val(), self.epsilon);
        if gain.is_require_grad() {
            let sum = x + residual;
            return (sum.clone(), self.forward_trained(sum));
        }
        match &self.bias {
            None => ops::add_rms_norm(x, residual, gain, epsilon),
            Some(bias) => ops::add_layer_norm(x, residual, gain, Some(bias.val()), epsilon),
        }
    }

    /// The norm with gain and bias as operations of their own, which have gradients.
    fn forward_trained(&self, x: Tensor<3>) -> Tensor<3> {
        let gain = self.gain.val();
        let ones = Tensor::ones(gain.dims(), &gain.device());
        match &self.bias {
            None => ops::rms_norm(x, ones, self.epsilon) * gain.unsqueeze(),
            Some(bias) => {
                let normed = ops::layer_norm(x, ones, None, self.epsilon);
                normed * gain.unsqueeze() + bias.val().unsqueeze()
            }
        }
    }
}
