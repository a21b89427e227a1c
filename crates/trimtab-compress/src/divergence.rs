//! How far a changed model's distributions of the next token are from those of the original.

use burn::tensor::Tensor;
use rayon::prelude::*;

/// Distributions of the next token after some tokens.
pub(crate) struct Answers {
    vocab_size: usize,
    /// Log-probabilities, `[n_tokens, vocab_size]`.
    log_probs: Vec<f32>,
}

impl Answers {
    /// # Shapes
    ///
    /// - `logits`: `[1, n_tokens, vocab_size]`
    pub(crate) fn new(logits: Tensor<3>) -> Self {
        let vocab_size = logits.dims()[2];
        let mut log_probs = values(logits);
        log_probs.par_chunks_exact_mut(vocab_size).for_each(|row| {
            let total = log_sum_exp(row);
            for logit in row {
                *logit = (f64::from(*logit) - total) as f32;
            }
        });
        Self {
            vocab_size,
            log_probs,
        }
    }

    /// Kullback–Leibler divergence of the changed model's distributions from these: Σ p·(ln p − ln q),
    /// the mean over tokens, in nats. Infinite where a logit is not a number.
    ///
    /// # Shapes
    ///
    /// - `logits`: `[1, n_tokens, vocab_size]`
    pub(crate) fn divergence_of(&self, logits: Tensor<3>) -> f64 {
        let logits = values(logits);
        let rows = self.log_probs.par_chunks_exact(self.vocab_size);
        let of_rows: Vec<f64> = rows
            .zip(logits.par_chunks_exact(self.vocab_size))
            .map(|(log_probs, logits)| divergence(log_probs, logits))
            .collect();
        // Summed in the order of the tokens, so that the result is the same every time.
        let mean = of_rows.iter().sum::<f64>() / of_rows.len() as f64;
        // Below 0 by rounding only.
        if mean.is_nan() {
            f64::INFINITY
        } else {
            mean.max(0.0)
        }
    }
}

fn values(logits: Tensor<3>) -> Vec<f32> {
    let data = logits.into_data();
    data.try_into_vec().expect("the model computes in f32")
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits
        .iter()
        .map(|logit| f64::from(logit - largest).exp())
        .sum();
    f64::from(largest) + sum.ln()
}

fn divergence(log_probs: &[f32], logits: &[f32]) -> f64 {
    let total = log_sum_exp(logits);
    let pairs = log_probs.iter().zip(logits);
    let terms = pairs.map(|(log_prob, logit)| {
        let log_prob = f64::from(*log_prob);
        log_prob.exp() * (log_prob - (f64::from(*logit) - total))
    });
    terms.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn logits(rows: &[[f32; 3]]) -> Tensor<3> {
        let data = TensorData::new(rows.concat(), [1, rows.len(), 3]);
        Tensor::from_data(data, &Device::flex())
    }

    #[test]
    fn a_divergence_is_the_mean_over_tokens_of_p_ln_p_by_q() {
        let p = [
            [0.0, 0.0, 0.0],
            [0.5_f32.ln(), 0.25_f32.ln(), 0.25_f32.ln()],
        ];
        let answers = Answers::new(logits(&p));
        // The same distributions, with other constants added.
        let same = answers.divergence_of(logits(&[[7.0, 7.0, 7.0], p[1]]));
        assert!(same < 1e-7, "{same}");
        let q = [[1.0, 0.0, 0.0], p[1]];
        let got = answers.divergence_of(logits(&q));
        // ln((e + 2) / 3) − 1/3, halved.
        let want = (((1.0_f64.exp() + 2.0) / 3.0).ln() - 1.0 / 3.0) / 2.0;
        assert!((got - want).abs() < 1e-7, "{got}, not {want}");
    }

    #[test]
    fn what_is_no_number_is_infinitely_far() {
        let answers = Answers::new(logits(&[[0.0, 1.0, 2.0]]));
        let divergence = answers.divergence_of(logits(&[[f32::NAN, 1.0, 2.0]]));
        assert!(divergence.is_infinite());
    }
}
