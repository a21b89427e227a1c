//! The links of a recipe: what each is to make, of what, and making the models between them.
//!
//! What a link makes has an identity of its own, so that it is found again after a kill, and by
//! another recipe that begins in the same way.

use crate::{compression::Job, worker::WorkerInput};
use std::path::{Path, PathBuf};
use trimtab_compress::{
    Base, Calibrated, CalibrationSet, CompressError, CompressEvent, StageFolder, identity,
    predicted_config, shrink, train::check_sequences,
};
use trimtab_domain::{Digest, Failure, FailureKind, JobEvent, LogLevel, Recipe, StageReport, Step};
use trimtab_models::{Checkpoint, ModelConfig};

/// A link of a recipe, with all that decides what it makes.
pub(crate) struct Link {
    pub(crate) recipe: Recipe,
    pub(crate) set: Option<CalibrationSet>,
    pub(crate) identity: Digest,
}

/// The models that the steps before the last link have made.
pub(crate) struct Stages {
    /// What the last link reads.
    pub(crate) model_file: PathBuf,
    pub(crate) reports: Vec<StageReport>,
}

/// Space that models between links take, at most: 32-bit floats.
pub(crate) fn n_stage_bytes(config: &ModelConfig, links: &[Link]) -> Result<u64, CompressError> {
    let (mut config, mut n_bytes) = (config.clone(), 0);
    for link in links {
        config = predicted_config(&config, &link.recipe)?;
        let n_of_weight = match link.recipe.steps.last() {
            // Two checkpoints of three numbers each while one replaces the other, and the model.
            Some(Step::Distil(_)) => 4 * (2 * 3 + 1),
            _ => 4,
        };
        n_bytes += n_of_weight * config.n_parameters();
    }
    Ok(n_bytes)
}

type Sink<'a> = dyn FnMut(JobEvent) + Send + 'a;

impl Job<'_> {
    /// Reads all that the links need before any of them works, so that what is wrong is told first.
    pub(crate) fn links(
        &self,
        checkpoint: &Checkpoint,
        sink: &mut Sink<'_>,
    ) -> Result<Vec<Link>, Failure> {
        predicted_config(checkpoint.config(), self.recipe)?;
        let mut base = self.base.clone();
        let mut links = Vec::new();
        for recipe in self.recipe.links() {
            let set = match recipe.calibration() {
                Some(calibration) => Some(self.calibration_set(&calibration, checkpoint, sink)?),
                None => None,
            };
            if let Some(Step::Distil(distil)) = recipe.steps.last() {
                self.check_teacher(distil, checkpoint)?;
                let sequences = set.as_ref().map_or(&[][..], CalibrationSet::sequences);
                check_sequences(sequences, distil.held_out as usize)?;
            }
            let digest = set.as_ref().map(CalibrationSet::digest);
            let identity = identity(&base, &recipe, digest);
            base = identity.clone();
            links.push(Link {
                recipe,
                set,
                identity,
            });
        }
        Ok(links)
    }

    /// Makes the models between the links, those that are not there yet.
    pub(crate) fn stages(
        &self,
        links: &[Link],
        adapter: Option<&Path>,
        sink: &mut Sink<'_>,
    ) -> Result<Stages, Failure> {
        let mut stages = Stages {
            model_file: self.model_file.clone(),
            reports: Vec::new(),
        };
        for (idx, link) in links.iter().enumerate() {
            let path = self.input.paths.stage_folder(&link.identity);
            let folder = StageFolder::open(&path)?;
            let report = if let Some(report) = folder.finished() {
                let message = format!("`{}` was done before", report.method);
                sink(JobEvent::Log {
                    level: LogLevel::Info,
                    message,
                });
                report
            } else {
                let base = Base::open(&stages.model_file, adapter, &link.recipe)?;
                self.stage(&base, link, idx, sink)?
            };
            sink(JobEvent::StageFinished {
                report: report.clone(),
            });
            stages.reports.push(report);
            stages.model_file = folder.model_file();
        }
        Ok(stages)
    }

    fn stage(
        &self,
        base: &Base,
        link: &Link,
        idx: usize,
        sink: &mut Sink<'_>,
    ) -> Result<StageReport, Failure> {
        let step = link.recipe.steps.last();
        let stage = self.stage_name(idx, step.map_or("", Step::method));
        if let (Some(Step::Distil(distil)), Some(set)) = (step, &link.set) {
            return self.distil(base, (link, distil, set), stage, sink);
        }
        let mut on_event = |event| {
            if let CompressEvent::Progress { n_done, n_total } = event {
                sink(JobEvent::Progress {
                    stage: stage.clone(),
                    n_done,
                    n_total,
                });
            }
        };
        let (Some(Step::Shrink(_)), Some(set)) = (step, &link.set) else {
            let message = format!("`{stage}` has no step that makes a model");
            return Err(Failure::new(FailureKind::Bug, message));
        };
        let device = trimtab_runtime::open_device(self.input.device)?;
        let calibrated = Calibrated {
            set,
            state: &self.input.paths.stage_folder(&link.identity),
            device: &device,
            n_side_by_side: self.n_side_by_side(),
        };
        Ok(shrink(base, &link.recipe, calibrated, &mut on_event)?)
    }
}

/// Removes the models between links once the variant is made.
pub(crate) fn remove_stages(input: &WorkerInput, links: &[Link]) {
    for link in links {
        if let Ok(folder) = StageFolder::open(&input.paths.stage_folder(&link.identity)) {
            folder.remove();
        }
    }
}
