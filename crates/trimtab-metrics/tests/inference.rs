//! Tests, corrections, bootstrap and clustered errors against scipy and statsmodels
//! (`tests/golden/README.md`).

use serde::Deserialize;
use trimtab_domain::ClusteredEstimate;
use trimtab_metrics::{
    PairedCounts, PairedValues, TokenComparison, bca_interval, clopper_pearson_interval,
    compare_likelihoods, compare_token, holm, mcnemar, mean_difference, normal_cdf,
    normal_upper_quantile, paired_difference, percentile_interval, ratio_of_means,
    ratio_of_medians, retention_test,
};

/// The same arithmetic on both sides: only rounding differs.
const MAX_ROUNDING: f64 = 1e-12;
/// Tails by a continued fraction here and by other expansions there.
const MAX_TAIL_ERROR: f64 = 1e-10;
/// The reference finds its likelihood maximum numerically.
const MAX_MINIMISER_ERROR: f64 = 1e-6;
/// Sums over resamples or tokens in another order, then quantiles of them.
const MAX_SUMMATION_ERROR: f64 = 1e-8;

#[derive(Deserialize)]
struct Golden {
    normal: Normal,
    clopper_pearson: Vec<Share>,
    mcnemar: Vec<McNemarCase>,
    holm: Vec<HolmCase>,
    paired_difference: Vec<DifferenceCase>,
    retention_test: Vec<RetentionCase>,
    bootstrap: Vec<BootstrapCase>,
    likelihoods: Likelihoods,
    tokens: Vec<TokenCase>,
}

#[derive(Deserialize)]
struct Normal {
    z: Vec<f64>,
    cdf: Vec<f64>,
    tails: Vec<f64>,
    quantiles: Vec<f64>,
}

#[derive(Deserialize)]
struct Share {
    n_passed: u32,
    n: u32,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct McNemarCase {
    n_lost: u32,
    n_won: u32,
    p_exact: f64,
    p_mid: f64,
}

#[derive(Deserialize)]
struct HolmCase {
    p_values: Vec<f64>,
    adjusted: Vec<f64>,
}

#[derive(Deserialize)]
struct DifferenceCase {
    counts: [f64; 4],
    value: f64,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct RetentionCase {
    counts: [f64; 4],
    asked: f64,
    p_meets: f64,
    p_fails: f64,
}

#[derive(Deserialize)]
struct BootstrapCase {
    statistic: String,
    base: Vec<f64>,
    variant: Vec<f64>,
    value: f64,
    percentile: [f64; 2],
    bca: [f64; 2],
    resampled: Vec<f64>,
    without_each: Vec<f64>,
}

#[derive(Deserialize)]
struct Likelihoods {
    window_lengths: Vec<usize>,
    kl: Vec<f64>,
    agrees: Vec<bool>,
    base_log_probs: Vec<f64>,
    variant_log_probs: Vec<f64>,
    kl_mean: ClusteredEstimate,
    kl_median: ClusteredEstimate,
    kl_p99: ClusteredEstimate,
    perplexity_ratio: ClusteredEstimate,
    agreement: f64,
    agreement_error: f64,
}

#[derive(Deserialize)]
struct TokenCase {
    base: Vec<f32>,
    variant: Vec<f32>,
    target: usize,
    kl: f64,
    has_same_top: bool,
    base_log_prob: f64,
    variant_log_prob: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/inference.json")).expect("the fixture is valid")
}

fn counts([n_both, n_lost, n_won, n_neither]: [f64; 4]) -> PairedCounts {
    PairedCounts {
        n_both,
        n_lost,
        n_won,
        n_neither,
    }
}

#[track_caller]
fn check(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (idx, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got - want).abs() / want.abs().max(1.0);
        assert!(
            error <= tolerance,
            "{what} [{idx}]: {got} instead of {want}, error {error:e}"
        );
    }
}

#[test]
fn the_normal_distribution_agrees_with_scipy() {
    let golden = golden().normal;
    for (z, want) in golden.z.iter().zip(golden.cdf) {
        let error = (normal_cdf(*z) / want - 1.0).abs();
        assert!(error < MAX_ROUNDING, "{z}: error {error:e}");
    }
    for (tail, want) in golden.tails.iter().zip(golden.quantiles) {
        let got = normal_upper_quantile(*tail).unwrap();
        check(&format!("tail {tail}"), &[got], &[want], MAX_ROUNDING);
    }
}

#[test]
fn clopper_pearson_agrees_with_statsmodels() {
    for case in golden().clopper_pearson {
        let got = clopper_pearson_interval(case.n_passed, case.n);
        let what = format!("{} of {}", case.n_passed, case.n);
        check(
            &what,
            &[got.low, got.high],
            &[case.low, case.high],
            MAX_TAIL_ERROR,
        );
    }
}

#[test]
fn mcnemar_agrees_with_statsmodels() {
    for case in golden().mcnemar {
        let got = mcnemar(case.n_lost, case.n_won);
        let what = format!("{} lost, {} won", case.n_lost, case.n_won);
        let want = [case.p_exact, case.p_mid];
        check(&what, &[got.p_exact, got.p_mid], &want, MAX_TAIL_ERROR);
    }
}

#[test]
fn holm_agrees_with_statsmodels() {
    for case in golden().holm {
        let got = holm(&case.p_values).unwrap();
        let what = format!("{:?}", case.p_values);
        check(&what, &got, &case.adjusted, MAX_ROUNDING);
    }
}

#[test]
fn paired_difference_agrees_with_a_numerical_inversion() {
    for case in golden().paired_difference {
        let got = paired_difference(counts(case.counts)).unwrap();
        check(
            &format!("{:?}", case.counts),
            &[got.value, got.low, got.high],
            &[case.value, case.low, case.high],
            MAX_MINIMISER_ERROR,
        );
    }
}

#[test]
fn the_retention_test_agrees_with_a_numerical_score() {
    for case in golden().retention_test {
        let got = retention_test(counts(case.counts), case.asked).unwrap();
        check(
            &format!("{:?} at {}", case.counts, case.asked),
            &[got.p_meets, got.p_fails],
            &[case.p_meets, case.p_fails],
            MAX_MINIMISER_ERROR,
        );
    }
}

#[test]
fn bootstrap_intervals_agree_with_scipy_on_its_resamples() {
    for case in golden().bootstrap {
        let statistic = match case.statistic.as_str() {
            "mean_difference" => mean_difference,
            "ratio_of_means" => ratio_of_means,
            "ratio_of_medians" => ratio_of_medians,
            other => panic!("`{other}` is not a statistic"),
        };
        let mut pairs: Vec<PairedValues> = case
            .base
            .iter()
            .zip(&case.variant)
            .map(|(&base, &variant)| PairedValues { base, variant })
            .collect();
        let what = case.statistic;
        let value = statistic(&mut pairs).unwrap();
        check(&what, &[value], &[case.value], MAX_ROUNDING);
        let mut resampled = case.resampled.clone();
        let got = percentile_interval(value, &mut resampled).unwrap();
        check(&what, &got, &case.percentile, MAX_SUMMATION_ERROR);
        let mut resampled = case.resampled;
        let got = bca_interval(value, &mut resampled, &case.without_each).unwrap();
        check(&what, &got, &case.bca, MAX_SUMMATION_ERROR);
    }
}

#[test]
fn clustered_errors_agree_with_statsmodels() {
    let golden = golden().likelihoods;
    let tokens: Vec<TokenComparison> = (0..golden.kl.len())
        .map(|idx| TokenComparison {
            kl_divergence: golden.kl[idx],
            has_same_top: golden.agrees[idx],
            base_log_prob: golden.base_log_probs[idx],
            variant_log_prob: golden.variant_log_probs[idx],
        })
        .collect();
    let got = compare_likelihoods(&tokens, &golden.window_lengths).unwrap();
    for (what, got, want) in [
        ("mean", got.kl_mean, golden.kl_mean),
        ("median", got.kl_median, golden.kl_median),
        ("p99", got.kl_p99, golden.kl_p99),
        ("ratio", got.perplexity_ratio, golden.perplexity_ratio),
    ] {
        let four = |e: ClusteredEstimate| [e.value, e.standard_error, e.low, e.high];
        check(what, &four(got), &four(want), MAX_SUMMATION_ERROR);
    }
    check(
        "agreement",
        &[got.top1_agreement.value, got.top1_agreement.standard_error],
        &[golden.agreement, golden.agreement_error],
        MAX_SUMMATION_ERROR,
    );
}

#[test]
fn divergences_agree_with_scipy() {
    for case in golden().tokens {
        let got = compare_token(&case.base, &case.variant, case.target).unwrap();
        assert_eq!(got.has_same_top, case.has_same_top);
        check(
            &format!("vocabulary of {}", case.base.len()),
            &[got.kl_divergence, got.base_log_prob, got.variant_log_prob],
            &[case.kl, case.base_log_prob, case.variant_log_prob],
            1e-9,
        );
    }
}
