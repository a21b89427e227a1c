//! One place of a batch: the tokens whose keys and values it holds, and the sequence that runs there.

use super::{
    Ended,
    sequence::{Next, Sequence},
};

/// One place of a batch.
#[derive(Default)]
pub(super) struct Slot<'a> {
    /// Prompt and answer so far. The first of them are in the cache; without a sequence, all are.
    pub(super) ids: Vec<u32>,
    /// The sequence that runs here.
    pub(super) sequence: Option<Sequence<'a>>,
    /// Number of the step in which the last sequence left.
    pub(super) left_at: u64,
}

impl Slot<'_> {
    pub(super) fn is_free(&self) -> bool {
        self.sequence.is_none()
    }

    /// Whether the prompt has been run and tokens come one by one.
    pub(super) fn is_decoding(&self) -> bool {
        self.sequence.as_ref().is_some_and(|it| it.n_output > 0)
    }

    /// Gives the sequence its next token; tells if that was the last.
    pub(super) fn advance(&mut self, logits: &[f32]) -> Option<Ended> {
        let mut sequence = self.sequence.take()?;
        let id = sequence.id;
        let outcome = match sequence.advance(logits) {
            Ok(Next::Token(token)) => {
                self.ids.push(token);
                self.sequence = Some(sequence);
                return None;
            }
            Ok(Next::End(finish_reason)) => Ok(sequence.finish(finish_reason)),
            Err(error) => {
                // What led to scores that are not numbers is not handed on to another sequence.
                self.ids.clear();
                Err(error)
            }
        };
        Some(Ended {
            sequence: id,
            outcome,
        })
    }

    /// Tokens that `prompt` begins with and that lie, or once the prompt here is run will lie, among
    /// the first `n_held` of this slot.
    pub(super) fn n_shared(&self, prompt: &[u32], n_held: usize) -> usize {
        let n_held = n_held.min(self.ids.len());
        let pairs = self.ids[..n_held].iter().zip(prompt);
        pairs.take_while(|(held, wanted)| held == wanted).count()
    }
}
