//! What of a pass is not blocks: the last norm with the head, and losses of hidden states.

use super::{
    cross_entropy::cross_entropy,
    parameters::{GradientSums, Parameters},
    teacher::{Lesson, Teacher},
    trainer::{HEAD_TOKENS, floats},
};
use burn::tensor::{Int, Tensor, TensorData};
use trimtab_kernels::ops;
use trimtab_models::decoder::Decoder;

/// The last norm and the head of a batch, and what is wanted of their scores.
pub(super) struct HeadPass<'a> {
    pub(super) model: &'a mut Decoder,
    pub(super) parameters: &'a Parameters,
    pub(super) lesson: Option<(&'a Teacher, &'a Lesson)>,
    pub(super) factor: f32,
    pub(super) sums: &'a mut GradientSums,
}

impl HeadPass<'_> {
    /// The sum of the losses at `rows`, and the slope of `factor` times that sum at what left the
    /// last block.
    pub(super) fn run(
        &mut self,
        last: &Tensor<3>,
        rows: &[i32],
        labels: &[u32],
    ) -> (f64, Tensor<3>) {
        let device = self.model.device();
        let normed = self.model.norm.forward(last.clone());
        let hidden = normed.select(1, Tensor::<1, Int>::from_ints(rows, &device));
        let [_, n_learned, d_model] = hidden.dims();
        let (mut loss, mut slopes) = (0.0, Vec::with_capacity(n_learned * d_model));
        for start in (0..n_learned).step_by(HEAD_TOKENS) {
            let end = (start + HEAD_TOKENS).min(n_learned);
            let part = hidden.clone().slice([0..1, start..end, 0..d_model]);
            // A leaf of its own: the head's pass ends here, and its scores with it.
            let part = part.detach().require_grad();
            let scores = self.model.logits(part.clone());
            let dims = scores.dims();
            let mut values = floats(scores.clone());
            let labels = &labels[start..end];
            loss += match self.lesson {
                None => cross_entropy(&mut values, labels, self.factor),
                Some((teacher, lesson)) => {
                    teacher.loss((lesson, start..end), &mut values, labels, self.factor)
                }
            };
            let slope = Tensor::from_data(TensorData::new(values, dims), &device);
            let grads = ops::with_gradient(scores, slope, 0.0).backward();
            slopes.extend(floats(part.grad(&grads).expect("a leaf that was used")));
            self.sums.add(self.parameters.of(self.model), &grads);
        }
        let slopes = Tensor::from_data(TensorData::new(slopes, [1, n_learned, d_model]), &device);
        let grads = ops::with_gradient(hidden, slopes, 0.0).backward();
        self.sums.add(self.parameters.of(self.model), &grads);
        (loss, last.grad(&grads).expect("a leaf that was used"))
    }
}

/// What left a block of the student.
pub(super) struct Left<'a> {
    pub(super) values: &'a dyn Fn() -> Vec<f32>,
    /// Learned tokens.
    pub(super) rows: &'a [i32],
    pub(super) block_idx: usize,
}

impl Left<'_> {
    /// The losses of the pairs that the block belongs to; adds their gradients to the slope.
    pub(super) fn add_hidden(
        &self,
        teacher: &Teacher,
        lesson: &Lesson,
        factor: f32,
        slope: &mut Tensor<3>,
    ) -> f64 {
        let (Some(hidden), Lesson::Online { states, .. }) = (&teacher.hidden, lesson) else {
            return 0.0;
        };
        let pairs = hidden.pairs.iter().zip(states);
        let mut states = pairs.filter(|((student, _), _)| *student == self.block_idx);
        let Some(first) = states.next() else {
            return 0.0;
        };
        let dims = slope.dims();
        let (student, mut slopes) = ((self.values)(), floats(slope.clone()));
        let mut loss = 0.0;
        for (_, states) in std::iter::once(first).chain(states) {
            loss += hidden.add((&student, self.rows), states, factor, &mut slopes);
        }
        *slope = Tensor::from_data(TensorData::new(slopes, dims), &slope.device());
        loss
    }
}
