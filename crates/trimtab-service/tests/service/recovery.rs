//! Servers that stop, vanish or meet others: no job hangs, none is done twice.

use crate::support::{TestService, assert_contains, failure, spec};
use std::time::Duration;
use trimtab_domain::JobState;
use trimtab_store::{HeldJob, Owner, Store};

#[tokio::test]
async fn a_server_that_shuts_down_puts_its_job_back_and_the_next_goes_on() {
    let test = TestService::new().await;
    test.service.start_queue().await.unwrap();
    test.workers("hang evaluate");
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    test.wait_for_scores(run_id, 3).await;
    let test = test.restart().await;
    test.wait_for_grandchild_to_end().await;
    let detail = test.service.run(run_id).await.unwrap();
    assert_eq!(
        detail.summary.state,
        JobState::Running,
        "it waits between two jobs"
    );
    assert_eq!(detail.jobs[2].state, JobState::Queued);
    test.workers("well");
    test.service.start_queue().await.unwrap();
    let detail = test.wait_for(run_id, JobState::Done).await;
    assert_eq!(detail.summary.n_scored, 6);
    assert_eq!(test.calls().last().unwrap(), "evaluate 3");
}

/// A process that has ended long ago.
const GONE: Owner = Owner {
    pid: u32::MAX - 7,
    start_ticks: 1,
};

async fn claim_for(store: &Store, owner: Owner) {
    let now = trimtab_domain::Timestamp(0);
    store
        .claim_next_job(owner, None, now)
        .await
        .unwrap()
        .expect("a job is waiting");
}

#[tokio::test]
async fn a_job_whose_server_was_killed_is_done_by_the_next_one() {
    let test = TestService::new().await;
    let store = Store::open(&test.folder().join("trimtab.db"))
        .await
        .unwrap();
    test.service.start_queue().await.unwrap();
    let test = test.restart().await;
    // Between the two servers: a run that the first one had begun.
    let second = test.second().await;
    let run_id = second.start_run(spec(&["f16"])).await.unwrap();
    give_away(&store).await;
    claim_for(&store, GONE).await;
    test.service.start_queue().await.unwrap();
    let detail = test.wait_for(run_id, JobState::Done).await;
    assert_eq!(detail.jobs[0].n_attempts, 2);
    assert!(
        detail
            .log
            .iter()
            .any(|(_, line)| line.contains("interrupted"))
    );
}

/// Releases everything that this process has set aside.
async fn give_away(store: &Store) {
    for held in store.held_jobs().await.unwrap() {
        store
            .release_job(&held, 0, trimtab_domain::Timestamp(0))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_job_that_loses_its_process_three_times_fails() {
    let test = TestService::new().await;
    let store = Store::open(&test.folder().join("trimtab.db"))
        .await
        .unwrap();
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    let held = store.held_jobs().await.unwrap();
    give_away(&store).await;
    claim_for(&store, GONE).await;
    let twice = HeldJob {
        owner: GONE,
        is_running: true,
        ..held[0]
    };
    store
        .release_job(&twice, 2, trimtab_domain::Timestamp(0))
        .await
        .unwrap();
    claim_for(&store, GONE).await;
    test.service.start_queue().await.unwrap();
    let detail = test.wait_for(run_id, JobState::Failed).await;
    assert_contains(detail.summary.error.as_deref(), "interrupted 3 times");
    assert_contains(
        detail.summary.hint.as_deref(),
        &format!("trimtab runs resume {run_id}"),
    );
    assert!(test.calls().is_empty());
    test.service.resume_run(run_id).await.unwrap();
    test.wait_for(run_id, JobState::Done).await;
}

#[tokio::test]
async fn a_run_of_a_living_command_is_left_alone_by_a_server() {
    let test = TestService::new().await;
    let store = Store::open(&test.folder().join("trimtab.db"))
        .await
        .unwrap();
    let other = Other::start();
    let run_id = test.service.start_run(spec(&["f16"])).await.unwrap();
    give_away(&store).await;
    store.adopt_run(run_id, other.owner()).await.unwrap();
    test.service.start_queue().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        test.calls().is_empty(),
        "the run belongs to the other process"
    );
    assert_contains(
        Some(&failure(test.service.resume_run(run_id).await).message),
        "going on already",
    );
    drop(other);
    test.wait_for(run_id, JobState::Done).await;
}

/// Another process that lives until it is dropped.
struct Other(std::process::Child);

impl Other {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test needs a process that is not its own"
    )]
    fn start() -> Self {
        Self(
            std::process::Command::new("sleep")
                .arg("600")
                .spawn()
                .unwrap(),
        )
    }

    fn owner(&self) -> Owner {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        Owner {
            pid: self.0.id(),
            start_ticks: fields[19].parse().unwrap(),
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn two_servers_cannot_share_a_data_folder() {
    let test = TestService::new().await;
    test.service.start_queue().await.unwrap();
    let second = test.second().await;
    let failure = failure(second.start_queue().await);
    let expected = format!("is in use by process {}", std::process::id());
    assert!(failure.message.ends_with(&expected), "{failure}");
    assert_eq!(failure.exit_code(), 2);
    let test = test.restart().await;
    test.service.start_queue().await.unwrap();
}
