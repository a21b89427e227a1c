//! From what a user asks for to jobs in order: fetch what is not here, make what does not exist,
//! evaluate the baseline and then the others.

use crate::{DataPaths, dataset_files, service::Inner};
use std::collections::HashSet;
use trimtab_domain::{
    DeviceName, EvaluateSpec, Failure, JobId, JobSpec, JobState, JobSummary, Manifest, ModelName,
    Recipe, RunSpec, SuiteDigest, VariantDigest, VariantName, VariantView, catalog,
};

/// A variant that was named by the user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resolved {
    /// Its artifact is there.
    InPlace(Box<VariantView>),
    /// It has to be made.
    ToMake {
        /// Its name.
        name: VariantName,
        /// The model it is made of.
        model: ModelName,
        /// How.
        recipe: Recipe,
    },
}

impl Resolved {
    pub(crate) fn name(&self) -> &VariantName {
        match self {
            Self::InPlace(view) => &view.name,
            Self::ToMake { name, .. } => name,
        }
    }

    pub(crate) fn model(&self) -> &ModelName {
        match self {
            Self::InPlace(view) => &view.model,
            Self::ToMake { model, .. } => model,
        }
    }

    fn recipe(&self) -> &Recipe {
        match self {
            Self::InPlace(view) => &view.recipe,
            Self::ToMake { recipe, .. } => recipe,
        }
    }
}

/// A run ready to be recorded.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) spec: RunSpec,
    pub(crate) jobs: Vec<JobSpec>,
    pub(crate) manifest: Manifest,
}

/// Refuses settings that no run can be done with.
pub(crate) fn check_spec(spec: &RunSpec) -> Result<(), Failure> {
    let refuse = |message: &str| Err(Failure::bad_input(message));
    if spec.title.trim().is_empty() || spec.title.len() > 200 {
        return refuse("the title of a run has 1 to 200 bytes");
    }
    if spec.variants.is_empty() {
        return refuse("a run needs at least one variant");
    }
    if spec.suites.is_empty() {
        return refuse("a run needs at least one suite");
    }
    if spec.limit == Some(0) {
        return refuse("a limit of 0 problems leaves nothing to evaluate");
    }
    let decoding = &spec.decoding;
    if decoding.n_samples == 0 || decoding.n_samples > 1000 {
        return refuse("`n_samples` is not between 1 and 1000");
    }
    if decoding.n_samples > 1 && decoding.temperature <= 0.0 {
        return refuse("several samples of a problem are all the same at `temperature` 0");
    }
    if !(0.0..=10.0).contains(&decoding.temperature) {
        return refuse("`temperature` is not between 0 and 10");
    }
    if !(decoding.top_p > 0.0 && decoding.top_p <= 1.0) {
        return refuse("`top_p` is not above 0 and at most 1");
    }
    if !(1..=8192).contains(&decoding.max_tokens) {
        return refuse("`max_tokens` is not between 1 and 8192");
    }
    Ok(())
}

impl Inner {
    /// Finds out what a variant's name, digest prefix or `MODEL:PRESET` stands for.
    pub(crate) async fn resolve(&self, name: &VariantName) -> Result<Resolved, Failure> {
        if let Some(stored) = self.store.variant(name).await? {
            if self.is_in_place(&stored) {
                return Ok(Resolved::InPlace(Box::new(stored.view)));
            }
            let view = stored.view;
            return Ok(Resolved::ToMake {
                name: view.name,
                model: view.model,
                recipe: view.recipe,
            });
        }
        if let Some((model, preset)) = name.split_preset() {
            return self.resolve_preset(name, model, preset).await;
        }
        let mut found = match name.as_str() {
            text if is_digest_prefix(text) => self.store.variants_by_digest(text).await?,
            _ => Vec::new(),
        };
        match (found.pop(), found.len()) {
            (Some(view), 0) => Ok(Resolved::InPlace(Box::new(view))),
            (Some(_), n) => Err(Failure::bad_input(format!(
                "`{name}` is the start of {} digests",
                n + 1
            ))
            .with_hint("give more digits")),
            (None, _) => Err(Failure::not_found(format!("there is no variant `{name}`"))
                .with_hint("use MODEL:PRESET, for example smollm2-135m-instruct:int8")),
        }
    }

    async fn resolve_preset(
        &self,
        name: &VariantName,
        model: ModelName,
        preset: &str,
    ) -> Result<Resolved, Failure> {
        let recipe = Recipe::preset(preset).ok_or_else(|| {
            let names: Vec<&str> = Recipe::presets().iter().map(|(name, _)| *name).collect();
            Failure::not_found(format!("there is no preset `{preset}`"))
                .with_hint(format!("presets are {}", names.join(", ")))
        })?;
        self.require_known_model(&model).await?;
        Ok(Resolved::ToMake {
            name: name.clone(),
            model,
            recipe,
        })
    }

    /// Fails for a model that is neither here nor in the catalog.
    pub(crate) async fn require_known_model(&self, model: &ModelName) -> Result<(), Failure> {
        let is_known = catalog().iter().any(|entry| entry.name == *model)
            || self.store.model(model).await?.is_some();
        if is_known {
            return Ok(());
        }
        let mut names: Vec<String> = catalog()
            .iter()
            .map(|entry| entry.name.to_string())
            .collect();
        for stored in self.store.models().await? {
            names.push(stored.name.to_string());
        }
        names.sort();
        names.dedup();
        Err(Failure::not_found(format!("there is no model `{model}`"))
            .with_hint(format!("models are {}", names.join(", "))))
    }

    /// Jobs and manifest of a run.
    pub(crate) async fn plan(&self, spec: RunSpec) -> Result<Plan, Failure> {
        check_spec(&spec)?;
        let mut variants = Vec::with_capacity(spec.variants.len());
        for name in &spec.variants {
            variants.push(self.resolve(name).await?);
        }
        let mut seen = HashSet::new();
        if let Some(twice) = variants
            .iter()
            .find(|variant| !seen.insert(variant.name().clone()))
        {
            return Err(Failure::bad_input(format!(
                "variant `{}` is named twice",
                twice.name()
            )));
        }
        let baseline = self.resolve(&spec.baseline).await?.name().clone();
        if !seen.contains(&baseline) {
            return Err(Failure::bad_input(format!(
                "baseline `{baseline}` is not one of the variants"
            )));
        }
        let suites = suite_digests(&self.paths, &spec.suites)?;
        let names = variants
            .iter()
            .map(|variant| variant.name().clone())
            .collect();
        let spec = RunSpec {
            variants: names,
            baseline,
            ..spec
        };
        let mut missing_models = HashSet::new();
        for variant in &variants {
            if self.model_digest(variant.model()).await?.is_none() {
                missing_models.insert(variant.model().clone());
            }
        }
        let jobs = jobs_in_order(&spec, &variants, &missing_models);
        let manifest = manifest(&spec, &variants, suites, self.config.device);
        Ok(Plan {
            spec,
            jobs,
            manifest,
        })
    }
}

fn is_digest_prefix(text: &str) -> bool {
    (6..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn suite_digests(paths: &DataPaths, names: &[String]) -> Result<Vec<SuiteDigest>, Failure> {
    let mut seen = HashSet::new();
    names
        .iter()
        .map(|name| {
            if !seen.insert(name) {
                return Err(Failure::bad_input(format!("suite `{name}` is named twice")));
            }
            let suite = dataset_files::load(paths, name)?;
            Ok(SuiteDigest {
                suite: suite.name.clone(),
                digest: suite.digest(),
                n_problems: suite.problems.len() as u32,
            })
        })
        .collect()
}

fn manifest(
    spec: &RunSpec,
    variants: &[Resolved],
    suites: Vec<SuiteDigest>,
    device: DeviceName,
) -> Manifest {
    let recipe = |variant: &Resolved| (variant.name().clone(), variant.recipe().clone());
    let digest = |variant: &Resolved| match variant {
        Resolved::InPlace(view) => Some(VariantDigest {
            variant: view.name.clone(),
            digest: view.digest.clone(),
        }),
        Resolved::ToMake { .. } => None,
    };
    Manifest {
        format_version: Manifest::FORMAT_VERSION,
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: crate::clock::now(),
        spec: spec.clone(),
        recipes: variants.iter().map(recipe).collect(),
        variants: variants.iter().filter_map(digest).collect(),
        suites,
        hardware: crate::hardware::hardware(device),
    }
}

fn jobs_in_order(
    spec: &RunSpec,
    variants: &[Resolved],
    missing_models: &HashSet<ModelName>,
) -> Vec<JobSpec> {
    let mut jobs = Vec::new();
    let mut fetched = HashSet::new();
    for model in variants.iter().map(Resolved::model) {
        if missing_models.contains(model) && fetched.insert(model) {
            jobs.push(JobSpec::Fetch {
                model: model.clone(),
            });
        }
    }
    for variant in variants {
        if let Resolved::ToMake {
            name,
            model,
            recipe,
        } = variant
        {
            let (model, recipe, variant) = (model.clone(), recipe.clone(), name.clone());
            jobs.push(JobSpec::Compress {
                model,
                recipe,
                variant,
            });
        }
    }
    let others = spec.variants.iter().filter(|name| **name != spec.baseline);
    for variant in std::iter::once(&spec.baseline).chain(others) {
        jobs.push(JobSpec::Evaluate(EvaluateSpec {
            variant: variant.clone(),
            suites: spec.suites.clone(),
            limit: spec.limit,
            seed: spec.seed,
            decoding: spec.decoding.clone(),
            performance: spec.performance,
        }));
    }
    jobs
}

/// Queued jobs that cannot go on without the failed one, and the failure that each gets.
pub(crate) fn dependents(
    jobs: &[JobSummary],
    failed: JobId,
    failure: &Failure,
) -> Vec<(JobId, Failure)> {
    let Some(position) = jobs.iter().position(|job| job.job_id == failed) else {
        return Vec::new();
    };
    let mut lost = vec![&jobs[position].spec];
    let mut found = Vec::new();
    for job in &jobs[position + 1..] {
        let needs_lost = lost.iter().any(|spec| needs(&job.spec, spec));
        if job.state == JobState::Queued && needs_lost {
            lost.push(&job.spec);
            let cause = jobs[position].spec.title();
            let message = format!("not started because `{cause}` failed: {failure}");
            found.push((
                job.job_id,
                Failure {
                    message,
                    ..failure.clone()
                },
            ));
        }
    }
    found
}

/// Whether `job` needs what `earlier` makes.
fn needs(job: &JobSpec, earlier: &JobSpec) -> bool {
    match (job, earlier) {
        (JobSpec::Compress { model, .. }, JobSpec::Fetch { model: fetched }) => model == fetched,
        (JobSpec::Evaluate(spec), JobSpec::Compress { variant, .. }) => spec.variant == *variant,
        // The model of a variant with a name of its own is not known here; such a job finds out
        // by itself that the file is missing.
        (JobSpec::Evaluate(spec), JobSpec::Fetch { model }) => spec
            .variant
            .split_preset()
            .is_some_and(|(of, _)| of == *model),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::{Decoding, PerformanceDepth};

    fn name(text: &str) -> VariantName {
        text.parse().unwrap()
    }

    fn spec(variants: &[&str], baseline: &str) -> RunSpec {
        RunSpec {
            title: "t".into(),
            variants: variants.iter().map(|text| name(text)).collect(),
            baseline: name(baseline),
            suites: vec!["starter".into()],
            limit: None,
            seed: 0,
            decoding: Decoding::default(),
            performance: PerformanceDepth::default(),
        }
    }

    fn to_make(text: &str) -> Resolved {
        let (model, preset) = name(text)
            .split_preset()
            .map(|(m, p)| (m, p.to_owned()))
            .unwrap();
        Resolved::ToMake {
            name: name(text),
            model,
            recipe: Recipe::preset(&preset).unwrap(),
        }
    }

    fn planned(variants: &[&str], baseline: &str, missing: &[&str]) -> Vec<JobSummary> {
        let resolved: Vec<Resolved> = variants.iter().map(|text| to_make(text)).collect();
        let missing = missing.iter().map(|text| text.parse().unwrap()).collect();
        jobs_in_order(&spec(variants, baseline), &resolved, &missing)
            .into_iter()
            .zip(1..)
            .map(|(spec, id)| JobSummary {
                job_id: JobId(id),
                run_id: None,
                spec,
                state: JobState::Queued,
                n_attempts: 0,
                error: None,
                hint: None,
                started_at: None,
                finished_at: None,
                card_use: None,
            })
            .collect()
    }

    #[test]
    fn a_model_is_fetched_once_and_the_baseline_evaluated_first() {
        let jobs = planned(&["m:int8", "m:f16"], "m:f16", &["m"]);
        let titles: Vec<String> = jobs.iter().map(|job| job.spec.title()).collect();
        assert_eq!(
            titles,
            [
                "Fetch m",
                "Make m:int8",
                "Make m:f16",
                "Evaluate m:f16",
                "Evaluate m:int8"
            ]
        );
    }

    #[test]
    fn a_failed_fetch_takes_everything_with_it_and_a_failed_variant_only_itself() {
        let jobs = planned(&["m:f16", "m:int8"], "m:f16", &["m"]);
        let failure = Failure::failed("no network").with_hint("plug it in");
        let lost = dependents(&jobs, JobId(1), &failure);
        assert_eq!(
            lost.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
            [2, 3, 4, 5]
        );
        assert_eq!(
            lost[0].1.message,
            "not started because `Fetch m` failed: no network"
        );
        assert_eq!(lost[0].1.hint.as_deref(), Some("plug it in"));
        let lost = dependents(&jobs, JobId(3), &failure);
        assert_eq!(lost.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [5]);
        assert!(dependents(&jobs, JobId(4), &failure).is_empty());
    }

    #[test]
    fn settings_that_no_run_can_be_done_with_are_refused() {
        let good = spec(&["m:f16"], "m:f16");
        assert!(check_spec(&good).is_ok());
        let bad = [
            RunSpec {
                title: " ".into(),
                ..good.clone()
            },
            RunSpec {
                variants: vec![],
                ..good.clone()
            },
            RunSpec {
                suites: vec![],
                ..good.clone()
            },
            RunSpec {
                limit: Some(0),
                ..good.clone()
            },
            with_decoding(&good, |decoding| decoding.temperature = f32::NAN),
            with_decoding(&good, |decoding| decoding.n_samples = 0),
            with_decoding(&good, |decoding| decoding.n_samples = 2),
            with_decoding(&good, |decoding| decoding.top_p = 0.0),
            with_decoding(&good, |decoding| decoding.max_tokens = 0),
        ];
        for spec in bad {
            assert!(check_spec(&spec).is_err(), "{spec:?}");
        }
    }

    fn with_decoding(spec: &RunSpec, change: impl FnOnce(&mut Decoding)) -> RunSpec {
        let mut spec = spec.clone();
        change(&mut spec.decoding);
        spec
    }
}
