//! `AdamW`: Adam whose weight decay does not go through the moments.
//!
//! Source: Loshchilov and Hutter 2019, <https://arxiv.org/abs/1711.05101>, algorithm 2; the order of
//! operations is that of `torch.optim.AdamW`.

use rayon::prelude::*;

/// Numbers that a thread moves at once.
const JOB_LEN: usize = 1 << 16;

/// Constants of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// Added to the root of the mean of squares.
    pub epsilon: f64,
    /// Share of a weight that is taken off at a step, before the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// Weights that are trained, and what the optimiser remembers of their gradients.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trained {
    pub(super) values: Vec<f32>,
    /// Mean of gradients.
    pub(super) mean: Vec<f32>,
    /// Mean of squares of gradients.
    pub(super) square: Vec<f32>,
}

impl Trained {
    pub(super) fn new(values: Vec<f32>) -> Self {
        let zeros = vec![0.0; values.len()];
        Self {
            values,
            mean: zeros.clone(),
            square: zeros,
        }
    }
}

impl AdamW {
    /// Moves `trained` against `gradient` in step `step`, counted from 1.
    pub(super) fn update(
        &self,
        trained: &mut Trained,
        gradient: &[f32],
        learning_rate: f64,
        step: u64,
    ) {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        let step_size = (learning_rate / correction(self.beta1)) as f32;
        let root = correction(self.beta2).sqrt() as f32;
        let kept = (1.0 - learning_rate * self.weight_decay) as f32;
        let (beta1, beta2) = (self.beta1 as f32, self.beta2 as f32);
        let (rest1, rest2) = ((1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);
        let epsilon = self.epsilon as f32;
        let moments = trained
            .mean
            .par_chunks_mut(JOB_LEN)
            .zip(trained.square.par_chunks_mut(JOB_LEN));
        trained
            .values
            .par_chunks_mut(JOB_LEN)
            .zip(moments)
            .zip(gradient.par_chunks(JOB_LEN))
            .for_each(|((values, (means, squares)), gradient)| {
                let moments = means.iter_mut().zip(squares);
                for ((value, (mean, square)), gradient) in
                    values.iter_mut().zip(moments).zip(gradient)
                {
                    *mean = beta1 * *mean + rest1 * gradient;
                    *square = beta2 * *square + rest2 * gradient * gradient;
                    *value = *value * kept - step_size * *mean / (square.sqrt() / root + epsilon);
                }
            });
    }
}
