//! What workers and their supervisors had to say, a bounded number of lines a job.

use crate::{Store, StoreError};
use trimtab_domain::{JobId, LogLevel, RunId, Timestamp};

/// Lines kept a job; a worker that says more is not allowed to fill the disk.
const MAX_LINES_PER_JOB: i64 = 5_000;
/// Bytes kept a line.
const MAX_BYTES_PER_LINE: usize = 2_000;

/// One line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// How serious.
    pub level: LogLevel,
    /// The line.
    pub message: String,
}

fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Info => "info",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
    }
}

fn parse_level(text: &str) -> Result<LogLevel, StoreError> {
    match text {
        "info" => Ok(LogLevel::Info),
        "warning" => Ok(LogLevel::Warning),
        "error" => Ok(LogLevel::Error),
        other => {
            let reason = format!("level `{other}` is unknown");
            Err(StoreError::BadRow {
                table: "job_log",
                reason,
            })
        }
    }
}

impl Store {
    /// Adds a line to a job's log; beyond the limit, lines are dropped.
    pub async fn put_log(&self, job_id: JobId, line: &LogLine) -> Result<(), StoreError> {
        let message = &line.message[..line.message.floor_char_boundary(MAX_BYTES_PER_LINE)];
        sqlx::query(
            "insert into job_log (job_id, at_ms, level, message)
             select ?1, ?2, ?3, ?4
             where (select count(*) from job_log where job_id = ?1) < ?5",
        )
        .bind(job_id.0)
        .bind(line.at.0)
        .bind(level_name(line.level))
        .bind(message)
        .bind(MAX_LINES_PER_JOB)
        .execute(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        Ok(())
    }

    /// The newest `n_max` lines of all jobs of a run, oldest first.
    pub async fn log_of_run(&self, run_id: RunId, n_max: u32) -> Result<Vec<LogLine>, StoreError> {
        let rows: Vec<(i64, String, String)> = sqlx::query_as(
            "select at_ms, level, message from job_log join job using (job_id)
             where run_id = ? order by job_log_id desc limit ?",
        )
        .bind(run_id.0)
        .bind(n_max)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        rows.into_iter()
            .rev()
            .map(|(at, level, message)| {
                Ok(LogLine {
                    at: Timestamp(at),
                    level: parse_level(&level)?,
                    message,
                })
            })
            .collect()
    }
}
