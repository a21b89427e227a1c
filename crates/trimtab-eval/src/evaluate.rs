//! One evaluation job: load a variant, measure its speed, score the bundled text, solve the suites.
//!
//! Every result is an event as soon as it is known, and what the request says is known already is
//! not done again, so that a killed job goes on where it stopped.

use crate::card::on_device;
use crate::performance::{measure, throughput_matrix};
use crate::prepare::{Ready, prepare};
use crate::solve::solve;
use crate::{EvalError, perplexity_text, perplexity_text_names};
use std::{collections::HashSet, path::PathBuf, sync::Arc};
use trimtab_domain::{
    Bytes, DeviceName, EvaluateSpec, JobEvent, LogLevel, PerformanceDepth, PerplexityResult,
    SuiteReferences,
};
use trimtab_metrics::perplexity;
use trimtab_runtime::{CardMeter, DeviceLease, Engine, RuntimeError};
use trimtab_sandbox::Sandbox;
use trimtab_suites::{Grader, Suite};

/// Window of the bundled text's perplexity.
const PERPLEXITY_CONTEXT: usize = 512;

/// What to evaluate, and what is known already.
#[derive(Clone, Debug)]
pub struct EvaluateRequest {
    /// The job.
    pub spec: EvaluateSpec,
    /// The suites that the job names, whole.
    pub suites: Vec<Suite>,
    /// Where the model is computed.
    pub device: DeviceName,
    /// The variant's artifact.
    pub artifact: PathBuf,
    /// The model file that holds tokenizer and chat template.
    pub model_file: PathBuf,
    /// What references of the suites have told earlier in the run.
    pub references: Vec<SuiteReferences>,
    /// Graded answers: suite, problem, sample.
    pub done: HashSet<(String, String, u32)>,
    /// Whether the bundled text was scored.
    pub has_perplexity: bool,
    /// Whether speed was measured.
    pub has_performance: bool,
    /// Memory of a device that is free now, where a cache may not fit it.
    pub free_memory: fn(DeviceName) -> Option<Bytes>,
}

type Sink<'a> = dyn FnMut(JobEvent) + Send + 'a;

/// Does the job; every result goes to `sink`.
///
/// # Errors
///
/// [`EvalError`] where nothing more can be learnt; results sent before stay true.
pub fn evaluate(request: &EvaluateRequest, sink: &mut Sink<'_>) -> Result<(), EvalError> {
    // Before minutes are spent on answers that could not be graded.
    let sandbox = Sandbox::detect()?;
    let limit = request.spec.limit;
    let limit = limit.map_or(usize::MAX, |limit| limit as usize);
    let suites: Vec<Suite> = request
        .suites
        .iter()
        .map(|suite| suite.clone().limited(limit))
        .collect();
    let grader = Arc::new(Grader::new(sandbox, &suites));
    let variant = &request.spec.variant;
    let ready = prepare(&grader, variant, suites, &request.references, sink)?;
    // Loading is timed as well.
    let lease = match request.has_performance {
        true => None,
        false => Some(take_lease(request, sink)?),
    };
    on_device(request.device, sink, |card, sink| {
        work(request, &grader, &ready, (lease, card), sink)
    })
}

/// All that a device is needed for.
fn work(
    request: &EvaluateRequest,
    grader: &Arc<Grader>,
    ready: &[Ready],
    (lease, card): (Option<DeviceLease>, Option<&CardMeter>),
    sink: &mut Sink<'_>,
) -> Result<(), EvalError> {
    progress(sink, "Loading the variant", 0, 1);
    let engine = Engine::load(&request.artifact, &request.model_file, request.device)?
        .with_kv_cache(request.spec.decoding.kv_cache);
    progress(sink, "Loading the variant", 1, 1);
    if let Some(lease) = lease {
        measure_performance(&engine, (&lease, card), request, sink)?;
    }
    if !request.has_perplexity {
        let result = score_text(&engine, sink)?;
        sink(JobEvent::PerplexityMeasured {
            variant: request.spec.variant.clone(),
            result,
        });
    }
    for suite in ready {
        solve(&engine, grader, request, suite, sink)?;
    }
    Ok(())
}

fn progress(sink: &mut Sink<'_>, stage: &str, n_done: usize, n_total: usize) {
    sink(JobEvent::Progress {
        stage: stage.to_owned(),
        n_done: n_done as u64,
        n_total: n_total as u64,
    });
}

/// The right to measure, waited for in words.
fn take_lease(request: &EvaluateRequest, sink: &mut Sink<'_>) -> Result<DeviceLease, EvalError> {
    let purpose = format!("evaluation of {}", request.spec.variant);
    let mut is_told = false;
    let lease = DeviceLease::take(request.device, &purpose, &mut |words| {
        if !is_told {
            is_told = true;
            sink(JobEvent::Log {
                level: LogLevel::Info,
                message: words.to_owned(),
            });
        }
        // Told again and again, so that the supervisor knows that this process lives.
        progress(sink, words, 0, 1);
    })
    .map_err(RuntimeError::from)?;
    Ok(lease)
}

fn measure_performance(
    engine: &Engine,
    (lease, card): (&DeviceLease, Option<&CardMeter>),
    request: &EvaluateRequest,
    sink: &mut Sink<'_>,
) -> Result<(), EvalError> {
    let on_stage =
        &mut |stage: &str, n_done: usize, n_total: usize| progress(sink, stage, n_done, n_total);
    let mut result = measure(engine, lease, card, on_stage)?;
    if request.spec.performance == PerformanceDepth::Full {
        let free_memory = &|| (request.free_memory)(request.device);
        let matrix = throughput_matrix(engine, lease, free_memory, on_stage)?;
        result.matrix = Some(Box::new(matrix));
    }
    sink(JobEvent::PerformanceMeasured {
        variant: request.spec.variant.clone(),
        result,
    });
    Ok(())
}

fn score_text(engine: &Engine, sink: &mut Sink<'_>) -> Result<PerplexityResult, EvalError> {
    let text = perplexity_text(perplexity_text_names()[0])?;
    let ids = engine.encode_text(text.text)?;
    let context = PERPLEXITY_CONTEXT.min(engine.max_len());
    let scores = engine.score(&ids, context, &mut |done, total| {
        progress(sink, "Scoring the bundled text", done, total);
    })?;
    let estimate = perplexity(&scores.log_probs)?;
    Ok(PerplexityResult {
        perplexity: estimate.value,
        low: estimate.low,
        high: estimate.high,
        n_tokens: estimate.n,
        context: context as u32,
        text: text.name.to_owned(),
        kv_cache: engine.kv_cache_format(),
    })
}
