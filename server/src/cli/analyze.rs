//! `trimtab analyze`: the trade-off of a run.

use super::{context::Context, evaluate::result_table, runs::parse_run_id};
use clap::Args;
use serde::Serialize;
use trimtab_domain::{
    Comparison, Criterion, Failure, QualityVerdict, RunId, TradeoffView, VariantName,
};

/// Options of `analyze`.
#[derive(Debug, Args)]
pub(super) struct AnalyzeArgs {
    /// The run [default: the newest that has results].
    #[arg(value_parser = parse_run_id)]
    run: Option<RunId>,
}

/// The JSON answer.
#[derive(Debug, Serialize)]
struct Analysis<'a> {
    run: String,
    baseline: &'a VariantName,
    is_complete: bool,
    comparisons: Vec<ComparisonRow<'a>>,
    pareto_frontier: &'a [VariantName],
}

/// One variant against the baseline.
#[derive(Debug, Serialize)]
struct ComparisonRow<'a> {
    variant: &'a VariantName,
    retention: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    n: Option<u32>,
    n_lost: u32,
    n_won: u32,
    verdict: QualityVerdict,
    speedup: Option<f64>,
    compression_ratio: Option<f64>,
    criterion: Criterion,
    n_more_problems: Option<u32>,
    sentence: &'a str,
}

/// Shows the trade-off.
pub(super) async fn run(arguments: AnalyzeArgs, context: &Context) -> Result<(), Failure> {
    let service = context.service().await?;
    let tradeoff = service
        .tradeoffs(arguments.run)
        .await?
        .ok_or_else(|| match arguments.run {
            Some(run_id) => Failure::not_found(format!("run {run_id} has no results yet"))
                .with_hint(format!(
                    "`trimtab runs show {run_id}` tells where it stands"
                )),
            None => Failure::not_found("no run has results yet")
                .with_hint("`trimtab evaluate` makes some"),
        })?;
    let analysis = Analysis {
        run: tradeoff.run_id.to_string(),
        baseline: &tradeoff.baseline,
        is_complete: tradeoff.is_complete,
        comparisons: tradeoff.comparisons.iter().map(row).collect(),
        pareto_frontier: &tradeoff.pareto_frontier,
    };
    context.output.answer(&analysis, || describe(&tradeoff))
}

fn row(comparison: &Comparison) -> ComparisonRow<'_> {
    ComparisonRow {
        variant: &comparison.variant,
        retention: comparison.retention.map(|e| e.value),
        low: comparison.retention.map(|e| e.low),
        high: comparison.retention.map(|e| e.high),
        n: comparison.retention.map(|e| e.n),
        n_lost: comparison.n_lost,
        n_won: comparison.n_won,
        verdict: comparison.verdict,
        speedup: comparison.speedup.map(|s| s.median),
        compression_ratio: comparison.compression_ratio,
        criterion: comparison.criterion,
        n_more_problems: comparison.n_more_problems,
        sentence: &comparison.sentence,
    }
}

fn describe(tradeoff: &TradeoffView) -> String {
    let state = if tradeoff.is_complete {
        ""
    } else {
        " (still going on)"
    };
    let sentences: Vec<&str> = tradeoff
        .comparisons
        .iter()
        .map(|comparison| comparison.sentence.as_str())
        .collect();
    let frontier: Vec<&str> = tradeoff
        .pareto_frontier
        .iter()
        .map(VariantName::as_str)
        .collect();
    format!(
        "run {}: {}{state}\n\n{}\n{}\n\nOn the Pareto frontier of pass@1, size and decode speed: {}\n",
        tradeoff.run_id,
        tradeoff.title,
        result_table(&tradeoff.results),
        sentences.join("\n"),
        frontier.join(", ")
    )
}
