//! What can be asked of a loaded variant, and what comes back.

use crate::{RuntimeError, Sampling};
use trimtab_domain::FinishReason;

/// What to answer and when to stop.
#[derive(Clone, Debug)]
pub struct GenerationRequest<'a> {
    /// The prompt.
    pub prompt_ids: &'a [u32],
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Longest answer in tokens.
    pub max_tokens: usize,
    /// Text that ends the answer and is not part of it.
    pub stop: Vec<String>,
    /// Whether the end-of-text tokens of the model end the answer.
    pub stops_at_end_of_text: bool,
}

impl GenerationRequest<'_> {
    /// Refuses what cannot be answered in a context of `max_len` tokens by a model of `vocab_size`.
    pub(crate) fn check(&self, max_len: usize, vocab_size: usize) -> Result<(), RuntimeError> {
        let (n_prompt, n_new) = (self.prompt_ids.len(), self.max_tokens);
        if n_prompt == 0 {
            return Err(RuntimeError::Empty("the prompt"));
        }
        if n_new == 0 {
            let message = "`max_tokens` is 0: nothing to generate";
            return Err(RuntimeError::Setting(message.into()));
        }
        if n_prompt.saturating_add(n_new) > max_len {
            return Err(RuntimeError::ContextTooLong {
                n_prompt,
                n_new,
                max_len,
            });
        }
        check_ids(self.prompt_ids, vocab_size)
    }
}

/// Refuses tokens that the model does not have.
pub(crate) fn check_ids(ids: &[u32], vocab_size: usize) -> Result<(), RuntimeError> {
    match ids.iter().find(|id| **id as usize >= vocab_size) {
        Some(id) => Err(RuntimeError::Setting(format!(
            "token {id} lies outside the vocabulary of {vocab_size}"
        ))),
        None => Ok(()),
    }
}

/// An answer with its times.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The answer, without stop string and end-of-text token.
    pub text: String,
    /// Its tokens, the end-of-text token left out.
    pub token_ids: Vec<u32>,
    /// Bytes of the text up to and with each token; text that was held back counts to the token that
    /// let it go.
    pub token_ends: Vec<usize>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// When what happened.
    pub timing: Timing,
}

/// Times of one answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Tokens of the prompt.
    pub n_prompt: usize,
    /// Tokens of the prompt that were copied from another sequence instead of being run.
    pub n_reused: usize,
    /// Tokens decoded, an end-of-text token counted.
    pub n_output: usize,
    /// Request accepted to first token: waiting for a place, the prefill and the first choice.
    pub ttft_ms: f64,
    /// Request accepted to last token.
    pub total_ms: f64,
}

impl Timing {
    /// (end-to-end − TTFT) / (output tokens − 1); absent below two tokens.
    pub fn tpot_ms(&self) -> Option<f64> {
        (self.n_output >= 2).then(|| (self.total_ms - self.ttft_ms) / (self.n_output - 1) as f64)
    }
}
