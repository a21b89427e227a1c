//! What is told of results beyond the numbers: findings, flips, costs, and plans before a run.

use crate::support::{TestService, assert_contains, failure, spec, variant};
use trimtab_domain::{FailureKind, FindingKind, PerformanceDepth, PriceTable, RunSpec, SpeedBasis};

fn prices() -> PriceTable {
    PriceTable {
        currency: "EUR".into(),
        machine_hour: 3.6,
        kilowatt_hour: 0.0,
    }
}

#[tokio::test]
async fn a_run_of_six_equal_answers_is_not_to_be_believed() {
    let test = TestService::new().await;
    let run_id = test
        .service
        .start_run(spec(&["f16", "int8"]))
        .await
        .unwrap();
    test.drive(run_id).await;
    let view = test.service.tradeoffs(Some(run_id)).await.unwrap().unwrap();
    let kinds: Vec<&FindingKind> = view.findings.iter().map(|found| &found.kind).collect();
    assert_eq!(
        kinds,
        [
            &FindingKind::TooFewProblems {
                n: 6,
                n_base_passed: 3,
                n_base_needed: 73
            },
            &FindingKind::SameAnswers {
                other: variant("f16"),
                n: 6
            }
        ]
    );
    let comparison = &view.comparisons[0];
    assert_eq!(comparison.mcnemar_p, Some(1.0));
    assert_eq!(comparison.difference.unwrap().n, 6);
    assert_eq!(comparison.quality_test.unwrap().n_compared, 1);
    let flips = test.service.flips(run_id, variant("int8")).await.unwrap();
    assert_eq!((flips.n_compared, flips.n_unpaired), (6, 0));
    assert!(flips.lost.is_empty() && flips.won.is_empty());
    let stranger = test.service.flips(run_id, variant("int4")).await;
    assert_eq!(failure(stranger).kind, FailureKind::NotFound);
}

#[tokio::test]
async fn a_run_of_one_variant_hides_no_comparison() {
    let test = TestService::new().await;
    let first = test
        .service
        .start_run(spec(&["f16", "int8"]))
        .await
        .unwrap();
    test.drive(first).await;
    let second = test.service.start_run(spec(&["f16"])).await.unwrap();
    test.drive(second).await;
    let latest = test.service.overview().await.unwrap().latest.unwrap();
    assert_eq!(latest.run_id, first);
    let newest = test.service.tradeoffs(None).await.unwrap().unwrap();
    assert_eq!(newest.run_id, second);
}

#[tokio::test]
async fn queries_cost_what_an_answer_of_mean_length_takes_alone() {
    let test = TestService::new().await;
    let run_id = test
        .service
        .start_run(spec(&["f16", "int8"]))
        .await
        .unwrap();
    let early = test.service.costs(run_id, &prices()).await;
    assert_eq!(failure(early).kind, FailureKind::NotFound);
    test.drive(run_id).await;
    let costs = test.service.costs(run_id, &prices()).await.unwrap();
    assert_eq!(costs[0].variant, variant("f16"));
    assert!(costs[0].break_even.is_none());
    // 5 tokens of prompt at 100 a second, 2 of the answer at the decode speed; a second costs a
    // thousandth.
    let performance = test.service.run(run_id).await.unwrap().results[1]
        .performance
        .clone();
    let decode = performance.unwrap().decode_tokens_per_s.median;
    let seconds = 5.0 / 100.0 + 2.0 / decode;
    assert!((costs[1].seconds_per_query - seconds).abs() < 1e-12);
    assert!((costs[1].per_1000 - seconds).abs() < 1e-12);
    let paid = costs[1].break_even.unwrap();
    let saved = (paid.base_per_1000 - paid.variant_per_1000) / 1000.0;
    assert!(saved > 0.0, "it decodes three times as fast");
    let n_queries = paid.n_queries.unwrap();
    let is_paid_after = |n: f64| n * saved >= paid.compression;
    assert!(
        is_paid_after(n_queries) && !is_paid_after(n_queries - 1.0),
        "{paid:?}"
    );
    let mut wrong = prices();
    wrong.machine_hour = -1.0;
    let refused = test.service.costs(run_id, &wrong).await;
    assert_eq!(failure(refused).kind, FailureKind::BadInput);
}

#[tokio::test]
async fn a_plan_assumes_first_and_learns_from_runs() {
    let test = TestService::new().await;
    let asked = spec(&["f16", "int8"]);
    let before = test.service.plan_run(&asked).await.unwrap();
    assert!(before.forecasts[0].is_assumed);
    assert_eq!(before.together.n_problems, 6);
    assert!(before.together.chance_to_prove < 0.01);
    assert_eq!(before.add[0].suite, "the rest of starter");
    let run_id = test.service.start_run(asked.clone()).await.unwrap();
    test.drive(run_id).await;
    let after = test.service.plan_run(&asked).await.unwrap();
    let forecast = &after.forecasts[0];
    assert!(!forecast.is_assumed);
    assert!((forecast.base_rate - 0.5).abs() < 1e-12);
    // By the clock, as the answers landed; how that is added up is tested in the store.
    let seconds = forecast.seconds_per_problem;
    assert!(seconds.is_finite() && 0.0 <= seconds, "{seconds}");
    let mut unknown = asked.clone();
    unknown.suites = vec!["nothing".into()];
    let refused = test.service.plan_run(&unknown).await;
    assert_eq!(failure(refused).kind, FailureKind::NotFound);
    let mut alone = asked;
    alone.variants.truncate(1);
    let refused = test.service.plan_run(&alone).await;
    assert_eq!(failure(refused).kind, FailureKind::BadInput);
}

#[tokio::test]
async fn a_plan_counts_the_minutes_of_all_speeds_once_they_can_be_foreseen() {
    let test = TestService::new().await;
    let quick = spec(&["f16", "int8"]);
    let full = RunSpec {
        performance: PerformanceDepth::Full,
        ..quick.clone()
    };
    assert_eq!(test.service.plan_run(&quick).await.unwrap().speed, None);
    let before = test.service.plan_run(&full).await.unwrap();
    let speed = before.speed.unwrap();
    assert_eq!(speed.minutes(), None);
    assert_eq!(speed.variants[0].basis, SpeedBasis::Nothing);
    assert_contains(
        Some(&before.sentence),
        "context and batch takes is not known",
    );

    let run_id = test.service.start_run(quick).await.unwrap();
    test.drive(run_id).await;
    let after = test.service.plan_run(&full).await.unwrap();
    let speed = after.speed.unwrap();
    let one = SpeedBasis::OneContext {
        of: variant("int8"),
        n_tokens: 16,
    };
    assert_eq!(speed.variants[1].basis, one);
    // Six passes: 5,248 tokens read at 100 a second, and 2,016 decoded at 10 and at 30.
    let seconds = 6.0 * (2.0 * 52.48 + 201.6 + 67.2);
    let minutes = speed.minutes().unwrap();
    assert!((minutes - seconds / 60.0).abs() < 1e-6, "{minutes}");
    assert_contains(Some(&after.sentence), "takes about 37 min more; for ");
    assert_contains(Some(&after.sentence), "several sequences is not known");
}
