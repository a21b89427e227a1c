//! Speed at one context, of several numbers of sequences side by side.
//!
//! The prompt is read once a repeat, and every batch goes on from its cache: on a processor reading
//! takes most of the time.

use crate::{DeviceLease, Engine, RuntimeError, batch::MAX_SLOTS, speed::nanos};
use std::time::Instant;
use trimtab_models::decoder::{KvCache, SequenceStep};

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextTest<'a> {
    /// Tokens in the cache when the last one is decoded, and tokens of the prompt that is read.
    pub context: usize,
    /// How many sequences decode side by side, in turn.
    pub batches: &'a [usize],
    /// Tokens that each sequence decodes: the last of its context.
    pub n_gen: usize,
    /// Counted repeats, after one that is not counted.
    pub n_repeats: usize,
}

/// Time of every counted repeat in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextRepeats {
    /// Prefill of a prompt that fills the context, scores of the last position included.
    pub prefill_ns: Vec<u64>,
    /// Decoding of all tokens of all sequences, choosing them left out: one list a batch.
    pub decode_ns: Vec<Vec<u64>>,
}

impl Engine {
    /// Times the reading of a prompt that fills `context`, then, for each batch, the decoding of the
    /// last `n_gen` tokens of that context in all of its sequences, while nobody else measures on
    /// the device. `on_step` hears of parts done and parts in all.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`] if there is nothing to measure or it does not fit.
    ///
    /// # Panics
    ///
    /// If the lease is of another device.
    pub fn measure_context(
        &self,
        lease: &DeviceLease,
        test: ContextTest<'_>,
        on_step: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<ContextRepeats, RuntimeError> {
        self.require_lease(lease);
        let n_slots = self.check(test)?;
        let ids = self.arbitrary_ids(test.context);
        let mut cache = self.new_cache(n_slots, test.context, self.kv_cache_format());
        let mut repeats = ContextRepeats {
            prefill_ns: Vec::new(),
            decode_ns: vec![Vec::new(); test.batches.len()],
        };
        let n_steps = (test.n_repeats + 1) * (test.batches.len() + 1);
        let mut n_done = 0;
        let mut step = || {
            n_done += 1;
            on_step(n_done, n_steps);
        };
        for repeat_idx in 0..=test.n_repeats {
            let is_counted = repeat_idx > 0;
            let prefill_ns = self.in_pool(|| self.fill(&ids, &mut cache));
            step();
            if is_counted {
                repeats.prefill_ns.push(prefill_ns);
            }
            let n_kept = test.context - test.n_gen;
            for slot in 1..n_slots {
                cache.copy_prefix(0, slot, n_kept);
            }
            for (batch, decode_ns) in test.batches.iter().zip(&mut repeats.decode_ns) {
                for slot in 0..*batch {
                    cache.truncate(slot, n_kept);
                }
                let taken = self.in_pool(|| self.decode(&ids[n_kept..], *batch, &mut cache));
                step();
                if is_counted {
                    decode_ns.push(taken);
                }
            }
        }
        Ok(repeats)
    }

    /// The slots that the largest batch needs.
    fn check(&self, test: ContextTest<'_>) -> Result<usize, RuntimeError> {
        let refuse = |message: String| Err(RuntimeError::Setting(message));
        let n_slots = test.batches.iter().copied().max().unwrap_or(0);
        if test.batches.contains(&0) || n_slots == 0 || test.n_repeats == 0 || test.n_gen == 0 {
            return refuse("nothing to measure: 0 tokens, sequences or repeats".to_owned());
        }
        if n_slots > MAX_SLOTS {
            return refuse(format!(
                "{n_slots} sequences side by side are above {MAX_SLOTS}"
            ));
        }
        if test.n_gen >= test.context {
            return refuse(format!(
                "a context of {} tokens leaves no prompt before {} decoded ones",
                test.context, test.n_gen
            ));
        }
        if test.context > self.max_len() {
            return Err(RuntimeError::ContextTooLong {
                n_prompt: test.context,
                n_new: 0,
                max_len: self.max_len(),
            });
        }
        Ok(n_slots)
    }

    /// Reads the prompt into the first slot, emptied before.
    fn fill(&self, ids: &[u32], cache: &mut KvCache) -> u64 {
        cache.truncate(0, 0);
        let clock = Instant::now();
        self.prefill(ids, cache);
        nanos(clock.elapsed())
    }

    fn decode(&self, ids: &[u32], batch: usize, cache: &mut KvCache) -> u64 {
        let clock = Instant::now();
        for ids in ids.chunks(1) {
            let steps: Vec<_> = (0..batch).map(|slot| SequenceStep { slot, ids }).collect();
            self.forward(&steps, &|_| true, cache);
        }
        nanos(clock.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{engine, lease};

    const TEST: ContextTest<'_> = ContextTest {
        context: 12,
        batches: &[1, 3],
        n_gen: 4,
        n_repeats: 2,
    };

    #[test]
    fn every_batch_is_measured_in_every_repeat() {
        let (engine, lease) = (engine(), lease());
        let mut told = Vec::new();
        let repeats = engine
            .measure_context(&lease, TEST, &mut |done, total| told.push((done, total)))
            .unwrap();
        assert_eq!(repeats.prefill_ns.len(), 2);
        assert_eq!(
            repeats.decode_ns.iter().map(Vec::len).collect::<Vec<_>>(),
            [2, 2]
        );
        let expected: Vec<_> = (1..=9).map(|done| (done, 9)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn going_on_from_a_shared_cache_is_what_reading_anew_gives() {
        let engine = engine();
        let ids = engine.arbitrary_ids(TEST.context);
        let n_kept = TEST.context - TEST.n_gen;
        let mut cache = engine.new_cache(3, TEST.context, engine.kv_cache_format());
        engine.in_pool(|| engine.fill(&ids, &mut cache));
        cache.copy_prefix(0, 2, n_kept);
        for slot in [0, 2] {
            cache.truncate(slot, n_kept);
        }
        engine.in_pool(|| engine.decode(&ids[n_kept..TEST.context - 1], 1, &mut cache));
        let step = [SequenceStep {
            slot: 0,
            ids: &ids[TEST.context - 1..],
        }];
        let shared = engine.in_pool(|| engine.forward(&step, &|_| true, &mut cache));
        let whole = engine.next_token_logits(&ids).unwrap();
        for (a, b) in shared.iter().zip(&whole) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_named() {
        let (engine, lease) = (engine(), lease());
        let refused = |test| {
            engine
                .measure_context(&lease, test, &mut |_, _| {})
                .unwrap_err()
                .to_string()
        };
        for (batches, n_gen) in [(&[][..], 4), (&[0, 1], 4), (&[1], 0)] {
            let test = ContextTest {
                batches,
                n_gen,
                ..TEST
            };
            assert!(refused(test).contains("nothing to measure"));
        }
        let full = ContextTest { n_gen: 12, ..TEST };
        assert!(refused(full).contains("leaves no prompt"));
        let many = ContextTest {
            batches: &[257],
            ..TEST
        };
        assert!(refused(many).contains("257 sequences"));
        let long = ContextTest {
            context: engine.max_len() + 1,
            ..TEST
        };
        assert!(refused(long).contains("exceed the context"));
    }
}
