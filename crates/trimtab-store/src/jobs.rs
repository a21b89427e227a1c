//! Jobs: who holds them, how they move between states, and what that does to their run.
//!
//! Every transition names the state it starts from in its `where` clause, so that two processes
//! that decide at the same time cannot both succeed.

use crate::database::{from_json, to_json};
use crate::runs::parse_state;
use crate::{Store, StoreError};
use sqlx::{Sqlite, Transaction};
use trimtab_domain::{
    CardUse, Failure, JobId, JobSpec, JobState, JobSummary, RunId, RunState, Timestamp,
};

/// A process that holds jobs. The start time tells it from a later process with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// When the process started, in clock ticks since boot.
    pub start_ticks: u64,
}

/// A job that the caller now holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedJob {
    /// The job.
    pub job_id: JobId,
    /// Its run; absent for a command's job.
    pub run_id: Option<RunId>,
    /// What to do.
    pub spec: JobSpec,
    /// Workers started on it, this one included.
    pub n_attempts: u32,
}

/// An unfinished job that some process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldJob {
    /// The job.
    pub job_id: JobId,
    /// Its run.
    pub run_id: Option<RunId>,
    /// Whether a worker was started; otherwise it is only set aside.
    pub is_running: bool,
    /// How often its holder has vanished.
    pub n_interruptions: u32,
    /// The holder.
    pub owner: Owner,
}

/// How a running job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum JobEnd {
    /// Well.
    Done,
    /// With a failure, which later jobs that cannot do without it share.
    Failed {
        /// Why.
        failure: Failure,
        /// Queued jobs of the same run that cannot go on, and the failure they get.
        dependents: Vec<(JobId, Failure)>,
    },
}

/// What a transition changed; to be told to whoever watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The run concerned.
    pub run_id: Option<RunId>,
    /// Jobs and their new states.
    pub jobs: Vec<(JobId, JobState)>,
    /// The run's new state, if it changed.
    pub run_state: Option<RunState>,
}

#[derive(sqlx::FromRow)]
struct JobRow {
    job_id: i64,
    run_id: Option<i64>,
    spec: String,
    state: String,
    n_attempts: i64,
    error: Option<String>,
    hint: Option<String>,
    started_at_ms: Option<i64>,
    finished_at_ms: Option<i64>,
}

impl JobRow {
    fn into_summary(self, card_use: Option<CardUse>) -> Result<JobSummary, StoreError> {
        Ok(JobSummary {
            job_id: JobId(self.job_id),
            run_id: self.run_id.map(RunId),
            spec: from_json("job", &self.spec)?,
            state: parse_state("job", &self.state)?,
            n_attempts: self.n_attempts as u32,
            error: self.error,
            hint: self.hint,
            started_at: self.started_at_ms.map(Timestamp),
            finished_at: self.finished_at_ms.map(Timestamp),
            card_use,
        })
    }
}

#[derive(sqlx::FromRow)]
struct HeldRow {
    job_id: i64,
    run_id: Option<i64>,
    state: String,
    n_interruptions: i64,
    owner_pid: i64,
    owner_start_ticks: i64,
}

impl HeldRow {
    fn into_held(self) -> HeldJob {
        HeldJob {
            job_id: JobId(self.job_id),
            run_id: self.run_id.map(RunId),
            is_running: self.state == JobState::Running.as_str(),
            n_interruptions: self.n_interruptions as u32,
            owner: Owner {
                pid: self.owner_pid as u32,
                start_ticks: self.owner_start_ticks as u64,
            },
        }
    }
}

pub(crate) async fn insert_job(
    transaction: &mut Transaction<'static, Sqlite>,
    (run_id, ordinal): (i64, i64),
    spec: &JobSpec,
    owner: Option<Owner>,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into job (run_id, ordinal, spec, state, owner_pid, owner_start_ticks,
                          created_at_ms)
         values (?, ?, ?, 'queued', ?, ?, ?)",
    )
    .bind(run_id)
    .bind(ordinal)
    .bind(to_json(spec))
    .bind(owner.map(|owner| i64::from(owner.pid)))
    .bind(owner.map(|owner| owner.start_ticks as i64))
    .bind(at.0)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

impl Store {
    /// The jobs of a run in order.
    pub async fn jobs(&self, run_id: RunId) -> Result<Vec<JobSummary>, StoreError> {
        let rows: Vec<JobRow> = sqlx::query_as(
            "select job_id, run_id, spec, state, n_attempts, error, hint,
                    started_at_ms, finished_at_ms
             from job where run_id = ? order by ordinal",
        )
        .bind(run_id.0)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        let mut card_uses = self.card_uses(run_id).await?;
        rows.into_iter()
            .map(|row| {
                let card_use = card_uses.remove(&JobId(row.job_id));
                row.into_summary(card_use)
            })
            .collect()
    }

    /// The specifications of all jobs that wait or run, those of commands included.
    pub async fn unfinished_jobs(&self) -> Result<Vec<JobSpec>, StoreError> {
        let rows: Vec<String> =
            sqlx::query_scalar("select spec from job where state in ('queued', 'running')")
                .fetch_all(&self.pool)
                .await
                .map_err(|error| self.named(error))?;
        rows.iter().map(|spec| from_json("job", spec)).collect()
    }

    /// Takes the next job whose predecessors have ended, of `only_run` or of the oldest run.
    ///
    /// Jobs that another process has set aside are left alone.
    pub async fn claim_next_job(
        &self,
        owner: Owner,
        only_run: Option<RunId>,
        at: Timestamp,
    ) -> Result<Option<(ClaimedJob, Changes)>, StoreError> {
        let mut transaction = self.begin().await?;
        let row: Option<(i64, i64, String, i64)> = sqlx::query_as(
            "update job set
                 state = 'running', n_attempts = n_attempts + 1, worker_pid = null,
                 owner_pid = ?1, owner_start_ticks = ?2, error = null, hint = null,
                 started_at_ms = coalesce(started_at_ms, ?3), finished_at_ms = null
             where job_id = (
                 select job_id from job as candidate
                 where state = 'queued' and run_id is not null
                   and (?4 is null or run_id = ?4)
                   and (owner_pid is null or (owner_pid = ?1 and owner_start_ticks = ?2))
                   and not exists (
                       select 1 from job as earlier
                       where earlier.run_id = candidate.run_id
                         and earlier.ordinal < candidate.ordinal
                         and earlier.state in ('queued', 'running')
                   )
                 order by run_id, ordinal
                 limit 1
             )
             returning job_id, run_id, spec, n_attempts",
        )
        .bind(i64::from(owner.pid))
        .bind(owner.start_ticks as i64)
        .bind(at.0)
        .bind(only_run.map(|run_id| run_id.0))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(|error| self.named(error))?;
        let Some((job_id, run_id, spec, n_attempts)) = row else {
            return Ok(None);
        };
        let job = ClaimedJob {
            job_id: JobId(job_id),
            run_id: Some(RunId(run_id)),
            spec: from_json("job", &spec)?,
            n_attempts: n_attempts as u32,
        };
        let jobs = vec![(job.job_id, JobState::Running)];
        let changes = self.settled(transaction, job.run_id, jobs, at).await?;
        Ok(Some((job, changes)))
    }

    /// Records a job that belongs to no run, as running under `owner`.
    pub async fn start_command_job(
        &self,
        owner: Owner,
        spec: JobSpec,
        at: Timestamp,
    ) -> Result<ClaimedJob, StoreError> {
        let job_id: i64 = sqlx::query_scalar(
            "insert into job (ordinal, spec, state, n_attempts, owner_pid, owner_start_ticks,
                              created_at_ms, started_at_ms)
             values (0, ?1, 'running', 1, ?2, ?3, ?4, ?4) returning job_id",
        )
        .bind(to_json(&spec))
        .bind(i64::from(owner.pid))
        .bind(owner.start_ticks as i64)
        .bind(at.0)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        Ok(ClaimedJob {
            job_id: JobId(job_id),
            run_id: None,
            spec,
            n_attempts: 1,
        })
    }

    /// Records the worker process of a running job.
    pub async fn set_worker(&self, job_id: JobId, worker_pid: u32) -> Result<(), StoreError> {
        sqlx::query("update job set worker_pid = ? where job_id = ? and state = 'running'")
            .bind(i64::from(worker_pid))
            .bind(job_id.0)
            .execute(&self.pool)
            .await
            .map_err(|error| self.named(error))?;
        Ok(())
    }

    /// Whether `owner` still holds the running job; not so after a user has cancelled it.
    pub async fn holds_job(&self, job_id: JobId, owner: Owner) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar(
            "select 1 from job where job_id = ? and state = 'running'
               and owner_pid = ? and owner_start_ticks = ?",
        )
        .bind(job_id.0)
        .bind(i64::from(owner.pid))
        .bind(owner.start_ticks as i64)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        Ok(found.is_some())
    }

    /// Ends a running job; changes nothing if `owner` no longer holds it.
    pub async fn end_job(
        &self,
        job_id: JobId,
        owner: Owner,
        end: &JobEnd,
        at: Timestamp,
    ) -> Result<Changes, StoreError> {
        let (state, failure, dependents) = match end {
            JobEnd::Done => (JobState::Done, None, [].as_slice()),
            JobEnd::Failed {
                failure,
                dependents,
            } => (JobState::Failed, Some(failure), dependents.as_slice()),
        };
        let mut transaction = self.begin().await?;
        let run_id: Option<Option<i64>> = sqlx::query_scalar(
            "update job set state = ?, error = ?, hint = ?, finished_at_ms = ?,
                            worker_pid = null, owner_pid = null, owner_start_ticks = null
             where job_id = ? and state = 'running'
               and owner_pid = ? and owner_start_ticks = ?
             returning run_id",
        )
        .bind(state.as_str())
        .bind(failure.map(|failure| &failure.message))
        .bind(failure.and_then(|failure| failure.hint.as_ref()))
        .bind(at.0)
        .bind(job_id.0)
        .bind(i64::from(owner.pid))
        .bind(owner.start_ticks as i64)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(|error| self.named(error))?;
        let Some(run_id) = run_id else {
            return Ok(Changes::default());
        };
        let mut jobs = vec![(job_id, state)];
        for (dependent, failure) in dependents {
            if self
                .fail_queued(&mut transaction, *dependent, failure, at)
                .await?
            {
                jobs.push((*dependent, JobState::Failed));
            }
        }
        let run_id = run_id.map(RunId);
        self.settled(transaction, run_id, jobs, at).await
    }

    /// Ends a transaction that changed these jobs: the run's state follows them.
    async fn settled(
        &self,
        mut transaction: Transaction<'static, Sqlite>,
        run_id: Option<RunId>,
        jobs: Vec<(JobId, JobState)>,
        at: Timestamp,
    ) -> Result<Changes, StoreError> {
        let mut changes = Changes {
            run_id,
            jobs,
            run_state: None,
        };
        self.settle_run(&mut transaction, &mut changes, at).await?;
        self.commit(transaction).await?;
        Ok(changes)
    }

    async fn fail_queued(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        job_id: JobId,
        failure: &Failure,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let outcome = sqlx::query(
            "update job set state = 'failed', error = ?, hint = ?, finished_at_ms = ?,
                            owner_pid = null, owner_start_ticks = null
             where job_id = ? and state = 'queued'",
        )
        .bind(&failure.message)
        .bind(&failure.hint)
        .bind(at.0)
        .bind(job_id.0)
        .execute(&mut **transaction)
        .await
        .map_err(|error| self.named(error))?;
        Ok(outcome.rows_affected() > 0)
    }

    /// Stops everything of a run that waits or runs.
    ///
    /// Whoever holds the running job sees that it does no longer and ends the worker.
    pub async fn cancel_run(&self, run_id: RunId, at: Timestamp) -> Result<Changes, StoreError> {
        let mut transaction = self.begin().await?;
        let job_ids: Vec<i64> = sqlx::query_scalar(
            "update job set state = 'cancelled', finished_at_ms = ?, worker_pid = null,
                            owner_pid = null, owner_start_ticks = null
             where run_id = ? and state in ('queued', 'running')
             returning job_id",
        )
        .bind(at.0)
        .bind(run_id.0)
        .fetch_all(&mut *transaction)
        .await
        .map_err(|error| self.named(error))?;
        let jobs = all_in(job_ids, JobState::Cancelled);
        self.settled(transaction, Some(run_id), jobs, at).await
    }

    /// Queues what failed or was cancelled again; what is done stays done.
    pub async fn resume_run(
        &self,
        run_id: RunId,
        owner: Option<Owner>,
        at: Timestamp,
    ) -> Result<Changes, StoreError> {
        let mut transaction = self.begin().await?;
        let job_ids: Vec<i64> = sqlx::query_scalar(
            "update job set state = 'queued', error = null, hint = null, finished_at_ms = null,
                            n_interruptions = 0, owner_pid = ?, owner_start_ticks = ?
             where run_id = ? and state in ('failed', 'cancelled')
             returning job_id",
        )
        .bind(owner.map(|owner| i64::from(owner.pid)))
        .bind(owner.map(|owner| owner.start_ticks as i64))
        .bind(run_id.0)
        .fetch_all(&mut *transaction)
        .await
        .map_err(|error| self.named(error))?;
        let jobs = all_in(job_ids, JobState::Queued);
        self.settled(transaction, Some(run_id), jobs, at).await
    }

    /// Sets the waiting jobs of a run that nobody holds aside for `owner`.
    pub async fn adopt_run(&self, run_id: RunId, owner: Owner) -> Result<(), StoreError> {
        sqlx::query(
            "update job set owner_pid = ?, owner_start_ticks = ?
             where run_id = ? and state = 'queued' and owner_pid is null",
        )
        .bind(i64::from(owner.pid))
        .bind(owner.start_ticks as i64)
        .bind(run_id.0)
        .execute(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        Ok(())
    }

    /// All unfinished jobs that some process holds.
    pub async fn held_jobs(&self) -> Result<Vec<HeldJob>, StoreError> {
        let rows: Vec<HeldRow> = sqlx::query_as(
            "select job_id, run_id, state, n_interruptions, owner_pid, owner_start_ticks
             from job
             where state in ('queued', 'running') and owner_pid is not null
             order by job_id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        Ok(rows.into_iter().map(HeldRow::into_held).collect())
    }

    /// Puts a held job back into the queue, for anyone to take.
    ///
    /// `n_interruptions` becomes the new count; a holder that gives a job back in good order
    /// leaves it as it was.
    pub async fn release_job(
        &self,
        held: &HeldJob,
        n_interruptions: u32,
        at: Timestamp,
    ) -> Result<Changes, StoreError> {
        let mut transaction = self.begin().await?;
        let released: Option<i64> = sqlx::query_scalar(
            "update job set state = 'queued', worker_pid = null, owner_pid = null,
                            owner_start_ticks = null, n_interruptions = ?
             where job_id = ? and state in ('queued', 'running')
               and owner_pid = ? and owner_start_ticks = ?
             returning job_id",
        )
        .bind(n_interruptions)
        .bind(held.job_id.0)
        .bind(i64::from(held.owner.pid))
        .bind(held.owner.start_ticks as i64)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(|error| self.named(error))?;
        if released.is_none() {
            return Ok(Changes::default());
        }
        let jobs = vec![(held.job_id, JobState::Queued)];
        self.settled(transaction, held.run_id, jobs, at).await
    }
}

fn all_in(job_ids: Vec<i64>, state: JobState) -> Vec<(JobId, JobState)> {
    let jobs = job_ids.into_iter();
    jobs.map(|id| (JobId(id), state)).collect()
}
