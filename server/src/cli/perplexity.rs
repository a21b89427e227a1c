//! `trimtab perplexity`: how surprised a variant is by a text, in this process.

use super::{context::Context, progress::Progress, text_argument::read_text_file};
use clap::Args;
use std::path::PathBuf;
use trimtab_domain::{Failure, KvCacheFormat, VariantName};
use trimtab_service::PerplexityRequest;

/// Options of `perplexity`.
#[derive(Debug, Args)]
pub(super) struct PerplexityArgs {
    /// The variant: a name, a digest prefix, or MODEL:PRESET, which is made first.
    #[arg(long, value_name = "V")]
    variant: VariantName,
    /// The text file.
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// Tokens per window; windows do not overlap, and the first token of each is not scored.
    #[arg(long, value_name = "N", default_value_t = 512)]
    context: u32,
    /// Number format of cached keys and values: f32, f16 or int8.
    #[arg(long, value_name = "FORMAT", default_value_t = KvCacheFormat::default())]
    kv_cache: KvCacheFormat,
}

/// Measures and tells.
pub(super) async fn run(arguments: PerplexityArgs, context: &Context) -> Result<(), Failure> {
    let text = read_text_file(&arguments.text)?;
    let text_name = arguments.text.file_name().map_or_else(
        || "text".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let service = context.service().await?;
    let mut progress = Progress::new(context.output);
    let variant = service
        .ensure_variant(&arguments.variant, |event| progress.on_job_event(event))
        .await?;
    drop(progress);
    let request = PerplexityRequest {
        variant: variant.name,
        text,
        text_name,
        context: arguments.context,
        kv_cache: arguments.kv_cache,
    };
    let result = service.perplexity(request).await?;
    context.output.answer(&result, || {
        format!(
            "{:.4} (95 % interval {:.4} to {:.4}) over {} tokens of {} in windows of {}, \
             KV cache in {}",
            result.perplexity,
            result.low,
            result.high,
            result.n_tokens,
            result.text,
            result.context,
            result.kv_cache
        )
    })
}
