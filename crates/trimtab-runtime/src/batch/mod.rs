//! Continuous batching: sequences share every step of the model, and join and leave at any step.
//!
//! A step runs one token of each sequence that decodes, and of prompts as many tokens as the step
//! has room for. Source of the idea: Yu et al. 2022, "Orca",
//! <https://www.usenix.org/conference/osdi22/presentation/yu>, section 3; prompts in chunks: Agrawal
//! et al. 2023, "SARATHI", <https://arxiv.org/abs/2308.16369>, section 4.
//!
//! What a sequence answers does not depend on the others beyond rounding in f32.

mod options;
mod sequence;
mod slot;

#[cfg(test)]
mod tests;

pub use options::BatchOptions;
pub(crate) use options::MAX_SLOTS;
pub use sequence::{Ended, SequenceId};

use crate::{Engine, GenerationRequest, RuntimeError};

use sequence::Sequence;
use slot::Slot;
use std::{collections::VecDeque, fmt};
use trimtab_kernels::team;
use trimtab_models::decoder::{KvCache, SequenceStep};

/// Sees an answer piece by piece, each a whole number of characters; `false` ends the answer, which
/// then counts as stopped. Called from threads of the pool: it should not block.
pub type OnText<'a> = Box<dyn FnMut(&str) -> bool + Send + 'a>;

/// Sequences that are answered side by side.
pub struct Batch<'a> {
    engine: &'a Engine,
    options: BatchOptions,
    cache: KvCache,
    slots: Vec<Slot<'a>>,
    /// Prompts and sequences that have no slot yet, in the order of submission.
    queue: VecDeque<(Vec<u32>, Sequence<'a>)>,
    n_submitted: u64,
    n_steps: u64,
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("options", &self.options)
            .field("n_running", &self.n_running())
            .field("n_queued", &self.n_queued())
            .finish_non_exhaustive()
    }
}

/// The first tokens of a slot that a new sequence takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prefix {
    from: usize,
    n_tokens: usize,
}

/// When a queued sequence can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Now, with what it takes over.
    Now(Option<Prefix>),
    /// Once another sequence has run a prefix that both have.
    Later,
}

impl<'a> Batch<'a> {
    /// An empty batch. Memory for keys and values is taken as slots fill.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Setting`] for options outside their range.
    pub fn new(engine: &'a Engine, options: BatchOptions) -> Result<Self, RuntimeError> {
        options.check(engine.max_len())?;
        let cache = engine.new_cache(options.n_slots, options.capacity, options.kv_cache);
        Ok(Self {
            engine,
            options,
            cache,
            slots: (0..options.n_slots).map(|_| Slot::default()).collect(),
            queue: VecDeque::new(),
            n_submitted: 0,
            n_steps: 0,
        })
    }

    /// Takes a request; it starts in the next step that has a slot for it.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`] for an empty prompt, one that does not fit a slot, or bad settings.
    pub fn submit(
        &mut self,
        request: &GenerationRequest<'_>,
        on_text: OnText<'a>,
    ) -> Result<SequenceId, RuntimeError> {
        let vocab_size = self.engine.config().vocab_size;
        request.check(self.options.capacity, vocab_size)?;
        let id = SequenceId(self.n_submitted);
        let sequence = Sequence::new(id, self.engine, request, on_text)?;
        self.n_submitted += 1;
        self.queue
            .push_back((request.prompt_ids.to_vec(), sequence));
        Ok(id)
    }

    /// Forgets a sequence, whether it runs or waits; whether there was one. It is not among those
    /// that [`step`](Self::step) tells of.
    pub fn cancel(&mut self, id: SequenceId) -> bool {
        if let Some(at) = self.queue.iter().position(|(_, waiting)| waiting.id == id) {
            self.queue.remove(at);
            return true;
        }
        let is_it = |slot: &Slot<'_>| slot.sequence.as_ref().is_some_and(|it| it.id == id);
        let Some(slot_idx) = self.slots.iter().position(is_it) else {
            return false;
        };
        let slot = &mut self.slots[slot_idx];
        slot.sequence = None;
        slot.left_at = self.n_steps;
        slot.ids.truncate(self.cache.len(slot_idx));
        true
    }

    /// Sequences that have a slot.
    pub fn n_running(&self) -> usize {
        self.slots.iter().filter(|slot| !slot.is_free()).count()
    }

    /// Sequences that wait for a slot.
    pub fn n_queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.n_running() + self.n_queued() == 0
    }

    /// Runs the model once; tells which sequences ended with it.
    pub fn step(&mut self) -> Vec<Ended> {
        self.engine.in_pool(|| self.step_in_pool())
    }

    /// Runs until nothing is left; tells how each sequence ended, in the order of ending.
    pub fn run(&mut self) -> Vec<Ended> {
        self.engine.in_pool(|| {
            let mut ended = Vec::new();
            while !self.is_idle() {
                ended.extend(self.step_in_pool());
            }
            ended
        })
    }

    fn step_in_pool(&mut self) -> Vec<Ended> {
        self.admit();
        self.n_steps += 1;
        let n_tokens = self.plan();
        let (mut steps, mut is_scored) = (Vec::new(), vec![false; self.slots.len()]);
        for (slot, n_tokens) in n_tokens.into_iter().enumerate() {
            if n_tokens > 0 {
                let unseen = &self.slots[slot].ids[self.cache.len(slot)..];
                let ids = &unseen[..n_tokens];
                is_scored[slot] = n_tokens == unseen.len();
                steps.push(SequenceStep { slot, ids });
            }
        }
        if steps.is_empty() {
            return Vec::new();
        }
        let engine = self.engine;
        let logits = engine.forward(&steps, &|step| is_scored[step.slot], &mut self.cache);
        let mut scored: Vec<&mut Slot<'a>> = self
            .slots
            .iter_mut()
            .zip(is_scored)
            .filter_map(|(slot, is_scored)| is_scored.then_some(slot))
            .collect();
        let (n_steps, vocab_size) = (self.n_steps, engine.config().vocab_size);
        let mut ended: Vec<Option<Ended>> = scored.iter().map(|_| None).collect();
        let mut pairs: Vec<_> = scored.iter_mut().zip(&mut ended).collect();
        team::for_each_chunk(&mut pairs, 1, |idx, pairs| {
            let logits = &logits[idx * vocab_size..][..vocab_size];
            for (slot, ended) in pairs {
                **ended = slot.advance(logits);
                if ended.is_some() {
                    slot.left_at = n_steps;
                }
            }
        });
        ended.into_iter().flatten().collect()
    }

    /// Tokens of each slot in the next step: one where a sequence decodes, then the prompts in the
    /// order of submission while there is room.
    fn plan(&self) -> Vec<usize> {
        let mut n_tokens = vec![0; self.slots.len()];
        let mut room = self.options.step_tokens;
        let mut prompts = Vec::new();
        for (slot_idx, slot) in self.slots.iter().enumerate() {
            if slot.is_decoding() {
                n_tokens[slot_idx] = 1;
                room -= 1;
            } else if let Some(sequence) = &slot.sequence {
                prompts.push((sequence.id, slot_idx));
            }
        }
        prompts.sort_unstable();
        for (_, slot_idx) in prompts {
            let n_unseen = self.slots[slot_idx].ids.len() - self.cache.len(slot_idx);
            n_tokens[slot_idx] = n_unseen.min(room);
            room -= n_tokens[slot_idx];
        }
        n_tokens
    }

    /// Gives free slots to those that wait. One that waits for a prefix keeps its claim on a slot, so
    /// that later ones do not overtake it for good.
    fn admit(&mut self) {
        let mut n_free = self.slots.len() - self.n_running();
        let mut at = 0;
        while n_free > 0 && at < self.queue.len() {
            n_free -= 1;
            match self.start_of(&self.queue[at].0) {
                Start::Later => at += 1,
                Start::Now(prefix) => {
                    let (prompt, sequence) = self.queue.remove(at).expect("`at` is in the queue");
                    self.place(prompt, sequence, prefix);
                }
            }
        }
    }

    /// Whether a prompt can take over what a slot holds, or will hold soon. Its last token is always
    /// run, since its scores are needed.
    fn start_of(&self, prompt: &[u32]) -> Start {
        let Some(least) = self.options.min_shared_prefix else {
            return Start::Now(None);
        };
        let prompt = &prompt[..prompt.len() - 1];
        let mut best = Prefix {
            from: 0,
            n_tokens: 0,
        };
        let mut n_soon = 0;
        for (from, slot) in self.slots.iter().enumerate() {
            let n_tokens = slot.n_shared(prompt, self.cache.len(from));
            if n_tokens > best.n_tokens {
                best = Prefix { from, n_tokens };
            }
            n_soon = n_soon.max(slot.n_shared(prompt, usize::MAX));
        }
        if n_soon >= best.n_tokens + least {
            return Start::Later;
        }
        Start::Now(Some(best).filter(|best| best.n_tokens >= least))
    }

    /// Puts a sequence into a free slot: the one whose tokens it takes over, else the one that has
    /// been free for longest.
    fn place(&mut self, prompt: Vec<u32>, mut sequence: Sequence<'a>, prefix: Option<Prefix>) {
        let slot_idx = match prefix {
            Some(Prefix { from, n_tokens }) if self.slots[from].is_free() => {
                self.cache.truncate(from, n_tokens);
                from
            }
            Some(Prefix { from, n_tokens }) => {
                let to = self.longest_free();
                self.cache.copy_prefix(from, to, n_tokens);
                to
            }
            None => {
                let slot_idx = self.longest_free();
                self.cache.truncate(slot_idx, 0);
                slot_idx
            }
        };
        sequence.n_reused = self.cache.len(slot_idx);
        let slot = &mut self.slots[slot_idx];
        slot.ids = prompt;
        slot.sequence = Some(sequence);
    }

    /// The free slot whose tokens are least likely to be wanted again.
    fn longest_free(&self) -> usize {
        let slots = self.slots.iter().enumerate();
        let free = slots.filter(|(_, slot)| slot.is_free());
        let longest = free.min_by_key(|(_, slot)| (!slot.ids.is_empty(), slot.left_at));
        longest.expect("callers count free slots").0
    }
}
