//! A run driven to its end by the calling process: what the command line does.

use crate::Service;
use crate::supervisor::JobOutcome;
use std::collections::HashMap;
use trimtab_domain::{Failure, JobId, JobState, RunDetail, RunEvent, RunId};

impl Service {
    /// Does the jobs of a run in this process until the run has ended, and returns it.
    ///
    /// Jobs that another process is doing are waited for. A run that fails is returned like any
    /// other: its summary says so.
    ///
    /// # Errors
    ///
    /// An unknown run, a store that fails, and a shutdown of this service meanwhile.
    pub async fn drive_run(
        &self,
        run_id: RunId,
        mut listener: impl FnMut(&RunEvent),
    ) -> Result<RunDetail, Failure> {
        let inner = &self.inner;
        let mut seen = HashMap::new();
        loop {
            inner.recover().await?;
            inner.store.adopt_run(run_id, inner.owner).await?;
            match inner.do_next_job(Some(run_id), &mut listener).await? {
                Some(JobOutcome::Stopped) => return Err(stopped(run_id)),
                Some(JobOutcome::Done | JobOutcome::Failed(_) | JobOutcome::Cancelled) => continue,
                None => {}
            }
            let detail = self.run(run_id).await?;
            if detail.summary.state.is_final() {
                return Ok(detail);
            }
            if *inner.queue.stop.borrow() {
                return Err(stopped(run_id));
            }
            tell_changes(&detail, &mut seen, &mut listener);
            tokio::time::sleep(inner.limits.poll).await;
        }
    }
}

fn stopped(run_id: RunId) -> Failure {
    Failure::failed(format!("run {run_id} was stopped")).with_hint(format!(
        "`trimtab runs resume {run_id}` goes on where it stopped"
    ))
}

/// Tells the states of jobs that another process moves.
fn tell_changes(
    detail: &RunDetail,
    seen: &mut HashMap<JobId, JobState>,
    listener: &mut impl FnMut(&RunEvent),
) {
    let run_id = detail.summary.run_id;
    for job in &detail.jobs {
        if seen.insert(job.job_id, job.state) != Some(job.state) {
            listener(&RunEvent::JobState {
                run_id,
                job_id: job.job_id,
                state: job.state,
            });
        }
    }
}
