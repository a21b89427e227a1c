//! `trimtab analyze`: the trade-off of a run.

use super::{
    context::Context, evaluate::result_table, runs::parse_run_id, speed_tables::speeds,
    suite_scores::suite_scores, text_argument::read_text_file,
};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use trimtab_domain::{
    BreakEven, Comparison, Criterion, Estimate, Failure, Finding, Flip, Flips, PriceTable,
    QualityMeasure, QualityTest, QualityVerdict, RunId, TradeoffView, VariantCost, VariantName,
};

/// Options of `analyze`.
#[derive(Debug, Args)]
pub(super) struct AnalyzeArgs {
    /// The run [default: the newest that has results].
    #[arg(value_parser = parse_run_id)]
    run: Option<RunId>,
    /// List the problems that each variant lost and won against the baseline.
    #[arg(long)]
    flips: bool,
    /// Your prices, to tell costs and when a variant has paid for itself: a TOML file with
    /// `currency`, `machine_hour` and, where energy is paid apart, `kilowatt_hour`.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
}

/// The JSON answer.
#[derive(Debug, Serialize)]
struct Analysis<'a> {
    run: String,
    baseline: &'a VariantName,
    is_complete: bool,
    comparisons: Vec<ComparisonRow<'a>>,
    pareto_frontier: &'a [VariantName],
    findings: &'a [Finding],
    #[serde(skip_serializing_if = "Option::is_none")]
    costs: Option<&'a Costs>,
}

/// What the variants cost.
#[derive(Debug, Serialize)]
struct Costs {
    prices: PriceTable,
    variants: Vec<VariantCost>,
}

/// One variant against the baseline.
#[derive(Debug, Serialize)]
struct ComparisonRow<'a> {
    variant: &'a VariantName,
    retention: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    n: Option<u32>,
    difference: Option<Estimate>,
    mcnemar_p: Option<f64>,
    measure: QualityMeasure,
    quality_test: Option<QualityTest>,
    n_lost: u32,
    n_won: u32,
    verdict: QualityVerdict,
    speedup: Option<f64>,
    tpot_ratio: Option<Estimate>,
    compression_ratio: Option<f64>,
    criterion: Criterion,
    n_more_problems: Option<u32>,
    sentence: &'a str,
    basis: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    flips: Option<FlipRow<'a>>,
}

/// The problems on which a variant and the baseline part.
#[derive(Debug, Serialize)]
struct FlipRow<'a> {
    lost: Vec<&'a str>,
    won: Vec<&'a str>,
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
    let mut flips: Vec<Flips> = Vec::new();
    if arguments.flips {
        for comparison in &tradeoff.comparisons {
            let variant = comparison.variant.clone();
            flips.push(service.flips(tradeoff.run_id, variant).await?);
        }
    }
    let costs = match &arguments.prices {
        Some(path) => {
            let prices = read_prices(path)?;
            let variants = service.costs(tradeoff.run_id, &prices).await?;
            Some(Costs { prices, variants })
        }
        None => None,
    };
    let analysis = Analysis {
        run: tradeoff.run_id.to_string(),
        baseline: &tradeoff.baseline,
        is_complete: tradeoff.is_complete,
        comparisons: tradeoff
            .comparisons
            .iter()
            .enumerate()
            .map(|(idx, comparison)| row(comparison, flips.get(idx)))
            .collect(),
        pareto_frontier: &tradeoff.pareto_frontier,
        findings: &tradeoff.findings,
        costs: costs.as_ref(),
    };
    context.output.answer(&analysis, || {
        let costs = costs.as_ref().map(cost_words).unwrap_or_default();
        format!("{}{costs}", describe(&tradeoff, &flips))
    })
}

fn read_prices(path: &Path) -> Result<PriceTable, Failure> {
    toml::from_str(&read_text_file(path)?).map_err(|error| {
        let line = error
            .message()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        Failure::bad_input(format!("`{}` is not a price table: {line}", path.display()))
            .with_hint("it needs `currency = \"EUR\"` and `machine_hour = 1.20`")
    })
}

fn cost_words(costs: &Costs) -> String {
    let currency = &costs.prices.currency;
    let lines: Vec<String> = costs
        .variants
        .iter()
        .map(|cost| {
            let paid = match cost.break_even {
                None => String::new(),
                Some(BreakEven {
                    n_queries: Some(n), ..
                }) => {
                    format!("; making it has paid off after {n:.0} queries")
                }
                Some(BreakEven {
                    n_queries: None, ..
                }) => "; a query saves nothing, so making it never pays off".to_owned(),
            };
            format!(
                "{}: {:.4} {currency} for 1,000 queries of {:.2} s{paid}\n",
                cost.variant, cost.per_1000, cost.seconds_per_query
            )
        })
        .collect();
    let is_energy_missing = costs
        .variants
        .iter()
        .any(|cost| cost.joules_per_query.is_none());
    let energy = match 0.0 < costs.prices.kilowatt_hour && is_energy_missing {
        true => "the energy was not measured of all variants, so it is in none of the costs\n",
        false => "",
    };
    format!(
        "\nCosts by your prices, one query at a time\n{}{energy}",
        lines.concat()
    )
}

fn row<'a>(comparison: &'a Comparison, flips: Option<&'a Flips>) -> ComparisonRow<'a> {
    ComparisonRow {
        variant: &comparison.variant,
        retention: comparison.retention.map(|e| e.value),
        low: comparison.retention.map(|e| e.low),
        high: comparison.retention.map(|e| e.high),
        n: comparison.retention.map(|e| e.n),
        difference: comparison.difference,
        mcnemar_p: comparison.mcnemar_p,
        measure: comparison.measure,
        quality_test: comparison.quality_test,
        n_lost: comparison.n_lost,
        n_won: comparison.n_won,
        verdict: comparison.verdict,
        speedup: comparison.speedup.map(|s| s.median),
        tpot_ratio: comparison.tpot_ratio,
        compression_ratio: comparison.compression_ratio,
        criterion: comparison.criterion,
        n_more_problems: comparison.n_more_problems,
        sentence: &comparison.sentence,
        basis: &comparison.basis,
        flips: flips.map(|flips| FlipRow {
            lost: problem_ids(&flips.lost),
            won: problem_ids(&flips.won),
        }),
    }
}

fn problem_ids(flips: &[Flip]) -> Vec<&str> {
    flips
        .iter()
        .map(|flip| flip.variant.problem_id.as_str())
        .collect()
}

fn describe(tradeoff: &TradeoffView, flips: &[Flips]) -> String {
    let state = if tradeoff.is_complete {
        ""
    } else {
        " (still going on)"
    };
    let verdicts: Vec<String> = tradeoff
        .comparisons
        .iter()
        .map(|comparison| format!("{}\n  {}\n", comparison.sentence, comparison.basis))
        .collect();
    let flips: Vec<String> = tradeoff
        .comparisons
        .iter()
        .zip(flips)
        .map(|(comparison, flips)| {
            format!(
                "{} lost: {}\n{} won: {}\n",
                comparison.variant,
                listed(&flips.lost),
                comparison.variant,
                listed(&flips.won)
            )
        })
        .collect();
    let notes: Vec<String> = tradeoff
        .findings
        .iter()
        .map(|finding| format!("note: {}\n", finding.words))
        .collect();
    let frontier: Vec<&str> = tradeoff
        .pareto_frontier
        .iter()
        .map(VariantName::as_str)
        .collect();
    format!(
        "run {}: {}{state}\n\n{}{}\n{}{}{}\n\
         On the Pareto frontier of quality, size and decode speed: {}\n",
        tradeoff.run_id,
        tradeoff.title,
        result_table(&tradeoff.results),
        suite_scores(&tradeoff.results) + &speeds(&tradeoff.results),
        verdicts.concat(),
        flips.concat(),
        notes.concat(),
        match frontier.as_slice() {
            [] => "none, as no variant has all three yet".to_owned(),
            names => names.join(", "),
        }
    )
}

fn listed(flips: &[Flip]) -> String {
    if flips.is_empty() {
        "none".to_owned()
    } else {
        problem_ids(flips).join(", ")
    }
}
