//! `trimtab train lora`: trains a low-rank adapter on instruction data.

use super::{context::Context, progress::Progress};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use trimtab_domain::{
    AdapterReport, Bytes, CalibrationForm, Failure, LoraOptions, ModelName, RateDecay, VariantName,
};
use trimtab_service::LoraRequest;

/// What can be trained.
#[derive(Debug, Subcommand)]
pub(super) enum TrainCommand {
    /// Train a low-rank adapter beside a variant whose weights stay as they are.
    ///
    /// An adapter does not make a model smaller: it is deployed together with its variant.
    /// Killed and started again with the same options, training goes on where it was.
    Lora(Box<LoraArgs>),
}

/// How prompt and completion become one text.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// In the model's chat form.
    Chat,
    /// One after the other.
    Raw,
}

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Decay {
    /// Half a cosine, to zero.
    Cosine,
    /// A straight line, to zero.
    Linear,
    /// Not at all.
    Constant,
}

/// Options of `train lora`.
#[derive(Debug, Args)]
pub(super) struct LoraArgs {
    /// The model; fetched first if it is in the catalog.
    #[arg(long, value_name = "NAME")]
    model: ModelName,
    /// Preset of the frozen weights, made first if it is missing: `int8` and `int4` take the least
    /// memory.
    #[arg(long, value_name = "PRESET", default_value = "f16")]
    base: String,
    /// The data: on each line a JSON document with `prompt`, which is read, and `completion`, which
    /// is learned.
    #[arg(long, value_name = "FILE.jsonl")]
    data: PathBuf,
    /// Folder of the adapter, as PEFT reads it: one that is not there yet, or empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How prompt and completion become one text.
    #[arg(long, value_enum, default_value = "chat")]
    form: Form,
    /// Rank of the factors.
    #[arg(long, default_value_t = 8)]
    rank: u32,
    /// The change of a layer is multiplied by alpha over the rank [default: twice the rank].
    #[arg(long)]
    alpha: Option<f64>,
    /// Multiply by alpha over the square root of the rank instead.
    #[arg(long)]
    rank_stabilised: bool,
    /// Share of a layer's inputs that the adapter does not see while it is trained.
    #[arg(long, default_value_t = 0.0)]
    dropout: f64,
    /// Layers to train, by the end of their names; may be given more than once
    /// [default: `q_proj` and `v_proj`].
    #[arg(
        long = "target",
        value_name = "NAME",
        conflicts_with = "target_pattern"
    )]
    targets: Vec<String>,
    /// Layers to train, by a regular expression for their whole names.
    #[arg(long, value_name = "REGEX")]
    target_pattern: Option<String>,
    /// Updates.
    #[arg(long, default_value_t = 100)]
    steps: u32,
    /// Steps over which the learning rate rises from zero [default: a tenth of the steps].
    #[arg(long)]
    warm_up: Option<u32>,
    /// Highest learning rate.
    #[arg(long, default_value_t = 2e-4)]
    learning_rate: f64,
    /// How the learning rate falls after the warm-up.
    #[arg(long, value_enum, default_value = "cosine")]
    decay: Decay,
    /// Share of a factor that is taken off at a step, before the learning rate.
    #[arg(long, default_value_t = 0.0)]
    weight_decay: f64,
    /// Largest norm of all gradients together; larger ones are scaled down to it.
    #[arg(long, default_value_t = 1.0)]
    max_gradient_norm: f64,
    /// Tokens of a batch, filled with whole examples.
    #[arg(long, default_value_t = 512)]
    batch_tokens: u32,
    /// Batches whose gradients are added before an update.
    #[arg(long, default_value_t = 1)]
    accumulate: u32,
    /// Tokens of an example; what is longer is cut.
    #[arg(long, default_value_t = 512)]
    max_length: u32,
    /// Compute activations again in the backward pass: less memory for more time.
    #[arg(long)]
    recompute: bool,
    /// Seed of the first factors, the order of examples and dropout.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl LoraArgs {
    fn request(self) -> Result<LoraRequest, Failure> {
        let defaults = LoraOptions::default();
        let options = LoraOptions {
            form: match self.form {
                Form::Chat => CalibrationForm::Chat,
                Form::Raw => CalibrationForm::Raw,
            },
            rank: self.rank,
            alpha: self.alpha.unwrap_or(2.0 * f64::from(self.rank)),
            is_rank_stabilised: self.rank_stabilised,
            dropout: self.dropout,
            targets: match (&self.target_pattern, self.targets.is_empty()) {
                (Some(_), _) => Vec::new(),
                (None, true) => defaults.targets,
                (None, false) => self.targets,
            },
            pattern: self.target_pattern,
            steps: self.steps,
            warm_up: self.warm_up.unwrap_or(self.steps / 10),
            learning_rate: self.learning_rate,
            decay: match self.decay {
                Decay::Cosine => RateDecay::Cosine,
                Decay::Linear => RateDecay::Linear,
                Decay::Constant => RateDecay::Constant,
            },
            weight_decay: self.weight_decay,
            max_gradient_norm: self.max_gradient_norm,
            batch_tokens: self.batch_tokens,
            accumulated: self.accumulate,
            max_length: self.max_length,
            recomputes: self.recompute,
            seed: self.seed,
        };
        Ok(LoraRequest {
            base: VariantName::of_preset(&self.model, &self.base).map_err(Failure::bad_input)?,
            data: self.data,
            options,
            out: self.out,
        })
    }
}

/// The JSON answer.
#[derive(Debug, Serialize)]
struct Trained<'a> {
    path: &'a Path,
    #[serde(flatten)]
    report: &'a AdapterReport,
    deployed_size: Bytes,
}

/// Trains.
pub(super) async fn run(command: TrainCommand, context: &Context) -> Result<(), Failure> {
    let TrainCommand::Lora(arguments) = command;
    let model = arguments.model.clone();
    let request = arguments.request()?;
    let out = request.out.clone();
    let service = context.service().await?;
    let mut progress = Progress::new(context.output);
    let report = service
        .train_lora(request, |event| progress.on_job_event(event))
        .await?;
    drop(progress);
    let answer = Trained {
        path: &out,
        report: &report,
        deployed_size: report.deployed_size(),
    };
    context
        .output
        .answer(&answer, || describe(&report, &model, &out))
}

fn describe(report: &AdapterReport, model: &ModelName, out: &Path) -> String {
    let mut text = format!(
        "adapter in {} ({}, {} numbers)\nto deploy: {} = {} of {} and {} of the adapter; an adapter \
         does not make a model smaller\n",
        out.display(),
        report.size,
        report.n_parameters,
        report.deployed_size(),
        report.base_size,
        report.base,
        report.size,
    );
    let _ = writeln!(
        text,
        "loss of the first {} examples: {:.4} before, {:.4} after",
        report.n_compared, report.loss_before, report.loss_after
    );
    for (n, what) in [
        (report.n_cut, "were longer and were cut"),
        (report.n_dropped, "have no token to learn and were left out"),
    ] {
        if n > 0 {
            let _ = writeln!(text, "note: {n} examples {what}");
        }
    }
    let _ = writeln!(
        text,
        "merge it: trimtab compress --model {model} --recipe int8 --adapter {}",
        out.display()
    );
    text
}
