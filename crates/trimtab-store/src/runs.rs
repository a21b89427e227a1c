//! Runs and their write-once manifests.

use crate::database::{from_json, to_json};
use crate::jobs::{Changes, insert_job};
use crate::{Owner, Store, StoreError};
use sqlx::{Sqlite, Transaction};
use trimtab_domain::{JobSpec, JobState, Manifest, RunId, RunKind, RunSpec, RunState, Timestamp};

/// A run to be recorded with its jobs and manifest.
#[derive(Clone, Debug)]
pub struct NewRun<'a> {
    /// What it is for.
    pub kind: RunKind,
    /// What was asked for.
    pub spec: &'a RunSpec,
    /// Its jobs in order.
    pub jobs: &'a [JobSpec],
    /// All that is needed to do it again.
    pub manifest: &'a Manifest,
    /// The process that sets the jobs aside for itself, if one does.
    pub owner: Option<Owner>,
}

/// A run as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRun {
    /// The run.
    pub run_id: RunId,
    /// What it is for.
    pub kind: RunKind,
    /// What was asked for.
    pub spec: RunSpec,
    /// Where it stands.
    pub state: RunState,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// What to do about the failure.
    pub hint: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct RunRow {
    run_id: i64,
    kind: String,
    spec: String,
    state: String,
    error: Option<String>,
    hint: Option<String>,
    created_at_ms: i64,
    finished_at_ms: Option<i64>,
}

impl RunRow {
    fn into_run(self) -> Result<StoredRun, StoreError> {
        Ok(StoredRun {
            run_id: RunId(self.run_id),
            kind: parse_kind(&self.kind)?,
            spec: from_json("run", &self.spec)?,
            state: parse_state("run", &self.state)?,
            error: self.error,
            hint: self.hint,
            created_at: Timestamp(self.created_at_ms),
            finished_at: self.finished_at_ms.map(Timestamp),
        })
    }
}

pub(crate) fn parse_state(table: &'static str, text: &str) -> Result<JobState, StoreError> {
    JobState::parse(text).ok_or_else(|| StoreError::BadRow {
        table,
        reason: format!("state `{text}` is unknown"),
    })
}

fn parse_kind(text: &str) -> Result<RunKind, StoreError> {
    RunKind::parse(text).ok_or_else(|| StoreError::BadRow {
        table: "run",
        reason: format!("kind `{text}` is unknown"),
    })
}

impl Store {
    /// Records a run, its jobs and its manifest: all or nothing.
    pub async fn create_run(&self, new: &NewRun<'_>, at: Timestamp) -> Result<RunId, StoreError> {
        let mut transaction = self.begin().await?;
        let run_id: i64 = sqlx::query_scalar(
            "insert into run (kind, title, spec, state, created_at_ms)
             values (?, ?, ?, 'queued', ?) returning run_id",
        )
        .bind(new.kind.as_str())
        .bind(&new.spec.title)
        .bind(to_json(new.spec))
        .bind(at.0)
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| self.named(error))?;
        sqlx::query("insert into manifest (run_id, format_version, body) values (?, ?, ?)")
            .bind(run_id)
            .bind(new.manifest.format_version)
            .bind(to_json(new.manifest))
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.named(error))?;
        for (ordinal, spec) in new.jobs.iter().enumerate() {
            insert_job(
                &mut transaction,
                (run_id, ordinal as i64),
                spec,
                new.owner,
                at,
            )
            .await
            .map_err(|error| self.named(error))?;
        }
        self.commit(transaction).await?;
        Ok(RunId(run_id))
    }

    /// One run.
    pub async fn run(&self, run_id: RunId) -> Result<Option<StoredRun>, StoreError> {
        let row: Option<RunRow> = sqlx::query_as(
            "select run_id, kind, spec, state, error, hint, created_at_ms, finished_at_ms
             from run where run_id = ?",
        )
        .bind(run_id.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        row.map(RunRow::into_run).transpose()
    }

    /// All runs of a kind, newest first.
    pub async fn runs(&self, kind: RunKind) -> Result<Vec<StoredRun>, StoreError> {
        let rows: Vec<RunRow> = sqlx::query_as(
            "select run_id, kind, spec, state, error, hint, created_at_ms, finished_at_ms
             from run where kind = ? order by run_id desc",
        )
        .bind(kind.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        rows.into_iter().map(RunRow::into_run).collect()
    }

    /// The manifest of a run.
    pub async fn manifest(&self, run_id: RunId) -> Result<Option<Manifest>, StoreError> {
        let row: Option<(i64, String)> =
            sqlx::query_as("select format_version, body from manifest where run_id = ?")
                .bind(run_id.0)
                .fetch_optional(&self.pool)
                .await
                .map_err(|error| self.named(error))?;
        match row {
            None => Ok(None),
            Some((version, _)) if i64::from(Manifest::FORMAT_VERSION) < version => {
                let reason = format!("format version {version} is newer than this program");
                Err(StoreError::BadRow {
                    table: "manifest",
                    reason,
                })
            }
            Some((_, body)) => from_json("manifest", &body).map(Some),
        }
    }

    /// Brings the run's state in line with its jobs, and says so if it changed.
    pub(crate) async fn settle_run(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        changes: &mut Changes,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(run_id) = changes.run_id else {
            return Ok(());
        };
        let rows: Vec<(String, Option<String>, Option<String>)> =
            sqlx::query_as("select state, error, hint from job where run_id = ? order by ordinal")
                .bind(run_id.0)
                .fetch_all(&mut **transaction)
                .await
                .map_err(|error| self.named(error))?;
        let mut states = Vec::with_capacity(rows.len());
        for (state, _, _) in &rows {
            states.push(parse_state("job", state)?);
        }
        let state = state_of_run(&states);
        let cause = states.iter().position(|&job| job == JobState::Failed);
        let (error, hint) = match cause {
            Some(idx) if state == JobState::Failed => (rows[idx].1.clone(), rows[idx].2.clone()),
            _ => (None, None),
        };
        let outcome = sqlx::query(
            "update run set state = ?2, error = ?3, hint = ?4, finished_at_ms = ?5
             where run_id = ?1 and state <> ?2",
        )
        .bind(run_id.0)
        .bind(state.as_str())
        .bind(error)
        .bind(hint)
        .bind(state.is_final().then_some(at.0))
        .execute(&mut **transaction)
        .await
        .map_err(|error| self.named(error))?;
        if outcome.rows_affected() > 0 {
            changes.run_state = Some(state);
        }
        Ok(())
    }
}

/// A run is as far as its jobs: it waits while all wait, goes on while any may still change, and
/// then takes the worst end, cancelled before failed because a user chose it.
fn state_of_run(jobs: &[JobState]) -> RunState {
    let any = |state| jobs.contains(&state);
    let all = |state| jobs.iter().all(|&job| job == state);
    if all(JobState::Done) {
        JobState::Done
    } else if all(JobState::Queued) {
        JobState::Queued
    } else if any(JobState::Running) || any(JobState::Queued) {
        JobState::Running
    } else if any(JobState::Cancelled) {
        JobState::Cancelled
    } else {
        JobState::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use JobState::{Cancelled, Done, Failed, Queued, Running};

    #[test]
    fn a_run_is_as_far_as_its_jobs() {
        assert_eq!(state_of_run(&[Queued, Queued]), Queued);
        assert_eq!(state_of_run(&[Done, Queued]), Running);
        assert_eq!(state_of_run(&[Failed, Queued]), Running);
        assert_eq!(state_of_run(&[Done, Running]), Running);
        assert_eq!(state_of_run(&[Done, Done]), Done);
        assert_eq!(state_of_run(&[Done, Failed, Done]), Failed);
        assert_eq!(state_of_run(&[Failed, Cancelled]), Cancelled);
    }
}
