//! The forward pass of a batch with each block recorded by itself, and its backward pass, block by
//! block from the last to the first.
//!
//! Between blocks only what leaves them is kept. What a block's backward pass needs is kept as well,
//! or made anew when it is needed (Chen et al. 2016, <https://arxiv.org/abs/1604.06174>): then no more
//! than one block's inner activations are in memory.

use super::trainer::floats;
use burn::{
    module::Module,
    tensor::{Gradients, Tensor},
};
use trimtab_kernels::ops;
use trimtab_models::decoder::{Decoder, SequenceStep};

/// One block of a pass.
#[derive(Debug)]
struct Link {
    /// What enters the block, a leaf.
    input: Tensor<3>,
    /// What leaves it, recorded; `None` where it is made anew.
    output: Option<Tensor<3>>,
}

/// The blocks of a pass.
#[derive(Debug)]
pub(super) struct Recorded {
    links: Vec<Link>,
    lens: Vec<usize>,
    /// What leaves the last block that is left, a leaf: `[1, n_tokens, d_model]`.
    pub(super) last: Tensor<3>,
}

fn leaf(x: Tensor<3>) -> Tensor<3> {
    Tensor::from_inner(x).require_grad()
}

impl Recorded {
    /// Runs sequences from their beginning through all blocks of a model on an autodiff device.
    pub(super) fn forward(model: &Decoder, steps: &[SequenceStep<'_>], recomputes: bool) -> Self {
        let lens: Vec<usize> = steps.iter().map(|step| step.ids.len()).collect();
        let plain = recomputes.then(|| model.valid());
        let mut x = model.embedded(steps).inner();
        let mut links = Vec::with_capacity(model.blocks.len());
        for (idx, block) in model.blocks.iter().enumerate() {
            let input = leaf(x.clone());
            let output = if let Some(plain) = &plain {
                x = plain.blocks[idx].forward(x, &lens, plain.rope.as_ref());
                None
            } else {
                let y = block.forward(input.clone(), &lens, model.rope.as_ref());
                x = y.clone().inner();
                Some(y)
            };
            links.push(Link { input, output });
        }
        Self {
            links,
            lens,
            last: leaf(x),
        }
    }

    /// What leaves the last block that is left, as values: `[n_tokens · d_model]`.
    pub(super) fn left(&self) -> Vec<f32> {
        floats(self.last.clone().inner())
    }

    /// The backward pass of the last block that is left: its gradients, and the slope of the loss at
    /// what entered it.
    ///
    /// # Shapes
    ///
    /// - `slope`, result: `[1, n_tokens, d_model]`
    ///
    /// # Panics
    ///
    /// If no block is left.
    pub(super) fn back(&mut self, model: &Decoder, slope: Tensor<3>) -> (Gradients, Tensor<3>) {
        let Link { input, output } = self.links.pop().expect("a block is left");
        let block = &model.blocks[self.links.len()];
        let output =
            output.unwrap_or_else(|| block.forward(input.clone(), &self.lens, model.rope.as_ref()));
        let grads = ops::with_gradient(output, Tensor::from_inner(slope), 0.0).backward();
        let slope = input.grad(&grads).expect("a leaf that was used");
        self.last = input;
        (grads, slope)
    }
}
