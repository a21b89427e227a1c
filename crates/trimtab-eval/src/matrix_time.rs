//! How long measuring speed by context and batch takes, foreseen from speeds that are known.

use crate::performance::{BATCHES, CONTEXTS, N_GEN, N_REPEATS};
use trimtab_domain::{Performance, ThroughputMatrix};

/// Passes over every part: one is not counted.
const N_PASSES: f64 = (N_REPEATS + 1) as f64;

/// Seconds in which a matrix like `known` is measured again: what was left out is left out again.
/// `None` if it tells of other contexts than would be measured.
pub fn matrix_seconds(known: &ThroughputMatrix) -> Option<f64> {
    let mut seconds = 0.0;
    for context in CONTEXTS {
        let row = known
            .contexts
            .iter()
            .find(|row| row.context as usize == context);
        let Some(row) = row else {
            let mut left_out = known.left_out.iter();
            left_out.find(|left| left.context as usize == context)?;
            continue;
        };
        seconds += row.ttft_ms.median / 1e3;
        for speed in &row.batches {
            let n_tokens = N_GEN as f64 * f64::from(speed.batch);
            seconds += n_tokens / speed.output_tokens_per_s.median;
        }
    }
    Some(N_PASSES * seconds)
}

/// Seconds of the whole matrix if prompts were read and tokens decoded at every context as fast as
/// at the one that is `known`, and several sequences together no faster than one. What a model
/// of at most `max_len` tokens has no room for is left out.
///
/// Long contexts are slower than that, and several sequences together faster: on a processor the
/// two about make up for each other.
pub fn matrix_seconds_at_one_speed(known: &Performance, max_len: usize) -> f64 {
    let prefill = known.prefill_tokens_per_s.median;
    let decode = known.decode_tokens_per_s.median;
    let n_sequences: usize = BATCHES.iter().sum();
    let contexts = CONTEXTS.iter().filter(|context| **context <= max_len);
    let seconds =
        contexts.map(|context| *context as f64 / prefill + (N_GEN * n_sequences) as f64 / decode);
    N_PASSES * seconds.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::{BatchSpeed, Bytes, ContextSpeed, LeftOut, LeftOutReason, Spread};

    fn spread(median: f64) -> Spread {
        Spread {
            median,
            min: median / 2.0,
            max: median * 2.0,
            n: 5,
        }
    }

    fn row(context: u32, ttft_ms: f64, speeds: [f64; 3]) -> ContextSpeed {
        let batches = BATCHES.iter().zip(speeds);
        ContextSpeed {
            context,
            ttft_ms: spread(ttft_ms),
            batches: batches
                .map(|(batch, speed)| BatchSpeed {
                    batch: *batch as u32,
                    output_tokens_per_s: spread(speed),
                })
                .collect(),
        }
    }

    /// Speeds of the table in `docs/results.md`.
    fn matrix() -> ThroughputMatrix {
        ThroughputMatrix {
            n_gen: N_GEN as u32,
            n_warmups: 1,
            contexts: vec![
                row(128, 249.0, [95.8, 212.3, 296.7]),
                row(1024, 1_700.0, [67.4, 153.0, 216.8]),
                row(4096, 11_500.0, [43.8, 71.1, 82.9]),
            ],
            left_out: Vec::new(),
            other_load: None,
        }
    }

    #[test]
    fn a_matrix_takes_as_long_again() {
        // It took 2 min 52 s.
        let seconds = matrix_seconds(&matrix()).unwrap();
        assert!((seconds - 172.0).abs() < 5.0, "{seconds}");
    }

    #[test]
    fn what_was_left_out_takes_no_time_and_another_matrix_tells_nothing() {
        let mut known = matrix();
        let left = known.contexts.pop().unwrap();
        assert_eq!(matrix_seconds(&known), None);
        known.left_out.push(LeftOut {
            context: left.context,
            batch: None,
            reason: LeftOutReason::TooLong { max_len: 2048 },
        });
        let shorter = matrix_seconds(&known).unwrap();
        assert!((10.0..60.0).contains(&shorter), "{shorter}");
    }

    #[test]
    fn one_speed_stands_for_all_contexts_and_sequences() {
        let known = Performance {
            prefill_tokens_per_s: spread(100.0),
            decode_tokens_per_s: spread(32.0),
            n_prompt: 256,
            n_gen: 64,
            n_threads: 2,
            load_ms: 1.0,
            peak_memory: Bytes(1),
            weights: Bytes(1),
            kv_cache: Bytes(1),
            detail: None,
            card_use: None,
            matrix: None,
        };
        // Each context: its tokens at 100 a second, and 32 tokens of 21 sequences at 32.
        let all = matrix_seconds_at_one_speed(&known, 8192);
        assert!((all - 6.0 * (52.48 + 63.0)).abs() < 1e-9, "{all}");
        let short = matrix_seconds_at_one_speed(&known, 2048);
        assert!((short - 6.0 * (11.52 + 42.0)).abs() < 1e-9, "{short}");
        assert!(matrix_seconds_at_one_speed(&known, 100) < 1e-9);
    }
}
