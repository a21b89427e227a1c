//! `trimtab models`: the catalog, and the model files on this machine.

use super::{context::Context, progress::Progress, table::table};
use clap::Subcommand;
use serde::Serialize;
use std::path::PathBuf;
use trimtab_domain::{Failure, ModelName, ModelView};
use trimtab_service::Service;

/// What to do with models.
#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// List the models that can be pulled or were imported, with their variants.
    List,
    /// Fetch a model of the catalog and check its digest.
    Pull {
        /// Name in the catalog.
        name: ModelName,
    },
    /// Copy a GGUF file or a model folder into the data folder.
    Import {
        /// The file or folder.
        path: PathBuf,
        /// Name to give it [default: made from the file's name].
        #[arg(long)]
        name: Option<ModelName>,
    },
    /// Show one model and its variants.
    Show {
        /// The model.
        name: ModelName,
    },
    /// Read a model file again and compare its digest.
    Verify {
        /// The model.
        name: ModelName,
    },
    /// Remove a model and its variants from the data folder.
    Rm {
        /// The model.
        name: ModelName,
    },
}

#[derive(Debug, Serialize)]
struct Verified<'a> {
    model: &'a ModelName,
    is_verified: bool,
}

#[derive(Debug, Serialize)]
struct Removed<'a> {
    removed: &'a ModelName,
}

/// Carries the command out.
pub(super) async fn run(command: ModelsCommand, context: &Context) -> Result<(), Failure> {
    let service = context.service().await?;
    let output = context.output;
    match command {
        ModelsCommand::List => {
            let models = service.models().await?;
            output.answer(&models, || list(&models))
        }
        ModelsCommand::Pull { name } => {
            let mut progress = Progress::new(output);
            service
                .ensure_model(&name, |event| progress.on_job_event(event))
                .await?;
            drop(progress);
            show(&name, service, context).await
        }
        ModelsCommand::Import { path, name } => {
            let model = service.import_model(&path, name).await?;
            output.answer(&model, || describe(&model))
        }
        ModelsCommand::Show { name } => show(&name, service, context).await,
        ModelsCommand::Verify { name } => {
            service.verify_model(&name).await?;
            output.answer(
                &Verified {
                    model: &name,
                    is_verified: true,
                },
                || format!("{name} is what its digest says"),
            )
        }
        ModelsCommand::Rm { name } => {
            service.remove_model(&name).await?;
            output.answer(&Removed { removed: &name }, || format!("removed {name}"))
        }
    }
}

async fn show(name: &ModelName, service: &Service, context: &Context) -> Result<(), Failure> {
    let model = service.model(name).await?;
    context.output.answer(&model, || describe(&model))
}

fn list(models: &[ModelView]) -> String {
    let rows: Vec<Vec<String>> = models
        .iter()
        .map(|model| {
            vec![
                model.name.to_string(),
                model.size.to_string(),
                if model.is_fetched {
                    "here"
                } else {
                    "can be pulled"
                }
                .to_owned(),
                model.variants.len().to_string(),
                model.licence.clone(),
            ]
        })
        .collect();
    table(&["MODEL", "SIZE", "FILE", "VARIANTS", "LICENCE"], &rows)
}

fn describe(model: &ModelView) -> String {
    let mut text = format!(
        "{} ({})\n{}\nlicence       {}\nsize          {}\nsha256        {}\nfile          {}\narchitecture  {}\n",
        model.name,
        model.title,
        model.summary,
        model.licence,
        model.size,
        model.digest,
        if model.is_fetched {
            "on this machine"
        } else {
            "not fetched yet"
        },
        model.architecture.as_deref().unwrap_or("not known yet"),
    );
    if !model.variants.is_empty() {
        let rows: Vec<Vec<String>> = model
            .variants
            .iter()
            .map(|variant| {
                vec![
                    variant.name.to_string(),
                    variant.scheme.clone(),
                    variant.size.to_string(),
                    format!("{:.2}", variant.bits_per_weight),
                    variant.digest.short().to_owned(),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(
            &["VARIANT", "SCHEME", "SIZE", "BITS/WEIGHT", "DIGEST"],
            &rows,
        ));
    }
    text
}
