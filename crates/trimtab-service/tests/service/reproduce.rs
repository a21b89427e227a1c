//! Runs that are done again: what is compared, what is refused, and the stamp.

use crate::support::{TestService, failure, spec};
use trimtab_domain::{FailureKind, RunId};

/// A run that is done.
async fn done(test: &TestService, presets: &[&str]) -> RunId {
    let run_id = test.service.start_run(spec(presets)).await.unwrap();
    test.drive(run_id).await;
    run_id
}

#[tokio::test]
async fn the_same_numbers_stamp_a_run_as_reproduced() {
    let test = TestService::new().await;
    let first = done(&test, &["f16", "int8"]).await;
    let by = test.service.start_reproduction(first).await.unwrap();
    let (again, _) = test.drive(by).await;
    assert_eq!(again.spec.title, format!("Run {first} again"));
    let made = test.service.stamp_reproduction(first, by).await.unwrap();
    assert!(made.is_reproduced, "{made:?}");
    let whats: Vec<&str> = made.numbers.iter().map(|n| n.what.as_str()).collect();
    let each = ["ms per output token", "pass@1", "perplexity"];
    assert_eq!(whats, [each, each].concat());
    assert!(made.gaps.is_empty() && made.circumstances.is_empty());
    let detail = test.service.run(first).await.unwrap();
    assert_eq!(detail.reproductions, [made]);
    assert!(again.reproductions.is_empty());
}

#[tokio::test]
async fn a_slower_run_says_what_differs() {
    let test = TestService::new().await;
    let first = done(&test, &["f16"]).await;
    test.workers("slow evaluate");
    let by = test.service.start_reproduction(first).await.unwrap();
    test.drive(by).await;
    let made = test.service.stamp_reproduction(first, by).await.unwrap();
    assert!(!made.is_reproduced);
    let outside: Vec<&str> = made
        .numbers
        .iter()
        .filter(|number| !number.is_within)
        .map(|number| number.what.as_str())
        .collect();
    assert_eq!(outside, ["ms per output token"]);
    let said = made.sentence();
    assert!(
        said.contains("was 2.0000 and is 3.0000 (± 5 % allowed)"),
        "{said}"
    );
}

#[tokio::test]
async fn only_a_run_that_is_done_can_be_done_again() {
    let test = TestService::new().await;
    let missing = test.service.start_reproduction(RunId(9)).await;
    assert_eq!(failure(missing).kind, FailureKind::NotFound);
    let queued = test.service.start_run(spec(&["f16"])).await.unwrap();
    let early = failure(test.service.start_reproduction(queued).await);
    assert_eq!(early.kind, FailureKind::Conflict);
    assert!(early.hint.unwrap().contains("trimtab runs resume"));
}

#[tokio::test]
async fn a_run_is_compared_only_with_one_that_does_the_same() {
    let test = TestService::new().await;
    let first = done(&test, &["f16"]).await;
    let other = done(&test, &["f16", "int8"]).await;
    let refused = failure(test.service.stamp_reproduction(first, other).await);
    assert_eq!(refused.kind, FailureKind::BadInput);
    assert!(refused.message.contains("does not do what run"));
    let itself = failure(test.service.stamp_reproduction(first, first).await);
    assert!(itself.message.contains("compared with itself"));
    assert!(
        test.service
            .run(first)
            .await
            .unwrap()
            .reproductions
            .is_empty()
    );
}

#[tokio::test]
async fn a_suite_that_has_changed_is_not_asked_again() {
    let test = TestService::new().await;
    let line = |answer: u32| {
        format!(
            r#"{{"id":"a","prompt":"Write f.","reference":"def f(): return {answer}","tests":"assert f() == {answer}"}}"#
        )
    };
    import(&test, &line(1)).await;
    let mut asked = spec(&["f16"]);
    asked.suites = vec!["mine".into()];
    let first = test.service.start_run(asked).await.unwrap();
    test.drive(first).await;
    import(&test, &line(2)).await;
    let refused = failure(test.service.start_reproduction(first).await);
    assert_eq!(refused.kind, FailureKind::Conflict);
    assert!(
        refused.message.starts_with("suite `mine` is not what run"),
        "{}",
        refused.message
    );
}

async fn import(test: &TestService, text: &str) {
    let file = test.folder().join("mine.jsonl");
    std::fs::write(&file, text).unwrap();
    let import = trimtab_service::DatasetImport {
        files: vec![file],
        name: "mine".into(),
        title: None,
        licence: None,
        format: None,
        fields: String::new(),
    };
    test.service.import_dataset(import).await.unwrap();
}
