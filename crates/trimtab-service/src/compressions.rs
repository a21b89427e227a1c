//! Compressions without an evaluation: started, listed and watched as runs of their own kind, which
//! can be cancelled and resumed like every run.

use crate::{
    Service, clock, hardware, parse_recipe, recipe_failure, service::Inner, variants::check_name,
};
use std::collections::HashMap;
use trimtab_compress::with_joint_weights;
use trimtab_domain::{
    CompressionRequest, CompressionSummary, CompressionView, Decoding, Failure, JobSpec, JobState,
    JobSummary, LayerReport, Manifest, ModelName, PerformanceDepth, Recipe, RunId, RunKind,
    RunSpec, VariantName, VariantView,
};
use trimtab_metrics::{layer_map, worst_modules};
use trimtab_models::weight_specs;
use trimtab_store::{NewRun, StoredRun};

/// Bits at which the worst modules are kept.
const KEPT_BITS: u8 = 8;

/// What is added to the name of a recipe that keeps the worst modules.
const KEPT_SUFFIX: &str = "-worst8";

impl Service {
    /// Queues the making of one variant.
    ///
    /// # Errors
    ///
    /// What is wrong with the recipe, alone or with this model; an unknown model; a name that stands
    /// for another variant, made or being made.
    pub async fn start_compression(&self, request: CompressionRequest) -> Result<RunId, Failure> {
        let inner = &self.inner;
        let CompressionRequest {
            model,
            recipe,
            name,
        } = request;
        let recipe = parse_recipe(&recipe).map_err(recipe_failure)?;
        inner.require_known_model(&model).await?;
        let (recipe, _) = self.foresee(&model, recipe).await??;
        let variant = match name {
            Some(name) => name,
            None => VariantName::of_preset(&model, &recipe.name).map_err(Failure::bad_input)?,
        };
        inner.check_free(&variant, &model, &recipe).await?;
        let spec = spec_of(&variant);
        let manifest = Manifest {
            format_version: Manifest::FORMAT_VERSION,
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: clock::now(),
            spec: spec.clone(),
            recipes: vec![(variant.clone(), recipe.clone())],
            variants: Vec::new(),
            suites: Vec::new(),
            hardware: hardware::hardware(inner.config.device),
        };
        let mut jobs = Vec::new();
        if inner.model_digest(&model).await?.is_none() {
            let model = model.clone();
            jobs.push(JobSpec::Fetch { model });
        }
        jobs.push(JobSpec::Compress {
            model,
            recipe,
            variant,
        });
        let new = NewRun {
            kind: RunKind::Compression,
            spec: &spec,
            jobs: &jobs,
            manifest: &manifest,
            owner: (!inner.queue.is_server()).then_some(inner.owner),
        };
        let run_id = inner.store.create_run(&new, clock::now()).await?;
        inner.announce_run(run_id, JobState::Queued);
        Ok(run_id)
    }

    /// All compressions that were started by themselves, newest first.
    pub async fn compressions(&self) -> Result<Vec<CompressionSummary>, Failure> {
        let inner = &self.inner;
        let mut summaries = Vec::new();
        for run in inner.store.runs(RunKind::Compression).await? {
            let jobs = inner.store.jobs(run.run_id).await?;
            summaries.push(summary(&run, &jobs)?);
        }
        Ok(summaries)
    }

    /// One compression: how far it is, what it did where, and what came of it.
    ///
    /// # Errors
    ///
    /// If there is no such compression.
    pub async fn compression(&self, run_id: RunId) -> Result<CompressionView, Failure> {
        let inner = &self.inner;
        let (run, jobs) = inner.require_compression(run_id).await?;
        let summary = summary(&run, &jobs)?;
        let made = inner.made_of(&summary).await?;
        let mut reports = inner.reports_of(&jobs, made.as_ref()).await?;
        self.sort_as_read(&summary.model, &mut reports).await;
        let is_over = run.state.is_final();
        // What is to come is shown while it can still come.
        let expected = match is_over {
            false => self.expected_weights(&summary).await,
            true => Vec::new(),
        };
        let running = jobs.iter().find(|job| job.state == JobState::Running);
        let live = running.map(|job| inner.live_jobs.get(job.job_id));
        let live = live.unwrap_or_default();
        let stages = match &made {
            Some(made) => made.stages.clone(),
            None => live.stages,
        };
        let worst = worst_modules(&reports, f64::from(KEPT_BITS));
        let improved = match made {
            Some(_) => {
                let names = worst.iter().map(|module| module.name.clone()).collect();
                self.improved(&summary, names).await?
            }
            None => None,
        };
        let notes = reports.iter().flat_map(|report| {
            let notes = report.notes.iter();
            notes.map(|note| format!("{}: {note}", report.name))
        });
        Ok(CompressionView {
            map: layer_map(&reports, &expected),
            notes: notes.collect(),
            worst,
            stage: live.stage,
            stages,
            made,
            improved,
            summary,
            jobs,
        })
    }

    /// What a compression has done to each weight so far.
    ///
    /// # Errors
    ///
    /// If there is no such compression.
    pub async fn compression_layers(&self, run_id: RunId) -> Result<Vec<LayerReport>, Failure> {
        let inner = &self.inner;
        let (run, jobs) = inner.require_compression(run_id).await?;
        let made = inner.made_of(&summary(&run, &jobs)?).await?;
        inner.reports_of(&jobs, made.as_ref()).await
    }

    /// Sorts reports as the model reads its weights, whatever order they were made in; a model that is
    /// gone leaves them as they are.
    async fn sort_as_read(&self, model: &ModelName, reports: &mut [LayerReport]) {
        let Ok(config) = self.config_of_model(model).await else {
            return;
        };
        let specs = weight_specs(&config).into_iter().enumerate();
        let places: HashMap<String, usize> = specs.map(|(idx, spec)| (spec.name, idx)).collect();
        reports.sort_by_key(|report| places.get(&report.name).copied().unwrap_or(usize::MAX));
    }

    /// Names of the weights that are still to be told of; nothing where that cannot be known.
    async fn expected_weights(&self, summary: &CompressionSummary) -> Vec<String> {
        let recipe = summary.recipe.clone();
        match self.foresee(&summary.model, recipe).await {
            Ok(Ok((_, prediction))) => prediction.weights,
            // The job itself says what is wrong.
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }

    /// The recipe with the weights `names` at 8 bits, under a name that is free.
    async fn improved(
        &self,
        summary: &CompressionSummary,
        names: Vec<String>,
    ) -> Result<Option<Recipe>, Failure> {
        let Ok(config) = self.config_of_model(&summary.model).await else {
            // Without the model nothing can be made of it again.
            return Ok(None);
        };
        let names = with_joint_weights(&config, &names);
        let former = &summary.recipe.name;
        let stem = former.split(KEPT_SUFFIX).next().unwrap_or(former);
        let mut name = format!("{stem}{KEPT_SUFFIX}");
        for number in 2.. {
            let variant = VariantName::of_preset(&summary.model, &name);
            let Ok(variant) = variant else {
                return Ok(None);
            };
            if self.inner.store.variant(&variant).await?.is_none() {
                break;
            }
            name = format!("{stem}{KEPT_SUFFIX}-{number}");
        }
        Ok(summary.recipe.with_weights_at(&names, KEPT_BITS, name))
    }
}

impl Inner {
    async fn require_compression(
        &self,
        run_id: RunId,
    ) -> Result<(StoredRun, Vec<JobSummary>), Failure> {
        let run = self.store.run(run_id).await?;
        let run = run.filter(|run| run.kind == RunKind::Compression);
        let run = run.ok_or_else(|| {
            Failure::not_found(format!("there is no compression {run_id}"))
                .with_hint("the page `/compress` lists all compressions")
        })?;
        let jobs = self.store.jobs(run_id).await?;
        Ok((run, jobs))
    }

    /// The variant of a compression, if it is in place.
    async fn made_of(&self, summary: &CompressionSummary) -> Result<Option<VariantView>, Failure> {
        if summary.state != JobState::Done {
            return Ok(None);
        }
        let stored = self.store.variant(&summary.variant).await?;
        let stored = stored
            .filter(|stored| self.is_in_place(stored) && stored.view.recipe == summary.recipe);
        Ok(stored.map(|stored| stored.view))
    }

    /// Reports of the compress job: what is stored, and what a worker has said since. A job that
    /// found the variant made has the reports of whoever made it.
    async fn reports_of(
        &self,
        jobs: &[JobSummary],
        made: Option<&VariantView>,
    ) -> Result<Vec<LayerReport>, Failure> {
        let mut reports: Vec<LayerReport> = Vec::new();
        let is_compress = |job: &&JobSummary| matches!(job.spec, JobSpec::Compress { .. });
        if let Some(job) = jobs.iter().find(is_compress) {
            reports = self.store.layer_reports(job.job_id).await?;
            let mut places: HashMap<String, usize> = HashMap::new();
            for (idx, report) in reports.iter().enumerate() {
                places.insert(report.name.clone(), idx);
            }
            for report in self.live_jobs.get(job.job_id).layers {
                if let Some(&idx) = places.get(&report.name) {
                    reports[idx] = report;
                } else {
                    places.insert(report.name.clone(), reports.len());
                    reports.push(report);
                }
            }
        }
        match made {
            Some(made) if reports.is_empty() => Ok(self.store.layers(&made.name).await?),
            _ => Ok(reports),
        }
    }

    /// Fails if `variant` is, or is about to be, another one.
    pub(crate) async fn check_free(
        &self,
        variant: &VariantName,
        model: &ModelName,
        recipe: &Recipe,
    ) -> Result<Option<VariantView>, Failure> {
        check_name(variant, model, recipe)?;
        let taken = |what: &str| {
            Failure::conflict(format!("there is another variant `{variant}`, {what}"))
                .with_hint("choose another name")
        };
        for job in self.store.unfinished_jobs().await? {
            let JobSpec::Compress {
                model: its_model,
                recipe: its_recipe,
                variant: its_variant,
            } = job
            else {
                continue;
            };
            let is_same = its_model == *model && its_recipe == *recipe;
            if its_variant == *variant && !is_same {
                return Err(taken("being made by another recipe"));
            }
        }
        let stored = self.store.variant(variant).await?;
        match stored.filter(|stored| self.is_in_place(stored)) {
            Some(stored) if stored.view.model == *model && stored.view.recipe == *recipe => {
                Ok(Some(stored.view))
            }
            Some(_) => Err(taken("made by another recipe")),
            None => Ok(None),
        }
    }
}

/// A run that makes `variant` and evaluates nothing.
fn spec_of(variant: &VariantName) -> RunSpec {
    RunSpec {
        title: format!("Make {variant}"),
        variants: vec![variant.clone()],
        baseline: variant.clone(),
        suites: Vec::new(),
        limit: None,
        seed: 0,
        decoding: Decoding::default(),
        performance: PerformanceDepth::default(),
    }
}

fn summary(run: &StoredRun, jobs: &[JobSummary]) -> Result<CompressionSummary, Failure> {
    let asked = jobs.iter().find_map(|job| match &job.spec {
        JobSpec::Compress {
            model,
            recipe,
            variant,
        } => Some((model, recipe, variant)),
        JobSpec::Fetch { .. } | JobSpec::TrainLora { .. } | JobSpec::Evaluate(_) => None,
    });
    let (model, recipe, variant) = asked.ok_or_else(|| {
        let message = format!("compression {} has no job that compresses", run.run_id);
        Failure::new(trimtab_domain::FailureKind::Bug, message)
    })?;
    Ok(CompressionSummary {
        run_id: run.run_id,
        variant: variant.clone(),
        model: model.clone(),
        recipe: recipe.clone(),
        scheme: recipe.scheme(),
        state: run.state,
        created_at: run.created_at,
        finished_at: run.finished_at,
        error: run.error.clone(),
        hint: run.hint.clone(),
    })
}
