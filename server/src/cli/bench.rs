//! `trimtab bench`: speed and memory of a variant, in the fields of `llama-bench`.

use super::{context::Context, progress::Progress, table::table};
use clap::Args;
use trimtab_domain::{Bytes, Failure, KvCacheFormat, VariantName};
use trimtab_service::{BenchRequest, BenchRow};

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
}

/// Measures and tells.
pub(super) async fn run(arguments: BenchArgs, context: &Context) -> Result<(), Failure> {
    let service = context.service().await?;
    let mut progress = Progress::new(context.output);
    let variant = service
        .ensure_variant(&arguments.variant, |event| progress.on_job_event(event))
        .await?;
    drop(progress);
    let request = BenchRequest {
        variant: variant.name,
        n_prompt: arguments.prompt_tokens,
        n_gen: arguments.gen_tokens,
        n_parallel: arguments.batch,
        kv_cache: arguments.kv_cache,
        repeats: arguments.repeats,
    };
    let rows = service.bench(request).await?;
    context.output.answer(&rows, || describe(&rows))
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
                Bytes(row.model_size).to_string(),
                Bytes(row.peak_memory_bytes).to_string(),
            ]
        })
        .collect();
    table(
        &[
            "VARIANT",
            "PROMPT + OUTPUT",
            "SEQUENCES",
            "KV CACHE",
            "TOKENS/S",
            "SIZE",
            "PEAK MEMORY",
        ],
        &cells,
    )
}
