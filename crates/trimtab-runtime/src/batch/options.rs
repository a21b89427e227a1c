//! How many sequences share a batch, and how their work is cut into steps.

use crate::RuntimeError;
use trimtab_domain::KvCacheFormat;

/// Most sequences side by side.
pub(crate) const MAX_SLOTS: usize = 256;

/// How many sequences share a batch, and how their work is cut into steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Sequences side by side; more wait in a queue.
    pub n_slots: usize,
    /// Longest sequence in tokens, prompt and answer together.
    pub capacity: usize,
    /// Number format of cached keys and values.
    pub kv_cache: KvCacheFormat,
    /// Most tokens of a step, at least one for each slot. Sequences that decode come first with one
    /// token each; prompts share what is left, so that a long one delays the others only so much.
    pub step_tokens: usize,
    /// A prompt that begins like what another slot holds takes over this many tokens or more instead
    /// of running them; `None` runs every prompt whole.
    pub min_shared_prefix: Option<usize>,
}

impl BatchOptions {
    /// The usual settings for `n_slots` sequences of up to `capacity` tokens.
    pub fn new(n_slots: usize, capacity: usize) -> Self {
        const STEP_TOKENS: usize = 512;
        // Below this, copying and waiting for a prefix saves too little to matter.
        const MIN_SHARED_PREFIX: usize = 16;
        Self {
            n_slots,
            capacity,
            kv_cache: KvCacheFormat::default(),
            step_tokens: STEP_TOKENS.max(n_slots),
            min_shared_prefix: Some(MIN_SHARED_PREFIX),
        }
    }

    /// Refuses what no batch can be made of with a context of `max_len` tokens.
    pub(super) fn check(&self, max_len: usize) -> Result<(), RuntimeError> {
        let Self {
            n_slots,
            capacity,
            step_tokens,
            ..
        } = *self;
        let refuse = |message: String| Err(RuntimeError::Setting(message));
        if !(1..=MAX_SLOTS).contains(&n_slots) {
            return refuse(format!(
                "`n_slots` {n_slots} is not between 1 and {MAX_SLOTS}"
            ));
        }
        if !(2..=max_len).contains(&capacity) {
            return refuse(format!(
                "`capacity` {capacity} is not between 2 and {max_len}"
            ));
        }
        if step_tokens < n_slots {
            return refuse(format!(
                "`step_tokens` {step_tokens} is below the {n_slots} slots, which may all decode"
            ));
        }
        if self.min_shared_prefix == Some(0) {
            return refuse("`min_shared_prefix` is 0: a shared prefix has a token".into());
        }
        Ok(())
    }
}
