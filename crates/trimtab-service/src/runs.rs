//! Starting, watching, cancelling and resuming runs.

use crate::service::Inner;
use crate::{Service, clock, inference::blocking, tradeoff};
use trimtab_domain::{
    AnswerTokens, CompletionScore, Decoding, Failure, Flips, JobState, Manifest, OverviewView,
    PerformanceDepth, RunDetail, RunId, RunKind, RunSpec, RunSummary, TradeoffView, VariantName,
    VariantResult, catalog,
};
use trimtab_store::{NewRun, StoredRun};

/// Log lines shown with a run.
const N_LOG_LINES: u32 = 500;

impl Service {
    /// What the first page shows.
    pub async fn overview(&self) -> Result<OverviewView, Failure> {
        let runs = self.inner.store.runs(RunKind::Evaluation).await?;
        let active = runs.iter().find(|run| !run.state.is_final());
        let active = match active {
            Some(run) => Some(self.inner.summary(run).await?),
            None => None,
        };
        let latest = self.newest_comparison(&runs).await?;
        Ok(OverviewView {
            advice: latest.as_ref().map(trimtab_metrics::advice),
            latest,
            active,
            n_runs: runs.len() as u32,
            n_variants: self.inner.store.variants().await?.len() as u32,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// The trade-offs of the newest run that compares variants: one that has only one hides none.
    async fn newest_comparison(&self, runs: &[StoredRun]) -> Result<Option<TradeoffView>, Failure> {
        for run in runs.iter().filter(|run| run.spec.variants.len() > 1) {
            let view = self.inner.tradeoff(run).await?;
            if let Some(view) = view.filter(|view| !view.comparisons.is_empty()) {
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    /// All evaluations, newest first; [`Self::compressions`] lists the other runs.
    pub async fn list_runs(&self) -> Result<Vec<RunSummary>, Failure> {
        let mut summaries = Vec::new();
        for run in self.inner.store.runs(RunKind::Evaluation).await? {
            summaries.push(self.inner.summary(&run).await?);
        }
        Ok(summaries)
    }

    /// One run with all it knows.
    pub async fn run(&self, run_id: RunId) -> Result<RunDetail, Failure> {
        let inner = &self.inner;
        let run = inner.require_run(run_id).await?;
        let log = inner.store.log_of_run(run_id, N_LOG_LINES).await?;
        Ok(RunDetail {
            summary: inner.summary(&run).await?,
            jobs: inner.store.jobs(run_id).await?,
            results: inner.results(&run).await?,
            log: log
                .into_iter()
                .map(|line| (line.at, line.message))
                .collect(),
            manifest: inner.store.manifest(run_id).await?,
            reproductions: inner.store.reproductions(run_id).await?,
            spec: run.spec,
        })
    }

    /// The trade-offs of a run, or of the newest run that has results.
    ///
    /// # Errors
    ///
    /// If the run does not exist. A run without results is `None`.
    pub async fn tradeoffs(&self, run_id: Option<RunId>) -> Result<Option<TradeoffView>, Failure> {
        let runs = match run_id {
            Some(run_id) => vec![self.inner.require_run(run_id).await?],
            None => self.inner.store.runs(RunKind::Evaluation).await?,
        };
        for run in &runs {
            if let Some(view) = self.inner.tradeoff(run).await? {
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    /// The graded answers of one variant in a run.
    pub async fn scores(
        &self,
        run_id: RunId,
        variant: VariantName,
    ) -> Result<Vec<CompletionScore>, Failure> {
        let run = self.inner.require_run(run_id).await?;
        require_variant(&run, &variant)?;
        let mut scores = self.inner.store.scores(run_id, &variant).await?;
        scores.iter_mut().for_each(without_tokens);
        Ok(scores)
    }

    /// The problems on which a variant and the baseline of its run part.
    ///
    /// # Errors
    ///
    /// If the run does not exist or has no such variant.
    pub async fn flips(&self, run_id: RunId, variant: VariantName) -> Result<Flips, Failure> {
        let run = self.inner.require_run(run_id).await?;
        require_variant(&run, &variant)?;
        let store = &self.inner.store;
        let scores = store.scores(run_id, &variant).await?;
        let base = store.scores(run_id, &run.spec.baseline).await?;
        let mut flips = trimtab_metrics::flips(&base, &scores);
        for flip in flips.lost.iter_mut().chain(&mut flips.won) {
            without_tokens(&mut flip.base);
            without_tokens(&mut flip.variant);
        }
        Ok(flips)
    }

    /// Queues a run. In a server the queue takes it up; elsewhere it is set aside for
    /// [`Self::drive_run`] of this process.
    ///
    /// # Errors
    ///
    /// Unknown variants, models, presets and suites, and settings that no run can be done with.
    pub async fn start_run(&self, spec: RunSpec) -> Result<RunId, Failure> {
        let inner = &self.inner;
        let plan = inner.plan(spec).await?;
        let owner = (!inner.queue.is_server()).then_some(inner.owner);
        let new = NewRun {
            kind: RunKind::Evaluation,
            spec: &plan.spec,
            jobs: &plan.jobs,
            manifest: &plan.manifest,
            owner,
        };
        let run_id = inner.store.create_run(&new, clock::now()).await?;
        inner.announce_run(run_id, JobState::Queued);
        Ok(run_id)
    }

    /// Queues the experiment that shows what the product does: the default model in f16, int8
    /// and int4 on the `starter` suite.
    pub async fn start_quickstart(&self) -> Result<RunId, Failure> {
        let model = catalog().swap_remove(0).name;
        let variants = ["f16", "int8", "int4"]
            .iter()
            .map(|preset| VariantName::of_preset(&model, preset))
            .collect::<Result<Vec<_>, _>>()
            .map_err(Failure::bad_input)?;
        self.start_run(RunSpec {
            title: "Quickstart: Qwen2.5-Coder 0.5B".to_owned(),
            baseline: variants[0].clone(),
            variants,
            suites: vec!["starter".to_owned()],
            limit: None,
            seed: 0,
            decoding: Decoding::default(),
            performance: PerformanceDepth::default(),
        })
        .await
    }

    /// Stops a run that waits or runs; its worker is killed at once or, in another process,
    /// within a second.
    pub async fn cancel_run(&self, run_id: RunId) -> Result<(), Failure> {
        let inner = &self.inner;
        let run = inner.require_run(run_id).await?;
        if run.state.is_final() {
            let state = run.state.as_str();
            return Err(Failure::conflict(format!(
                "run {run_id} is already {state}"
            )));
        }
        let changes = inner.store.cancel_run(run_id, clock::now()).await?;
        inner.announce_changes(&changes);
        inner.queue.wake.notify_waiters();
        Ok(())
    }

    /// Queues what failed or was cancelled again; results that have landed stay.
    ///
    /// A run whose process has vanished is taken over.
    ///
    /// # Errors
    ///
    /// If the run is done, or a living process is at it.
    pub async fn resume_run(&self, run_id: RunId) -> Result<(), Failure> {
        let inner = &self.inner;
        inner.recover().await?;
        let run = inner.require_run(run_id).await?;
        let owner = (!inner.queue.is_server()).then_some(inner.owner);
        match run.state {
            JobState::Done => {
                return Err(Failure::conflict(format!("run {run_id} is already done")));
            }
            JobState::Queued | JobState::Running => {
                let held = inner.store.held_jobs().await?;
                let is_held = held.iter().any(|job| job.run_id == Some(run_id));
                if is_held || inner.queue.is_server() {
                    return Err(Failure::conflict(format!(
                        "run {run_id} is going on already"
                    )));
                }
                inner.store.adopt_run(run_id, inner.owner).await?;
            }
            JobState::Failed | JobState::Cancelled => {
                inner.store.forget_failed_references(run_id).await?;
                let changes = inner.store.resume_run(run_id, owner, clock::now()).await?;
                inner.announce_changes(&changes);
                inner.queue.wake.notify_waiters();
            }
        }
        Ok(())
    }
}

impl Inner {
    pub(crate) async fn require_run(&self, run_id: RunId) -> Result<StoredRun, Failure> {
        self.store.run(run_id).await?.ok_or_else(|| {
            Failure::not_found(format!("there is no run {run_id}"))
                .with_hint("`trimtab runs list` shows all runs")
        })
    }

    pub(crate) fn announce_run(&self, run_id: RunId, state: JobState) {
        self.announce(trimtab_domain::RunEvent::RunState { run_id, state });
        self.queue.wake.notify_waiters();
    }

    async fn summary(&self, run: &StoredRun) -> Result<RunSummary, Failure> {
        let n_asked = self.n_asked(run).await? * run.spec.variants.len() as u32;
        let n_left_out = self.store.n_excluded(run.run_id).await? * run.spec.decoding.n_samples;
        Ok(RunSummary {
            run_id: run.run_id,
            kind: run.kind,
            title: run.spec.title.clone(),
            state: run.state,
            created_at: run.created_at,
            finished_at: run.finished_at,
            variants: run.spec.variants.clone(),
            suites: run.spec.suites.clone(),
            n_scored: self.store.n_scored(run.run_id).await?,
            n_problems: n_asked.saturating_sub(n_left_out),
            error: run.error.clone(),
            hint: run.hint.clone(),
        })
    }

    /// Answers that each variant of the run is asked for.
    async fn n_asked(&self, run: &StoredRun) -> Result<u32, Failure> {
        let manifest = self.store.manifest(run.run_id).await?;
        Ok(manifest.map_or(0, |manifest| answers_per_variant(&manifest)))
    }

    async fn results(&self, run: &StoredRun) -> Result<Vec<VariantResult>, Failure> {
        let results = self.results_with_scores(run).await?;
        Ok(results.into_iter().map(|(result, _)| result).collect())
    }

    async fn results_with_scores(&self, run: &StoredRun) -> Result<Vec<tradeoff::Scored>, Failure> {
        let manifest = self.store.manifest(run.run_id).await?;
        let n_asked = manifest.as_ref().map_or(0, answers_per_variant);
        let mut inputs = Vec::with_capacity(run.spec.variants.len());
        for name in &run.spec.variants {
            let stored = self.store.variant(name).await?;
            let recipe = manifest
                .as_ref()
                .and_then(|manifest| manifest.recipes.iter().find(|(of, _)| of == name))
                .map(|(_, recipe)| recipe);
            inputs.push(tradeoff::ResultInput {
                name: name.clone(),
                scheme: recipe
                    .map(trimtab_domain::Recipe::scheme)
                    .unwrap_or_default(),
                is_baseline: *name == run.spec.baseline,
                size: stored.map(|stored| stored.view.size),
                n_asked,
                n_samples: run.spec.decoding.n_samples,
                seed: run.spec.seed,
                landed: self.store.landed_results(run.run_id, name).await?,
            });
        }
        // Intervals by drawing take their time; others are served meanwhile.
        blocking(|| inputs.into_iter().map(tradeoff::variant_result).collect()).await
    }

    async fn tradeoff(&self, run: &StoredRun) -> Result<Option<TradeoffView>, Failure> {
        let results = self.results_with_scores(run).await?;
        let has_any = results
            .iter()
            .any(|(result, _)| 0 < result.n_scored || result.performance.is_some());
        // A suite that is gone since leaves its answers unsearched for prompts, and nothing else.
        let mut suites = Vec::new();
        for name in &run.spec.suites {
            suites.extend(self.suite(name.clone()).await.ok());
        }
        if !has_any {
            return Ok(None);
        }
        let run = run.clone();
        blocking(move || Ok(Some(tradeoff::tradeoff_view(&run, &suites, results)))).await
    }
}

fn require_variant(run: &StoredRun, variant: &VariantName) -> Result<(), Failure> {
    if run.spec.variants.contains(variant) {
        return Ok(());
    }
    let message = format!("run {} has no variant `{variant}`", run.run_id);
    Err(Failure::not_found(message))
}

/// Tokens are as many bytes as the answer again, and only comparing answers needs them.
fn without_tokens(score: &mut CompletionScore) {
    score.detail.tokens = AnswerTokens::default();
}

/// Answers that each variant is asked for, those to problems left out included.
fn answers_per_variant(manifest: &Manifest) -> u32 {
    let limit = manifest.spec.limit.unwrap_or(u32::MAX);
    let problems = manifest
        .suites
        .iter()
        .map(|suite| suite.n_problems.min(limit));
    problems.sum::<u32>() * manifest.spec.decoding.n_samples
}
