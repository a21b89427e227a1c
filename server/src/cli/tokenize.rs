//! `trimtab tokenize`: the token ids of a text.

use super::{context::Context, progress::Progress, text_argument::read_text_argument};
use clap::Args;
use serde::Serialize;
use trimtab_domain::{Failure, ModelName};

/// Options of `tokenize`.
#[derive(Debug, Args)]
pub(super) struct TokenizeArgs {
    /// The model whose tokenizer is used; fetched first if it is in the catalog.
    #[arg(long, value_name = "NAME")]
    model: ModelName,
    /// The text, or @FILE.
    #[arg(long, value_name = "TEXT|@FILE")]
    text: String,
}

/// The JSON answer.
#[derive(Debug, Serialize)]
struct Tokenized {
    ids: Vec<u32>,
}

/// Tokenizes.
pub(super) async fn run(arguments: TokenizeArgs, context: &Context) -> Result<(), Failure> {
    let text = read_text_argument(&arguments.text)?;
    let service = context.service().await?;
    let mut progress = Progress::new(context.output);
    service
        .ensure_model(&arguments.model, |event| progress.on_job_event(event))
        .await?;
    drop(progress);
    let ids = service.tokenize(&arguments.model, text).await?;
    let answer = Tokenized { ids };
    context.output.answer(&answer, || {
        let ids: Vec<String> = answer.ids.iter().map(ToString::to_string).collect();
        ids.join(" ")
    })
}
