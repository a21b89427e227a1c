//! The MLP of a block: gated, plain, or a mixture of experts.

use super::{ExpertMlp, Linear};
use burn::{module::Module, tensor::Tensor};
use trimtab_kernels::{
    Activation,
    ops::{self, MlpShape},
};

/// The MLP of a block.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each block, and it holds tensors"
)]
#[derive(Module, Debug)]
pub enum Mlp {
    /// `down · (silu(gate · x) ⊙ (up · x))`
    Gated(GatedMlp),
    /// `down · f(up · x)`
    Plain(PlainMlp),
    /// Some of many gated MLPs, chosen token by token.
    Experts(ExpertMlp),
}

impl Mlp {
    /// # Shapes
    ///
    /// - `x`, result: `[1, n_tokens, d_model]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Gated(mlp) => mlp.forward(x),
            Self::Plain(mlp) => mlp.forward(x),
            Self::Experts(mlp) => mlp.forward(x),
        }
    }
}

/// `down · (silu(gate · x) ⊙ (up · x))` (Shazeer 2020, <https://arxiv.org/abs/2002.05202>).
#[derive(Module, Debug)]
pub struct GatedMlp {
    /// Gate, then up: `[2 · d_ff, d_model]`.
    pub gate_up: Linear,
    /// `[d_model, d_ff]`
    pub down: Linear,
}

impl GatedMlp {
    /// # Shapes
    ///
    /// - `x`, result: `[1, n_tokens, d_model]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let shape = MlpShape {
            up: self.gate_up.shape,
            down: self.down.shape,
            activation: Activation::Silu,
            is_gated: true,
        };
        if let (Some(up), Some(down)) = (self.gate_up.weight(), self.down.weight()) {
            return ops::mlp(x, up, down, shape);
        }
        let up = self.gate_up.forward(x);
        self.down.forward(ops::activate(up, shape.hidden()))
    }
}

/// `down · f(up · x)`
#[derive(Module, Debug)]
pub struct PlainMlp {
    /// `[d_ff, d_model]`
    pub up: Linear,
    /// `[d_model, d_ff]`
    pub down: Linear,
    /// f
    #[module(skip)]
    pub activation: Activation,
}

impl PlainMlp {
    /// # Shapes
    ///
    /// - `x`, result: `[1, n_tokens, d_model]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let shape = MlpShape {
            up: self.up.shape,
            down: self.down.shape,
            activation: self.activation,
            is_gated: false,
        };
        if let (Some(up), Some(down)) = (self.up.weight(), self.down.weight()) {
            return ops::mlp(x, up, down, shape);
        }
        let up = self.up.forward(x);
        self.down.forward(ops::activate(up, shape.hidden()))
    }
}
