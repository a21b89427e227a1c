//! Trains a low-rank adapter from beginning to end, or from its last checkpoint on.

use super::{
    Distillation, Example, ExampleCounts, ModelSource, StepReport, TeacherInputs, TrainError,
    TrainInputs, TrainSettings, Trainer,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::path::Path;
use trimtab_models::{
    Artifact,
    peft::{LoraSettings, PeftAdapter, adaptable_linears},
};

/// What is trained, on what, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct LoraTraining<'a> {
    /// The base model as an artifact; its weights stay as they are, in any format.
    pub artifact: &'a Path,
    /// What the adapter's settings call the base model.
    pub base_model: &'a str,
    /// Settings of the adapter.
    pub lora: &'a LoraSettings,
    /// A model to learn from, as an artifact, and how; without one the examples alone are learned.
    pub teacher: Option<(&'a Path, Distillation)>,
    /// Settings of the training.
    pub settings: TrainSettings,
    /// Folder of the adapter and of the checkpoint; a checkpoint that is there is gone on from.
    pub folder: &'a Path,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
}

/// What a training made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraReport {
    /// What was learned from.
    pub counts: ExampleCounts,
    /// Numbers of the adapter.
    pub n_trained: usize,
    /// The last step.
    pub last: Option<StepReport>,
    /// Mean cross-entropy of the learned tokens of the first examples before the first step.
    pub loss_before: f64,
    /// The same after the last.
    pub loss_after: f64,
    /// How many examples these are.
    pub n_compared: usize,
}

/// Examples whose loss is compared before and after.
const N_COMPARED: usize = 32;

/// Name of the checkpoint in the folder; it is removed when the adapter is written.
const CHECKPOINT: &str = "training.safetensors";

/// Trains an adapter and writes it as a PEFT folder. `on_step` hears of every step.
///
/// # Errors
///
/// [`TrainError`]; the last checkpoint stays, and the next call goes on from it.
pub fn train_lora(
    training: LoraTraining<'_>,
    examples: Vec<Example>,
    on_step: &mut dyn FnMut(&StepReport),
) -> Result<LoraReport, TrainError> {
    let artifact = Artifact::open(training.artifact)?;
    let adapter = new_adapter(&artifact, training.lora, training.settings.seed)?;
    let teacher = match training.teacher {
        Some((path, loss)) => Some((Artifact::open(path)?, loss)),
        None => None,
    };
    let teacher = teacher.as_ref();
    let inputs = TrainInputs {
        artifact: &artifact,
        adapter: &adapter,
        lora: training.lora,
        teacher: teacher.map(|(artifact, loss)| TeacherInputs {
            model: ModelSource::Artifact(artifact),
            loss: *loss,
            hidden: None,
            stored: None,
        }),
    };
    let mut trainer = Trainer::new(inputs, training.settings, examples)?;
    let folder = training.folder;
    let io_error = |source| TrainError::Io {
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(io_error)?;
    let checkpoint = folder.join(CHECKPOINT);
    let loss_before = trainer.mean_loss(N_COMPARED);
    trainer.resume(&checkpoint)?;
    let mut last = None;
    while !trainer.is_done() {
        let report = trainer.step()?;
        on_step(&report);
        last = Some(report);
        if report.step.is_multiple_of(training.checkpoint_every.max(1)) {
            trainer.save(&checkpoint)?;
        }
    }
    trainer
        .adapter()
        .write(folder, training.lora, training.base_model)?;
    match std::fs::remove_file(&checkpoint) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io_error(error)),
        _ => {}
    }
    Ok(LoraReport {
        loss_before,
        loss_after: trainer.mean_loss(N_COMPARED),
        n_compared: trainer.counts().n_examples.min(N_COMPARED),
        counts: trainer.counts(),
        n_trained: trainer.n_trained(),
        last,
    })
}

/// An adapter that changes nothing yet.
///
/// # Errors
///
/// Impossible settings, and targets that the model does not have.
pub fn new_adapter(
    artifact: &Artifact,
    lora: &LoraSettings,
    seed: u64,
) -> Result<PeftAdapter, TrainError> {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    // The order of examples has the streams from 0 on.
    random.set_stream(u64::MAX);
    let mut uniform = || random.random::<f32>() * 2.0 - 1.0;
    let linears = adaptable_linears(&artifact.header().config);
    Ok(PeftAdapter::start(lora, &linears, &mut uniform)?)
}
