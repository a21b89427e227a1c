//! `trimtab perplexity`: how surprised a variant is by a text, in this process.

use super::{context::Context, progress::Progress, text_argument::read_text_file};
use clap::Args;
use std::path::PathBuf;
use trimtab_domain::{ClusteredEstimate, Failure, KvCacheFormat, PerplexityResult, VariantName};
use trimtab_service::{LikelihoodReply, LikelihoodRequest, PerplexityRequest};

/// Options of `perplexity`.
#[derive(Debug, Args)]
pub(super) struct PerplexityArgs {
    /// The variant: a name, a digest prefix, or MODEL:PRESET, which is made first.
    #[arg(long, value_name = "V")]
    variant: VariantName,
    /// Another variant that reads the same tokens: tells how far the predictions are from its own.
    #[arg(long, value_name = "BASE")]
    against: Option<VariantName>,
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
    let variant = ensure(&arguments.variant, context).await?;
    let Some(base) = &arguments.against else {
        let request = PerplexityRequest {
            variant,
            text,
            text_name,
            context: arguments.context,
            kv_cache: arguments.kv_cache,
        };
        let result = service.perplexity(request).await?;
        return context.output.answer(&result, || describe(&result));
    };
    let request = LikelihoodRequest {
        variant,
        base: ensure(base, context).await?,
        text,
        text_name,
        context: arguments.context,
        kv_cache: arguments.kv_cache,
    };
    let reply = service.likelihoods(request).await?;
    context.output.answer(&reply, || describe_against(&reply))
}

/// The full name of a variant that is there, made if need be.
async fn ensure(name: &VariantName, context: &Context) -> Result<VariantName, Failure> {
    let service = context.service().await?;
    let mut progress = Progress::new(context.output);
    let made = service
        .ensure_variant(name, |event| progress.on_job_event(event))
        .await?;
    Ok(made.name)
}

fn describe(result: &PerplexityResult) -> String {
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
}

fn describe_against(reply: &LikelihoodReply) -> String {
    let comparison = &reply.comparison;
    let lines = [
        ("perplexity ratio", comparison.perplexity_ratio),
        ("KL divergence, mean", comparison.kl_mean),
        ("KL divergence, median", comparison.kl_median),
        ("KL divergence, 99 %", comparison.kl_p99),
        ("same likeliest token", comparison.top1_agreement),
    ]
    .map(|(name, estimate)| line(name, estimate));
    format!(
        "{}\n\nagainst {} ({:.4}), in nats a token, errors over {} windows\n{}",
        describe(&reply.perplexity),
        reply.base,
        reply.base_perplexity,
        comparison.n_windows,
        lines.concat()
    )
}

fn line(name: &str, estimate: ClusteredEstimate) -> String {
    format!(
        "{name:<22} {:.5} ± {:.5} (95 % interval {:.5} to {:.5})\n",
        estimate.value, estimate.standard_error, estimate.low, estimate.high
    )
}
