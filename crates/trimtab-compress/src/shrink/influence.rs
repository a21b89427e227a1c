//! How much each layer changes what passes through it.
//!
//! Source: Men et al. 2024, "`ShortGPT`: Layers in Large Language Models are More Redundant Than You
//! Expect", <https://arxiv.org/abs/2403.03853>, section 3.1: block influence.

use crate::{
    CompressError,
    passes::{Batch, Half, Passes, Ticker, values},
};
use rayon::prelude::*;

/// Block influence of every layer: 1 − the mean over tokens of the cosine similarity of what enters
/// and what leaves it.
///
/// # Errors
///
/// [`CompressError`] where a weight cannot be read.
pub(super) fn block_influence(
    passes: &Passes<'_>,
    n_layers: usize,
    ticker: &mut Ticker<'_, '_>,
) -> Result<Vec<f64>, CompressError> {
    let mut batches = passes.embedded()?;
    let mut influence = Vec::with_capacity(n_layers);
    for layer_idx in 0..n_layers {
        let block = passes.blocks.block(layer_idx)?;
        let (mut sum, mut n_tokens) = (0.0, 0);
        for batch in &mut batches {
            let attended = Batch {
                hidden: passes.pass(&block, Half::Attention, batch),
                n_sequences: batch.n_sequences,
            };
            let left = passes.pass(&block, Half::Mlp, &attended);
            let [_, n, d_model] = left.dims();
            sum += similarity(&values(&batch.hidden), &values(&left), d_model);
            n_tokens += n;
            batch.hidden = left;
            ticker.tick();
        }
        influence.push(1.0 - sum / n_tokens as f64);
    }
    Ok(influence)
}

/// The sum of the cosine similarities of all tokens, `[n_tokens, d_model]` each. A token of zeros
/// is as similar to another as it is to itself.
fn similarity(entered: &[f32], left: &[f32], d_model: usize) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let tokens = entered
        .par_chunks_exact(d_model)
        .zip(left.par_chunks_exact(d_model));
    let cosines: Vec<f64> = tokens
        .map(|(a, b)| {
            let norms = (dot(a, a) * dot(b, b)).sqrt();
            match norms > 0.0 {
                true => dot(a, b) / norms,
                false => 1.0,
            }
        })
        .collect();
    // Summed in the order of the tokens, so that the choice is the same every time.
    cosines.iter().sum()
}

/// The layers that stay where the `n_removed` of least influence go, in their order.
pub(super) fn layers_kept(influence: &[f64], n_kept: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..influence.len()).collect();
    order.sort_by(|a, b| influence[*b].total_cmp(&influence[*a]).then(a.cmp(b)));
    order.truncate(n_kept);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_is_that_of_directions() {
        let entered = [1.0, 0.0, 2.0, 0.0, 0.0, 0.0];
        let left = [3.0, 0.0, 0.0, 5.0, 1.0, 1.0];
        let sum = similarity(&entered, &left, 2);
        assert!((sum - 2.0).abs() < 1e-12, "1 + 0 + 1 for zeros: {sum}");
        let opposed = similarity(&[1.0, 1.0], &[-2.0, -2.0], 2);
        assert!((opposed + 1.0).abs() < 1e-12, "{opposed}");
    }

    #[test]
    fn the_layers_of_most_influence_stay_in_their_order() {
        let influence = [0.9, 0.1, 0.3, 0.1, 0.8];
        assert_eq!(layers_kept(&influence, 3), [0, 2, 4]);
        assert_eq!(layers_kept(&influence, 4), [0, 1, 2, 4]);
    }
}
