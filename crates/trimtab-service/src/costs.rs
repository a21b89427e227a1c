//! What the variants of a run cost by the user's prices, and when making them has paid off.

use crate::Service;
use trimtab_domain::{
    CompletionScore, Failure, JobSpec, JobSummary, PriceTable, QueryUse, RunId, VariantCost,
    VariantName,
};
use trimtab_metrics::{break_even, cost_per_1000_queries};

impl Service {
    /// The cost of each variant of a run that has answers, the baseline first.
    ///
    /// A query costs what the run's answers took on this machine, one at a time; energy is not
    /// measured and counts nothing.
    ///
    /// # Errors
    ///
    /// If the run does not exist, has no answers of its baseline, or a price makes no sense.
    pub async fn costs(
        &self,
        run_id: RunId,
        prices: &PriceTable,
    ) -> Result<Vec<VariantCost>, Failure> {
        let run = self.inner.require_run(run_id).await?;
        let jobs = self.inner.store.jobs(run_id).await?;
        let base = run.spec.baseline;
        let query_of = |scores: Vec<CompletionScore>| mean_query(&scores);
        let base_use =
            query_of(self.inner.store.scores(run_id, &base).await?).ok_or_else(|| {
                Failure::not_found(format!("run {run_id} has no answers of `{base}` yet"))
            })?;
        let mut costs = vec![cost(&base, base_use, prices)?];
        for variant in run.spec.variants.iter().filter(|name| **name != base) {
            let Some(used) = query_of(self.inner.store.scores(run_id, variant).await?) else {
                continue;
            };
            let mut cost = cost(variant, used, prices)?;
            if let Some(seconds) = seconds_to_make(&jobs, variant) {
                let paid = break_even(prices, base_use, used, seconds);
                cost.break_even = Some(paid.map_err(Failure::bad_input)?);
            }
            costs.push(cost);
        }
        Ok(costs)
    }
}

fn cost(
    variant: &VariantName,
    used: QueryUse,
    prices: &PriceTable,
) -> Result<VariantCost, Failure> {
    Ok(VariantCost {
        variant: variant.clone(),
        seconds_per_query: used.seconds,
        per_1000: cost_per_1000_queries(prices, used).map_err(Failure::bad_input)?,
        break_even: None,
    })
}

/// What an answer took on average; `None` without answers.
fn mean_query(scores: &[CompletionScore]) -> Option<QueryUse> {
    let total_ms: f64 = scores.iter().map(generation_ms).sum();
    (!scores.is_empty()).then(|| QueryUse {
        seconds: total_ms / scores.len() as f64 / 1e3,
        n_concurrent: 1.0,
        joules: 0.0,
    })
}

/// From the request to the last token.
pub(crate) fn generation_ms(score: &CompletionScore) -> f64 {
    let n_later = f64::from(score.n_output_tokens.saturating_sub(1));
    score.ttft_ms + score.tpot_ms.unwrap_or(0.0) * n_later
}

/// How long the run's job that made `variant` took.
fn seconds_to_make(jobs: &[JobSummary], variant: &VariantName) -> Option<f64> {
    let makes = |job: &&JobSummary| matches!(&job.spec, JobSpec::Compress { variant: made, .. } if made == variant);
    let job = jobs.iter().find(makes)?;
    let ms = job.finished_at?.0.checked_sub(job.started_at?.0)?;
    Some(ms.max(0) as f64 / 1e3)
}
