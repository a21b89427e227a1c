//! The job queue: who takes the next job, and what becomes of jobs whose process has vanished.
//!
//! One job runs at a time in a server; a command drives the jobs of its own run. Both use the
//! same claims, so they never do one job twice.

use crate::service::Inner;
use crate::supervisor::JobOutcome;
use crate::{Service, clock, owner};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use trimtab_domain::{Failure, JobEvent, JobId, JobSpec, RunEvent, RunId};
use trimtab_store::{ClaimedJob, HeldJob, JobEnd, LogLine};

/// A job whose process vanished so often is not tried again.
const MAX_INTERRUPTIONS: u32 = 3;
/// Longest wait for workers to end at shutdown; they are killed, so it takes an instant.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// What this process is doing.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Jobs that this process supervises.
    active: Mutex<HashSet<JobId>>,
    /// Held while a job is claimed and marked as active, so that recovery never sees half of it.
    claiming: tokio::sync::Mutex<()>,
    /// Rung when something was queued or cancelled.
    pub(crate) wake: Notify,
    /// Turns true when this process shuts down.
    pub(crate) stop: watch::Sender<bool>,
    /// The server's loop, and the lock of the data folder that goes with it.
    server: Mutex<Option<(JoinHandle<()>, owner::FolderLock)>>,
}

/// Marks a job as supervised by this process until it is dropped.
pub(crate) struct ActiveJob<'a> {
    queue: &'a Queue,
    job_id: JobId,
}

impl Drop for ActiveJob<'_> {
    fn drop(&mut self) {
        self.queue.active().remove(&self.job_id);
    }
}

impl Queue {
    fn active(&self) -> std::sync::MutexGuard<'_, HashSet<JobId>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark_active(&self, job_id: JobId) -> ActiveJob<'_> {
        self.active().insert(job_id);
        ActiveJob {
            queue: self,
            job_id,
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Whether this process runs the queue of a server.
    pub(crate) fn is_server(&self) -> bool {
        self.server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }
}

impl Service {
    /// Makes this process the server of its data folder: takes the lock, recovers what a former
    /// server left, and works through the queue until [`Self::shutdown`].
    ///
    /// # Errors
    ///
    /// If another server holds the folder.
    pub async fn start_queue(&self) -> Result<(), Failure> {
        let lock = owner::FolderLock::take(&self.inner.paths)?;
        self.inner.recover().await?;
        let task = tokio::spawn(serve(Arc::clone(&self.inner)));
        let mut server = self
            .inner
            .queue
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *server = Some((task, lock));
        Ok(())
    }

    /// Ends all workers of this process and puts their jobs back into the queue.
    pub async fn shutdown(&self) {
        let queue = &self.inner.queue;
        queue.stop.send_replace(true);
        let server = queue
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let all_ended = async {
            if let Some((task, _lock)) = server {
                // A loop that panicked has ended, too.
                let _ = task.await;
            }
            while !queue.active().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(SHUTDOWN_LIMIT, all_ended)
            .await
            .is_err()
        {
            tracing::error!("workers did not end in time; the next start recovers their jobs");
        }
        self.inner.store.close().await;
    }
}

/// Waits until the flag is set, or nobody can set it any more.
pub(crate) async fn until_true(flag: &mut watch::Receiver<bool>) {
    // The guard that this returns must not live across another await.
    let _ = flag.wait_for(|is_set| *is_set).await;
}

/// Works through the queue until the process shuts down.
async fn serve(service: Arc<Inner>) {
    let mut stop = service.queue.stop.subscribe();
    while !service.queue.is_stopping() {
        let did_something = match service.do_next_job(None, &mut |_| ()).await {
            Ok(outcome) => outcome.is_some(),
            Err(failure) => {
                tracing::error!("the queue stumbled: {failure}");
                false
            }
        };
        if !did_something {
            tokio::select! {
                () = tokio::time::sleep(service.limits.poll) => {}
                () = service.queue.wake.notified() => {}
                () = until_true(&mut stop) => {}
            }
        }
        if let Err(failure) = service.recover().await {
            tracing::error!("cannot look for jobs that were left behind: {failure}");
        }
    }
}

impl Inner {
    /// Claims and does one job, of `only_run` or of the oldest run; `None` if there is none.
    pub(crate) async fn do_next_job<L: FnMut(&RunEvent)>(
        &self,
        only_run: Option<RunId>,
        listener: &mut L,
    ) -> Result<Option<JobOutcome>, Failure> {
        let Some((job, _active, events)) = self.claim(only_run).await? else {
            return Ok(None);
        };
        events.iter().for_each(&mut *listener);
        let mut hear = |event: &JobEvent| {
            if let Some(run_id) = job.run_id {
                let (job_id, at, event) = (job.job_id, clock::now(), event.clone());
                listener(&RunEvent::Job {
                    run_id,
                    job_id,
                    at,
                    event,
                });
            }
        };
        let (outcome, events) = self.supervise(&job, &mut hear).await?;
        events.iter().for_each(listener);
        Ok(Some(outcome))
    }

    async fn claim(
        &self,
        only_run: Option<RunId>,
    ) -> Result<Option<(ClaimedJob, ActiveJob<'_>, Vec<RunEvent>)>, Failure> {
        let _claiming = self.queue.claiming.lock().await;
        if self.queue.is_stopping() {
            return Ok(None);
        }
        let claimed = self
            .store
            .claim_next_job(self.owner, only_run, clock::now())
            .await?;
        Ok(claimed.map(|(job, changes)| {
            let active = self.queue.mark_active(job.job_id);
            (job, active, self.announce_changes(&changes))
        }))
    }

    /// Does a job that belongs to no run.
    pub(crate) async fn do_command_job<L: FnMut(&JobEvent)>(
        &self,
        spec: JobSpec,
        listener: &mut L,
    ) -> Result<(), Failure> {
        let (job, _active) = {
            let _claiming = self.queue.claiming.lock().await;
            let job = self
                .store
                .start_command_job(self.owner, spec, clock::now())
                .await?;
            let active = self.queue.mark_active(job.job_id);
            (job, active)
        };
        match self.supervise(&job, listener).await? {
            (JobOutcome::Done, _) => Ok(()),
            (JobOutcome::Failed(failure), _) => Err(failure),
            (JobOutcome::Cancelled | JobOutcome::Stopped, _) => Err(stopped(&job.spec)),
        }
    }

    /// Puts jobs whose process has vanished back into the queue, or fails those that have lost
    /// theirs too often. Jobs of living processes are left alone.
    pub(crate) async fn recover(&self) -> Result<(), Failure> {
        let _claiming = self.queue.claiming.lock().await;
        for held in self.store.held_jobs().await? {
            let is_orphan = if held.owner == self.owner {
                held.is_running && !self.queue.active().contains(&held.job_id)
            } else {
                !owner::is_alive(held.owner)
            };
            if is_orphan {
                self.recover_job(&held).await?;
            }
        }
        Ok(())
    }

    async fn recover_job(&self, held: &HeldJob) -> Result<(), Failure> {
        let at = clock::now();
        if !held.is_running {
            self.store
                .release_job(held, held.n_interruptions, at)
                .await?;
            return Ok(());
        }
        self.paths.sweep_job(held.job_id);
        let n_interruptions = held.n_interruptions + 1;
        let changes = match held.run_id {
            Some(run_id) if n_interruptions < MAX_INTERRUPTIONS => {
                tracing::warn!(
                    "job {} of run {run_id} was interrupted; queued again",
                    held.job_id
                );
                let message = "interrupted: its process has vanished; queued again".to_owned();
                let level = trimtab_domain::LogLevel::Warning;
                self.store
                    .put_log(held.job_id, &LogLine { at, level, message })
                    .await?;
                self.store.release_job(held, n_interruptions, at).await?
            }
            Some(run_id) => {
                let failure = Failure::failed(format!(
                    "interrupted {n_interruptions} times: the process that ran it vanished"
                ))
                .with_hint(format!("`trimtab runs resume {run_id}` tries again"));
                let end = self.end_of_orphan(held, run_id, failure).await?;
                self.store
                    .end_job(held.job_id, held.owner, &end, at)
                    .await?
            }
            None => {
                let failure = Failure::failed("interrupted: its command has vanished");
                let end = JobEnd::Failed {
                    failure,
                    dependents: Vec::new(),
                };
                self.store
                    .end_job(held.job_id, held.owner, &end, at)
                    .await?
            }
        };
        self.announce_changes(&changes);
        Ok(())
    }

    async fn end_of_orphan(
        &self,
        held: &HeldJob,
        run_id: RunId,
        failure: Failure,
    ) -> Result<JobEnd, Failure> {
        let jobs = self.store.jobs(run_id).await?;
        let dependents = crate::plan::dependents(&jobs, held.job_id, &failure);
        Ok(JobEnd::Failed {
            failure,
            dependents,
        })
    }
}

/// The failure of work that was stopped with the program.
pub(crate) fn stopped(spec: &JobSpec) -> Failure {
    Failure::failed(format!("`{}` was stopped", spec.title()))
}
