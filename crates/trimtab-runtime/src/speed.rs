//! Speed of prefill and decode at batch 1, measured on the loaded variant.

use crate::{Engine, RuntimeError, engine::in_pool};
use std::time::Instant;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeedTest {
    /// Tokens of the prompt; 0 to leave prefill out.
    pub n_prompt: usize,
    /// Tokens to decode after it; 0 to leave decoding out.
    pub n_gen: usize,
    /// Counted repeats, after one that is not counted.
    pub n_repeats: usize,
}

/// Time of every repeat in nanoseconds; empty for what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpeedRepeats {
    /// Prefill of the whole prompt, scores of the last position included.
    pub prefill_ns: Vec<u64>,
    /// Decoding of all tokens.
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
            n_repeats,
        } = test;
        if n_repeats == 0 || n_prompt + n_gen == 0 {
            return Err(RuntimeError::Setting(
                "nothing to measure: 0 tokens or repeats".into(),
            ));
        }
        if n_prompt + n_gen > self.max_len() {
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
            let (prefill_ns, decode_ns) = in_pool(|| self.time_once(&prompt, n_gen));
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

    fn time_once(&self, prompt: &[u32], n_gen: usize) -> (u64, u64) {
        let nanos = |clock: Instant| clock.elapsed().as_nanos() as u64;
        let mut cache = self.new_cache(prompt.len() + n_gen);
        let clock = Instant::now();
        self.prefill(prompt, &mut cache);
        let prefill_ns = nanos(clock);
        let clock = Instant::now();
        for step in 0..n_gen {
            self.decode(prompt[step % prompt.len()], &mut cache);
        }
        (prefill_ns, nanos(clock))
    }
}
