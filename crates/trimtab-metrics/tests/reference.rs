//! The statistics against values from numpy, scipy and statsmodels (`tests/golden/README.md`).

use serde::Deserialize;
use trimtab_metrics::{PairedCounts, paired_ratio, perplexity, quantiles, wilson_interval};

/// Closed forms on both sides: only rounding differs.
const MAX_ROUNDING: f64 = 1e-12;
/// The reference finds its likelihood maximum numerically: measured 3e-8 and less.
const MAX_MINIMISER_ERROR: f64 = 1e-6;

#[derive(Deserialize)]
struct Golden {
    wilson: Vec<Wilson>,
    quantiles: Vec<QuantileCase>,
    perplexity: Vec<PerplexityCase>,
    paired_ratio: Vec<RatioCase>,
}

#[derive(Deserialize)]
struct Wilson {
    n_passed: u32,
    n: u32,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct QuantileCase {
    values: Vec<f64>,
    p50: f64,
    p90: f64,
    p99: f64,
}

#[derive(Deserialize)]
struct PerplexityCase {
    log_probs: Vec<f64>,
    value: f64,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct RatioCase {
    counts: [f64; 4],
    value: f64,
    low: f64,
    high: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/statistics.json")).expect("the fixture is valid")
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
fn wilson_agrees_with_statsmodels() {
    for case in golden().wilson {
        let got = wilson_interval(case.n_passed, case.n);
        let what = format!("{} of {}", case.n_passed, case.n);
        check(
            &what,
            &[got.low, got.high],
            &[case.low, case.high],
            MAX_ROUNDING,
        );
    }
}

#[test]
fn quantiles_agree_with_numpy() {
    for case in golden().quantiles {
        let got = quantiles(&case.values).unwrap();
        let want = [case.p50, case.p90, case.p99];
        check(
            "quantiles",
            &[got.p50, got.p90, got.p99],
            &want,
            MAX_ROUNDING,
        );
    }
}

#[test]
fn perplexity_agrees_with_numpy() {
    for case in golden().perplexity {
        let got = perplexity(&case.log_probs).unwrap();
        let want = [case.value, case.low, case.high];
        check(
            "perplexity",
            &[got.value, got.low, got.high],
            &want,
            MAX_ROUNDING,
        );
    }
}

#[test]
fn paired_ratio_agrees_with_a_numerical_inversion() {
    for case in golden().paired_ratio {
        let [n_both, n_lost, n_won, n_neither] = case.counts;
        let got = paired_ratio(PairedCounts {
            n_both,
            n_lost,
            n_won,
            n_neither,
        })
        .unwrap();
        let want = [case.value, case.low, case.high];
        let what = format!("{:?}", case.counts);
        check(
            &what,
            &[got.value, got.low, got.high],
            &want,
            MAX_MINIMISER_ERROR,
        );
    }
}
