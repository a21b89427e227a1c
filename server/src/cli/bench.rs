//! `trimtab bench`: speed and memory of a variant, in the fields of `llama-bench`.

use super::{
    context::Context,
    progress::Progress,
    speed_tables::{gaps, in_ms, matrix_table, times},
    table::table,
};
use clap::Args;
use trimtab_domain::{
    Bytes, Failure, JobEvent, KvCacheFormat, LogLevel, VariantName, format_duration_ms,
    load_warning, shared_card_words,
};
use trimtab_service::{BenchRequest, BenchRow, MatrixReport};

/// Most sequences that decode side by side.
const MAX_BATCH: i64 = 256;

/// Options of `bench`.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// The variant: a name, a digest prefix, or MODEL:PRESET, which is made first.
    #[arg(long, value_name = "V")]
    variant: VariantName,
    /// Tokens of the prompt that prefill is measured with; 0 leaves prefill out.
    #[arg(long, value_name = "N", default_value_t = 256)]
    prompt_tokens: u32,
    /// Tokens that decoding is measured with, in each sequence; 0 leaves decoding out.
    #[arg(long, value_name = "N", default_value_t = 128)]
    gen_tokens: u32,
    /// How many sequences decode side by side, with commas between: one row each, whose tokens per
    /// second are those of all its sequences together. In the JSON rows this number is `n_parallel`
    /// and, as `llama-bench` calls it, `n_batch`. Prefill is measured with one sequence.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1",
        value_parser = clap::value_parser!(u32).range(1..=MAX_BATCH))]
    batch: Vec<u32>,
    /// Number format of cached keys and values: f32, f16 or int8.
    #[arg(long, value_name = "FORMAT", default_value_t = KvCacheFormat::default())]
    kv_cache: KvCacheFormat,
    /// How often each measurement is made.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Measure 1, 4 and 16 sequences at contexts of 128, 1,024 and 4,096 tokens instead: output tokens
    /// per second, and the time to read each context. Takes minutes.
    #[arg(long, conflicts_with_all = ["prompt_tokens", "gen_tokens", "batch", "repeats"])]
    matrix: bool,
}

/// Measures and tells.
pub(super) async fn run(arguments: BenchArgs, context: &Context) -> Result<(), Failure> {
    let service = context.service().await?;
    let mut progress = Progress::new(context.output);
    let variant = service
        .ensure_variant(&arguments.variant, |event| progress.on_job_event(event))
        .await?;
    drop(progress);
    if arguments.matrix {
        return run_matrix(variant.name, arguments.kv_cache, context).await;
    }
    let request = BenchRequest {
        variant: variant.name,
        n_prompt: arguments.prompt_tokens,
        n_gen: arguments.gen_tokens,
        n_parallel: arguments.batch,
        kv_cache: arguments.kv_cache,
        repeats: arguments.repeats,
    };
    let rows = service.bench(request, waits(context)).await?;
    context.output.answer(&rows, || describe(&rows))
}

async fn run_matrix(
    variant: VariantName,
    kv_cache: KvCacheFormat,
    context: &Context,
) -> Result<(), Failure> {
    let mut progress = Progress::new(context.output);
    let on_stage = move |stage: &str, n_done: usize, n_total: usize| {
        progress.on_job_event(&JobEvent::Progress {
            stage: stage.to_owned(),
            n_done: n_done as u64,
            n_total: n_total as u64,
        });
    };
    let service = context.service().await?;
    let report = service
        .bench_matrix(variant, kv_cache, waits(context), on_stage)
        .await?;
    context.output.answer(&report, || describe_matrix(&report))
}

/// Tells once who else measures, also where the answer is JSON: it goes to standard error.
fn waits(context: &Context) -> impl FnMut(&str) + Send + 'static {
    let mut progress = Progress::new(context.output);
    let mut is_told = false;
    move |words: &str| {
        if !is_told {
            is_told = true;
            progress.on_job_event(&JobEvent::Log {
                level: LogLevel::Warning,
                message: words.to_owned(),
            });
        }
    }
}

fn describe_matrix(report: &MatrixReport) -> String {
    let MatrixReport {
        variant,
        kv_cache,
        device,
        n_threads,
        load_ms,
        matrix,
    } = report;
    let warning = matrix
        .warning()
        .map_or_else(String::new, |warning| format!("warning: {warning}\n"));
    format!(
        "{variant} on {device} with {n_threads} threads, KV cache in {kv_cache}, loaded in {} (n = 1)\n\
         {}{warning}",
        format_duration_ms(*load_ms),
        matrix_table(matrix)
    )
}

/// The most memory held where the model is computed: on the card, or in this process.
fn peak_of(row: &BenchRow) -> String {
    match row.card_use {
        Some(used) => used
            .peak_memory
            .map_or_else(|| "–".to_owned(), |peak| peak.in_words()),
        None => Bytes(row.peak_memory_bytes).to_string(),
    }
}

fn describe(rows: &[BenchRow]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.variant.to_string(),
                format!("{} + {}", row.n_prompt, row.n_gen),
                row.n_parallel.to_string(),
                row.type_k.clone(),
                format!("{:.2} ± {:.2}", row.avg_ts, row.stddev_ts),
                row.gaps_ms.map_or_else(|| "–".to_owned(), gaps),
                times(in_ms(row.cpu_s_per_1000)),
                peak_of(row),
                Bytes(row.model_size).to_string(),
                Bytes(row.kv_cache_bytes).to_string(),
                row.rest_bytes
                    .map_or_else(|| "–".to_owned(), |rest| Bytes(rest).to_string()),
            ]
        })
        .collect();
    let text = table(
        &[
            "VARIANT",
            "PROMPT + OUTPUT",
            "SEQUENCES",
            "KV CACHE",
            "TOKENS/S",
            "GAPS P50/P90/P95/P99",
            "CPU OF 1,000 TOKENS",
            "PEAK MEMORY",
            "WEIGHTS",
            "KV CACHE",
            "REST",
        ],
        &cells,
    );
    let loading = rows.first().map_or_else(String::new, |row| {
        let took = format_duration_ms(row.load_ms);
        format!("loaded in {took} (n = 1); each measurement after 1 warm-up\n")
    });
    let loads = rows.iter().filter_map(|row| row.other_load);
    let warning = load_warning(loads.reduce(f64::max))
        .map_or_else(String::new, |warning| format!("warning: {warning}\n"));
    let cards = rows.iter().filter_map(|row| {
        let used = row.card_use.as_ref()?;
        Some(format!(
            "{} + {} with {} sequences: {}\n",
            row.n_prompt,
            row.n_gen,
            row.n_parallel,
            used.in_words()
        ))
    });
    let shared = rows.iter().filter_map(|row| row.card_use?.n_disturbing());
    let shared = shared.max().map_or_else(String::new, |n_others| {
        format!("warning: {}\n", shared_card_words(n_others))
    });
    let cards: String = cards.collect();
    format!("{text}{loading}{cards}{warning}{shared}")
}
