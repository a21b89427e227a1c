//! Cross-entropy of the next token, and its gradient at the scores.

use rayon::prelude::*;

/// Sum of −log softmax(scores)[label] over tokens, in f64; the scores become the gradient of
/// `factor` times that sum.
///
/// # Shapes
///
/// - `scores`: `[n_tokens, vocab]`; `labels`: `[n_tokens]`
///
/// # Panics
///
/// If a label lies outside the vocabulary or the sizes do not fit.
pub fn cross_entropy(scores: &mut [f32], labels: &[u32], factor: f32) -> f64 {
    if labels.is_empty() {
        return 0.0;
    }
    let vocab = scores.len() / labels.len();
    assert_eq!(scores.len(), vocab * labels.len(), "scores of other tokens");
    let losses: Vec<f64> = scores
        .par_chunks_exact_mut(vocab)
        .zip(labels)
        .map(|(scores, label)| token_loss(scores, *label as usize, factor))
        .collect();
    losses.iter().sum()
}

fn token_loss(scores: &mut [f32], label: usize, factor: f32) -> f64 {
    let largest = scores.iter().copied().fold(f32::MIN, f32::max);
    let at_label = f64::from(scores[label]) - f64::from(largest);
    let mut sum = 0.0_f64;
    for scores in scores.chunks_mut(CHUNK) {
        let mut part = 0.0;
        for score in scores {
            *score = (*score - largest).exp();
            part += *score;
        }
        sum += f64::from(part);
    }
    let inverse = (f64::from(factor) / sum) as f32;
    for score in scores.iter_mut() {
        *score *= inverse;
    }
    scores[label] -= factor;
    sum.ln() - at_label
}

/// Scores whose sum is kept in f32.
const CHUNK: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn scores() -> Vec<f32> {
        (0..3 * 700)
            .map(|i| (i as f32 * 0.37).sin() * 4.0)
            .collect()
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let labels = [3, 699, 0];
        let mut gradient = scores();
        let loss = cross_entropy(&mut gradient, &labels, 0.5);
        let mut again = scores();
        assert!((cross_entropy(&mut again, &labels, 1.0) - loss).abs() < 1e-12);
        for idx in [0, 3, 77, 1399, 1400, 2000] {
            let moved = |by: f32| {
                let mut scores = scores();
                scores[idx] += by;
                cross_entropy(&mut scores, &labels, 1.0)
            };
            let want = 0.5 * (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let got = f64::from(gradient[idx]);
            assert!((want - got).abs() < 1e-5, "{idx}: {want} {got}");
        }
    }

    #[test]
    fn huge_scores_stay_finite_and_nothing_costs_nothing() {
        let mut scores = vec![1e30, -1e30, 0.0];
        assert!(cross_entropy(&mut scores, &[0], 1.0).abs() < 1e-12);
        assert!(scores.iter().all(|gradient| gradient.is_finite()));
        assert!(cross_entropy(&mut [], &[], 1.0).abs() < 1e-12);
    }
}
