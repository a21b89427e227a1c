//! From landed results to what pages show: one line a variant, and each against the baseline.

use std::collections::HashMap;
use trimtab_domain::{
    Bytes, CompletionScore, Criterion, Direction, Estimate, Failure, Finding, JobState, PassAtK,
    TrackScore, TradeoffView, VariantName, VariantResult, pareto_frontier,
};
use trimtab_metrics::{
    ComparisonInput, PairedValues, ProblemSamples, ResampledQuality, RunOutcomes, VariantOutcomes,
    compare, disturbed, findings, has_several_samples, likeness_quality, likeness_scores, paired,
    paired_outcomes, problem_samples, quantiles, repair_score, sampled_pass_at_k, sampled_quality,
    wilson_interval,
};
use trimtab_store::{LandedResults, StoredRun};
use trimtab_suites::{Suite, chat_message};

/// What is known of one variant in a run.
#[derive(Clone, Debug)]
pub(crate) struct ResultInput {
    pub(crate) name: VariantName,
    pub(crate) scheme: String,
    pub(crate) is_baseline: bool,
    pub(crate) size: Option<Bytes>,
    /// Answers that it is asked for, those to problems left out included.
    pub(crate) n_asked: u32,
    pub(crate) n_samples: u32,
    /// Seed of the run.
    pub(crate) seed: u64,
    pub(crate) landed: LandedResults,
}

/// The line of one variant.
///
/// # Errors
///
/// A metric whose self-test failed.
pub(crate) fn variant_result(input: ResultInput) -> Result<Scored, Failure> {
    let scores = input.landed.scores;
    let ttft_ms: Vec<f64> = scores.iter().map(|score| score.ttft_ms).collect();
    let tpot_ms: Vec<f64> = scores.iter().filter_map(|score| score.tpot_ms).collect();
    let (pass_at_1, pass_at_k) = pass_rates(&scores, input.seed);
    let n_left_out = input.landed.excluded.len() as u32 * input.n_samples;
    let result = VariantResult {
        variant: input.name,
        scheme: input.scheme,
        is_baseline: input.is_baseline,
        size: input.size,
        pass_at_1,
        pass_at_k,
        n_scored: scores.len() as u32,
        n_problems: input.n_asked.saturating_sub(n_left_out),
        excluded: input.landed.excluded,
        tracks: track_scores(&scores),
        likeness: likeness_scores(&scores, input.seed).map_err(Failure::failed)?,
        repair: repair_score(&scores),
        perplexity: input.landed.perplexity,
        ttft_ms: quantiles(&ttft_ms),
        tpot_ms: quantiles(&tpot_ms),
        performance: input.landed.performance,
    };
    Ok((result, scores))
}

/// pass@1 of the answers that tests decided, and pass@k where problems were answered several times.
fn pass_rates(scores: &[CompletionScore], seed: u64) -> (Option<Estimate>, Vec<PassAtK>) {
    if has_several_samples(scores) {
        let problems: Vec<ProblemSamples> = problem_samples(scores).into_values().collect();
        let pass_at_k = sampled_pass_at_k(&problems, seed);
        return (pass_at_k.first().map(|at| at.estimate), pass_at_k);
    }
    let by_tests = scores.iter().filter(|score| score.verdict.is_of_tests());
    let n = by_tests.clone().count() as u32;
    let n_passed = by_tests.filter(|score| score.verdict.has_passed()).count() as u32;
    ((n > 0).then(|| wilson_interval(n_passed, n)), Vec::new())
}

/// Scores by track, in the order of first landing.
fn track_scores(scores: &[CompletionScore]) -> Vec<TrackScore> {
    let mut tracks: Vec<TrackScore> = Vec::new();
    for score in scores.iter().filter(|score| score.verdict.is_of_tests()) {
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
        tracks[idx].n_passed += u32::from(score.verdict.has_passed());
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
    let mut findings = run_findings(&run.spec.baseline, suites, &results);
    findings.extend(results.iter().flat_map(|(result, _)| {
        let performance = result.performance.iter();
        performance.flat_map(|performance| disturbed(&result.variant, performance))
    }));
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
        resampled: resampled(base_scores, scores, seed),
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

/// Quality that is no share of solved problems: of problems with several answers, or of answers that
/// could only be compared with references.
fn resampled(
    base: &[CompletionScore],
    variant: &[CompletionScore],
    seed: u64,
) -> Option<ResampledQuality> {
    let asked = Criterion::default().min_retention;
    if has_several_samples(base) || has_several_samples(variant) {
        return sampled_quality(base, variant, asked, seed);
    }
    if variant.iter().any(|score| score.verdict.is_of_tests()) {
        return None;
    }
    likeness_quality(base, variant, asked, seed)
}

/// Variants that no other beats in quality, size and decode speed; those that lack one of the three
/// cannot be judged and are left out.
fn frontier(results: &[VariantResult]) -> Vec<VariantName> {
    let judged: Vec<(&VariantName, Vec<f64>)> = results
        .iter()
        .filter_map(|result| {
            let quality = result.pass_at_1.or_else(|| result.codebleu())?.value;
            let size = result.size?.0 as f64;
            let speed = result.performance.as_ref()?.decode_tokens_per_s.median;
            Some((&result.variant, vec![quality, size, speed]))
        })
        .collect();
    let points: Vec<Vec<f64>> = judged.iter().map(|(_, point)| point.clone()).collect();
    let directions = [Direction::Higher, Direction::Lower, Direction::Higher];
    let kept = pareto_frontier(&points, &directions);
    kept.into_iter().map(|idx| judged[idx].0.clone()).collect()
}
