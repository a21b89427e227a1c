//! `trimtab runs`: what was evaluated, and what is going on.

use super::{
    context::Context,
    evaluate::{self, result_table},
    flips::{self, FlipsArgs},
    progress::Progress,
    reproduce::{self, ReproduceArgs},
    speed_tables::speed_section,
    suite_scores::suite_scores,
    table::table,
};
use clap::Subcommand;
use trimtab_domain::{Failure, RunDetail, RunId, RunSummary};

/// What to do with runs.
#[derive(Debug, Subcommand)]
pub(super) enum RunsCommand {
    /// List all runs, newest first.
    List,
    /// Show one run: its jobs, results and log.
    Show {
        /// The run.
        #[arg(value_parser = parse_run_id)]
        run: RunId,
    },
    /// Stop a run; what has landed is kept.
    Cancel {
        /// The run.
        #[arg(value_parser = parse_run_id)]
        run: RunId,
    },
    /// Show the problems on which variants and the baseline part, with both answers.
    Flips(FlipsArgs),
    /// Do a run again from its manifest, and tell whether it comes to the same.
    Reproduce(ReproduceArgs),
    /// Do what is left of a run that was cancelled or failed.
    Resume {
        /// The run.
        #[arg(value_parser = parse_run_id)]
        run: RunId,
    },
}

/// Carries the command out.
pub(super) async fn run(command: RunsCommand, context: &Context) -> Result<(), Failure> {
    let service = context.service().await?;
    match command {
        RunsCommand::List => {
            let runs = service.list_runs().await?;
            context.output.answer(&runs, || list(&runs))
        }
        RunsCommand::Show { run } => {
            let detail = service.run(run).await?;
            context.output.answer(&detail, || describe(&detail))
        }
        RunsCommand::Cancel { run } => {
            service.cancel_run(run).await?;
            let summary = service.run(run).await?.summary;
            context.output.answer(&summary, || {
                format!("run {run}: {}", summary.state.as_str())
            })
        }
        RunsCommand::Flips(arguments) => flips::run(arguments, context).await,
        RunsCommand::Reproduce(arguments) => reproduce::run(arguments, context).await,
        RunsCommand::Resume { run } => {
            service.resume_run(run).await?;
            let mut progress = Progress::new(context.output);
            let detail = service
                .drive_run(run, |event| progress.on_run_event(event))
                .await?;
            drop(progress);
            evaluate::answer(&detail, context)
        }
    }
}

/// Reads the number of a run.
pub(super) fn parse_run_id(text: &str) -> Result<RunId, String> {
    let number: Option<i64> = text.parse().ok().filter(|number| *number > 0);
    number
        .map(RunId)
        .ok_or_else(|| format!("`{text}` is not the number of a run"))
}

fn list(runs: &[RunSummary]) -> String {
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            vec![
                run.run_id.to_string(),
                run.state.as_str().to_owned(),
                format!("{} of {}", run.n_scored, run.n_problems),
                run.created_at.to_utc_text(),
                run.title.clone(),
            ]
        })
        .collect();
    table(&["RUN", "STATE", "ANSWERS", "CREATED", "TITLE"], &rows)
}

fn describe(detail: &RunDetail) -> String {
    let summary = &detail.summary;
    let failure: String = [("error", &summary.error), ("hint", &summary.hint)]
        .into_iter()
        .filter_map(|(name, line)| Some(format!("{name}: {}\n", line.as_ref()?)))
        .collect();
    let jobs: Vec<Vec<String>> = detail
        .jobs
        .iter()
        .map(|job| {
            vec![
                job.job_id.to_string(),
                job.state.as_str().to_owned(),
                job.spec.title(),
                job.error.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let cards = detail.jobs.iter().filter_map(|job| {
        let used = job.card_use.as_ref()?;
        Some(format!("{}: {}\n", job.spec.title(), used.in_words()))
    });
    let stamps: Vec<String> = detail
        .reproductions
        .iter()
        .map(|made| format!("{} ({})\n", made.sentence(), made.at.to_utc_text()))
        .collect();
    format!(
        "run {} ({}): {}\ncreated {}\n{}\n{}{failure}\n{}{}\n{}{}",
        summary.run_id,
        summary.state.as_str(),
        summary.title,
        summary.created_at.to_utc_text(),
        detail.spec.settings_in_words(),
        stamps.concat(),
        table(&["JOB", "STATE", "WORK", "ERROR"], &jobs),
        cards.collect::<String>(),
        result_table(&detail.results),
        suite_scores(&detail.results) + &speed_section(&detail.results)
    )
}
