//! What compressing did to each weight of a job, kept while the work goes on.

use crate::database::{from_json, to_json};
use crate::{Store, StoreError};
use trimtab_domain::{JobId, LayerReport};

impl Store {
    /// Keeps reports of a job, all or none; one that is there already is replaced.
    pub async fn put_layer_reports(
        &self,
        job_id: JobId,
        reports: &[LayerReport],
    ) -> Result<(), StoreError> {
        if reports.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        for report in reports {
            sqlx::query(
                "insert into layer_report (job_id, name, body) values (?, ?, ?)
                 on conflict (job_id, name) do update set body = excluded.body",
            )
            .bind(job_id.0)
            .bind(&report.name)
            .bind(to_json(report))
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.named(error))?;
        }
        self.commit(transaction).await
    }

    /// The reports of a job, in the order in which they first came.
    pub async fn layer_reports(&self, job_id: JobId) -> Result<Vec<LayerReport>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "select body from layer_report where job_id = ? order by layer_report_id",
        )
        .bind(job_id.0)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        let reports = rows.iter().map(|body| from_json("layer_report", body));
        reports.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str, error: f64) -> LayerReport {
        LayerReport {
            name: name.to_owned(),
            error,
            bits_per_weight: 4.5,
            duration_ms: 1.0,
            output_error: Some(2.0),
            scales: None,
            sparsity: 0.0,
            channel_scales: None,
            bit_losses: Vec::new(),
            notes: vec!["odd".to_owned()],
        }
    }

    #[tokio::test]
    async fn a_report_that_comes_twice_is_kept_once_in_its_place() {
        let store = Store::in_memory().await.unwrap();
        sqlx::query(
            "insert into job (ordinal, spec, state, created_at_ms) values (0, '{}', 'running', 0)",
        )
        .execute(&store.pool)
        .await
        .unwrap();
        let job = JobId(1);
        let first = [report("b", 0.1), report("a", 0.2)];
        store.put_layer_reports(job, &first).await.unwrap();
        store.put_layer_reports(job, &[]).await.unwrap();
        let again = [report("b", 0.3), report("c", 0.4)];
        store.put_layer_reports(job, &again).await.unwrap();
        let kept = store.layer_reports(job).await.unwrap();
        assert_eq!(kept, [again[0].clone(), first[1].clone(), again[1].clone()]);
        assert!(store.layer_reports(JobId(2)).await.unwrap().is_empty());
        let stranger = store.put_layer_reports(JobId(2), &first).await;
        assert!(stranger.is_err(), "there is no such job");
    }
}
