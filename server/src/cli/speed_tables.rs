//! Speed and memory in columns: of each variant of a run, and by context and batch.

use super::table::table;
use trimtab_domain::{
    LeftOut, Performance, PerformanceDetail, Quantiles, Spread, ThroughputMatrix, VariantResult,
    format_duration_ms,
};

/// What stands where nothing was measured.
const MISSING: &str = "–";

/// [`speeds`], then what disturbed them.
pub(super) fn speed_section(results: &[VariantResult]) -> String {
    let warnings = results.iter().flat_map(|result| {
        let warnings = result.performance.iter().flat_map(Performance::warnings);
        warnings.map(|warning| format!("warning: {}: {warning}\n", result.variant))
    });
    std::iter::once(speeds(results)).chain(warnings).collect()
}

/// Latencies, processor time and memory of all variants of a run, then the matrix of each that has
/// one; empty for results without any of it.
pub(super) fn speeds(results: &[VariantResult]) -> String {
    let measured = || {
        results
            .iter()
            .filter_map(|result| Some((&result.variant, result.performance.as_ref()?)))
    };
    let rows: Vec<Vec<String>> = measured()
        .filter_map(|(variant, performance)| {
            let detail = performance.detail.as_ref()?;
            Some(row(variant.as_str(), performance, detail))
        })
        .collect();
    let headers = [
        "VARIANT",
        "PROMPT + OUTPUT",
        "LOADING",
        "TTFT",
        "MS/TOKEN",
        "GAPS P50/P90/P95/P99",
        "CPU OF PREFILL",
        "CPU OF 1,000 TOKENS",
        "WEIGHTS",
        "KV CACHE",
        "REST",
    ];
    let speeds = match rows.is_empty() {
        true => String::new(),
        false => format!("\nSpeed and memory\n{}", table(&headers, &rows)),
    };
    let matrices = measured().filter_map(|(variant, performance)| {
        let matrix = performance.matrix.as_ref()?;
        Some(format!("\n{variant}\n{}", matrix_table(matrix)))
    });
    std::iter::once(speeds).chain(matrices).collect()
}

fn row(variant: &str, performance: &Performance, detail: &PerformanceDetail) -> Vec<String> {
    let loading = format_duration_ms(performance.load_ms);
    vec![
        variant.to_owned(),
        format!("{} + {}", performance.n_prompt, performance.n_gen),
        format!("{loading} (n = {})", detail.n_loads),
        times(detail.ttft_ms),
        times(detail.tpot_ms),
        gaps(detail.gaps_ms),
        times(detail.prefill_cpu_ms),
        times(in_ms(detail.decode_cpu_s_per_1000)),
        performance.weights.to_string(),
        performance.kv_cache.to_string(),
        detail
            .rest
            .map_or_else(|| MISSING.to_owned(), |rest| rest.to_string()),
    ]
}

/// Output tokens per second by context and sequences, and what was left out.
pub(super) fn matrix_table(matrix: &ThroughputMatrix) -> String {
    let batches = matrix.batches();
    let headers: Vec<String> = ["CONTEXT".to_owned(), "TTFT".to_owned()]
        .into_iter()
        .chain(
            batches
                .iter()
                .map(|batch| format!("TOKENS/S, BATCH {batch}")),
        )
        .collect();
    let rows: Vec<Vec<String>> = matrix
        .contexts
        .iter()
        .map(|context| {
            let speeds = batches.iter().map(|batch| {
                context
                    .speed_of(*batch)
                    .map_or_else(|| MISSING.to_owned(), rates)
            });
            [context.context.to_string(), times(context.ttft_ms)]
                .into_iter()
                .chain(speeds)
                .collect()
        })
        .collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let left_out: Vec<String> = matrix
        .left_out
        .iter()
        .map(|left: &LeftOut| format!("{}\n", left.in_words()))
        .collect();
    format!(
        "{}{}each sequence decodes the last {} tokens of its context; median (range, repeats) after \
         {} warm-up\n",
        table(&headers, &rows),
        left_out.concat(),
        matrix.n_gen,
        matrix.n_warmups
    )
}

/// `12 ms (11 ms–13 ms, n = 5)`.
pub(super) fn times(spread_ms: Spread) -> String {
    ranged(spread_ms, format_duration_ms)
}

/// `1.2/1.3/1.4/2.0 ms (n = 320)`.
pub(super) fn gaps(gaps_ms: Quantiles) -> String {
    let Quantiles {
        p50,
        p90,
        p95,
        p99,
        n,
    } = gaps_ms;
    let [p50, p90, p95, p99] = [p50, p90, p95, p99].map(|ms| format!("{ms:.1}"));
    format!("{p50}/{p90}/{p95}/{p99} ms (n = {n})")
}

/// A spread of seconds in milliseconds.
pub(super) fn in_ms(seconds: Spread) -> Spread {
    Spread {
        median: 1e3 * seconds.median,
        min: 1e3 * seconds.min,
        max: 1e3 * seconds.max,
        n: seconds.n,
    }
}

fn rates(spread: Spread) -> String {
    ranged(spread, |rate| format!("{rate:.1}"))
}

fn ranged(spread: Spread, shown: fn(f64) -> String) -> String {
    let Spread {
        median,
        min,
        max,
        n,
    } = spread;
    let [median, min, max] = [median, min, max].map(shown);
    format!("{median} ({min}–{max}, n = {n})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::{BatchSpeed, Bytes, ContextSpeed, LeftOutReason};

    const SPREAD: Spread = Spread {
        median: 2.0,
        min: 1.0,
        max: 30.0,
        n: 5,
    };

    fn matrix() -> ThroughputMatrix {
        let batch = |batch| BatchSpeed {
            batch,
            output_tokens_per_s: SPREAD,
        };
        let context = |context, batches: &[u32]| ContextSpeed {
            context,
            ttft_ms: SPREAD,
            batches: batches.iter().copied().map(batch).collect(),
        };
        ThroughputMatrix {
            n_gen: 32,
            n_warmups: 1,
            contexts: vec![context(128, &[1, 4]), context(1024, &[1])],
            left_out: vec![LeftOut {
                context: 1024,
                batch: Some(4),
                reason: LeftOutReason::TooLarge {
                    needed: Bytes(2000),
                    free: Bytes(1000),
                },
            }],
            other_load: None,
        }
    }

    #[test]
    fn the_matrix_has_a_row_a_context_and_names_what_is_missing() {
        let text = matrix_table(&matrix());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("CONTEXT"), "{text}");
        assert!(lines[0].ends_with("TOKENS/S, BATCH 4"), "{text}");
        assert!(lines[1].ends_with("2.0 (1.0–30.0, n = 5)"), "{text}");
        assert!(lines[2].ends_with(MISSING), "{text}");
        assert!(lines[3].contains("1024 with batch 4 left out"), "{text}");
        assert!(lines[4].contains("last 32 tokens"), "{text}");
    }

    #[test]
    fn times_carry_range_and_repeats() {
        assert_eq!(times(SPREAD), "2.0 ms (1.0 ms–30 ms, n = 5)");
        assert!((in_ms(SPREAD).median - 2000.0).abs() < 1e-9);
        let quantiles = Quantiles {
            p50: 1.0,
            p90: 2.0,
            p95: 3.0,
            p99: 4.0,
            n: 320,
        };
        assert_eq!(gaps(quantiles), "1.0/2.0/3.0/4.0 ms (n = 320)");
    }

    #[test]
    fn results_without_measurements_need_no_section() {
        assert_eq!(speed_section(&[]), "");
    }
}
