//! Speed and memory of a loaded variant: what is timed, put into numbers with their repeats.

use crate::EvalError;
use trimtab_domain::{
    BatchSpeed, Bytes, CardUse, ContextSpeed, LeftOut, LeftOutReason, Performance,
    PerformanceDetail, Spread, ThroughputMatrix,
};
use trimtab_metrics::{quantiles, spread};
use trimtab_runtime::{
    CardMeter, ContextTest, DeviceLease, Engine, QuietWatch, RuntimeError, SpeedRepeats, SpeedTest,
    peak_memory,
};

/// Speed is measured on a prompt and an answer of these lengths, so that variants compare.
const SPEED_TEST: SpeedTest = SpeedTest {
    n_prompt: 256,
    n_gen: 64,
    n_parallel: 1,
    n_repeats: 5,
};

/// Contexts of the matrix, in tokens.
pub(crate) const CONTEXTS: [usize; 3] = [128, 1024, 4096];

/// Sequences side by side in the matrix.
pub(crate) const BATCHES: [usize; 3] = [1, 4, 16];

/// Tokens that each sequence of the matrix decodes in a repeat.
pub(crate) const N_GEN: usize = 32;

/// Repeats of the matrix.
pub(crate) const N_REPEATS: usize = 5;

/// Least time whose energy is told: a card's counter moves in steps of up to a tenth of a second.
const ENERGY_SECONDS: f64 = 2.0;

/// Hears stage, parts done and parts in all.
pub type OnStage<'a> = dyn FnMut(&str, usize, usize) + Send + 'a;

/// Speed of one sequence at one context, and the memory it is computed in; `card` has counted since
/// before the model was loaded.
///
/// # Errors
///
/// [`EvalError`] for a model whose context has no room for a prompt and an answer, and where the
/// system does not tell how much memory is used.
pub(crate) fn measure(
    engine: &Engine,
    lease: &DeviceLease,
    card: Option<&CardMeter>,
    on_stage: &mut OnStage<'_>,
) -> Result<Performance, EvalError> {
    // A model with a short context is measured on as much as it holds.
    let max_len = engine.max_len();
    if max_len < 2 {
        return Err(EvalError::ShortContext(max_len));
    }
    let n_gen = SPEED_TEST.n_gen.min(max_len - 1);
    let n_prompt = SPEED_TEST.n_prompt.min(max_len - n_gen);
    let test = SpeedTest {
        n_prompt,
        n_gen,
        ..SPEED_TEST
    };
    let watch = QuietWatch::start();
    let repeats = engine.measure_speed(lease, test, &mut |done, total| {
        after_repeat(card, done);
        on_stage("Measuring speed", done, total);
    })?;
    let card_use = match card {
        Some(card) => Some(Box::new(measured_part(engine, lease, test, card)?)),
        None => None,
    };
    let mut performance = Performance {
        prefill_tokens_per_s: rate(n_prompt, &repeats.prefill_ns),
        decode_tokens_per_s: rate(n_gen, &repeats.decode_ns),
        n_prompt: n_prompt as u32,
        n_gen: n_gen as u32,
        n_threads: trimtab_runtime::n_threads() as u32,
        load_ms: engine.load_ms(),
        peak_memory: peak_memory().ok_or(EvalError::PeakMemory)?,
        weights: engine.weights(),
        kv_cache: engine.kv_cache(n_prompt + n_gen),
        detail: None,
        card_use,
        matrix: None,
    };
    let (rest, other_load) = (performance.rest(), watch.other_load());
    performance.detail = Some(Box::new(detail(&repeats, n_gen, rest, other_load)));
    Ok(performance)
}

/// The part that a card's meter counts begins after the warm-up, in which kernels are compiled.
pub fn after_repeat(card: Option<&CardMeter>, n_done: usize) {
    match card {
        Some(card) if n_done == 0 => card.begin_part(),
        Some(card) => card.look(),
        None => {}
    }
}

/// What the counted repeats of `test` took of a card, whose counter of energy moves in steps: while it
/// had too few of them the test is repeated, and its times are dropped.
///
/// # Errors
///
/// As the measurement itself.
pub fn counted_part(
    engine: &Engine,
    lease: &DeviceLease,
    test: SpeedTest,
    card: &CardMeter,
) -> Result<CardUse, RuntimeError> {
    let again = SpeedTest {
        n_repeats: 1,
        ..test
    };
    while card.part_so_far().seconds < ENERGY_SECONDS {
        engine.measure_speed(lease, again, &mut |_, _| card.look())?;
    }
    Ok(card.end_part())
}

/// [`counted_part`], with the peak of memory since before the model was loaded.
fn measured_part(
    engine: &Engine,
    lease: &DeviceLease,
    test: SpeedTest,
    card: &CardMeter,
) -> Result<CardUse, RuntimeError> {
    let part = counted_part(engine, lease, test, card)?;
    Ok(CardUse {
        peak_memory: card.so_far().peak_memory,
        ..part
    })
}

fn detail(
    repeats: &SpeedRepeats,
    n_gen: usize,
    rest: Option<Bytes>,
    other_load: Option<f64>,
) -> PerformanceDetail {
    let gaps_ms: Vec<f64> = repeats.step_ns.iter().map(|ns| *ns as f64 / 1e6).collect();
    PerformanceDetail {
        n_warmups: 1,
        n_loads: 1,
        ttft_ms: scaled(&repeats.prefill_ns, 1e-6),
        tpot_ms: scaled(&repeats.decode_ns, 1e-6 / n_gen as f64),
        gaps_ms: quantiles(&gaps_ms).expect("repeats have steps"),
        prefill_cpu_ms: scaled(&repeats.prefill_cpu_ns, 1e-6),
        // Nanoseconds a token, times 1,000 tokens, in seconds.
        decode_cpu_s_per_1000: scaled(&repeats.decode_cpu_ns, 1e-6 / n_gen as f64),
        rest,
        other_load,
    }
}

/// Speed by context and batch. `free_memory` says how much memory is free now, for caches that may
/// be too large for it; `None` asks for no such check.
///
/// # Errors
///
/// [`EvalError`] for a model that cannot be run.
pub fn throughput_matrix(
    engine: &Engine,
    lease: &DeviceLease,
    free_memory: &dyn Fn() -> Option<Bytes>,
    on_stage: &mut OnStage<'_>,
) -> Result<ThroughputMatrix, EvalError> {
    let watch = QuietWatch::start();
    let (mut contexts, mut left_out) = (Vec::new(), Vec::new());
    for context in CONTEXTS {
        let cache = engine.kv_cache(context);
        let batches = fitting(
            context,
            engine.max_len(),
            cache,
            free_memory(),
            &mut left_out,
        );
        if batches.is_empty() {
            continue;
        }
        let test = ContextTest {
            context,
            batches: &batches,
            n_gen: N_GEN,
            n_repeats: N_REPEATS,
        };
        let stage = format!("Measuring speed at {context} tokens");
        let repeats = engine.measure_context(lease, test, &mut |done, total| {
            on_stage(&stage, done, total);
        })?;
        let speeds = batches
            .iter()
            .zip(&repeats.decode_ns)
            .map(|(batch, decode_ns)| BatchSpeed {
                batch: *batch as u32,
                output_tokens_per_s: rate(N_GEN * batch, decode_ns),
            });
        contexts.push(ContextSpeed {
            context: context as u32,
            ttft_ms: scaled(&repeats.prefill_ns, 1e-6),
            batches: speeds.collect(),
        });
    }
    Ok(ThroughputMatrix {
        n_gen: N_GEN as u32,
        n_warmups: 1,
        contexts,
        left_out,
        other_load: watch.other_load(),
    })
}

/// The batches that can be measured at a context; the others are put into `left_out`.
fn fitting(
    context: usize,
    max_len: usize,
    cache: Bytes,
    free: Option<Bytes>,
    left_out: &mut Vec<LeftOut>,
) -> Vec<usize> {
    let leave = |batch: Option<usize>, reason| LeftOut {
        context: context as u32,
        batch: batch.map(|batch| batch as u32),
        reason,
    };
    if max_len < context {
        let max_len = max_len as u32;
        left_out.push(leave(None, LeftOutReason::TooLong { max_len }));
        return Vec::new();
    }
    let spare = free.map(|free| Bytes(free.0 - free.0 / 8));
    let mut batches = Vec::new();
    for batch in BATCHES {
        let needed = Bytes(cache.0.saturating_mul(batch as u64));
        match spare {
            Some(free) if free < needed => {
                let reason = LeftOutReason::TooLarge { needed, free };
                left_out.push(leave(Some(batch), reason));
            }
            _ => batches.push(batch),
        }
    }
    batches
}

/// Tokens per second of repeats that made `n_tokens` each.
fn rate(n_tokens: usize, nanos: &[u64]) -> Spread {
    let rates: Vec<f64> = nanos
        .iter()
        .map(|ns| n_tokens as f64 * 1e9 / (*ns).max(1) as f64)
        .collect();
    spread(&rates).expect("there is a repeat")
}

fn scaled(nanos: &[u64], factor: f64) -> Spread {
    let values: Vec<f64> = nanos.iter().map(|ns| *ns as f64 * factor).collect();
    spread(&values).expect("there is a repeat")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_numbers_of_one_token() {
        let repeats = SpeedRepeats {
            prefill_ns: vec![3_000_000, 2_000_000, 5_000_000],
            decode_ns: vec![8_000_000, 4_000_000, 6_000_000],
            prefill_cpu_ns: vec![6_000_000; 3],
            decode_cpu_ns: vec![12_000_000, 12_000_000, 0],
            step_ns: (1..=101).map(|idx| idx * 10_000).collect(),
        };
        let detail = detail(&repeats, 4, Some(Bytes(7)), Some(0.01));
        assert!((detail.ttft_ms.median - 3.0).abs() < 1e-12);
        assert!((detail.tpot_ms.median - 1.5).abs() < 1e-12);
        assert!((detail.tpot_ms.max - 2.0).abs() < 1e-12);
        // 12 ms for 4 tokens are 3 s for 1,000.
        assert!((detail.decode_cpu_s_per_1000.median - 3.0).abs() < 1e-12);
        assert!((detail.decode_cpu_s_per_1000.min - 0.0).abs() < 1e-12);
        let gaps = detail.gaps_ms;
        for (gap, expected) in [(gaps.p50, 0.51), (gaps.p90, 0.91), (gaps.p95, 0.96)] {
            assert!((gap - expected).abs() < 1e-9, "{gap}");
        }
        assert_eq!((gaps.n, detail.prefill_cpu_ms.n), (101, 3));
        assert!((rate(4, &repeats.decode_ns).median - 4.0 / 0.006).abs() < 1e-6);
    }

    #[test]
    fn what_does_not_fit_is_left_out_by_name() {
        let mut left_out = Vec::new();
        let mut batches = |context, free| fitting(context, 2048, Bytes(100), free, &mut left_out);
        assert_eq!(batches(1024, None), BATCHES);
        assert!(batches(4096, None).is_empty());
        // 800 free, an eighth of it kept to spare: 4 caches fit, 16 do not.
        assert_eq!(batches(128, Some(Bytes(800))), [1, 4]);
        assert!(batches(128, Some(Bytes(0))).is_empty());
        let words: Vec<String> = left_out.iter().map(LeftOut::in_words).collect();
        assert_eq!(
            words[..2],
            [
                "context 4096 left out: the model is served with at most 2048 tokens",
                "context 128 with batch 16 left out: its cache needs 1.60 kB, and 700 B can be given \
                 to it"
            ]
        );
        assert_eq!(left_out.len(), 5);
    }
}
