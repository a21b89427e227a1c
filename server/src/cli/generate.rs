//! `trimtab generate`: lets a variant continue or answer a text, in this process.

use super::{
    context::Context, output::print, progress::Progress, text_argument::read_text_argument,
};
use clap::Args;
use std::path::PathBuf;
use trimtab_domain::{Failure, KvCacheFormat, VariantName};
use trimtab_service::GenerateRequest;

/// Options of `generate`.
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// The variant: a name, a digest prefix, or MODEL:PRESET, which is made first.
    #[arg(long, value_name = "V")]
    variant: VariantName,
    /// The text, or @FILE.
    #[arg(long, value_name = "TEXT|@FILE")]
    prompt: String,
    /// Wrap the prompt in the model's chat template.
    #[arg(long)]
    chat: bool,
    /// Longest answer in tokens.
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_tokens: u32,
    /// 0 takes the likeliest token each time.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f32,
    /// Keep the smallest set of tokens with this share of probability; 1 keeps all.
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Seed of the sampling.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// End the answer before this text; may be given several times.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Go on after an end-of-text token, up to the longest answer.
    #[arg(long)]
    ignore_end: bool,
    /// Attach the low-rank adapter in this folder, as PEFT writes it.
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Number format of cached keys and values: f32, f16 or int8.
    #[arg(long, value_name = "FORMAT", default_value_t = KvCacheFormat::default())]
    kv_cache: KvCacheFormat,
}

/// Generates, and shows the text while it grows.
pub(super) async fn run(arguments: GenerateArgs, context: &Context) -> Result<(), Failure> {
    let prompt = read_text_argument(&arguments.prompt)?;
    let service = context.service().await?;
    let mut progress = Progress::new(context.output);
    let variant = service
        .ensure_variant(&arguments.variant, |event| progress.on_job_event(event))
        .await?;
    drop(progress);
    let request = GenerateRequest {
        variant: variant.name,
        prompt,
        chat: arguments.chat,
        max_tokens: arguments.max_tokens,
        temperature: arguments.temperature,
        top_p: arguments.top_p,
        seed: arguments.seed,
        stop: arguments.stop,
        ignore_end: arguments.ignore_end,
        adapter: arguments.adapter,
        kv_cache: arguments.kv_cache,
    };
    let is_json = context.output.is_json;
    let reply = service
        .generate(request, move |text| {
            if !is_json {
                // A terminal that has gone away does not stop the answer; the end tells of it.
                let _ = print(text);
            }
        })
        .await?;
    // The text is on the screen already; what is missing is the end of its last line.
    context.output.answer(&reply, String::new)
}
