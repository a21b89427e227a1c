//! `trimtab evaluate`: a whole run from this process, and its results.

use super::{
    context::Context, plan, progress::Progress, speed_tables::speed_section,
    suite_scores::suite_scores, table::table,
};
use crate::run_request::{DecodingRequest, RunRequest};
use clap::Args;
use serde::Serialize;
use trimtab_domain::{
    Decoding, Estimate, Failure, KvCacheFormat, Performance, PerformanceDepth, PromptStyle,
    RunDetail, RunState, VariantName, VariantResult,
};

/// Options of `evaluate`.
#[derive(Debug, Args)]
pub(super) struct EvaluateArgs {
    /// Variants by name, digest prefix or MODEL:PRESET, with commas between.
    #[arg(long, required = true, value_delimiter = ',', value_name = "A,B,…")]
    variants: Vec<VariantName>,
    /// Suites of problems, with commas between.
    #[arg(
        long = "suite",
        required = true,
        value_delimiter = ',',
        value_name = "S,…"
    )]
    suites: Vec<String>,
    /// Use only the first N problems of each suite.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Seed of everything random.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The variant that the others are compared with [default: the first].
    #[arg(long, value_name = "A")]
    baseline: Option<VariantName>,
    /// Longest answer in tokens.
    #[arg(long, value_name = "N", default_value_t = Decoding::default().max_tokens)]
    max_tokens: u32,
    /// 0 takes the likeliest token each time.
    #[arg(long, value_name = "T", default_value_t = Decoding::default().temperature)]
    temperature: f32,
    /// Keep the smallest set of tokens with this share of probability; 1 keeps all.
    #[arg(long, value_name = "P", default_value_t = Decoding::default().top_p)]
    top_p: f32,
    /// Number format of cached keys and values: f32, f16 or int8.
    #[arg(long, value_name = "FORMAT", default_value_t = Decoding::default().kv_cache)]
    kv_cache: KvCacheFormat,
    /// How problems are put to the model: chat asks in a message, completion gives the beginning of
    /// a program to go on with.
    #[arg(long, value_name = "STYLE", default_value = "chat", value_parser = parse_style)]
    prompt_style: PromptStyle,
    /// Answers to each problem; more than one needs a temperature.
    #[arg(long, value_name = "N", default_value_t = 1)]
    n_samples: u32,
    /// How much of the speed is measured: `quick` for one sequence at one context, `full` also for 1, 4
    /// and 16 sequences at contexts of 128, 1,024 and 4,096 tokens, which takes minutes a variant.
    #[arg(long, value_name = "DEPTH", default_value = "quick", value_parser = parse_depth)]
    performance: PerformanceDepth,
    /// Name of the run, for people.
    #[arg(long)]
    title: Option<String>,
    /// Start nothing; tell what the run is likely to show, how long it takes and what to add.
    #[arg(long)]
    plan: bool,
}

fn parse_style(text: &str) -> Result<PromptStyle, String> {
    PromptStyle::parse(text).ok_or_else(|| "styles are `chat` and `completion`".to_owned())
}

fn parse_depth(text: &str) -> Result<PerformanceDepth, String> {
    PerformanceDepth::parse(text).ok_or_else(|| "depths are `quick` and `full`".to_owned())
}

/// The JSON answer.
#[derive(Debug, Serialize)]
struct Evaluated {
    run: String,
    decoding: Decoding,
    results: Vec<MetricResult>,
}

/// One number with its interval.
#[derive(Debug, PartialEq, Serialize)]
struct MetricResult {
    variant: VariantName,
    suite: String,
    metric: String,
    value: f64,
    low: f64,
    high: f64,
    n: u32,
}

/// Starts the run and works on it until it ends.
pub(super) async fn run(arguments: EvaluateArgs, context: &Context) -> Result<(), Failure> {
    let EvaluateArgs {
        variants,
        suites,
        limit,
        seed,
        baseline,
        title,
        performance,
        ..
    } = arguments;
    let decoding = DecodingRequest {
        temperature: arguments.temperature,
        top_p: arguments.top_p,
        max_tokens: arguments.max_tokens,
        kv_cache: arguments.kv_cache,
        prompt_style: arguments.prompt_style,
        n_samples: arguments.n_samples,
    };
    let request = RunRequest {
        title,
        variants,
        baseline,
        suites,
        limit,
        seed,
        decoding: Some(decoding),
        performance,
    };
    let spec = request.into_spec()?;
    if arguments.plan {
        return plan::show(&spec, context).await;
    }
    let service = context.service().await?;
    let run_id = service.start_run(spec).await?;
    let mut progress = Progress::new(context.output);
    let detail = service
        .drive_run(run_id, |event| progress.on_run_event(event))
        .await?;
    drop(progress);
    answer(&detail, context)
}

/// Prints the results of a run that ended, or the failure that ended it.
pub(super) fn answer(detail: &RunDetail, context: &Context) -> Result<(), Failure> {
    require_done(detail)?;
    let run_id = detail.summary.run_id;
    let suite = detail.spec.suites.join(",");
    let results = detail
        .results
        .iter()
        .flat_map(|result| metrics(result, &suite))
        .collect();
    let answer = Evaluated {
        run: run_id.to_string(),
        decoding: detail.spec.decoding.clone(),
        results,
    };
    context.output.answer(&answer, || {
        format!(
            "run {run_id}: {}\n{}\n\n{}{}\nhow they compare: trimtab analyze {run_id}\n",
            detail.summary.title,
            detail.spec.settings_in_words(),
            result_table(&detail.results),
            suite_scores(&detail.results) + &speed_section(&detail.results)
        )
    })
}

/// Fails for a run that ended without being done, with its cause.
pub(super) fn require_done(detail: &RunDetail) -> Result<(), Failure> {
    let run_id = detail.summary.run_id;
    let resume = format!("`trimtab runs resume {run_id}` does what is left");
    match detail.summary.state {
        RunState::Done => Ok(()),
        RunState::Failed => {
            let cause = detail
                .summary
                .error
                .as_deref()
                .unwrap_or("the cause was not recorded");
            let hint = detail.summary.hint.clone().unwrap_or(resume);
            Err(Failure::failed(format!("run {run_id} failed: {cause}")).with_hint(hint))
        }
        RunState::Cancelled | RunState::Queued | RunState::Running => {
            let word = detail.summary.state.as_str();
            Err(Failure::failed(format!("run {run_id} is {word}")).with_hint(resume))
        }
    }
}

fn metrics(result: &VariantResult, suite: &str) -> Vec<MetricResult> {
    let of_estimate = |suite: &str, metric: &str, estimate: Option<Estimate>| {
        estimate.map(|e| MetricResult {
            variant: result.variant.clone(),
            suite: suite.to_owned(),
            metric: metric.to_owned(),
            value: e.value,
            low: e.low,
            high: e.high,
            n: e.n,
        })
    };
    let repair = result.repair.as_ref();
    let mut found = vec![
        of_estimate(suite, "pass@1", result.pass_at_1),
        of_estimate(suite, "plausible", repair.map(|repair| repair.plausible)),
        of_estimate(suite, "correct", repair.map(|repair| repair.correct)),
        of_estimate(
            suite,
            "regression",
            repair.and_then(|repair| repair.regression),
        ),
    ];
    for at in result.pass_at_k.iter().filter(|at| at.k > 1) {
        found.push(of_estimate(
            suite,
            &format!("pass@{}", at.k),
            Some(at.estimate),
        ));
    }
    for score in &result.likeness {
        let suite = format!("{}/{}", score.suite, score.track);
        found.extend([
            of_estimate(&suite, "codebleu", score.codebleu),
            of_estimate(&suite, "bleu", score.bleu),
            of_estimate(&suite, "exact_match", Some(score.exact_match)),
            of_estimate(&suite, "same_tree", score.same_tree),
            of_estimate(&suite, "edit_similarity", score.edit_similarity),
            of_estimate(&suite, "compile_rate", score.compile_rate),
        ]);
    }
    let perplexity = result.perplexity.as_ref().map(|p| MetricResult {
        variant: result.variant.clone(),
        suite: p.text.clone(),
        metric: "perplexity".to_owned(),
        value: p.perplexity,
        low: p.low,
        high: p.high,
        n: p.n_tokens,
    });
    let decode = result.performance.as_ref().map(|p| MetricResult {
        variant: result.variant.clone(),
        suite: "bench".to_owned(),
        metric: "decode_tokens_per_s".to_owned(),
        value: p.decode_tokens_per_s.median,
        low: p.decode_tokens_per_s.min,
        high: p.decode_tokens_per_s.max,
        n: p.decode_tokens_per_s.n,
    });
    found.extend([perplexity, decode]);
    found.into_iter().flatten().collect()
}

/// One line a variant, with what people look at first.
pub(super) fn result_table(results: &[VariantResult]) -> String {
    let missing = || "–".to_owned();
    let rows: Vec<Vec<String>> = results
        .iter()
        .map(|result| {
            let performance = result.performance.as_ref();
            vec![
                result.variant.to_string(),
                result.scheme.clone(),
                result.size.map_or_else(missing, |size| size.to_string()),
                result.pass_at_1.map_or_else(missing, |e| {
                    let [value, low, high] = [e.value, e.low, e.high].map(|share| 100.0 * share);
                    format!("{value:.1} % ({low:.1}–{high:.1}, n = {})", e.n)
                }),
                result
                    .perplexity
                    .as_ref()
                    .map_or_else(missing, |p| format!("{:.3}", p.perplexity)),
                performance
                    .map_or_else(missing, |p| format!("{:.1}", p.prefill_tokens_per_s.median)),
                performance
                    .map_or_else(missing, |p| format!("{:.1}", p.decode_tokens_per_s.median)),
                performance
                    .and_then(Performance::model_memory)
                    .map_or_else(missing, |peak| peak.to_string()),
            ]
        })
        .collect();
    let headers = [
        "VARIANT",
        "SCHEME",
        "SIZE",
        "PASS@1",
        "PERPLEXITY",
        "PREFILL/S",
        "DECODE/S",
        "PEAK MEMORY",
    ];
    table(&headers, &rows)
}
