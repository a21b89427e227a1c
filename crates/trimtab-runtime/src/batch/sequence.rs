//! One sequence of a batch: its rules, its answer so far, and its times.

use super::OnText;
use crate::{Engine, Generation, GenerationRequest, RuntimeError, Sampler, Timing, answer::Answer};
use std::time::Instant;
use trimtab_domain::FinishReason;

/// The name of a sequence in its batch; later ones have larger numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub(super) u64);

/// A sequence that has ended, well or not.
#[derive(Debug)]
pub struct Ended {
    /// Which.
    pub sequence: SequenceId,
    /// Its answer, or why there is none; other sequences go on.
    pub outcome: Result<Generation, RuntimeError>,
}

/// What becomes of a sequence with the next token.
pub(super) enum Next {
    /// It goes on with this token.
    Token(u32),
    /// It is over.
    End(FinishReason),
}

/// A sequence that runs or waits.
pub(super) struct Sequence<'a> {
    pub(super) id: SequenceId,
    pub(super) n_reused: usize,
    pub(super) n_output: usize,
    n_prompt: usize,
    max_tokens: usize,
    sampler: Sampler,
    answer: Answer<'a>,
    on_text: OnText<'a>,
    accepted_at: Instant,
    ttft_ms: f64,
    total_ms: f64,
}

impl<'a> Sequence<'a> {
    /// # Errors
    ///
    /// [`RuntimeError::Setting`] for sampling settings outside their range.
    pub(super) fn new(
        id: SequenceId,
        engine: &'a Engine,
        request: &GenerationRequest<'_>,
        on_text: OnText<'a>,
    ) -> Result<Self, RuntimeError> {
        Ok(Self {
            id,
            n_reused: 0,
            n_output: 0,
            n_prompt: request.prompt_ids.len(),
            max_tokens: request.max_tokens,
            sampler: Sampler::new(request.sampling)?,
            answer: Answer::new(engine, request),
            on_text,
            accepted_at: Instant::now(),
            ttft_ms: 0.0,
            total_ms: 0.0,
        })
    }

    /// Chooses the next token from its scores `[vocab]`.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`] where a score is not a number.
    pub(super) fn advance(&mut self, logits: &[f32]) -> Result<Next, RuntimeError> {
        let id = self
            .sampler
            .choose(logits)
            .ok_or(RuntimeError::NotANumber(self.n_output))?;
        self.n_output += 1;
        if self.n_output == 1 {
            self.ttft_ms = self.elapsed_ms();
        }
        let is_over = self.answer.push(id, &mut *self.on_text)?;
        self.total_ms = self.elapsed_ms();
        Ok(if is_over {
            Next::End(FinishReason::Stop)
        } else if self.n_output == self.max_tokens {
            Next::End(FinishReason::Length)
        } else {
            Next::Token(id)
        })
    }

    /// The answer, once it is over.
    pub(super) fn finish(mut self, finish_reason: FinishReason) -> Generation {
        let (text, token_ids, token_ends) = self.answer.finish(finish_reason, &mut *self.on_text);
        Generation {
            text,
            token_ids,
            token_ends,
            finish_reason,
            timing: Timing {
                n_prompt: self.n_prompt,
                n_reused: self.n_reused,
                n_output: self.n_output,
                ttft_ms: self.ttft_ms,
                total_ms: self.total_ms,
            },
        }
    }

    fn elapsed_ms(&self) -> f64 {
        self.accepted_at.elapsed().as_secs_f64() * 1e3
    }
}
