//! `trimtab runs reproduce`: a run done again, and whether it comes to the same.

use super::{
    context::Context, evaluate::require_done, progress::Progress, runs::parse_run_id, table::table,
};
use clap::Args;
use trimtab_domain::{Failure, ReproducedNumber, Reproduction, RunId};

/// Options of `reproduce`.
#[derive(Debug, Args)]
pub(super) struct ReproduceArgs {
    /// The run.
    #[arg(value_parser = parse_run_id)]
    run: RunId,
    /// Start nothing; compare with this run, which has done it again.
    #[arg(long, value_name = "RUN", value_parser = parse_run_id)]
    by: Option<RunId>,
}

/// Does the run again, compares and stamps it.
pub(super) async fn run(arguments: ReproduceArgs, context: &Context) -> Result<(), Failure> {
    let service = context.service().await?;
    let by = match arguments.by {
        Some(by) => by,
        None => do_again(arguments.run, context).await?,
    };
    let made = service.stamp_reproduction(arguments.run, by).await?;
    context.output.answer(&made, || describe(&made))
}

async fn do_again(run: RunId, context: &Context) -> Result<RunId, Failure> {
    let service = context.service().await?;
    let by = service.start_reproduction(run).await?;
    let mut progress = Progress::new(context.output);
    let detail = service
        .drive_run(by, |event| progress.on_run_event(event))
        .await?;
    drop(progress);
    require_done(&detail).map_err(|failure| {
        failure.with_hint(format!(
            "`trimtab runs resume {by}` does what is left, and then \
             `trimtab runs reproduce {run} --by {by}` compares"
        ))
    })?;
    Ok(by)
}

fn describe(made: &Reproduction) -> String {
    let rows: Vec<Vec<String>> = made.numbers.iter().map(row).collect();
    let headers = ["VARIANT", "WHAT", "BEFORE", "AGAIN", "ALLOWED", ""];
    let circumstances = made.circumstances.iter();
    let circumstances: Vec<String> = circumstances
        .map(|line| format!("note: {line}\n"))
        .collect();
    format!(
        "{}\n{}{}\n",
        table(&headers, &rows),
        circumstances.concat(),
        made.sentence()
    )
}

fn row(number: &ReproducedNumber) -> Vec<String> {
    vec![
        number.variant.to_string(),
        number.what.clone(),
        format!("{:.4}", number.before),
        format!("{:.4}", number.again),
        format!("± {} %", 100.0 * number.tolerance),
        match number.is_within {
            true => "same".to_owned(),
            false => "differs".to_owned(),
        },
    ]
}
