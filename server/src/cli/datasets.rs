//! `trimtab datasets`: the suites of problems.

use super::{context::Context, table::table};
use clap::Subcommand;
use trimtab_domain::{Failure, SuiteView};

/// What to do with suites.
#[derive(Debug, Subcommand)]
pub(super) enum DatasetsCommand {
    /// List the suites.
    List,
    /// Show one suite.
    Show {
        /// The suite.
        name: String,
    },
}

/// Carries the command out.
pub(super) async fn run(command: DatasetsCommand, context: &Context) -> Result<(), Failure> {
    let suites = context.service().await?.suites().await?;
    match command {
        DatasetsCommand::List => context.output.answer(&suites, || list(&suites)),
        DatasetsCommand::Show { name } => {
            let suite = suites
                .iter()
                .find(|suite| suite.name == name)
                .ok_or_else(|| {
                    Failure::not_found(format!("there is no suite `{name}`"))
                        .with_hint("`trimtab datasets list` shows what there is")
                })?;
            context.output.answer(suite, || describe(suite))
        }
    }
}

fn list(suites: &[SuiteView]) -> String {
    let rows: Vec<Vec<String>> = suites
        .iter()
        .map(|suite| {
            vec![
                suite.name.clone(),
                suite.n_problems.to_string(),
                suite.tracks.join(", "),
            ]
        })
        .collect();
    table(&["SUITE", "PROBLEMS", "TRACKS"], &rows)
}

fn describe(suite: &SuiteView) -> String {
    format!(
        "{} ({})\nproblems  {}\ntracks    {}\nsha256    {}\n",
        suite.name,
        suite.title,
        suite.n_problems,
        suite.tracks.join(", "),
        suite.digest
    )
}
