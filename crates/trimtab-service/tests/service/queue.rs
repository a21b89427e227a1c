//! Runs from start to end, and everything that can happen to them on the way.

use crate::support::{TestService, assert_contains, failure, fake_worker, spec, variant};
use futures::StreamExt;
use std::time::Duration;
use trimtab_domain::{
    Bytes, DeviceName, FindingKind, JobEvent, JobState, PriceTable, QualityVerdict, RunEvent,
};
use trimtab_service::{Limits, Service, ServiceConfig};

#[tokio::test]
async fn a_run_fetches_makes_and_evaluates_and_its_results_land() {
    let test = TestService::new().await;
    test.service.start_queue().await.unwrap();
    let events = test.service.subscribe();
    let run_id = test
        .service
        .start_run(spec(&["f16", "int8"]))
        .await
        .unwrap();
    let detail = test.wait_for(run_id, JobState::Done).await;
    assert_eq!(
        test.calls(),
        [
            "fetch 0",
            "compress 0",
            "compress 0",
            "evaluate 0",
            "evaluate 0"
        ]
    );
    assert_eq!(
        (detail.summary.n_scored, detail.summary.n_problems),
        (12, 12)
    );
    let manifest = detail.manifest.unwrap();
    assert_eq!(manifest.recipes.len(), 2);
    assert_eq!(manifest.suites[0].suite, "starter");
    assert!(
        detail.log.iter().any(|(_, line)| line.ends_with("done")),
        "{:?}",
        detail.log
    );
    let heard: Vec<RunEvent> = events
        .take_until(tokio::time::sleep(Duration::from_millis(100)))
        .collect()
        .await;
    assert!(heard.contains(&RunEvent::RunState {
        run_id,
        state: JobState::Done
    }));
    let n_scores = heard
        .iter()
        .filter(|event| {
            matches!(
                event,
                RunEvent::Job {
                    event: JobEvent::ProblemScored { .. },
                    ..
                }
            )
        })
        .count();
    assert_eq!(n_scores, 12);
}

#[tokio::test]
async fn the_trade_off_compares_every_variant_with_the_baseline() {
    let test = TestService::new().await;
    let run_id = test
        .service
        .start_run(spec(&["f16", "int8"]))
        .await
        .unwrap();
    assert_eq!(test.service.tradeoffs(Some(run_id)).await.unwrap(), None);
    test.drive(run_id).await;
    let view = test.service.tradeoffs(None).await.unwrap().unwrap();
    assert_eq!((view.run_id, view.is_complete), (run_id, true));
    assert_eq!(view.baseline, variant("f16"));
    let comparison = &view.comparisons[0];
    assert_eq!(comparison.variant, variant("int8"));
    assert!((comparison.speedup.unwrap().median - 3.0).abs() < 1e-9);
    assert_eq!(comparison.compression_ratio, Some(2.0));
    assert_eq!(comparison.retention.unwrap().n, 6);
    assert_ne!(comparison.verdict, QualityVerdict::Fails);
    assert_eq!(view.pareto_frontier, [variant("int8")]);
    let base = &view.results[0];
    assert_eq!((base.n_scored, base.pass_at_1.unwrap().value), (6, 0.5));
    assert!((base.ttft_ms.unwrap().p50 - 10.0).abs() < 1e-9);
    let overview = test.service.overview().await.unwrap();
    assert!(overview.advice.is_some() && overview.active.is_none());
    assert_eq!(
        test.service
            .scores(run_id, variant("int8"))
            .await
            .unwrap()
            .len(),
        6
    );
}

#[tokio::test]
async fn a_worker_killed_with_signal_9_fails_its_job_and_the_server_goes_on() {
    let test = TestService::new().await;
    test.service.start_queue().await.unwrap();
    test.workers("kill evaluate");
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    let detail = test.wait_for(run_id, JobState::Failed).await;
    let error = detail.summary.error.unwrap();
    assert!(error.contains("signal 9 (SIGKILL)"), "{error}");
    let hint = detail.summary.hint.unwrap();
    assert!(
        hint.contains(&format!("trimtab runs resume {run_id}")),
        "{hint}"
    );
    test.workers("well");
    let next = test.service.start_run(spec(&["int8"])).await.unwrap();
    test.wait_for(next, JobState::Done).await;
}

#[tokio::test]
async fn a_resumed_run_neither_repeats_nor_doubles_what_has_landed() {
    let test = TestService::new().await;
    test.service.start_queue().await.unwrap();
    test.workers("kill evaluate");
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    let detail = test.wait_for(run_id, JobState::Failed).await;
    assert_eq!(detail.summary.n_scored, 3);
    test.workers("well");
    test.service.resume_run(run_id).await.unwrap();
    let detail = test.wait_for(run_id, JobState::Done).await;
    assert_eq!(detail.summary.n_scored, 6);
    assert_eq!(
        test.calls(),
        ["fetch 0", "compress 0", "evaluate 0", "evaluate 3"]
    );
    assert_eq!(detail.jobs[2].n_attempts, 2);
    let again = failure(test.service.resume_run(run_id).await);
    assert_eq!(again.message, format!("run {run_id} is already done"));
}

#[tokio::test]
async fn results_said_twice_count_once() {
    let test = TestService::new().await;
    test.workers("twice");
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    let (detail, _) = test.drive(run_id).await;
    assert_eq!(
        (detail.summary.state, detail.summary.n_scored),
        (JobState::Done, 6)
    );
}

async fn error_of(behaviour: &str) -> String {
    let test = TestService::new().await;
    test.workers(behaviour);
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    let (detail, _) = test.drive(run_id).await;
    assert_eq!(detail.summary.state, JobState::Failed);
    detail.summary.error.unwrap()
}

#[tokio::test]
async fn a_worker_that_breaks_the_protocol_is_killed_and_told_apart() {
    let cases = [
        (
            "garbage evaluate",
            "not an event: `Segmentation fault (core dumped)`",
        ),
        ("flood evaluate", "a line longer than 1 MiB"),
        (
            "stranger evaluate",
            "`somebody:else`, which it does not evaluate",
        ),
        ("nan evaluate", "impossible numbers"),
        // Memory whose parts are not its whole.
        ("rest evaluate", "impossible numbers"),
        ("card-nan evaluate", "impossible numbers"),
        ("exit evaluate", "ended with exit code 3 before it was done"),
        (
            "segfault evaluate",
            "signal 11 (SIGSEGV); its last words: about to crash",
        ),
    ];
    for (behaviour, expected) in cases {
        assert_contains(Some(&error_of(behaviour).await), expected);
    }
}

#[tokio::test]
async fn speed_lands_with_and_without_what_newer_versions_measure() {
    let test = TestService::new().await;
    let measured = async |behaviour| {
        test.workers(behaviour);
        let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
        let (mut detail, _) = test.drive(run_id).await;
        detail.results.remove(0).performance.expect("measured")
    };
    let older = measured("well").await;
    assert!(older.detail.is_none() && older.warnings().is_empty());
    let newer = measured("noisy").await;
    let tradeoff = test.service.tradeoffs(None).await.unwrap().unwrap();
    let other_load = newer.other_load().expect("measured");
    let found = tradeoff.findings.iter().map(|finding| &finding.kind);
    let disturbed: Vec<_> = found
        .filter(|kind| matches!(kind, FindingKind::Disturbed { .. }))
        .collect();
    assert_eq!(disturbed, [&FindingKind::Disturbed { other_load }]);
    // Half of the cores were busy.
    let warning = newer.warnings().concat();
    assert!(warning.contains("50 % of the cores"), "{warning}");
    let rest = newer.rest();
    assert_eq!(newer.detail.map(|detail| detail.rest), Some(rest));
}

#[tokio::test]
async fn what_all_attempts_took_of_a_card_lands_and_has_its_price() {
    let test = TestService::new().await;
    test.workers("card-kill");
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    let (killed, _) = test.drive(run_id).await;
    assert_eq!(killed.summary.state, JobState::Failed);
    test.service.resume_run(run_id).await.unwrap();
    let (detail, _) = test.drive(run_id).await;
    assert_eq!(detail.summary.state, JobState::Done);
    let job = detail.jobs.last().unwrap();
    let used = job.card_use.expect("both workers told");
    assert_eq!(job.n_attempts, 2);
    assert_eq!((used.seconds, used.energy_j), (16.0, Some(1600.0)));
    assert_eq!((used.mean_power_w(), used.n_others), (Some(100.0), Some(1)));
    assert!(detail.jobs[0].card_use.is_none(), "a fetch has no card");

    let performance = detail.results[0].performance.as_ref().unwrap();
    assert_eq!(performance.rest(), Some(Bytes(1090)));
    let tradeoff = test.service.tradeoffs(None).await.unwrap().unwrap();
    let shared = FindingKind::SharedCard { n_others: 1 };
    assert!(tradeoff.findings.iter().any(|found| found.kind == shared));

    // 5 + 2 tokens at 100 and 10 tokens a second, at 250 W: 62.5 J, 1,000 of them 0.01736 kWh.
    let prices = PriceTable {
        currency: "EUR".to_owned(),
        machine_hour: 0.0,
        kilowatt_hour: 36.0,
    };
    let costs = test.service.costs(run_id, &prices).await.unwrap();
    let joules = costs[0].joules_per_query.unwrap();
    assert!((joules - 62.5).abs() < 1e-9, "{joules}");
    assert!((costs[0].per_1000 - 0.625).abs() < 1e-9);
}

#[tokio::test]
async fn a_failed_fetch_fails_the_whole_run_with_its_cause_and_hint() {
    let test = TestService::new().await;
    test.workers("fail fetch");
    let run_id = test
        .service
        .start_run(spec(&["f16", "int8"]))
        .await
        .unwrap();
    let (detail, _) = test.drive(run_id).await;
    assert_eq!(detail.summary.error.as_deref(), Some("no luck"));
    assert_eq!(detail.summary.hint.as_deref(), Some("try"));
    assert!(detail.jobs.iter().all(|job| job.state == JobState::Failed));
    assert_contains(
        detail.jobs[3].error.as_deref(),
        "because `Fetch smollm2-135m-instruct` failed",
    );
    assert_eq!(test.calls(), ["fetch 0"]);
}

#[tokio::test]
async fn a_cancelled_run_ends_its_worker_with_all_its_children() {
    let test = TestService::new().await;
    test.service.start_queue().await.unwrap();
    test.workers("hang evaluate");
    let run_id = test
        .service
        .start_run(spec(&["f16", "int8"]))
        .await
        .unwrap();
    test.wait_for_scores(run_id, 3).await;
    test.service.cancel_run(run_id).await.unwrap();
    test.wait_for_grandchild_to_end().await;
    let detail = test.service.run(run_id).await.unwrap();
    assert_eq!(detail.summary.state, JobState::Cancelled);
    assert_eq!(detail.jobs.last().unwrap().state, JobState::Cancelled);
    let again = failure(test.service.cancel_run(run_id).await);
    assert_eq!(again.message, format!("run {run_id} is already cancelled"));
    test.workers("well");
    test.service.resume_run(run_id).await.unwrap();
    test.wait_for(run_id, JobState::Done).await;
}

#[tokio::test]
async fn another_process_can_cancel_a_run() {
    let test = TestService::new().await;
    test.service.start_queue().await.unwrap();
    test.workers("hang fetch");
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    test.wait_for_grandchild().await;
    test.second().await.cancel_run(run_id).await.unwrap();
    test.wait_for_grandchild_to_end().await;
}

#[tokio::test]
async fn a_waiting_run_can_be_cancelled_before_it_starts() {
    let test = TestService::new().await;
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    test.service.cancel_run(run_id).await.unwrap();
    let (detail, _) = test.drive(run_id).await;
    assert_eq!(detail.summary.state, JobState::Cancelled);
    assert!(test.calls().is_empty());
}

#[tokio::test]
async fn children_that_a_worker_leaves_behind_end_with_it() {
    let test = TestService::new().await;
    test.workers("leave-child evaluate");
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    let (detail, _) = test.drive(run_id).await;
    assert_eq!(detail.summary.state, JobState::Done);
    test.wait_for_grandchild_to_end().await;
}

#[tokio::test]
async fn a_worker_that_says_nothing_for_too_long_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("behaviour"), "hang fetch").unwrap();
    let config = ServiceConfig {
        data_dir: folder.path().into(),
        worker_exe: fake_worker(),
        device: DeviceName::Cpu,
    };
    let limits = Limits {
        silence: Duration::from_millis(500),
        poll: Duration::from_millis(20),
    };
    let service = Service::open_with(config, limits).await.unwrap();
    let run_id = service.start_run(spec(&["f16"])).await.unwrap();
    let detail = service.drive_run(run_id, |_| ()).await.unwrap();
    assert_contains(detail.summary.error.as_deref(), "said nothing for 500 ms");
}

#[tokio::test]
async fn a_worker_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = ServiceConfig {
        data_dir: folder.path().into(),
        worker_exe: "/absent".into(),
        device: DeviceName::Cpu,
    };
    let service = Service::open(config).await.unwrap();
    let run_id = service.start_run(spec(&["f16"])).await.unwrap();
    let detail = service.drive_run(run_id, |_| ()).await.unwrap();
    assert_contains(
        detail.summary.error.as_deref(),
        "cannot start worker `/absent`",
    );
}

#[tokio::test]
async fn a_driven_run_tells_its_listener_everything() {
    let test = TestService::new().await;
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    let (detail, heard) = test.drive(run_id).await;
    assert_eq!(detail.summary.state, JobState::Done);
    let is_score = |event: &&RunEvent| {
        matches!(
            event,
            RunEvent::Job {
                event: JobEvent::ProblemScored { .. },
                ..
            }
        )
    };
    assert_eq!(heard.iter().filter(is_score).count(), 6);
    assert_eq!(
        heard.last(),
        Some(&RunEvent::RunState {
            run_id,
            state: JobState::Done
        })
    );
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_with_a_hint() {
    let test = TestService::new().await;
    let refused = async |change: fn(&mut trimtab_domain::RunSpec)| {
        let mut spec = spec(&["f16", "int8"]);
        change(&mut spec);
        failure(test.service.start_run(spec).await)
    };
    let unknown = refused(|spec| spec.variants[1] = "nobody:int8".parse().unwrap()).await;
    assert_eq!(unknown.message, "there is no model `nobody`");
    assert!(
        unknown
            .hint
            .unwrap()
            .contains("qwen2.5-coder-0.5b-instruct")
    );
    let preset = refused(|spec| spec.variants[1] = variant("int3")).await;
    assert_eq!(
        preset.hint.as_deref(),
        Some(
            "presets are f32, f16, bf16, int8, int4, int4-fast, int4-gptq, int4-quality, \
             prune-2of4, prune-half, shrink-depth, shrink-and-recover"
        )
    );
    let suite = refused(|spec| spec.suites = vec!["absent".into()]).await;
    assert!(suite.hint.unwrap().contains("starter"));
    let twice = refused(|spec| spec.variants.push(variant("int8"))).await;
    assert!(twice.message.ends_with("is named twice"));
    let baseline = refused(|spec| spec.baseline = variant("int4")).await;
    assert!(baseline.message.ends_with("is not one of the variants"));
    assert!(test.service.list_runs().await.unwrap().is_empty());
    let absent = failure(test.service.run(trimtab_domain::RunId(99)).await);
    assert_eq!(absent.message, "there is no run 99");
}

#[tokio::test]
async fn the_quickstart_compares_three_variants_of_the_default_model() {
    let test = TestService::new().await;
    let run_id = test.service.start_quickstart().await.unwrap();
    let detail = test.service.run(run_id).await.unwrap();
    assert_eq!(detail.summary.title, "Quickstart: Qwen2.5-Coder 0.5B");
    let names: Vec<String> = detail
        .spec
        .variants
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        names,
        ["f16", "int8", "int4"].map(|preset| format!("qwen2.5-coder-0.5b-instruct:{preset}"))
    );
    assert_eq!(detail.spec.baseline, detail.spec.variants[0]);
    assert_eq!(detail.jobs.len(), 7);
}
