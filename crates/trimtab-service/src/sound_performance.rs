//! Whether measured speed and memory can be true; a worker that says otherwise is not believed.

use std::collections::HashSet;
use trimtab_domain::{
    Bytes, CardUse, LeftOut, Performance, PerformanceDetail, Quantiles, Spread, ThroughputMatrix,
};

/// More parts than the matrix of any version has.
const MAX_PARTS: usize = 64;

/// Whether all numbers are possible: finite, in order, with repeats, and memory that adds up.
pub(crate) fn is_sound_performance(result: &Performance) -> bool {
    is_positive(result.prefill_tokens_per_s)
        && is_positive(result.decode_tokens_per_s)
        && is_duration(result.load_ms)
        && result
            .detail
            .as_ref()
            .is_none_or(|detail| is_sound_detail(detail, result.rest()))
        && result.card_use.as_deref().is_none_or(is_sound_card_use)
        && result.matrix.as_deref().is_none_or(is_sound_matrix)
}

/// Whether a card can have been used so.
pub(crate) fn is_sound_card_use(used: &CardUse) -> bool {
    is_duration(used.seconds) && used.energy_j.is_none_or(is_duration)
}

fn is_sound_detail(detail: &PerformanceDetail, rest: Option<Bytes>) -> bool {
    is_positive(detail.ttft_ms)
        && is_positive(detail.tpot_ms)
        && is_sound_gaps(detail.gaps_ms)
        && is_ordered(detail.prefill_cpu_ms)
        && is_ordered(detail.decode_cpu_s_per_1000)
        && 0 < detail.n_loads
        && detail.rest == rest
        && is_share(detail.other_load)
}

fn is_sound_matrix(matrix: &ThroughputMatrix) -> bool {
    let n_parts = matrix.contexts.len().max(matrix.left_out.len());
    let mut seen = HashSet::new();
    n_parts <= MAX_PARTS
        && 0 < matrix.n_gen
        && is_share(matrix.other_load)
        && matrix.contexts.iter().all(|row| {
            is_positive(row.ttft_ms)
                && matrix.n_gen < row.context
                && row.batches.len() <= MAX_PARTS
                && row.batches.iter().all(|speed| {
                    0 < speed.batch
                        && is_positive(speed.output_tokens_per_s)
                        && seen.insert((row.context, speed.batch))
                })
        })
        // Nothing is measured and left out at once.
        && matrix.left_out.iter().all(|left: &LeftOut| match left.batch {
            Some(batch) => !seen.contains(&(left.context, batch)),
            None => seen.iter().all(|(context, _)| *context != left.context),
        })
}

fn is_positive(spread: Spread) -> bool {
    is_ordered(spread) && 0.0 < spread.min
}

/// Processor time may be 0: the system counts it in steps.
fn is_ordered(spread: Spread) -> bool {
    let Spread {
        median,
        min,
        max,
        n,
    } = spread;
    max.is_finite() && 0.0 <= min && min <= median && median <= max && 0 < n
}

fn is_sound_gaps(gaps: Quantiles) -> bool {
    let Quantiles {
        p50,
        p90,
        p95,
        p99,
        n,
    } = gaps;
    p99.is_finite() && 0.0 <= p50 && p50 <= p90 && p90 <= p95 && p95 <= p99 && 0 < n
}

fn is_duration(value: f64) -> bool {
    value.is_finite() && 0.0 <= value
}

fn is_share(share: Option<f64>) -> bool {
    share.is_none_or(|share| (0.0..=1.0).contains(&share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::{BatchSpeed, ContextSpeed, LeftOutReason};

    const SPREAD: Spread = Spread {
        median: 2.0,
        min: 1.0,
        max: 3.0,
        n: 5,
    };

    fn detail() -> PerformanceDetail {
        PerformanceDetail {
            n_warmups: 1,
            n_loads: 1,
            ttft_ms: SPREAD,
            tpot_ms: SPREAD,
            gaps_ms: Quantiles {
                p50: 1.0,
                p90: 2.0,
                p95: 2.0,
                p99: 4.0,
                n: 320,
            },
            prefill_cpu_ms: Spread { min: 0.0, ..SPREAD },
            decode_cpu_s_per_1000: SPREAD,
            rest: Some(Bytes(10)),
            other_load: Some(0.02),
        }
    }

    fn matrix() -> ThroughputMatrix {
        ThroughputMatrix {
            n_gen: 32,
            n_warmups: 1,
            contexts: vec![ContextSpeed {
                context: 128,
                ttft_ms: SPREAD,
                batches: vec![BatchSpeed {
                    batch: 1,
                    output_tokens_per_s: SPREAD,
                }],
            }],
            left_out: vec![LeftOut {
                context: 4096,
                batch: None,
                reason: LeftOutReason::TooLong { max_len: 2048 },
            }],
            other_load: None,
        }
    }

    fn performance() -> Performance {
        Performance {
            prefill_tokens_per_s: SPREAD,
            decode_tokens_per_s: SPREAD,
            n_prompt: 256,
            n_gen: 64,
            n_threads: 2,
            load_ms: 1.0,
            peak_memory: Bytes(100),
            weights: Bytes(70),
            kv_cache: Bytes(20),
            detail: Some(Box::new(detail())),
            card_use: None,
            matrix: Some(Box::new(matrix())),
        }
    }

    #[test]
    fn a_true_result_is_sound_with_and_without_its_parts() {
        assert!(is_sound_performance(&performance()));
        let older = Performance {
            detail: None,
            matrix: None,
            ..performance()
        };
        assert!(is_sound_performance(&older));
    }

    #[test]
    fn impossible_details_are_not_believed() {
        let changes: [fn(&mut PerformanceDetail); 8] = [
            |detail| detail.ttft_ms.min = 0.0,
            |detail| detail.tpot_ms.max = f64::INFINITY,
            |detail| detail.gaps_ms.p95 = 5.0,
            |detail| detail.gaps_ms.n = 0,
            |detail| detail.prefill_cpu_ms.min = -1.0,
            |detail| detail.decode_cpu_s_per_1000.median = f64::NAN,
            |detail| detail.rest = Some(Bytes(11)),
            |detail| detail.other_load = Some(1.1),
        ];
        for (idx, change) in changes.into_iter().enumerate() {
            let mut wrong = detail();
            change(&mut wrong);
            let mut result = performance();
            result.detail = Some(Box::new(wrong));
            assert!(!is_sound_performance(&result), "change {idx}");
        }
    }

    #[test]
    fn an_impossible_matrix_is_not_believed() {
        let changes: [fn(&mut ThroughputMatrix); 7] = [
            |matrix| matrix.n_gen = 128,
            |matrix| matrix.other_load = Some(f64::NAN),
            |matrix| matrix.contexts[0].ttft_ms.n = 0,
            |matrix| matrix.contexts[0].batches[0].batch = 0,
            |matrix| matrix.contexts[0].batches = vec![matrix.contexts[0].batches[0]; 2],
            |matrix| matrix.left_out[0].context = 128,
            |matrix| matrix.left_out = vec![matrix.left_out[0]; MAX_PARTS + 1],
        ];
        for (idx, change) in changes.into_iter().enumerate() {
            let mut wrong = matrix();
            change(&mut wrong);
            let mut result = performance();
            result.matrix = Some(Box::new(wrong));
            assert!(!is_sound_performance(&result), "change {idx}");
        }
    }

    #[test]
    fn a_card_takes_no_time_or_energy_that_is_none() {
        let used = CardUse {
            seconds: 2.0,
            energy_j: Some(0.0),
            peak_memory: None,
            n_others: None,
        };
        let mut result = performance();
        result.card_use = Some(Box::new(used));
        // What is left of a peak that is not known is not known.
        assert!(!is_sound_performance(&result));
        result.detail = Some(Box::new(PerformanceDetail {
            rest: None,
            ..detail()
        }));
        assert!(is_sound_performance(&result));
        for (seconds, energy_j) in [(-1.0, None), (f64::NAN, None), (1.0, Some(-1.0))] {
            let wrong = CardUse {
                seconds,
                energy_j,
                ..used
            };
            assert!(!is_sound_card_use(&wrong), "{wrong:?}");
        }
    }

    #[test]
    fn speeds_have_repeats_and_an_order() {
        for wrong in [
            Spread { n: 0, ..SPREAD },
            Spread { min: 2.5, ..SPREAD },
            Spread {
                median: 4.0,
                ..SPREAD
            },
        ] {
            let result = Performance {
                decode_tokens_per_s: wrong,
                ..performance()
            };
            assert!(!is_sound_performance(&result), "{wrong:?}");
        }
    }
}
