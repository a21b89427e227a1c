//! A linear layer with a packed weight, a bias where there is one, and attached adapters; or with
//! the weight in floats, while it is trained.

use super::{Dropout, Observer};
use burn::{
    module::{Module, Param},
    tensor::{Int, Tensor},
};
use trimtab_kernels::{PackedShape, ops};

/// A low-rank addition to some rows of a weight, kept beside it:
/// `y += scale · (x · downᵀ) · upᵀ` (Hu et al. 2021, <https://arxiv.org/abs/2106.09685>, section 4.1).
#[derive(Module, Debug)]
pub struct AdapterPart {
    /// `[rank, d_in]`
    pub down: Param<Tensor<2>>,
    /// `[n_rows, rank]`
    pub up: Param<Tensor<2>>,
    /// What the addition is multiplied by.
    pub scale: f32,
    /// First row of the weight that it adds to.
    pub first_row: usize,
    /// Name of the layer that it changes, which may be part of a joint weight.
    #[module(skip)]
    pub layer: String,
    /// Inputs of the adapter that are left out while it is trained; `None` otherwise.
    #[module(skip)]
    pub dropout: Option<Dropout>,
}

impl AdapterPart {
    /// `scale · (x · downᵀ) · upᵀ`
    ///
    /// # Shapes
    ///
    /// - `x`: `[1, n_tokens, d_in]`; result: `[1, n_tokens, n_rows]`
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = match &self.dropout {
            None => x,
            Some(dropout) => {
                let mask = dropout.mask(x.dims(), &x.device());
                x * mask
            }
        };
        let low = x.matmul(self.down.val().transpose().unsqueeze()) * self.scale;
        low.matmul(self.up.val().transpose().unsqueeze())
    }
}

/// A linear layer with a packed weight.
#[derive(Module, Debug)]
pub struct Linear {
    /// The packed weight, `[n_bytes]`.
    pub packed: Param<Tensor<1, Int>>,
    /// `[d_out]`
    pub bias: Option<Param<Tensor<1>>>,
    /// The weight in floats while it is trained, `[d_in, d_out]`; it is then multiplied instead of the
    /// packed one, which is empty.
    pub trained: Option<Param<Tensor<2>>>,
    /// Low-rank additions; none for a model without an attached adapter.
    pub adapters: Vec<AdapterPart>,
    /// Shape and format of the weight.
    #[module(skip)]
    pub shape: PackedShape,
    /// Sees the inputs while the model is compressed.
    #[module(skip)]
    pub observer: Option<Observer>,
}

impl Linear {
    /// `x · weightᵀ + bias`
    ///
    /// # Shapes
    ///
    /// - `x`: `[1, n_tokens, d_in]`; result: `[1, n_tokens, d_out]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let observed = self.observer.as_ref();
        if let Some(zeros) = observed.and_then(|observer| observer.observe(&x, self.shape.d_out)) {
            return zeros;
        }
        let mut y = self.product(x.clone());
        let [_, n_tokens, _] = y.dims();
        for adapter in &self.adapters {
            let addition = adapter.forward(x.clone());
            let rows = adapter.first_row..adapter.first_row + addition.dims()[2];
            let part = [0..1, 0..n_tokens, rows];
            let sum = y.clone().slice(part.clone()) + addition;
            y = y.slice_assign(part, sum);
        }
        y
    }

    fn product(&self, x: Tensor<3>) -> Tensor<3> {
        let bias = self.bias.as_ref().map(Param::val);
        let Some(weight) = &self.trained else {
            return ops::linear(x, self.packed.val(), bias, self.shape);
        };
        let y = x.matmul(weight.val().unsqueeze());
        match bias {
            Some(bias) => y + bias.unsqueeze(),
            None => y,
        }
    }

    /// The weight for a fused operation; `None` where an adapter or an observer is attached, or the
    /// weight is trained.
    pub(super) fn weight(&self) -> Option<ops::Weight> {
        let is_plain =
            self.adapters.is_empty() && self.observer.is_none() && self.trained.is_none();
        is_plain.then(|| ops::Weight {
            packed: self.packed.val(),
            bias: self.bias.as_ref().map(Param::val),
        })
    }
}
