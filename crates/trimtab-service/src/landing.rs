//! What a worker says, checked and put into the store.
//!
//! A worker is trusted to do its own job and nothing else: an event about another model or
//! variant, or a file that is not there, ends it. Landing the same event twice changes nothing.

use crate::clock::{self, Stopwatch};
use crate::service::Inner;
use crate::sound_performance::{is_sound_card_use, is_sound_performance};
use crate::sound_references::are_sound_references;
use std::time::Duration;
use trimtab_domain::{
    AdapterReport, CardUse, CompletionScore, Failure, JobEvent, JobSpec, LayerReport, Likeness,
    PerplexityResult, StageReport, SuiteReferences,
};
use trimtab_store::{ClaimedJob, LogLine, NewVariant, StoreError, StoredModel};

/// More layers than any model has.
const MAX_LAYERS: usize = 20_000;

/// More problems than any suite has.
const MAX_EXCLUDED: usize = 1_000_000;

/// Reports of layers are stored together, for each write waits for the disk: what is younger is lost
/// if this process is killed, and told again by the worker that goes on.
const SAVE_LAYERS_EVERY: Duration = Duration::from_secs(1);

/// Why an event did not land.
#[derive(Debug)]
pub(crate) enum LandingError {
    /// The worker broke the protocol.
    Protocol(String),
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for LandingError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What one worker has said so far.
#[derive(Debug)]
pub(crate) struct Landing<'a> {
    service: &'a Inner,
    job: &'a ClaimedJob,
    layers: Vec<LayerReport>,
    /// Reports of which so many are stored.
    n_saved_layers: usize,
    since_save: Stopwatch,
    stages: Vec<StageReport>,
    has_product: bool,
    /// The worker's last word, once it has been said.
    pub(crate) last_word: Option<Result<(), Failure>>,
}

impl<'a> Landing<'a> {
    pub(crate) fn new(service: &'a Inner, job: &'a ClaimedJob) -> Self {
        Self {
            service,
            job,
            layers: Vec::new(),
            n_saved_layers: 0,
            since_save: Stopwatch::start(),
            stages: Vec::new(),
            has_product: false,
            last_word: None,
        }
    }

    /// Checks an event and stores what is to be kept of it.
    pub(crate) async fn land(&mut self, event: &JobEvent) -> Result<(), LandingError> {
        if self.last_word.is_some() {
            return Err(protocol("an event after the last"));
        }
        let (store, at) = (&self.service.store, clock::now());
        match event {
            JobEvent::Progress { .. } => self.save_layers_in_time().await?,
            JobEvent::Log { level, message } => {
                let line = LogLine {
                    at,
                    level: *level,
                    message: message.clone(),
                };
                store.put_log(self.job.job_id, &line).await?;
            }
            JobEvent::ModelFetched { .. } => self.land_model(event).await?,
            JobEvent::LayerCompressed { report } => {
                if self.layers.len() == MAX_LAYERS {
                    return Err(protocol("more layers than any model has"));
                }
                self.layers.push(report.clone());
                self.save_layers_in_time().await?;
            }
            JobEvent::StageFinished { report } => {
                if self.stages.len() == self.n_stages() {
                    return Err(protocol("more steps than the recipe has"));
                }
                self.stages.push(report.clone());
            }
            JobEvent::VariantMade { .. } => self.land_variant(event).await?,
            JobEvent::AdapterTrained { report } => self.land_adapter(report)?,
            JobEvent::ReferencesChecked { references } => self.land_references(references).await?,
            JobEvent::ProblemScored { score } => self.land_score(score).await?,
            JobEvent::ProblemsExcluded { variant, problems } => {
                let run_id = self.evaluated(variant, problems.len() <= MAX_EXCLUDED)?;
                store
                    .put_excluded_problems(run_id, variant, problems)
                    .await?;
            }
            JobEvent::PerplexityMeasured { variant, result } => {
                let run_id = self.evaluated(variant, is_sound_perplexity(result))?;
                store.put_perplexity(run_id, variant, result, at).await?;
            }
            JobEvent::PerformanceMeasured { variant, result } => {
                let run_id = self.evaluated(variant, is_sound_performance(result))?;
                store.put_performance(run_id, variant, result, at).await?;
            }
            JobEvent::CardUsed { total } => self.land_card_use(total).await?,
            JobEvent::Failed { failure } => self.last_word = Some(Err(failure.clone())),
            JobEvent::Finished => self.finish()?,
        }
        Ok(())
    }

    /// Steps that make another model.
    fn n_stages(&self) -> usize {
        match &self.job.spec {
            JobSpec::Compress { recipe, .. } => {
                recipe.steps.iter().filter(|step| step.is_stage()).count()
            }
            JobSpec::Fetch { .. } | JobSpec::TrainLora { .. } | JobSpec::Evaluate(_) => 0,
        }
    }

    async fn save_layers_in_time(&mut self) -> Result<(), StoreError> {
        if self.since_save.elapsed() < SAVE_LAYERS_EVERY {
            return Ok(());
        }
        self.save_layers().await
    }

    /// Stores the reports that are not stored yet. Nobody but its caller watches a command's job.
    async fn save_layers(&mut self) -> Result<(), StoreError> {
        if self.job.run_id.is_some() {
            let unsaved = &self.layers[self.n_saved_layers..];
            let store = &self.service.store;
            store.put_layer_reports(self.job.job_id, unsaved).await?;
        }
        self.n_saved_layers = self.layers.len();
        self.since_save = Stopwatch::start();
        Ok(())
    }

    /// Stores what a worker has reported that is gone, however it ended.
    pub(crate) async fn save_layers_at_the_end(&mut self) {
        if let Err(error) = self.save_layers().await {
            tracing::error!("cannot keep the reports of layers: {error}");
        }
    }

    fn finish(&mut self) -> Result<(), LandingError> {
        let needs_product = match self.job.spec {
            JobSpec::Fetch { .. } | JobSpec::Compress { .. } | JobSpec::TrainLora { .. } => true,
            JobSpec::Evaluate(_) => false,
        };
        if needs_product && !self.has_product {
            return Err(protocol("`finished` before the file was made"));
        }
        self.last_word = Some(Ok(()));
        Ok(())
    }

    async fn land_model(&mut self, event: &JobEvent) -> Result<(), LandingError> {
        let (
            JobEvent::ModelFetched {
                model,
                digest,
                size,
                architecture,
            },
            JobSpec::Fetch { model: wanted },
        ) = (event, &self.job.spec)
        else {
            return Err(protocol("a model that was not asked for"));
        };
        if model != wanted || !self.service.models.contains(digest, *size) {
            return Err(protocol(&format!("model `{model}` without its file")));
        }
        let model = StoredModel {
            name: model.clone(),
            digest: digest.clone(),
            size: *size,
            architecture: architecture.clone(),
            created_at: clock::now(),
        };
        self.service.store.put_model(&model).await?;
        self.has_product = true;
        Ok(())
    }

    async fn land_variant(&mut self, event: &JobEvent) -> Result<(), LandingError> {
        let (
            JobEvent::VariantMade {
                variant,
                model,
                recipe,
                digest,
                size,
                n_parameters,
            },
            JobSpec::Compress {
                model: wanted_model,
                recipe: wanted_recipe,
                variant: wanted,
            },
        ) = (event, &self.job.spec)
        else {
            return Err(protocol("a variant that was not asked for"));
        };
        let is_wanted = (variant, model, recipe) == (wanted, wanted_model, wanted_recipe);
        if !is_wanted || !self.service.artifacts.contains(digest, *size) {
            return Err(protocol(&format!("variant `{variant}` without its file")));
        }
        self.save_layers().await?;
        let variant = NewVariant {
            name: variant.clone(),
            model: model.clone(),
            recipe: recipe.clone(),
            digest: digest.clone(),
            size: *size,
            n_parameters: *n_parameters,
            layers: self.layers.clone(),
            stages: std::mem::take(&mut self.stages),
            created_at: clock::now(),
        };
        self.service.store.put_variant(&variant).await?;
        self.has_product = true;
        Ok(())
    }

    /// An adapter lies among the models, as one that is merged does; nothing else is kept of it.
    fn land_adapter(&mut self, report: &AdapterReport) -> Result<(), LandingError> {
        let is_wanted =
            matches!(&self.job.spec, JobSpec::TrainLora { base, .. } if *base == report.base);
        if !is_wanted || !self.service.models.contains(&report.digest, report.size) {
            return Err(protocol(
                "an adapter that was not asked for, or without its files",
            ));
        }
        self.has_product = true;
        Ok(())
    }

    /// What references tell belongs to the run: the jobs that follow are held to it.
    async fn land_references(&mut self, references: &SuiteReferences) -> Result<(), LandingError> {
        let suite = &references.suite;
        let run_id = match (&self.job.spec, self.job.run_id) {
            (JobSpec::Evaluate(spec), Some(run_id)) if spec.suites.contains(suite) => run_id,
            _ => {
                let what = format!("references of suite `{suite}`, which it does not use");
                return Err(protocol(&what));
            }
        };
        if !are_sound_references(references) {
            let what = format!("references of suite `{suite}` with impossible numbers");
            return Err(protocol(&what));
        }
        self.service
            .store
            .put_references(run_id, references)
            .await?;
        Ok(())
    }

    async fn land_card_use(&self, total: &CardUse) -> Result<(), LandingError> {
        let uses_cards = match self.job.spec {
            JobSpec::Evaluate(_) | JobSpec::Compress { .. } => true,
            JobSpec::Fetch { .. } | JobSpec::TrainLora { .. } => false,
        };
        if !uses_cards || !is_sound_card_use(total) {
            return Err(protocol("an impossible use of a graphics card"));
        }
        self.service.store.put_card_use(self.job, total).await?;
        Ok(())
    }

    async fn land_score(&mut self, score: &CompletionScore) -> Result<(), LandingError> {
        let run_id = self.evaluated(&score.variant, is_sound_score(score))?;
        self.service
            .store
            .put_score(run_id, score, clock::now())
            .await?;
        Ok(())
    }

    /// The run that a result belongs to, if this job evaluates `variant` and the numbers are sound.
    fn evaluated(
        &self,
        variant: &trimtab_domain::VariantName,
        is_sound: bool,
    ) -> Result<trimtab_domain::RunId, LandingError> {
        match (&self.job.spec, self.job.run_id) {
            (JobSpec::Evaluate(spec), Some(run_id)) if spec.variant == *variant => {
                if is_sound {
                    Ok(run_id)
                } else {
                    Err(protocol(&format!(
                        "a result of `{variant}` with impossible numbers"
                    )))
                }
            }
            _ => Err(protocol(&format!(
                "a result of `{variant}`, which it does not evaluate"
            ))),
        }
    }
}

fn protocol(what: &str) -> LandingError {
    LandingError::Protocol(what.to_owned())
}

fn is_duration(milliseconds: f64) -> bool {
    milliseconds.is_finite() && 0.0 <= milliseconds
}

fn is_sound_score(score: &CompletionScore) -> bool {
    is_duration(score.ttft_ms)
        && score.tpot_ms.is_none_or(is_duration)
        && is_duration(score.grading_ms)
        && is_sound_detail(score)
}

fn is_sound_detail(score: &CompletionScore) -> bool {
    let detail = &score.detail;
    let is_sound_likeness = |likeness: &Likeness| {
        let similarity = likeness.edit_similarity;
        similarity.is_none_or(|share| (0.0..=1.0).contains(&share))
    };
    detail.tokens.ids.len() == detail.tokens.ends.len()
        && detail.likeness.is_some() != score.verdict.is_of_tests()
        && detail.likeness.as_deref().is_none_or(is_sound_likeness)
        && detail
            .repair
            .is_none_or(|r| r.n_regressed <= r.n_passed_before)
}

fn is_sound_perplexity(result: &PerplexityResult) -> bool {
    [result.perplexity, result.low, result.high]
        .into_iter()
        .all(f64::is_finite)
        && 1.0 <= result.perplexity
}
