//! Log-likelihood of a text, window by window.

use crate::{Engine, RuntimeError, engine::floats, request::check_ids};
use rayon::prelude::*;
use trimtab_models::decoder::SequenceStep;

/// Positions whose scores over the vocabulary are in memory at once.
const HEAD_CHUNK: usize = 64;

/// Natural log-probabilities of the scored tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenScores {
    /// One value a scored token, in order.
    pub log_probs: Vec<f64>,
    /// Window in tokens.
    pub context: usize,
}

impl Engine {
    /// Scores `ids` in windows of `context` tokens that do not overlap; the first token of each
    /// window has nothing before it and is not scored. `on_window` hears `(done, total)`.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`] for a context that does not fit, or fewer than two tokens.
    pub fn score(
        &self,
        ids: &[u32],
        context: usize,
        on_window: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<TokenScores, RuntimeError> {
        if context < 2 || context > self.max_len() {
            let message = format!("context {context} is not between 2 and {}", self.max_len());
            return Err(RuntimeError::Setting(message));
        }
        if ids.len() < 2 {
            return Err(RuntimeError::Empty("the text (fewer than two tokens)"));
        }
        check_ids(ids, self.config().vocab_size)?;
        let windows: Vec<&[u32]> = ids
            .chunks(context)
            .filter(|window| window.len() > 1)
            .collect();
        let mut log_probs = Vec::with_capacity(ids.len());
        for (window_idx, window) in windows.iter().enumerate() {
            let scored = self.in_pool(|| self.score_window(window));
            if scored.iter().any(|value| !value.is_finite()) {
                return Err(RuntimeError::NotANumber(log_probs.len()));
            }
            log_probs.extend(scored);
            on_window(window_idx + 1, windows.len());
        }
        Ok(TokenScores { log_probs, context })
    }

    fn score_window(&self, window: &[u32]) -> Vec<f64> {
        let mut cache = self.new_cache(1, window.len(), self.kv_cache_format());
        let hidden = self.model.hidden(
            &[SequenceStep {
                slot: 0,
                ids: window,
            }],
            &mut cache,
        );
        let [_, n_tokens, d_model] = hidden.dims();
        let n_scored = n_tokens - 1;
        let mut log_probs = Vec::with_capacity(n_scored);
        for start in (0..n_scored).step_by(HEAD_CHUNK) {
            let end = (start + HEAD_CHUNK).min(n_scored);
            let logits =
                floats(
                    self.model
                        .logits(hidden.clone().slice([0..1, start..end, 0..d_model])),
                );
            let targets = &window[start + 1..=end];
            let scored: Vec<f64> = logits
                .par_chunks_exact(self.config().vocab_size)
                .zip(targets)
                .map(|(logits, target)| log_prob(logits, *target as usize))
                .collect();
            log_probs.extend(scored);
        }
        log_probs
    }
}

/// Log of softmax(logits) at `target`, summed in f64.
fn log_prob(logits: &[f32], target: usize) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::MIN, f32::max));
    let sum: f64 = logits
        .iter()
        .map(|score| (f64::from(*score) - largest).exp())
        .sum();
    f64::from(logits[target]) - largest - sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_of_a_row_sum_to_one() {
        let logits = [3.0, -2.0, 800.0, 799.0, 0.5];
        let total: f64 = (0..5).map(|target| log_prob(&logits, target).exp()).sum();
        assert!((total - 1.0).abs() < 1e-12, "{total}");
        assert!((log_prob(&[0.0, 0.0], 1) - 0.5_f64.ln()).abs() < 1e-12);
    }
}
