//! Log-likelihood of a text, window by window, of one variant or of two side by side.

use crate::{Engine, RuntimeError, engine::floats, request::check_ids};
use burn::tensor::Tensor;
use rayon::prelude::*;
use std::ops::Range;
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
        let windows = self.windows(ids, context)?;
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

    /// Reads `ids` with this variant and with `base`, in windows as [`Self::score`] does, and hands
    /// what both predict at each position to `compare`, with the token that followed. Returns what
    /// `compare` made of each position, window by window.
    ///
    /// # Shapes
    ///
    /// - logits that `compare` sees, those of `base` first: `[vocab]`
    ///
    /// # Errors
    ///
    /// As [`Self::score`], for either side, and for a base with another vocabulary.
    pub fn score_beside<T: Send>(
        &self,
        base: &Self,
        ids: &[u32],
        context: usize,
        compare: impl Fn(&[f32], &[f32], usize) -> T + Sync,
    ) -> Result<Vec<Vec<T>>, RuntimeError> {
        let windows = self.windows(ids, context)?;
        base.windows(ids, context)?;
        let (n_own, n_base) = (self.config().vocab_size, base.config().vocab_size);
        if n_own != n_base {
            return Err(RuntimeError::Setting(format!(
                "a vocabulary of {n_own} tokens cannot be compared with one of {n_base}"
            )));
        }
        let compared = windows.iter().map(|window| {
            self.in_pool(|| {
                let (own, other) = (self.hidden_of(window), base.hidden_of(window));
                let mut compared = Vec::with_capacity(window.len() - 1);
                for (positions, targets) in chunks(window) {
                    let of_base = base.logits_of(&other, positions.clone());
                    let of_variant = self.logits_of(&own, positions);
                    let rows = of_base.par_chunks_exact(n_own);
                    let rows = rows.zip(of_variant.par_chunks_exact(n_own)).zip(targets);
                    let made = rows.map(|((base, own), id)| compare(base, own, *id as usize));
                    compared.extend(made.collect::<Vec<T>>());
                }
                compared
            })
        });
        Ok(compared.collect())
    }

    /// The windows of a text that can be scored; shorter than two tokens is none.
    fn windows<'a>(&self, ids: &'a [u32], context: usize) -> Result<Vec<&'a [u32]>, RuntimeError> {
        if context < 2 || context > self.max_len() {
            let message = format!("context {context} is not between 2 and {}", self.max_len());
            return Err(RuntimeError::Setting(message));
        }
        if ids.len() < 2 {
            return Err(RuntimeError::Empty("the text (fewer than two tokens)"));
        }
        check_ids(ids, self.config().vocab_size)?;
        let windows = ids.chunks(context).filter(|window| window.len() > 1);
        Ok(windows.collect())
    }

    fn score_window(&self, window: &[u32]) -> Vec<f64> {
        let hidden = self.hidden_of(window);
        let mut log_probs = Vec::with_capacity(window.len() - 1);
        for (positions, targets) in chunks(window) {
            let scored: Vec<f64> = self
                .logits_of(&hidden, positions)
                .par_chunks_exact(self.config().vocab_size)
                .zip(targets)
                .map(|(logits, target)| log_prob(logits, *target as usize))
                .collect();
            log_probs.extend(scored);
        }
        log_probs
    }

    /// What the blocks make of a window: `[1, n_tokens, d_model]`.
    fn hidden_of(&self, window: &[u32]) -> Tensor<3> {
        let mut cache = self.new_cache(1, window.len(), self.kv_cache_format());
        let step = SequenceStep {
            slot: 0,
            ids: window,
        };
        self.model.hidden(&[step], &mut cache)
    }

    /// Scores over the vocabulary at some positions: `[n_positions, vocab]`.
    fn logits_of(&self, hidden: &Tensor<3>, positions: Range<usize>) -> Vec<f32> {
        let [_, _, d_model] = hidden.dims();
        let part = hidden.clone().slice([0..1, positions, 0..d_model]);
        floats(self.model.logits(part))
    }
}

/// Positions of a window that predict its next token, a few at a time, and those tokens.
fn chunks(window: &[u32]) -> impl Iterator<Item = (Range<usize>, &[u32])> {
    let n_scored = window.len() - 1;
    (0..n_scored).step_by(HEAD_CHUNK).map(move |start| {
        let end = (start + HEAD_CHUNK).min(n_scored);
        (start..end, &window[start + 1..=end])
    })
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
    use crate::testing::engine;

    #[test]
    fn log_probabilities_of_a_row_sum_to_one() {
        let logits = [3.0, -2.0, 800.0, 799.0, 0.5];
        let total: f64 = (0..5).map(|target| log_prob(&logits, target).exp()).sum();
        assert!((total - 1.0).abs() < 1e-12, "{total}");
        assert!((log_prob(&[0.0, 0.0], 1) - 0.5_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn two_variants_are_read_at_the_positions_that_one_is_scored_at() {
        let engine = engine();
        // Two windows, the first longer than a chunk, and one token left over.
        let ids: Vec<u32> = (0..181).map(|idx| (idx * 7) % 100).collect();
        let alone = engine.score(&ids, 90, &mut |_, _| ()).unwrap().log_probs;
        let compare = |base: &[f32], own: &[f32], target: usize| {
            assert_eq!(base, own, "one model beside itself");
            log_prob(own, target)
        };
        let beside = engine.score_beside(&engine, &ids, 90, compare).unwrap();
        let lengths: Vec<usize> = beside.iter().map(Vec::len).collect();
        assert_eq!(lengths, [89, 89]);
        assert_eq!(beside.concat(), alone);
    }

    #[test]
    fn what_cannot_be_scored_cannot_be_compared() {
        let engine = engine();
        let compare = |_: &[f32], _: &[f32], _: usize| ();
        let refused = |ids: &[u32], context: usize| {
            let error = engine.score_beside(&engine, ids, context, compare);
            error.unwrap_err().to_string()
        };
        assert!(refused(&[1, 2, 3], 1).contains("context 1 is not between 2 and"));
        assert!(refused(&[1], 16).contains("fewer than two tokens"));
        assert!(
            engine
                .score_beside(&engine, &[1, u32::MAX], 16, compare)
                .is_err()
        );
    }
}
