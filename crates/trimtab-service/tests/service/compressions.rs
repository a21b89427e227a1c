//! Compressions that belong to no evaluation: queued, watched, cancelled, resumed, refused.

use crate::support::{MODEL, TestService, failure};
use futures::StreamExt;
use std::time::Duration;
use trimtab_domain::{
    CompressionPreview, CompressionRequest, FailureKind, JobState, RunEvent, RunId,
};

fn request(recipe: &str) -> CompressionRequest {
    CompressionRequest {
        model: MODEL.parse().unwrap(),
        recipe: recipe.to_owned(),
        name: None,
    }
}

async fn started(test: &TestService, recipe: &str) -> RunId {
    let started = test.service.start_compression(request(recipe)).await;
    started.unwrap()
}

#[tokio::test]
async fn a_compression_fetches_makes_and_keeps_its_reports() {
    let test = TestService::new().await;
    test.service.start_queue().await.unwrap();
    let events = test.service.subscribe();
    let run_id = started(&test, "int8").await;
    test.wait_for(run_id, JobState::Done).await;
    assert_eq!(test.calls(), ["fetch 0", "compress 0"]);
    let view = test.service.compression(run_id).await.unwrap();
    let made = view.made.as_ref().unwrap();
    assert_eq!(made.name.as_str(), format!("{MODEL}:int8"));
    assert_eq!((view.map.n_done, view.map.outside.len()), (1, 1));
    assert!(view.stage.is_none() && view.improved.is_none());
    let heard: Vec<RunEvent> = events
        .take_until(tokio::time::sleep(Duration::from_millis(100)))
        .collect()
        .await;
    let state = JobState::Done;
    assert!(heard.contains(&RunEvent::RunState { run_id, state }));
    // Another process sees the same, and lists of evaluations do not have it.
    let second = test.second().await;
    assert_eq!(second.compression(run_id).await.unwrap(), view);
    assert_eq!(second.compressions().await.unwrap(), [view.summary]);
    assert!(second.list_runs().await.unwrap().is_empty());
    assert_eq!(second.overview().await.unwrap().n_runs, 0);
    let test = test.restart().await;
    let layers = test.service.compression_layers(run_id).await.unwrap();
    assert_eq!(layers[0].name, "layer0");
}

#[tokio::test]
async fn what_a_killed_worker_reported_stays_and_the_rest_is_resumed() {
    let test = TestService::new().await;
    test.service.start_queue().await.unwrap();
    test.workers("late-kill compress");
    let run_id = started(&test, "int8").await;
    let failed = test.wait_for(run_id, JobState::Failed).await;
    let hint = failed.summary.hint.unwrap();
    assert!(
        hint.contains(&format!("trimtab runs resume {run_id}")),
        "{hint}"
    );
    let view = test.service.compression(run_id).await.unwrap();
    assert!(view.made.is_none());
    assert_eq!(view.map.n_done, 1);
    let test = test.restart().await;
    test.workers("well");
    test.service.start_queue().await.unwrap();
    test.service.resume_run(run_id).await.unwrap();
    test.wait_for(run_id, JobState::Done).await;
    let view = test.service.compression(run_id).await.unwrap();
    assert_eq!(view.map.n_done, 1, "told twice, kept once");
    assert!(view.made.is_some());
}

#[tokio::test]
async fn a_compression_is_cancelled_while_its_worker_hangs() {
    let test = TestService::new().await;
    test.service.start_queue().await.unwrap();
    test.workers("hang compress");
    let run_id = started(&test, "int8").await;
    test.wait_for_grandchild().await;
    let view = test.service.compression(run_id).await.unwrap();
    assert_eq!(view.summary.state, JobState::Running);
    test.service.cancel_run(run_id).await.unwrap();
    test.wait_for_grandchild_to_end().await;
    let view = test.service.compression(run_id).await.unwrap();
    assert_eq!(view.summary.state, JobState::Cancelled);
    assert!(view.stage.is_none() && view.map.rows.is_empty());
}

#[tokio::test]
async fn names_that_are_taken_are_refused_before_and_after_they_are_made() {
    let test = TestService::new().await;
    let with_name = |recipe: &str, name: &str| CompressionRequest {
        name: Some(name.parse().unwrap()),
        ..request(recipe)
    };
    let first = test
        .service
        .start_compression(with_name("int8", "mine"))
        .await;
    let taken = failure(
        test.service
            .start_compression(with_name("int4", "mine"))
            .await,
    );
    assert_eq!(taken.kind, FailureKind::Conflict);
    assert!(taken.message.contains("being made"), "{taken}");
    let odd = with_name("int4", &format!("{MODEL}:int8"));
    let odd = failure(test.service.start_compression(odd).await);
    assert!(odd.message.contains("stands for another"), "{odd}");
    test.drive(first.unwrap()).await;
    let other = with_name("{\"name\":\"x\",\"steps\":[{\"method\":\"nope\"}]}", "mine");
    let refused = failure(test.service.start_compression(other).await);
    assert_eq!(refused.kind, FailureKind::BadInput);
    let missing = failure(test.service.compression(RunId(99)).await);
    assert_eq!(missing.kind, FailureKind::NotFound);
}

#[tokio::test]
async fn a_preview_starts_nothing_and_knows_models_that_are_not_here() {
    let test = TestService::new().await;
    let preview = test.service.preview_compression(request("int4")).await;
    let CompressionPreview::Ready { forecast } = preview.unwrap() else {
        panic!("a preset can be made");
    };
    assert_eq!(forecast.to_fetch.unwrap().to_string(), "98.36 MB");
    assert!(forecast.file < forecast.f16_file);
    assert!(forecast.total_memory > forecast.file);
    let CompressionPreview::Refused { problem } = test
        .service
        .preview_compression(request("name = \"x\"\nsteps = 3"))
        .await
        .unwrap()
    else {
        panic!("this is no recipe");
    };
    assert_eq!(problem.line, Some(2), "{problem:?}");
    assert!(test.calls().is_empty());
    assert!(test.service.compressions().await.unwrap().is_empty());
}
