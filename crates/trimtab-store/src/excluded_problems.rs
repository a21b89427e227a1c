//! Problems that a variant was not asked in a run: written as a worker finds them, only once each.

use crate::{Store, StoreError};
use trimtab_domain::{ExcludedProblem, RunId, VariantName};

impl Store {
    /// Records problems that are left out; those that are known already stay as they are.
    pub async fn put_excluded_problems(
        &self,
        run_id: RunId,
        variant: &VariantName,
        problems: &[ExcludedProblem],
    ) -> Result<(), StoreError> {
        let variant_id = self.variant_id(variant).await?;
        let mut transaction = self.begin().await?;
        for problem in problems {
            sqlx::query(
                "insert into excluded_problem (run_id, variant_id, suite, problem_id, reason)
                 values (?, ?, ?, ?, ?)
                 on conflict (run_id, variant_id, suite, problem_id) do nothing",
            )
            .bind(run_id.0)
            .bind(variant_id)
            .bind(&problem.suite)
            .bind(&problem.problem_id)
            .bind(&problem.reason)
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.named(error))?;
        }
        let outcome = transaction.commit().await;
        outcome.map_err(|error| self.named(error))
    }

    /// How many problems a run has left out, over all variants.
    pub async fn n_excluded(&self, run_id: RunId) -> Result<u32, StoreError> {
        let query = "select count(*) from excluded_problem where run_id = ?";
        let n_excluded: i64 = sqlx::query_scalar(query)
            .bind(run_id.0)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.named(error))?;
        Ok(n_excluded as u32)
    }

    /// Problems that a variant was not asked in a run.
    pub async fn excluded_problems(
        &self,
        run_id: RunId,
        variant: &VariantName,
    ) -> Result<Vec<ExcludedProblem>, StoreError> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "select suite, problem_id, reason
             from excluded_problem join variant using (variant_id)
             where run_id = ? and variant.name = ?
             order by excluded_problem_id",
        )
        .bind(run_id.0)
        .bind(variant.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.named(error))?;
        let problems = rows
            .into_iter()
            .map(|(suite, problem_id, reason)| ExcludedProblem {
                suite,
                problem_id,
                reason,
            });
        Ok(problems.collect())
    }
}
