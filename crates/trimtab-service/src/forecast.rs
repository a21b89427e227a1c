//! Planning a run: what earlier runs say of its suites, and what the run is likely to show.

use crate::{Service, dataset_files};
use trimtab_domain::{
    CompletionScore, Criterion, EvaluationPlan, Failure, RunKind, RunSpec, SuiteForecast,
};
use trimtab_metrics::{PairedCounts, PlanRequest, paired_outcomes, plan_evaluation};
use trimtab_store::StoredRun;
use trimtab_suites::{Problem, Suite};

/// What is assumed of a suite that no run has used: half solved tells most, a tenth differing is
/// what 8-bit variants are near, and a short answer takes a few seconds on a processor.
const ASSUMED_BASE_RATE: f64 = 0.5;
const ASSUMED_DISAGREEMENT: f64 = 0.1;
const ASSUMED_SECONDS: f64 = 5.0;

/// A loss of this size must not go unnoticed.
const FEARED_RETENTION: f64 = 0.85;

/// Twice the rarer outcome is the most that can differ by chance; the rest is room for the loss.
const MOST_DISAGREEMENT: f64 = 1.6;

/// The chance to prove that a plan aims at.
const TARGET_POWER: f64 = 0.8;

impl Service {
    /// What the run that `spec` asks for is likely to show, before it is started.
    ///
    /// Shares and times of a suite come from the newest run that used it, whatever its model was;
    /// the time of measuring all speeds from runs of the same model.
    ///
    /// # Errors
    ///
    /// As [`Self::start_run`], and if there is no variant beside the baseline.
    pub async fn plan_run(&self, spec: &RunSpec) -> Result<EvaluationPlan, Failure> {
        let spec = &self.inner.plan(spec.clone()).await?.spec;
        let runs = self.inner.store.runs(RunKind::Evaluation).await?;
        let (mut chosen, mut candidates) = (Vec::new(), Vec::new());
        for name in &spec.suites {
            let suite = self.inner.suite(name.clone()).await?;
            require_tests(&suite)?;
            let forecast = self.suite_forecast(&suite, &runs).await?;
            let n_used = spec.limit.unwrap_or(u32::MAX).min(forecast.n_problems);
            candidates.push(SuiteForecast {
                suite: format!("the rest of {name}"),
                n_problems: forecast.n_problems - n_used,
                ..forecast.clone()
            });
            chosen.push(SuiteForecast {
                n_problems: n_used,
                ..forecast
            });
        }
        for name in dataset_files::names(&self.inner.paths) {
            if !spec.suites.contains(&name) {
                // One that is damaged or cannot be graded is nothing to add.
                let Ok(suite) = self.inner.suite(name).await else {
                    continue;
                };
                if suite.problems.iter().all(Problem::is_reference_only) {
                    continue;
                }
                candidates.push(self.suite_forecast(&suite, &runs).await?);
            }
        }
        let request = PlanRequest {
            chosen,
            candidates,
            min_retention: Criterion::default().min_retention,
            feared_retention: FEARED_RETENTION,
            n_compared: spec
                .variants
                .iter()
                .filter(|v| **v != spec.baseline)
                .count() as u32,
            target: TARGET_POWER,
        };
        let mut plan = plan_evaluation(&request).map_err(Failure::bad_input)?;
        plan.speed = self.speed_forecast(spec).await?;
        if let Some(speed) = &plan.speed {
            plan.sentence = format!("{} {}", plan.sentence, speed.in_words());
        }
        Ok(plan)
    }

    async fn suite_forecast(
        &self,
        suite: &Suite,
        runs: &[StoredRun],
    ) -> Result<SuiteForecast, Failure> {
        for run in runs
            .iter()
            .filter(|run| run.spec.suites.contains(&suite.name))
        {
            let mut sides = Vec::new();
            for variant in &run.spec.variants {
                let scores = self.inner.store.scores(run.run_id, variant).await?;
                let of_suite = |score: &CompletionScore| score.suite == suite.name;
                let store = &self.inner.store;
                let (scoring_ms, n_timed) =
                    store.scoring_time(run.run_id, variant, &suite.name).await?;
                sides.push(Side {
                    is_baseline: *variant == run.spec.baseline,
                    scores: scores.into_iter().filter(of_suite).collect(),
                    scoring_ms,
                    n_timed,
                });
            }
            if let Some(forecast) = forecast_from(suite, &sides) {
                return Ok(forecast);
            }
        }
        Ok(SuiteForecast {
            suite: suite.name.clone(),
            n_problems: suite.problems.len() as u32,
            base_rate: ASSUMED_BASE_RATE,
            disagreement: ASSUMED_DISAGREEMENT,
            seconds_per_problem: ASSUMED_SECONDS,
            is_assumed: true,
        })
    }
}

/// The answers of one variant to a suite.
struct Side {
    is_baseline: bool,
    scores: Vec<CompletionScore>,
    /// Time in which `n_timed` of them landed.
    scoring_ms: i64,
    n_timed: u32,
}

/// Nobody knows before a run how much CodeBLEU varies between its problems.
fn require_tests(suite: &Suite) -> Result<(), Failure> {
    if suite.problems.iter().all(Problem::is_reference_only) {
        let message = format!(
            "suite `{}` has references and no tests: how much a run on it can show is not foretold",
            suite.name
        );
        return Err(Failure::bad_input(message)
            .with_hint("evaluate it with a `--limit` first; its interval tells"));
    }
    Ok(())
}

/// What a run's answers say of a suite; `None` without an answer of the baseline.
fn forecast_from(suite: &Suite, sides: &[Side]) -> Option<SuiteForecast> {
    let base = &sides.iter().find(|side| side.is_baseline)?.scores;
    if base.is_empty() {
        return None;
    }
    let n_passed = base.iter().filter(|s| s.verdict.has_passed()).count();
    let base_rate = n_passed as f64 / base.len() as f64;
    // Won problems are chance, since compression teaches nothing; chance loses as many.
    let by_chance: Vec<f64> = sides
        .iter()
        .filter(|side| !side.is_baseline)
        .map(|side| PairedCounts::of(&paired_outcomes(base, &side.scores)))
        .filter(|counts| counts.n() > 0.0)
        .map(|counts| 2.0 * (counts.n_won + 0.5) / (counts.n() + 1.0))
        .collect();
    let disagreement = if by_chance.is_empty() {
        ASSUMED_DISAGREEMENT
    } else {
        by_chance.iter().sum::<f64>() / by_chance.len() as f64
    };
    // Answers are made side by side: only the clock tells what one takes.
    let scoring_ms: i64 = sides.iter().map(|side| side.scoring_ms).sum();
    let n_timed: u32 = sides.iter().map(|side| side.n_timed).sum();
    let seconds = scoring_ms as f64 / f64::from(n_timed.max(1)) / 1e3;
    Some(SuiteForecast {
        suite: suite.name.clone(),
        n_problems: suite.problems.len() as u32,
        base_rate,
        disagreement: disagreement.min(MOST_DISAGREEMENT * base_rate.min(1.0 - base_rate)),
        seconds_per_problem: if n_timed > 0 {
            seconds
        } else {
            ASSUMED_SECONDS
        },
        is_assumed: by_chance.is_empty(),
    })
}
