//! One evaluation job: load a variant, measure its speed, score the bundled text, solve the suites.
//!
//! Every result is an event as soon as it is known, and what the request says is known already is
//! not done again, so that a killed job goes on where it stopped.

use crate::solve::{prepare, solve};
use crate::{EvalError, perplexity_text, perplexity_text_names};
use std::{collections::HashSet, path::PathBuf, sync::Arc};
use trimtab_domain::{DeviceName, EvaluateSpec, JobEvent, Performance, PerplexityResult, Spread};
use trimtab_metrics::{perplexity, spread};
use trimtab_runtime::{Engine, SpeedTest, peak_memory};
use trimtab_sandbox::Sandbox;
use trimtab_suites::{Grader, Suite};

/// Window of the bundled text's perplexity.
const PERPLEXITY_CONTEXT: usize = 512;

/// Speed is measured on a prompt and an answer of these lengths, so that variants compare.
const SPEED_TEST: SpeedTest = SpeedTest {
    n_prompt: 256,
    n_gen: 64,
    n_parallel: 1,
    n_repeats: 5,
};

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
    /// Graded answers: suite, problem, sample.
    pub done: HashSet<(String, String, u32)>,
    /// Whether the bundled text was scored.
    pub has_perplexity: bool,
    /// Whether speed was measured.
    pub has_performance: bool,
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
    let ready = prepare(&grader, &request.spec.variant, suites, sink)?;
    progress(sink, "Loading the variant", 0, 1);
    let engine = Engine::load(&request.artifact, &request.model_file, request.device)?
        .with_kv_cache(request.spec.decoding.kv_cache);
    progress(sink, "Loading the variant", 1, 1);
    if !request.has_performance {
        let result = measure(&engine, sink)?;
        sink(JobEvent::PerformanceMeasured {
            variant: request.spec.variant.clone(),
            result,
        });
    }
    if !request.has_perplexity {
        let result = score_text(&engine, sink)?;
        sink(JobEvent::PerplexityMeasured {
            variant: request.spec.variant.clone(),
            result,
        });
    }
    for suite in &ready {
        solve(&engine, &grader, request, suite, sink)?;
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

fn measure(engine: &Engine, sink: &mut Sink<'_>) -> Result<Performance, EvalError> {
    let SpeedTest {
        n_prompt, n_gen, ..
    } = SPEED_TEST;
    // A model with a short context is measured on as much as it holds.
    let n_prompt = n_prompt.min(engine.max_len().saturating_sub(n_gen).max(1));
    let n_gen = n_gen.min(engine.max_len() - n_prompt);
    let test = SpeedTest {
        n_prompt,
        n_gen,
        ..SPEED_TEST
    };
    let repeats = engine.measure_speed(test, &mut |done, total| {
        progress(sink, "Measuring speed", done, total);
    })?;
    let rate = |n_tokens: usize, nanos: &[u64]| -> Spread {
        let rates: Vec<f64> = nanos
            .iter()
            .map(|ns| n_tokens as f64 * 1e9 / *ns as f64)
            .collect();
        spread(&rates).expect("repeats of real work take time")
    };
    Ok(Performance {
        prefill_tokens_per_s: rate(n_prompt, &repeats.prefill_ns),
        decode_tokens_per_s: rate(n_gen, &repeats.decode_ns),
        n_prompt: n_prompt as u32,
        n_gen: n_gen as u32,
        n_threads: trimtab_runtime::n_threads() as u32,
        load_ms: engine.load_ms(),
        peak_memory: peak_memory().ok_or(EvalError::PeakMemory)?,
        weights: engine.weights(),
        kv_cache: engine.kv_cache(n_prompt + n_gen),
    })
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
