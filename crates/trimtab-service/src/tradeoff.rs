//! From landed results to what pages show: one line a variant, and each against the baseline.

use std::collections::HashMap;
use trimtab_domain::{
    Bytes, CompletionScore, Criterion, Direction, Finding, JobState, TrackScore, TradeoffView,
    VariantName, VariantResult, Verdict, pareto_frontier,
};
use trimtab_metrics::{
    ComparisonInput, PairedValues, RunOutcomes, VariantOutcomes, compare, findings, paired,
    paired_outcomes, quantiles, wilson_interval,
};
use trimtab_store::{LandedResults, StoredRun};
use trimtab_suites::{Suite, chat_message};

/// What is known of one variant in a run.
#[derive(Clone, Debug)]
pub(crate) struct ResultInput<'a> {
    pub(crate) name: &'a VariantName,
    pub(crate) scheme: String,
    pub(crate) is_baseline: bool,
    pub(crate) size: Option<Bytes>,
    pub(crate) n_problems: u32,
    pub(crate) landed: &'a LandedResults,
}

/// The line of one variant.
pub(crate) fn variant_result(input: &ResultInput<'_>) -> VariantResult {
    let scores = &input.landed.scores;
    let n_scored = scores.len() as u32;
    let n_passed = scores.iter().filter(|score| has_passed(score)).count() as u32;
    let ttft_ms: Vec<f64> = scores.iter().map(|score| score.ttft_ms).collect();
    let tpot_ms: Vec<f64> = scores.iter().filter_map(|score| score.tpot_ms).collect();
    VariantResult {
        variant: input.name.clone(),
        scheme: input.scheme.clone(),
        is_baseline: input.is_baseline,
        size: input.size,
        pass_at_1: (n_scored > 0).then(|| wilson_interval(n_passed, n_scored)),
        n_scored,
        n_problems: input.n_problems,
        tracks: track_scores(scores),
        perplexity: input.landed.perplexity.clone(),
        ttft_ms: quantiles(&ttft_ms),
        tpot_ms: quantiles(&tpot_ms),
        performance: input.landed.performance.clone(),
    }
}

fn has_passed(score: &CompletionScore) -> bool {
    score.verdict == Verdict::Passed
}

/// Scores by track, in the order of first landing.
fn track_scores(scores: &[CompletionScore]) -> Vec<TrackScore> {
    let mut tracks: Vec<TrackScore> = Vec::new();
    for score in scores {
        let known = tracks.iter().position(|track| track.track == score.track);
        let idx = known.unwrap_or_else(|| {
            tracks.push(TrackScore {
                track: score.track.clone(),
                n_passed: 0,
                n: 0,
            });
            tracks.len() - 1
        });
        tracks[idx].n += 1;
        tracks[idx].n_passed += u32::from(has_passed(score));
    }
    tracks
}

/// The whole trade-off of a run; `suites` are those of the run that can be read here.
pub(crate) fn tradeoff_view(
    run: &StoredRun,
    suites: &[Suite],
    results: Vec<Scored>,
) -> TradeoffView {
    let baseline = results.iter().find(|(result, _)| result.is_baseline);
    let comparisons = match baseline {
        // All together: the correction needs to know how many are compared.
        Some(baseline) => compare(
            results
                .iter()
                .filter(|(result, _)| !result.is_baseline && has_landed(result))
                .map(|variant| comparison(baseline, variant, run.spec.seed))
                .collect(),
        ),
        None => Vec::new(),
    };
    let findings = run_findings(&run.spec.baseline, suites, &results);
    let results: Vec<VariantResult> = results.into_iter().map(|(result, _)| result).collect();
    TradeoffView {
        run_id: run.run_id,
        title: run.spec.title.clone(),
        created_at: run.created_at,
        is_complete: run.state == JobState::Done,
        baseline: run.spec.baseline.clone(),
        pareto_frontier: frontier(&results),
        comparisons,
        results,
        findings,
    }
}

fn run_findings(baseline: &VariantName, suites: &[Suite], results: &[Scored]) -> Vec<Finding> {
    let prompts: HashMap<(&str, &str), String> = suites
        .iter()
        .flat_map(|suite| {
            let name = suite.name.as_str();
            suite
                .problems
                .iter()
                .map(move |problem| ((name, problem.id.as_str()), chat_message(problem)))
        })
        .collect();
    findings(&RunOutcomes {
        baseline,
        variants: results
            .iter()
            .map(|(result, scores)| VariantOutcomes {
                variant: &result.variant,
                scores,
                members: &[],
            })
            .collect(),
        prompts,
        criterion: Criterion::default(),
    })
}

fn has_landed(result: &VariantResult) -> bool {
    0 < result.n_scored || result.performance.is_some()
}

/// A variant's line with its answers.
pub(crate) type Scored = (VariantResult, Vec<CompletionScore>);

fn comparison(
    (base, base_scores): &Scored,
    (variant, scores): &Scored,
    seed: u64,
) -> ComparisonInput {
    let decode = |result: &VariantResult| {
        result
            .performance
            .as_ref()
            .map(|performance| performance.decode_tokens_per_s)
    };
    ComparisonInput {
        variant: variant.variant.clone(),
        outcomes: paired_outcomes(base_scores, scores),
        tpot_ms: paired(base_scores, scores)
            .into_iter()
            .filter_map(|(base, variant)| {
                Some(PairedValues {
                    base: base.tpot_ms?,
                    variant: variant.tpot_ms?,
                })
            })
            .collect(),
        seed,
        base_decode_tokens_per_s: decode(base),
        variant_decode_tokens_per_s: decode(variant),
        base_size: base.size,
        variant_size: variant.size,
        criterion: Criterion::default(),
    }
}

/// Variants that no other beats in pass@1, size and decode speed; those that lack one of the
/// three cannot be judged and are left out.
fn frontier(results: &[VariantResult]) -> Vec<VariantName> {
    let judged: Vec<(&VariantName, Vec<f64>)> = results
        .iter()
        .filter_map(|result| {
            let pass_at_1 = result.pass_at_1?.value;
            let size = result.size?.0 as f64;
            let speed = result.performance.as_ref()?.decode_tokens_per_s.median;
            Some((&result.variant, vec![pass_at_1, size, speed]))
        })
        .collect();
    let points: Vec<Vec<f64>> = judged.iter().map(|(_, point)| point.clone()).collect();
    let directions = [Direction::Higher, Direction::Lower, Direction::Higher];
    let kept = pareto_frontier(&points, &directions);
    kept.into_iter().map(|idx| judged[idx].0.clone()).collect()
}
