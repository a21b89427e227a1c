//! `trimtab datasets`: the suites of problems, and what they are read from.

use super::{context::Context, table::table};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use trimtab_domain::{DatasetView, Failure};
use trimtab_service::DatasetImport;

/// What to do with data sets.
#[derive(Debug, Subcommand)]
pub(super) enum DatasetsCommand {
    /// List the suites that are here, and the data sets of the catalog.
    List,
    /// Show one data set: licence, digests, sources.
    Show {
        /// Its name.
        name: String,
    },
    /// Fetch a data set of the catalog from its mirror and check its digests.
    Pull {
        /// Name in the catalog.
        name: String,
    },
    /// Copy the files of a data set into the data folder.
    Import(ImportArgs),
}

/// Options of `import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The files, in the order in which the format wants them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Name of the suite.
    #[arg(long)]
    name: String,
    /// Format: own, human-eval, human-eval-plus, mbpp, quix-bugs, md-eval or code-xglue
    /// [default: the catalog's for one of its names, else own].
    #[arg(long)]
    format: Option<String>,
    /// Which field of the file stands for which of a problem; for format own.
    #[arg(long, value_name = "OURS=THEIRS,…", default_value = "")]
    fields: String,
    /// Name for people.
    #[arg(long)]
    title: Option<String>,
    /// Licence of the data.
    #[arg(long)]
    licence: Option<String>,
}

/// Carries the command out.
pub(super) async fn run(command: DatasetsCommand, context: &Context) -> Result<(), Failure> {
    let service = context.service().await?;
    let shown = match command {
        DatasetsCommand::List => {
            let datasets = service.datasets().await?;
            return context.output.answer(&datasets, || list(&datasets));
        }
        DatasetsCommand::Show { name } => service
            .datasets()
            .await?
            .into_iter()
            .find(|dataset| dataset.name == name)
            .ok_or_else(|| {
                Failure::not_found(format!("there is no data set `{name}`"))
                    .with_hint("`trimtab datasets list` shows what there is")
            })?,
        DatasetsCommand::Pull { name } => service.pull_dataset(&name).await?,
        DatasetsCommand::Import(arguments) => {
            let ImportArgs {
                files,
                name,
                format,
                fields,
                title,
                licence,
            } = arguments;
            let import = DatasetImport {
                files,
                name,
                title,
                licence,
                format,
                fields,
            };
            service.import_dataset(import).await?
        }
    };
    context.output.answer(&shown, || describe(&shown))
}

fn list(datasets: &[DatasetView]) -> String {
    let rows: Vec<Vec<String>> = datasets
        .iter()
        .map(|dataset| {
            let n_problems = dataset.n_problems;
            vec![
                dataset.name.clone(),
                dataset.state.as_str().to_owned(),
                n_problems.map_or_else(|| "–".to_owned(), |n| n.to_string()),
                dataset.tracks.join(", "),
                dataset.licence.clone(),
            ]
        })
        .collect();
    table(&["SUITE", "STATE", "PROBLEMS", "TRACKS", "LICENCE"], &rows)
}

fn describe(dataset: &DatasetView) -> String {
    let mut lines = vec![
        format!("{} ({})", dataset.name, dataset.title),
        format!("state     {}", dataset.state.as_str()),
        format!("licence   {}", dataset.licence),
    ];
    if let Some(damage) = &dataset.damage {
        lines.push(format!("damage    {damage}"));
    }
    if let (Some(n_problems), Some(digest)) = (dataset.n_problems, &dataset.digest) {
        lines.push(format!("problems  {n_problems}"));
        lines.push(format!("tracks    {}", dataset.tracks.join(", ")));
        lines.push(format!("sha256    {digest}"));
    }
    for file in &dataset.files {
        lines.push(format!("file      {} ({})", file.sha256, file.size));
        for source in &file.sources {
            lines.push(format!("          {source}"));
        }
    }
    lines.join("\n") + "\n"
}
