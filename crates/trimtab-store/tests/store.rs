//! The store against real database files: what lands stays, once, and damage is named.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use trimtab_domain::{
    AnswerDetail, AnswerTokens, Bytes, CardMemory, CardMemoryOf, CardUse, CompletionScore,
    Decoding, DeviceName, Digest, ExcludedProblem, Failure, FinishReason, Hardware, JobId, JobSpec,
    JobState, KvCacheFormat, LogLevel, Manifest, PerformanceDepth, PerplexityResult, Recipe, RunId,
    RunKind, RunSpec, Timestamp, VariantName, Verdict,
};
use trimtab_store::{
    Changes, JobEnd, LogLine, NewRun, NewVariant, Owner, Store, StoreError, StoredModel,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const ALICE: Owner = Owner {
    pid: 100,
    start_ticks: 7,
};
const BOB: Owner = Owner {
    pid: 200,
    start_ticks: 9,
};

fn digest(digit: char) -> Digest {
    digit.to_string().repeat(64).parse().unwrap()
}

fn variant_name() -> VariantName {
    "tiny:int8".parse().unwrap()
}

fn spec() -> RunSpec {
    RunSpec {
        title: "A run".into(),
        variants: vec![variant_name()],
        baseline: variant_name(),
        suites: vec!["starter".into()],
        limit: None,
        seed: 0,
        decoding: Decoding::default(),
        performance: PerformanceDepth::default(),
    }
}

fn manifest() -> Manifest {
    Manifest {
        format_version: Manifest::FORMAT_VERSION,
        code_version: "0.1.0".into(),
        created_at: NOW,
        spec: spec(),
        recipes: vec![],
        variants: vec![],
        suites: vec![],
        hardware: Hardware {
            cpu: "cpu".into(),
            n_threads: 2,
            memory_bytes: 1,
            simd: "none".into(),
            os: "linux".into(),
            device: DeviceName::Cpu,
        },
    }
}

fn model() -> StoredModel {
    StoredModel {
        name: "tiny".parse().unwrap(),
        digest: digest('a'),
        size: Bytes(10),
        architecture: Some("llama".into()),
        created_at: NOW,
    }
}

fn variant() -> NewVariant {
    NewVariant {
        name: variant_name(),
        model: "tiny".parse().unwrap(),
        recipe: Recipe::preset("int8").unwrap(),
        digest: digest('b'),
        size: Bytes(100),
        n_parameters: 50,
        layers: vec![],
        stages: vec![],
        created_at: NOW,
    }
}

fn score(problem_id: &str) -> CompletionScore {
    CompletionScore {
        variant: variant_name(),
        suite: "starter".into(),
        problem_id: problem_id.into(),
        track: "write".into(),
        sample_idx: 0,
        verdict: Verdict::Passed,
        completion: "    return 1".into(),
        output: String::new(),
        n_prompt_tokens: 3,
        n_output_tokens: 1,
        finish_reason: FinishReason::Stop,
        ttft_ms: 1.5,
        tpot_ms: None,
        grading_ms: 20.0,
        detail: AnswerDetail {
            cases: vec![Verdict::Passed; 2],
            tokens: AnswerTokens {
                ids: vec![5],
                ends: vec![12],
            },
            ..AnswerDetail::default()
        },
    }
}

fn fetch(name: &str) -> JobSpec {
    JobSpec::Fetch {
        model: name.parse().unwrap(),
    }
}

async fn store_with_run(n_jobs: usize) -> (Store, RunId) {
    let store = Store::in_memory().await.unwrap();
    let run_id = create_run(&store, n_jobs, None).await;
    (store, run_id)
}

async fn create_run(store: &Store, n_jobs: usize, owner: Option<Owner>) -> RunId {
    let jobs: Vec<JobSpec> = (0..n_jobs)
        .map(|idx| fetch(&format!("model-{idx}")))
        .collect();
    let new = NewRun {
        kind: RunKind::Evaluation,
        spec: &spec(),
        jobs: &jobs,
        manifest: &manifest(),
        owner,
    };
    store.create_run(&new, NOW).await.unwrap()
}

async fn claim(store: &Store, owner: Owner) -> Option<JobId> {
    let claimed = store.claim_next_job(owner, None, NOW).await.unwrap();
    claimed.map(|(job, _)| job.job_id)
}

async fn state_of(store: &Store, run_id: RunId) -> JobState {
    store.run(run_id).await.unwrap().unwrap().state
}

fn failed(message: &str) -> JobEnd {
    JobEnd::Failed {
        failure: Failure::failed(message).with_hint("a hint"),
        dependents: vec![],
    }
}

#[tokio::test]
async fn a_reopened_database_still_has_the_run_and_its_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trimtab.db");
    let store = Store::open(&path).await.unwrap();
    let run_id = create_run(&store, 1, None).await;
    store.close().await;
    let store = Store::open(&path).await.unwrap();
    assert_eq!(store.run(run_id).await.unwrap().unwrap().spec, spec());
    assert_eq!(store.manifest(run_id).await.unwrap(), Some(manifest()));
    assert_eq!(store.runs(RunKind::Evaluation).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_manifest_can_neither_be_changed_nor_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trimtab.db");
    let store = Store::open(&path).await.unwrap();
    create_run(&store, 1, None).await;
    let raw = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    for statement in ["update manifest set body = '{}'", "delete from manifest"] {
        let error = sqlx::query(statement).execute(&raw).await.unwrap_err();
        assert!(error.to_string().contains("written once"), "{error}");
    }
}

#[tokio::test]
async fn a_result_that_lands_twice_counts_once() {
    let (store, run_id) = store_with_run(1).await;
    store.put_model(&model()).await.unwrap();
    store.put_variant(&variant()).await.unwrap();
    assert!(store.put_score(run_id, &score("p1"), NOW).await.unwrap());
    let changed = CompletionScore {
        verdict: Verdict::Failed,
        ..score("p1")
    };
    assert!(!store.put_score(run_id, &changed, NOW).await.unwrap());
    assert!(store.put_score(run_id, &score("p2"), NOW).await.unwrap());
    let perplexity = PerplexityResult {
        perplexity: 7.0,
        low: 6.0,
        high: 8.0,
        n_tokens: 10,
        context: 5,
        text: "text".into(),
        kv_cache: KvCacheFormat::F16,
    };
    assert!(
        store
            .put_perplexity(run_id, &variant_name(), &perplexity, NOW)
            .await
            .unwrap()
    );
    assert!(
        !store
            .put_perplexity(run_id, &variant_name(), &perplexity, NOW)
            .await
            .unwrap()
    );
    let landed = store.landed_results(run_id, &variant_name()).await.unwrap();
    assert_eq!(landed.scores, [score("p1"), score("p2")]);
    assert_eq!(landed.perplexity, Some(perplexity));
    assert!(
        landed
            .done_keys()
            .contains(&("starter".into(), "p1".into(), 0))
    );
    assert_eq!(store.n_scored(run_id).await.unwrap(), 2);
}

#[tokio::test]
async fn answers_take_the_time_between_them_without_pauses() {
    let (store, run_id) = store_with_run(1).await;
    store.put_model(&model()).await.unwrap();
    store.put_variant(&variant()).await.unwrap();
    let time = async || {
        store
            .scoring_time(run_id, &variant_name(), "starter")
            .await
            .unwrap()
    };
    assert_eq!(time().await, (0, 0));
    // 300 ms, 700 ms, then a night, then 100 ms.
    for (id, at_ms) in [
        ("a", 0),
        ("b", 300),
        ("c", 1000),
        ("d", 40_000_000),
        ("e", 40_000_100),
    ] {
        let at = Timestamp(NOW.0 + at_ms);
        store.put_score(run_id, &score(id), at).await.unwrap();
    }
    assert_eq!(time().await, (1100, 3));
    let other = store
        .scoring_time(run_id, &variant_name(), "other")
        .await
        .unwrap();
    assert_eq!(other, (0, 0));
}

#[tokio::test]
async fn a_problem_that_is_left_out_twice_counts_once() {
    let (store, run_id) = store_with_run(1).await;
    store.put_model(&model()).await.unwrap();
    store.put_variant(&variant()).await.unwrap();
    let problem = |id: &str| ExcludedProblem {
        suite: "starter".into(),
        problem_id: id.into(),
        reason: "its own solution does not pass its tests: failed".into(),
    };
    for problems in [vec![problem("p1")], vec![problem("p1"), problem("p2")]] {
        store
            .put_excluded_problems(run_id, &variant_name(), &problems)
            .await
            .unwrap();
    }
    let landed = store.landed_results(run_id, &variant_name()).await.unwrap();
    assert_eq!(landed.excluded, [problem("p1"), problem("p2")]);
    assert_eq!(store.n_excluded(run_id).await.unwrap(), 2);
}

#[tokio::test]
async fn a_result_of_a_variant_that_does_not_exist_is_refused() {
    let (store, run_id) = store_with_run(1).await;
    let error = store
        .put_score(run_id, &score("p1"), NOW)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::UnknownVariant(_)), "{error}");
    let error = store.put_variant(&variant()).await.unwrap_err();
    assert!(matches!(error, StoreError::UnknownModel(_)), "{error}");
}

#[tokio::test]
async fn variants_are_found_by_name_and_by_digest_prefix() {
    let store = Store::in_memory().await.unwrap();
    store.put_model(&model()).await.unwrap();
    store.put_variant(&variant()).await.unwrap();
    let found = store.variant(&variant_name()).await.unwrap().unwrap();
    assert_eq!(
        (found.view.scheme.as_str(), found.view.bits_per_weight),
        ("W8A16", 16.0)
    );
    assert_eq!(store.variants_by_digest("bbbbbb").await.unwrap().len(), 1);
    assert!(store.variants_by_digest("b%").await.unwrap().is_empty());
    assert!(store.variants_by_digest("c").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_removed_model_takes_its_variants_off_the_lists_but_not_out_of_results() {
    let (store, run_id) = store_with_run(1).await;
    store.put_model(&model()).await.unwrap();
    store.put_variant(&variant()).await.unwrap();
    store.put_score(run_id, &score("p1"), NOW).await.unwrap();
    store.remove_model(&model().name, NOW).await.unwrap();
    assert!(store.models().await.unwrap().is_empty());
    assert!(store.variants().await.unwrap().is_empty());
    assert!(
        store
            .variant(&variant_name())
            .await
            .unwrap()
            .unwrap()
            .is_removed
    );
    assert_eq!(
        store.scores(run_id, &variant_name()).await.unwrap().len(),
        1
    );
    store.put_model(&model()).await.unwrap();
    assert_eq!(store.models().await.unwrap(), [model()]);
}

#[tokio::test]
async fn jobs_are_claimed_in_order_and_one_at_a_time_within_a_run() {
    let (store, run_id) = store_with_run(2).await;
    let first = claim(&store, ALICE).await.unwrap();
    assert_eq!(
        claim(&store, BOB).await,
        None,
        "the second job waits for the first"
    );
    assert_eq!(state_of(&store, run_id).await, JobState::Running);
    store
        .end_job(first, ALICE, &JobEnd::Done, NOW)
        .await
        .unwrap();
    let second = claim(&store, BOB).await.unwrap();
    let changes = store
        .end_job(second, BOB, &JobEnd::Done, NOW)
        .await
        .unwrap();
    assert_eq!(changes.run_state, Some(JobState::Done));
    assert_eq!(
        store.run(run_id).await.unwrap().unwrap().finished_at,
        Some(NOW)
    );
}

#[tokio::test]
async fn jobs_set_aside_by_one_process_are_not_claimed_by_another() {
    let store = Store::in_memory().await.unwrap();
    create_run(&store, 1, Some(ALICE)).await;
    assert_eq!(claim(&store, BOB).await, None);
    assert!(claim(&store, ALICE).await.is_some());
}

#[tokio::test]
async fn a_failure_is_shared_with_the_jobs_that_depend_on_it_and_shown_on_the_run() {
    let (store, run_id) = store_with_run(3).await;
    let first = claim(&store, ALICE).await.unwrap();
    let dependent = JobId(first.0 + 1);
    let end = JobEnd::Failed {
        failure: Failure::failed("no network"),
        dependents: vec![(dependent, Failure::failed("needs model-0: no network"))],
    };
    let changes = store.end_job(first, ALICE, &end, NOW).await.unwrap();
    assert_eq!(
        changes.jobs,
        [(first, JobState::Failed), (dependent, JobState::Failed)]
    );
    assert_eq!(
        state_of(&store, run_id).await,
        JobState::Running,
        "one job is left"
    );
    let last = claim(&store, ALICE).await.unwrap();
    store
        .end_job(last, ALICE, &JobEnd::Done, NOW)
        .await
        .unwrap();
    let run = store.run(run_id).await.unwrap().unwrap();
    assert_eq!(
        (run.state, run.error.as_deref()),
        (JobState::Failed, Some("no network"))
    );
}

#[tokio::test]
async fn a_cancelled_job_cannot_be_ended_by_its_former_holder() {
    let (store, run_id) = store_with_run(2).await;
    let job_id = claim(&store, ALICE).await.unwrap();
    assert!(store.holds_job(job_id, ALICE).await.unwrap());
    store.cancel_run(run_id, NOW).await.unwrap();
    assert!(!store.holds_job(job_id, ALICE).await.unwrap());
    let changes = store
        .end_job(job_id, ALICE, &JobEnd::Done, NOW)
        .await
        .unwrap();
    assert_eq!(changes, Changes::default());
    assert_eq!(state_of(&store, run_id).await, JobState::Cancelled);
}

#[tokio::test]
async fn resuming_queues_what_failed_and_leaves_what_is_done() {
    let (store, run_id) = store_with_run(2).await;
    let first = claim(&store, ALICE).await.unwrap();
    store
        .end_job(first, ALICE, &JobEnd::Done, NOW)
        .await
        .unwrap();
    let second = claim(&store, ALICE).await.unwrap();
    store
        .end_job(second, ALICE, &failed("boom"), NOW)
        .await
        .unwrap();
    let changes = store.resume_run(run_id, None, NOW).await.unwrap();
    assert_eq!(changes.jobs, [(second, JobState::Queued)]);
    let run = store.run(run_id).await.unwrap().unwrap();
    assert_eq!(
        (run.state, run.error, run.finished_at),
        (JobState::Running, None, None)
    );
    assert_eq!(claim(&store, BOB).await, Some(second));
    assert_eq!(store.jobs(run_id).await.unwrap()[1].n_attempts, 2);
}

#[tokio::test]
async fn a_job_of_a_vanished_process_goes_back_into_the_queue() {
    let (store, run_id) = store_with_run(1).await;
    let job_id = claim(&store, ALICE).await.unwrap();
    let held = store.held_jobs().await.unwrap();
    assert_eq!(
        (held.len(), held[0].owner, held[0].is_running),
        (1, ALICE, true)
    );
    store.release_job(&held[0], 1, NOW).await.unwrap();
    assert_eq!(state_of(&store, run_id).await, JobState::Queued);
    assert_eq!(claim(&store, BOB).await, Some(job_id));
    assert_eq!(store.held_jobs().await.unwrap()[0].n_interruptions, 1);
    let changes = store.release_job(&held[0], 2, NOW).await.unwrap();
    assert_eq!(changes, Changes::default(), "it is held by another now");
}

#[tokio::test]
async fn what_the_workers_of_a_job_took_of_a_card_adds_up() {
    let (store, run_id) = store_with_run(2).await;
    let used = |seconds: f64, energy_j, peak_memory| CardUse {
        seconds,
        energy_j,
        peak_memory,
        n_others: None,
    };
    let memory = |bytes, of| {
        let bytes = Bytes(bytes);
        Some(CardMemory { bytes, of })
    };
    let (job, _) = store
        .claim_next_job(ALICE, None, NOW)
        .await
        .unwrap()
        .unwrap();
    let process = memory(u64::MAX, CardMemoryOf::Process);
    for total in [used(1.0, Some(5.0), None), used(4.0, Some(90.0), process)] {
        store.put_card_use(&job, &total).await.unwrap();
    }
    let job_card = async || store.jobs(run_id).await.unwrap()[0].card_use;
    // SQLite's integers end where no card's memory does.
    let largest = memory(i64::MAX as u64, CardMemoryOf::Process);
    assert_eq!(job_card().await, Some(used(4.0, Some(90.0), largest)));

    let held = store.held_jobs().await.unwrap();
    store.release_job(&held[0], 1, NOW).await.unwrap();
    let (job, _) = store.claim_next_job(BOB, None, NOW).await.unwrap().unwrap();
    let later = used(2.0, None, memory(7, CardMemoryOf::Card));
    store.put_card_use(&job, &later).await.unwrap();
    let largest = memory(i64::MAX as u64, CardMemoryOf::Card);
    assert_eq!(job_card().await, Some(used(6.0, None, largest)));
    assert_eq!(store.jobs(run_id).await.unwrap()[1].card_use, None);
}

#[tokio::test]
async fn two_processes_on_one_file_never_claim_the_same_job() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trimtab.db");
    let stores = [
        Store::open(&path).await.unwrap(),
        Store::open(&path).await.unwrap(),
    ];
    for _ in 0..20 {
        create_run(&stores[0], 1, None).await;
    }
    let workers = [ALICE, BOB].into_iter().zip(stores).map(|(owner, store)| {
        tokio::spawn(async move {
            let mut claimed = Vec::new();
            while let Some(job_id) = claim(&store, owner).await {
                claimed.push(job_id);
            }
            claimed
        })
    });
    let mut claimed = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        claimed.extend(worker.await.unwrap());
    }
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 20);
}

#[tokio::test]
async fn the_log_keeps_the_newest_lines_in_order_and_cuts_long_ones() {
    let (store, run_id) = store_with_run(1).await;
    let job_id = claim(&store, ALICE).await.unwrap();
    for idx in 0..4 {
        let message = format!("{idx}{}", "ü".repeat(2_000));
        let line = LogLine {
            at: NOW,
            level: LogLevel::Warning,
            message,
        };
        store.put_log(job_id, &line).await.unwrap();
    }
    let lines = store.log_of_run(run_id, 2).await.unwrap();
    assert!(lines[0].message.starts_with('2') && lines[1].message.starts_with('3'));
    assert!(lines.iter().all(|line| line.message.len() <= 2_000));
}

async fn open_error(path: &Path) -> StoreError {
    Store::open(path).await.unwrap_err()
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_as_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trimtab.db");
    std::fs::write(&path, "this is not a database ".repeat(500)).unwrap();
    let error = open_error(&path).await;
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("trimtab.db"));
    assert!(error.hint().unwrap().contains("move the file"));
}

#[tokio::test]
async fn a_database_with_overwritten_pages_is_named_as_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trimtab.db");
    let store = Store::open(&path).await.unwrap();
    create_run(&store, 3, None).await;
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let error = open_error(&path).await;
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trimtab.db");
    Store::open(&path).await.unwrap().close().await;
    let raw = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'from the future', true, x'00', 0)",
    )
    .execute(&raw)
    .await
    .unwrap();
    raw.close().await;
    let error = open_error(&path).await;
    assert!(
        matches!(error, StoreError::Newer { version: 9999, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named_as_not_writable() {
    let folder = tempfile::tempdir().unwrap();
    let error = open_error(&folder.path().join("absent/trimtab.db")).await;
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
}
