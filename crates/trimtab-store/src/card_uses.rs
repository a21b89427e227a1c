//! What jobs took of graphics cards: one row a worker, replaced while it works.

use crate::{ClaimedJob, Store, StoreError};
use std::collections::HashMap;
use trimtab_domain::{Bytes, CardMemory, CardMemoryOf, CardUse, JobId, RunId};

#[derive(sqlx::FromRow)]
struct CardUseRow {
    job_id: i64,
    seconds: f64,
    energy_j: Option<f64>,
    peak_memory_bytes: Option<i64>,
    peak_memory_of: Option<String>,
    n_others: Option<i64>,
}

impl CardUseRow {
    fn into_card_use(self) -> Result<CardUse, StoreError> {
        let peak_memory = match self.peak_memory_bytes.zip(self.peak_memory_of) {
            None => None,
            Some((bytes, of)) => Some(CardMemory {
                bytes: Bytes(bytes as u64),
                of: CardMemoryOf::parse(&of).ok_or_else(|| StoreError::BadRow {
                    table: "card_use",
                    reason: format!("memory of `{of}`"),
                })?,
            }),
        };
        Ok(CardUse {
            seconds: self.seconds,
            energy_j: self.energy_j,
            peak_memory,
            n_others: self.n_others.map(|n_others| n_others as u32),
        })
    }
}

impl Store {
    /// Keeps what the worker on `job` has taken so far, in place of what it had taken before.
    pub async fn put_card_use(&self, job: &ClaimedJob, used: &CardUse) -> Result<(), StoreError> {
        let peak = used.peak_memory;
        sqlx::query(
            "insert into card_use (job_id, attempt, seconds, energy_j, peak_memory_bytes,
                                   peak_memory_of, n_others)
             values (?, ?, ?, ?, ?, ?, ?)
             on conflict (job_id, attempt) do update
             set seconds = excluded.seconds, energy_j = excluded.energy_j,
                 peak_memory_bytes = excluded.peak_memory_bytes,
                 peak_memory_of = excluded.peak_memory_of, n_others = excluded.n_others",
        )
        .bind(job.job_id.0)
        .bind(job.n_attempts)
        .bind(used.seconds)
        .bind(used.energy_j)
        .bind(peak.map(|peak| i64::try_from(peak.bytes.0).unwrap_or(i64::MAX)))
        .bind(peak.map(|peak| peak.of.as_str()))
        .bind(used.n_others)
        .execute(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        Ok(())
    }

    /// What the jobs of a run took, all workers of a job together; jobs without a card are not there.
    pub(crate) async fn card_uses(
        &self,
        run_id: RunId,
    ) -> Result<HashMap<JobId, CardUse>, StoreError> {
        let rows: Vec<CardUseRow> = sqlx::query_as(
            "select job_id, seconds, energy_j, peak_memory_bytes, peak_memory_of, n_others
             from card_use join job using (job_id)
             where run_id = ? order by job_id, attempt",
        )
        .bind(run_id.0)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        let mut uses: HashMap<JobId, CardUse> = HashMap::new();
        for row in rows {
            let job_id = JobId(row.job_id);
            let used = row.into_card_use()?;
            uses.entry(job_id)
                .and_modify(|earlier| *earlier = earlier.and(&used))
                .or_insert(used);
        }
        Ok(uses)
    }
}
