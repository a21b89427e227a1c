//! Speed of prefill and decode, measured on the loaded variant.

use crate::{Engine, RuntimeError, batch::MAX_SLOTS};
use std::time::Instant;
use trimtab_models::decoder::SequenceStep;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeedTest {
    /// Tokens of the prompt; 0 to leave prefill out.
    pub n_prompt: usize,
    /// Tokens that each sequence decodes after it; 0 to leave decoding out.
    pub n_gen: usize,
    /// Sequences that decode side by side; the prompt is prefilled once and shared.
    pub n_parallel: usize,
    /// Counted repeats, after one that is not counted.
    pub n_repeats: usize,
}

/// Time of every repeat in nanoseconds; empty for what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpeedRepeats {
    /// Prefill of the whole prompt, scores of the last position included.
    pub prefill_ns: Vec<u64>,
    /// Decoding of all tokens of all sequences, choosing them left out.
    pub decode_ns: Vec<u64>,
}

impl Engine {
    /// Times prefill and decode. Tokens are arbitrary: the work does not depend on them.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`] if there is nothing to measure or the tokens do not fit the context.
    pub fn measure_speed(
        &self,
        test: SpeedTest,
        on_repeat: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<SpeedRepeats, RuntimeError> {
        let SpeedTest {
            n_prompt,
            n_gen,
            n_parallel,
            n_repeats,
        } = test;
        if n_repeats == 0 || n_parallel == 0 || n_prompt + n_gen == 0 {
            let message = "nothing to measure: 0 tokens, sequences or repeats";
            return Err(RuntimeError::Setting(message.into()));
        }
        if n_parallel > MAX_SLOTS {
            let message = format!("{n_parallel} sequences side by side are above {MAX_SLOTS}");
            return Err(RuntimeError::Setting(message));
        }
        // Decoding follows at least one token.
        if n_prompt.max(1).saturating_add(n_gen) > self.max_len() {
            let max_len = self.max_len();
            return Err(RuntimeError::ContextTooLong {
                n_prompt,
                n_new: n_gen,
                max_len,
            });
        }
        let vocab_size = self.config().vocab_size as u32;
        let prompt: Vec<u32> = (0..n_prompt.max(1) as u32)
            .map(|idx| idx.wrapping_mul(7919) % vocab_size)
            .collect();
        let mut repeats = SpeedRepeats::default();
        for repeat_idx in 0..=n_repeats {
            let (prefill_ns, decode_ns) =
                self.in_pool(|| self.time_once(&prompt, n_gen, n_parallel));
            on_repeat(repeat_idx, n_repeats);
            if repeat_idx == 0 {
                continue;
            }
            if n_prompt > 0 {
                repeats.prefill_ns.push(prefill_ns);
            }
            if n_gen > 0 {
                repeats.decode_ns.push(decode_ns);
            }
        }
        Ok(repeats)
    }

    fn time_once(&self, prompt: &[u32], n_gen: usize, n_parallel: usize) -> (u64, u64) {
        let nanos = |clock: Instant| clock.elapsed().as_nanos() as u64;
        let mut cache = self.new_cache(n_parallel, prompt.len() + n_gen, self.kv_cache_format());
        let clock = Instant::now();
        self.prefill(prompt, &mut cache);
        let prefill_ns = nanos(clock);
        for slot in 1..n_parallel {
            cache.copy_prefix(0, slot, prompt.len());
        }
        let clock = Instant::now();
        for idx in 0..n_gen {
            let ids = &prompt[idx % prompt.len()..][..1];
            let steps: Vec<_> = (0..n_parallel)
                .map(|slot| SequenceStep { slot, ids })
                .collect();
            self.forward(&steps, &|_| true, &mut cache);
        }
        (prefill_ns, nanos(clock))
    }
}
