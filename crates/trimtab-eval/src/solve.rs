//! Answers to the problems of a suite: several are generated side by side, and those that are ready
//! are graded meanwhile.
//!
//! A problem waits outside the batch until there is a place, so that the time to its first token
//! does not count the time that others took.

use crate::{
    EvalError, EvaluateRequest,
    judge::{Judged, Standards},
    prepare::Ready,
};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use trimtab_domain::{
    AnswerDetail, AnswerTokens, CompletionScore, JobEvent, LogLevel, PromptStyle, Verdict,
};
use trimtab_runtime::{
    Batch, BatchOptions, Engine, Generation, GenerationRequest, Sampling, SequenceId,
};
use trimtab_sandbox::Pool;
use trimtab_suites::{Ask, Grader, Problem, Suite, ask, is_complete_in};

/// Answers generated side by side: more gain little on processors and take memory for their caches.
const N_SLOTS: usize = 16;

type Sink<'a> = dyn FnMut(JobEvent) + Send + 'a;

/// One answer to be made.
struct Task<'a> {
    problem: &'a Problem,
    sample_idx: u32,
    prompt_ids: Vec<u32>,
    stop: Vec<String>,
}

/// An answer to be graded.
struct Answer {
    problem: Problem,
    sample_idx: u32,
    generation: Generation,
}

type Graded = (Answer, Result<Judged, EvalError>);

/// Solves what is not solved yet; every result goes to `sink`.
pub(crate) fn solve(
    engine: &Engine,
    grader: &Arc<Grader>,
    request: &EvaluateRequest,
    ready: &Ready,
    sink: &mut Sink<'_>,
) -> Result<(), EvalError> {
    let Ready { suite, standards } = ready;
    let style = request.spec.decoding.prompt_style;
    let mut tasks = tasks(engine, request, ready)?;
    let stage = format!("Solving suite {}", suite.name);
    let asked = suite
        .problems
        .iter()
        .filter(|problem| standards.has(problem));
    let n_total = asked.count() as u64 * u64::from(request.spec.decoding.n_samples);
    let mut n_done = n_total - tasks.len() as u64;
    sink(progress(&stage, n_done, n_total));
    if tasks.is_empty() {
        return Ok(());
    }
    let pool = grading_pool(grader.clone(), standards.clone(), style);
    let mut batch = Batch::new(engine, options(engine, request, &tasks))?;
    let mut running: HashMap<SequenceId, Task<'_>> = HashMap::new();
    while !tasks.is_empty() || !batch.is_idle() {
        while batch.n_running() + batch.n_queued() < N_SLOTS
            && let Some(task) = tasks.pop_front()
        {
            let id = submit(&mut batch, request, &task)?;
            running.insert(id, task);
        }
        for ended in batch.step() {
            let task = running
                .remove(&ended.sequence)
                .expect("every sequence was noted when it was submitted");
            pool.submit(Answer {
                problem: task.problem.clone(),
                sample_idx: task.sample_idx,
                generation: ended.outcome?,
            });
        }
        while let Some(graded) = pool.try_answer() {
            n_done += 1;
            tell(request, suite, graded, sink)?;
            sink(progress(&stage, n_done, n_total));
        }
    }
    for graded in pool.finish() {
        tell(request, suite, graded, sink)?;
    }
    sink(progress(&stage, n_total, n_total));
    Ok(())
}

/// What is left to do, with prompts as tokens.
fn tasks<'a>(
    engine: &Engine,
    request: &EvaluateRequest,
    ready: &'a Ready,
) -> Result<VecDeque<Task<'a>>, EvalError> {
    let decoding = &request.spec.decoding;
    let mut tasks = VecDeque::new();
    for problem in &ready.suite.problems {
        if !ready.standards.has(problem) {
            continue;
        }
        let (prompt_ids, stop) = match ask(problem, decoding.prompt_style)? {
            Ask::Message(message) => (engine.encode_chat(&message)?, Vec::new()),
            Ask::Beginning { text, stops } => (engine.encode_raw(&text)?, stops),
        };
        for sample_idx in 0..decoding.n_samples {
            let key = (ready.suite.name.clone(), problem.id.clone(), sample_idx);
            if !request.done.contains(&key) {
                tasks.push_back(Task {
                    problem,
                    sample_idx,
                    prompt_ids: prompt_ids.clone(),
                    stop: stop.clone(),
                });
            }
        }
    }
    Ok(tasks)
}

fn options(engine: &Engine, request: &EvaluateRequest, tasks: &VecDeque<Task<'_>>) -> BatchOptions {
    let longest = tasks.iter().map(|task| task.prompt_ids.len()).max();
    let capacity = longest.unwrap_or(0) + request.spec.decoding.max_tokens as usize;
    let capacity = capacity.clamp(2, engine.max_len());
    BatchOptions {
        kv_cache: request.spec.decoding.kv_cache,
        ..BatchOptions::new(N_SLOTS.min(tasks.len()), capacity)
    }
}

fn submit(
    batch: &mut Batch<'_>,
    request: &EvaluateRequest,
    task: &Task<'_>,
) -> Result<SequenceId, EvalError> {
    let decoding = &request.spec.decoding;
    let generation = GenerationRequest {
        prompt_ids: &task.prompt_ids,
        sampling: Sampling {
            temperature: decoding.temperature,
            top_p: decoding.top_p,
            seed: request.spec.seed.wrapping_add(u64::from(task.sample_idx)),
        },
        max_tokens: decoding.max_tokens as usize,
        stop: task.stop.clone(),
        stops_at_end_of_text: true,
    };
    let (language, style) = (task.problem.language, decoding.prompt_style);
    let mut seen = String::new();
    let on_text = Box::new(move |piece: &str| {
        seen.push_str(piece);
        style == PromptStyle::Completion || !is_complete_in(language, &seen)
    });
    Ok(batch.submit(&generation, on_text)?)
}

fn grading_pool(
    grader: Arc<Grader>,
    standards: Arc<Standards>,
    style: PromptStyle,
) -> Pool<Answer, Graded> {
    Pool::start(trimtab_runtime::n_threads(), move |answer: Answer| {
        let text = &answer.generation.text;
        let judged = standards.judge(&grader, style, &answer.problem, text);
        (answer, judged)
    })
}

fn tell(
    request: &EvaluateRequest,
    suite: &Suite,
    (answer, judged): Graded,
    sink: &mut Sink<'_>,
) -> Result<(), EvalError> {
    let Judged {
        grade,
        likeness,
        repair,
    } = judged?;
    let Answer {
        problem,
        sample_idx,
        generation,
        ..
    } = answer;
    if !matches!(grade.verdict, Verdict::Passed | Verdict::Compared) {
        sink(JobEvent::Log {
            level: LogLevel::Info,
            message: format!("{}: {}", problem.id, grade.verdict.as_str()),
        });
    }
    let timing = generation.timing;
    let score = Box::new(CompletionScore {
        variant: request.spec.variant.clone(),
        suite: suite.name.clone(),
        problem_id: problem.id,
        track: problem.track,
        sample_idx,
        verdict: grade.verdict,
        tpot_ms: timing.tpot_ms(),
        ttft_ms: timing.ttft_ms,
        n_prompt_tokens: timing.n_prompt as u32,
        n_output_tokens: timing.n_output as u32,
        completion: generation.text,
        output: grade.output,
        finish_reason: generation.finish_reason,
        grading_ms: grade.duration_ms,
        detail: AnswerDetail {
            cases: grade.cases,
            tokens: AnswerTokens {
                ends: generation
                    .token_ends
                    .iter()
                    .map(|end| *end as u32)
                    .collect(),
                ids: generation.token_ids,
            },
            likeness,
            repair,
        },
    });
    sink(JobEvent::ProblemScored { score });
    Ok(())
}

pub(crate) fn progress(stage: &str, n_done: u64, n_total: u64) -> JobEvent {
    JobEvent::Progress {
        stage: stage.to_owned(),
        n_done,
        n_total,
    }
}
