//! A service on a folder of its own, with a worker that does as it is told.

use std::path::{Path, PathBuf};
use std::time::Duration;
use trimtab_domain::{
    Decoding, DeviceName, Failure, JobState, PerformanceDepth, RunDetail, RunEvent, RunId, RunSpec,
    VariantName,
};
use trimtab_service::{Limits, Service, ServiceConfig};

/// Long enough for a slow machine; no test waits for it when all is well.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const MODEL: &str = "smollm2-135m-instruct";

/// A service under test.
pub(crate) struct TestService {
    pub(crate) service: Service,
    folder: tempfile::TempDir,
}

/// The fake worker beside this file.
pub(crate) fn fake_worker() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/fake_worker.py")
}

pub(crate) fn variant(preset: &str) -> VariantName {
    format!("{MODEL}:{preset}").parse().unwrap()
}

/// A run of `presets`, the first of which is the baseline.
pub(crate) fn spec(presets: &[&str]) -> RunSpec {
    RunSpec {
        title: "Test".into(),
        variants: presets.iter().map(|preset| variant(preset)).collect(),
        baseline: variant(presets[0]),
        suites: vec!["starter".into()],
        limit: Some(6),
        seed: 0,
        decoding: Decoding::default(),
        performance: PerformanceDepth::default(),
    }
}

impl TestService {
    /// On an empty folder.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = open(folder.path()).await;
        Self { service, folder }
    }

    /// The same folder after the process has ended and another has started.
    pub(crate) async fn restart(mut self) -> Self {
        self.service.shutdown().await;
        self.service = open(self.folder.path()).await;
        self
    }

    /// A second service on the same folder, as another process would open it.
    pub(crate) async fn second(&self) -> Service {
        open(self.folder.path()).await
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What workers that start from now on do wrong.
    pub(crate) fn workers(&self, behaviour: &str) {
        std::fs::write(self.folder.path().join("behaviour"), behaviour).unwrap();
    }

    /// Kinds of the jobs that workers were started on, each with the number of answers that were
    /// graded already.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// How many references each worker that evaluates was told of.
    pub(crate) fn known_references(&self) -> Vec<String> {
        let known = std::fs::read_to_string(self.folder.path().join("references"));
        known
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Waits until the run is in `state`.
    pub(crate) async fn wait_for(&self, run_id: RunId, state: JobState) -> RunDetail {
        let reached = async {
            loop {
                let detail = self.service.run(run_id).await.unwrap();
                if detail.summary.state == state {
                    return detail;
                }
                assert!(!detail.summary.state.is_final(), "{:?}", detail.summary);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached)
            .await
            .expect("the run never got there")
    }

    /// Waits until so many answers have landed.
    pub(crate) async fn wait_for_scores(&self, run_id: RunId, n: u32) {
        let landed = async {
            while self.service.run(run_id).await.unwrap().summary.n_scored < n {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, landed)
            .await
            .expect("the answers never landed");
    }

    /// Drives a run to its end and returns it with what was heard.
    pub(crate) async fn drive(&self, run_id: RunId) -> (RunDetail, Vec<RunEvent>) {
        let mut heard = Vec::new();
        let driven = self
            .service
            .drive_run(run_id, |event| heard.push(event.clone()));
        let detail = tokio::time::timeout(PATIENCE, driven)
            .await
            .unwrap()
            .unwrap();
        (detail, heard)
    }

    /// Waits until a worker has started a process, and returns its id.
    pub(crate) async fn wait_for_grandchild(&self) -> String {
        let file = self.folder.path().join("grandchild");
        let started = async {
            loop {
                let pid = std::fs::read_to_string(&file).unwrap_or_default();
                if !pid.is_empty() {
                    return pid;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, started)
            .await
            .expect("the worker started no child")
    }

    /// Waits until the process that a worker has started is gone.
    pub(crate) async fn wait_for_grandchild_to_end(&self) {
        let pid = self.wait_for_grandchild().await;
        let gone = async {
            while is_running(&pid) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone)
            .await
            .expect("the worker's child lives on");
    }
}

fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

async fn open(folder: &Path) -> Service {
    let config = ServiceConfig {
        data_dir: folder.to_owned(),
        worker_exe: fake_worker(),
        device: DeviceName::Cpu,
    };
    let limits = Limits {
        poll: Duration::from_millis(30),
        ..Limits::default()
    };
    Service::open_with(config, limits).await.unwrap()
}

/// The failure of something that must not succeed.
#[track_caller]
pub(crate) fn failure<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> Failure {
    outcome.expect_err("this must fail")
}

/// The smallest GGUF file: a version, no tensors, and the architecture's name.
pub(crate) fn gguf(architecture: &str) -> Vec<u8> {
    const STRING: u32 = 8;
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    [
        b"GGUF".as_slice(),
        &3_u32.to_le_bytes(),
        &0_u64.to_le_bytes(),
        &1_u64.to_le_bytes(),
        &text("general.architecture"),
        &STRING.to_le_bytes(),
        &text(architecture),
    ]
    .concat()
}

/// Fails with both texts if `error` does not hold `expected`.
#[track_caller]
pub(crate) fn assert_contains(error: Option<&str>, expected: &str) {
    let error = error.unwrap_or("no error");
    assert!(
        error.contains(expected),
        "`{error}` does not contain `{expected}`"
    );
}
