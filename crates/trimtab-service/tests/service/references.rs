//! References are checked by the first job of a run that needs them; the others are told.

use crate::support::{TestService, assert_contains, spec, variant};
use trimtab_domain::{JobEvent, JobState, ReferenceOutcome, RunEvent};
use trimtab_store::Store;

fn n_checks(heard: &[RunEvent]) -> usize {
    let is_check = |event: &&RunEvent| {
        let RunEvent::Job { event, .. } = event else {
            return false;
        };
        matches!(event, JobEvent::ReferencesChecked { .. })
    };
    heard.iter().filter(is_check).count()
}

fn knows(preset: &str, n: usize) -> String {
    format!("{} knows {n}", variant(preset))
}

#[tokio::test]
async fn the_references_of_a_run_are_checked_once_for_all_its_variants() {
    let test = TestService::new().await;
    let asked = spec(&["f16", "int8"]);
    let run_id = test.service.start_run(asked.clone()).await.unwrap();
    let (_, heard) = test.drive(run_id).await;
    assert_eq!(n_checks(&heard), 1);
    assert_eq!(test.known_references(), [knows("f16", 0), knows("int8", 6)]);

    // Another run has references of its own.
    let again = test.service.start_run(asked).await.unwrap();
    let (_, heard) = test.drive(again).await;
    assert_eq!(n_checks(&heard), 1);
    assert_eq!(test.known_references()[2], knows("f16", 0));
}

#[tokio::test]
async fn a_killed_job_does_not_check_again_and_what_it_said_is_stored_once() {
    let test = TestService::new().await;
    test.service.start_queue().await.unwrap();
    test.workers("kill evaluate");
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    test.wait_for(run_id, JobState::Failed).await;
    test.workers("well");
    test.service.resume_run(run_id).await.unwrap();
    test.wait_for(run_id, JobState::Done).await;
    assert_eq!(test.known_references(), [knows("f16", 0), knows("f16", 6)]);

    test.workers("twice");
    let twice = test.service.start_run(spec(&["int8"])).await.unwrap();
    test.wait_for(twice, JobState::Done).await;
    let store = Store::open(&test.folder().join("trimtab.db"))
        .await
        .unwrap();
    let kept = store.references(twice).await.unwrap();
    assert_eq!((kept.len(), kept[0].findings.len()), (1, 6));
    let outcome = &kept[0].findings[0].outcome;
    assert!(matches!(
        outcome,
        ReferenceOutcome::Passed { cpu_ms: 1200, .. }
    ));
}

#[tokio::test]
async fn a_worker_that_says_nonsense_of_references_ends() {
    for (behaviour, expected) in [
        ("strange-suite", "suite `elsewhere`, which it does not use"),
        (
            "endless-reference",
            "suite `starter` with impossible numbers",
        ),
    ] {
        let test = TestService::new().await;
        test.service.start_queue().await.unwrap();
        test.workers(&format!("{behaviour} evaluate"));
        let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
        let detail = test.wait_for(run_id, JobState::Failed).await;
        assert_contains(detail.summary.error.as_deref(), expected);
    }
}
