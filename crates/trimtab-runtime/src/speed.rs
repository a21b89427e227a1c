//! Speed of prefill and decode, measured on the loaded variant.

use crate::{DeviceLease, Engine, RuntimeError, batch::MAX_SLOTS, processor_time};
use std::time::{Duration, Instant};
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
    /// Processor time of every prefill, user and system, over all threads.
    pub prefill_cpu_ns: Vec<u64>,
    /// Processor time of every decoding.
    pub decode_cpu_ns: Vec<u64>,
    /// Time of every single step of decoding, over all repeats: one token of each sequence.
    pub step_ns: Vec<u64>,
}

/// Time by the clock and by the processor.
#[derive(Clone, Copy, Debug)]
struct Stopwatch {
    clock: Instant,
    processor: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        let processor = processor_time();
        Self {
            clock: Instant::now(),
            processor,
        }
    }

    /// Nanoseconds by the clock and by the processor.
    fn stop(self) -> (u64, u64) {
        let by_clock = nanos(self.clock.elapsed());
        let by_processor = processor_time().saturating_sub(self.processor);
        (by_clock, nanos(by_processor))
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Engine {
    /// Times prefill and decode while nobody else measures on the device. Tokens are arbitrary: the
    /// work does not depend on them.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`] if there is nothing to measure or the tokens do not fit the context.
    ///
    /// # Panics
    ///
    /// If the lease is of another device.
    pub fn measure_speed(
        &self,
        lease: &DeviceLease,
        test: SpeedTest,
        on_repeat: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<SpeedRepeats, RuntimeError> {
        let SpeedTest {
            n_prompt,
            n_gen,
            n_parallel,
            n_repeats,
        } = test;
        self.require_lease(lease);
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
        let prompt = self.arbitrary_ids(n_prompt.max(1));
        let mut repeats = SpeedRepeats::default();
        for repeat_idx in 0..=n_repeats {
            let counted = (repeat_idx > 0).then_some(&mut repeats);
            self.in_pool(|| self.time_once(&prompt, n_gen, n_parallel, counted));
            on_repeat(repeat_idx, n_repeats);
        }
        if n_prompt == 0 {
            repeats.prefill_ns.clear();
            repeats.prefill_cpu_ns.clear();
        }
        if n_gen == 0 {
            repeats.decode_ns.clear();
            repeats.decode_cpu_ns.clear();
        }
        Ok(repeats)
    }

    /// Numbers are comparable only if nobody else measured meanwhile.
    pub(crate) fn require_lease(&self, lease: &DeviceLease) {
        assert_eq!(lease.device(), self.device(), "a lease of another device");
    }

    /// Tokens to measure with.
    pub(crate) fn arbitrary_ids(&self, n_tokens: usize) -> Vec<u32> {
        let vocab_size = self.config().vocab_size as u32;
        (0..n_tokens as u32)
            .map(|idx| idx.wrapping_mul(7919) % vocab_size)
            .collect()
    }

    fn time_once(
        &self,
        prompt: &[u32],
        n_gen: usize,
        n_parallel: usize,
        counted: Option<&mut SpeedRepeats>,
    ) {
        let mut cache = self.new_cache(n_parallel, prompt.len() + n_gen, self.kv_cache_format());
        let watch = Stopwatch::start();
        self.prefill(prompt, &mut cache);
        let prefill = watch.stop();
        for slot in 1..n_parallel {
            cache.copy_prefix(0, slot, prompt.len());
        }
        let mut step_ns = Vec::with_capacity(n_gen);
        let watch = Stopwatch::start();
        let mut since_step = watch.clock;
        for idx in 0..n_gen {
            let ids = &prompt[idx % prompt.len()..][..1];
            let steps: Vec<_> = (0..n_parallel)
                .map(|slot| SequenceStep { slot, ids })
                .collect();
            self.forward(&steps, &|_| true, &mut cache);
            let now = Instant::now();
            step_ns.push(nanos(now - since_step));
            since_step = now;
        }
        let decode = watch.stop();
        if let Some(repeats) = counted {
            repeats.prefill_ns.push(prefill.0);
            repeats.prefill_cpu_ns.push(prefill.1);
            repeats.decode_ns.push(decode.0);
            repeats.decode_cpu_ns.push(decode.1);
            repeats.step_ns.extend(step_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{engine, lease};

    const TEST: SpeedTest = SpeedTest {
        n_prompt: 5,
        n_gen: 4,
        n_parallel: 2,
        n_repeats: 3,
    };

    #[test]
    fn every_counted_repeat_is_told_and_the_warm_up_is_not() {
        let (engine, lease) = (engine(), lease());
        let mut told = Vec::new();
        let repeats = engine
            .measure_speed(&lease, TEST, &mut |done, total| told.push((done, total)))
            .unwrap();
        assert_eq!(told, [(0, 3), (1, 3), (2, 3), (3, 3)]);
        let lens = [
            repeats.prefill_ns.len(),
            repeats.prefill_cpu_ns.len(),
            repeats.decode_ns.len(),
            repeats.decode_cpu_ns.len(),
        ];
        assert_eq!(lens, [3; 4]);
        assert_eq!(repeats.step_ns.len(), 12);
        // Steps are parts of the decoding that they belong to.
        for (steps, whole) in repeats.step_ns.chunks(4).zip(&repeats.decode_ns) {
            assert!(steps.iter().sum::<u64>() <= *whole);
        }
    }

    #[test]
    fn what_is_left_out_has_no_times() {
        let (engine, lease) = (engine(), lease());
        let measure = |test| engine.measure_speed(&lease, test, &mut |_, _| {});
        let prefill = measure(SpeedTest { n_gen: 0, ..TEST }).unwrap();
        assert!(prefill.decode_ns.is_empty() && prefill.decode_cpu_ns.is_empty());
        assert!(prefill.step_ns.is_empty() && prefill.prefill_ns.len() == 3);
        let decode = measure(SpeedTest {
            n_prompt: 0,
            ..TEST
        })
        .unwrap();
        assert!(decode.prefill_ns.is_empty() && decode.prefill_cpu_ns.is_empty());
        assert_eq!(decode.decode_ns.len(), 3);
        let nothing = SpeedTest {
            n_repeats: 0,
            ..TEST
        };
        assert!(measure(nothing).is_err());
    }
}
