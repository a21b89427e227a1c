//! The worker's side: one job, done in this process, told as events.
//!
//! A worker never opens the database. What it needs to know comes in as [`WorkerInput`], what it
//! has done goes out as [`JobEvent`]s; its supervisor stores them.

use crate::{
    DataPaths, FetchSettings, adapter_training, catalog_fetch, compression, dataset_files, hardware,
};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use trimtab_domain::{
    DeviceName, Digest, EvaluateSpec, Failure, JobEvent, JobId, JobSpec, LoraSpec, ModelName,
    Recipe, SuiteReferences, VariantName, catalog,
};
use trimtab_eval::EvaluateRequest;
use trimtab_store::DoneKey;

/// What a worker is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerInput {
    /// The job.
    pub job_id: JobId,
    /// What to do.
    pub spec: JobSpec,
    /// The data folder.
    pub paths: DataPaths,
    /// Where models are computed.
    pub device: DeviceName,
    /// Digest of the model's file; absent for a fetch.
    pub model: Option<Digest>,
    /// Digest of the artifact to evaluate.
    pub artifact: Option<Digest>,
    /// Answers that are graded already: suite, problem, sample.
    pub done: Vec<DoneKey>,
    /// What the references of the run's suites have told already.
    pub references: Vec<SuiteReferences>,
    /// Whether the perplexity has landed already.
    pub has_perplexity: bool,
    /// Whether speed and memory have landed already.
    pub has_performance: bool,
}

/// Longest input read: the keys of some hundred thousand answers, and the cases of as many references.
const MAX_INPUT_BYTES: u64 = 256 << 20;

/// Reads the input from standard input, does the job, writes its events to standard output as
/// JSON lines, and returns the exit code: 0 after `finished`, 1 after `failed`, 2 without input.
pub fn run_stdio() -> u8 {
    let mut text = String::new();
    let input: Option<WorkerInput> = io::stdin()
        .lock()
        .take(MAX_INPUT_BYTES)
        .read_to_string(&mut text)
        .ok()
        .and_then(|_| serde_json::from_str(&text).ok());
    let Some(input) = input else {
        tracing::error!("a worker is started by `trimtab` itself: no job on standard input");
        return 2;
    };
    if let JobSpec::Compress { .. } | JobSpec::TrainLora { .. } = input.spec {
        trimtab_runtime::keep_freed_memory();
    }
    let outcome = run(input, &mut say);
    match outcome {
        Ok(()) => {
            say(JobEvent::Finished);
            0
        }
        Err(failure) => {
            say(JobEvent::Failed { failure });
            1
        }
    }
}

fn say(event: JobEvent) {
    let line = serde_json::to_string(&event).expect("wire types have string keys");
    let mut stdout = io::stdout().lock();
    if writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .is_err()
    {
        // Without a supervisor the results of further work would be lost.
        std::process::abort();
    }
}

/// Does one job; `sink` hears everything but the last word, which is the return value.
///
/// # Errors
///
/// Why the job failed, with a hint where the user can act.
pub fn run(input: WorkerInput, sink: &mut (dyn FnMut(JobEvent) + Send)) -> Result<(), Failure> {
    match &input.spec {
        JobSpec::Fetch { model } => fetch(model, &input.paths, sink),
        JobSpec::Compress {
            model,
            recipe,
            variant,
        } => compress(&input, (model, recipe, variant), sink),
        JobSpec::TrainLora { base, lora } => train_lora(&input, (base, lora), sink),
        JobSpec::Evaluate(spec) => evaluate(&input, spec, sink),
    }
}

fn fetch(
    model: &ModelName,
    paths: &DataPaths,
    sink: &mut (dyn FnMut(JobEvent) + Send),
) -> Result<(), Failure> {
    let entry = catalog()
        .into_iter()
        .find(|entry| entry.name == *model)
        .ok_or_else(|| Failure::not_found(format!("model `{model}` is not in the catalog")))?;
    catalog_fetch::fetch(&entry, paths, &FetchSettings::from_env(), sink)
}

fn model_file(input: &WorkerInput) -> Result<PathBuf, Failure> {
    let digest = input.model.as_ref().ok_or_else(|| bug("no model file"))?;
    Ok(input.paths.models()?.path(digest))
}

fn compress(
    input: &WorkerInput,
    (model, recipe, variant): (&ModelName, &Recipe, &VariantName),
    sink: &mut (dyn FnMut(JobEvent) + Send),
) -> Result<(), Failure> {
    let job = compression::Job {
        input,
        model_file: &model_file(input)?,
        base: input.model.as_ref().ok_or_else(|| bug("no model"))?,
        model,
        recipe,
        variant,
    };
    // Without calibration a recipe reads, rounds and writes, which the processor does.
    match recipe.calibration() {
        None => job.run(sink),
        Some(_) => trimtab_eval::on_device(input.device, sink, |_, sink| job.run(sink)),
    }
}

fn train_lora(
    input: &WorkerInput,
    (base, lora): (&VariantName, &LoraSpec),
    sink: &mut (dyn FnMut(JobEvent) + Send),
) -> Result<(), Failure> {
    let artifact = input.artifact.as_ref().ok_or_else(|| bug("no artifact"))?;
    let training = adapter_training::Training {
        paths: &input.paths,
        model_file: &model_file(input)?,
        artifact,
        base,
        lora,
    };
    training.run(sink)
}

fn evaluate(
    input: &WorkerInput,
    spec: &EvaluateSpec,
    sink: &mut (dyn FnMut(JobEvent) + Send),
) -> Result<(), Failure> {
    let artifact = input.artifact.as_ref().ok_or_else(|| bug("no artifact"))?;
    let request = EvaluateRequest {
        device: input.device,
        suites: spec
            .suites
            .iter()
            .map(|name| dataset_files::load(&input.paths, name))
            .collect::<Result<_, _>>()?,
        spec: spec.clone(),
        artifact: input.paths.artifacts()?.path(artifact),
        model_file: model_file(input)?,
        done: input.done.iter().cloned().collect(),
        references: input.references.clone(),
        has_perplexity: input.has_perplexity,
        has_performance: input.has_performance,
        free_memory: hardware::free_memory_of,
    };
    Ok(trimtab_eval::evaluate(&request, sink)?)
}

fn bug(what: &str) -> Failure {
    Failure::new(
        trimtab_domain::FailureKind::Bug,
        format!("the worker was given {what}"),
    )
}
