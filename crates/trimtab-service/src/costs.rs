//! What the variants of a run cost by the user's prices, and when making them has paid off.

use crate::Service;
use trimtab_domain::{
    CompletionScore, Failure, JobSpec, JobSummary, PriceTable, QueryUse, RunId, VariantCost,
    VariantName,
};
use trimtab_metrics::{break_even, cost_per_1000_queries};
use trimtab_store::LandedResults;

impl Service {
    /// The cost of each variant of a run that has answers, the baseline first.
    ///
    /// A query has the mean length of the run's prompts and answers, and takes the speed that was
    /// measured with one sequence alone, and energy at the mean power of that measurement; where a
    /// variant's energy was not measured, none counts any. Variants whose speed was not measured are
    /// left out.
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
        let store = &self.inner.store;
        let base_use =
            mean_query(&store.landed_results(run_id, &base).await?).ok_or_else(|| {
                let message = format!("run {run_id} has no answers or no speed of `{base}` yet");
                Failure::not_found(message)
            })?;
        let mut uses = vec![(base, base_use)];
        for variant in run.spec.variants {
            if variant != uses[0].0
                && let Some(used) = mean_query(&store.landed_results(run_id, &variant).await?)
            {
                uses.push((variant, used));
            }
        }
        compared_costs(uses, &jobs, prices)
    }
}

/// The cost of each query, the baseline's first.
fn compared_costs(
    mut uses: Vec<(VariantName, QueryUse)>,
    jobs: &[JobSummary],
    prices: &PriceTable,
) -> Result<Vec<VariantCost>, Failure> {
    // Costs compare only if the same is in all of them.
    if uses.iter().any(|(_, used)| used.joules.is_none()) {
        for (_, used) in &mut uses {
            used.joules = None;
        }
    }
    let base_use = uses[0].1;
    let has_energy = 0.0 < prices.kilowatt_hour && base_use.joules.is_some();
    let costs = uses.iter().enumerate().map(|(idx, (variant, used))| {
        let mut cost = cost(variant, *used, prices)?;
        let made = made_with(jobs, variant).filter(|_| 0 < idx);
        // An energy that nobody measured cannot be set against savings that hold energy.
        if let Some(made) = made.filter(|(_, joules)| !has_energy || joules.is_some()) {
            let paid = break_even(prices, base_use, *used, made);
            cost.break_even = Some(paid.map_err(Failure::bad_input)?);
        }
        Ok(cost)
    });
    costs.collect()
}

fn cost(
    variant: &VariantName,
    used: QueryUse,
    prices: &PriceTable,
) -> Result<VariantCost, Failure> {
    Ok(VariantCost {
        variant: variant.clone(),
        seconds_per_query: used.seconds,
        joules_per_query: used.joules,
        per_1000: cost_per_1000_queries(prices, used).map_err(Failure::bad_input)?,
        break_even: None,
    })
}

/// What an answer of mean length takes alone; `None` without answers or speeds. The times of the run's
/// own answers say something else, for these were made side by side.
fn mean_query(landed: &LandedResults) -> Option<QueryUse> {
    let performance = landed.performance.as_ref()?;
    let n = landed.scores.len() as f64;
    let mean = |tokens: fn(&CompletionScore) -> u32| {
        let total: f64 = landed
            .scores
            .iter()
            .map(|score| f64::from(tokens(score)))
            .sum();
        (n > 0.0).then_some(total / n)
    };
    let (n_prompt, n_output) = (mean(|s| s.n_prompt_tokens)?, mean(|s| s.n_output_tokens)?);
    let prefill = n_prompt / performance.prefill_tokens_per_s.median;
    let decode = n_output / performance.decode_tokens_per_s.median;
    let seconds = prefill + decode;
    let power_w = performance
        .card_use
        .as_ref()
        .and_then(|card| card.mean_power_w());
    Some(QueryUse {
        seconds,
        n_concurrent: 1.0,
        joules: power_w.map(|watts| watts * seconds),
    })
}

/// The seconds that the run's job which made `variant` took, and its joules where a card's were counted.
fn made_with(jobs: &[JobSummary], variant: &VariantName) -> Option<(f64, Option<f64>)> {
    let makes = |job: &&JobSummary| matches!(&job.spec, JobSpec::Compress { variant: made, .. } if made == variant);
    let job = jobs.iter().find(makes)?;
    let ms = job.finished_at?.0.checked_sub(job.started_at?.0)?;
    let joules = job.card_use.and_then(|used| used.energy_j);
    Some((ms.max(0) as f64 / 1e3, joules))
}
