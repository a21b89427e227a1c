//! The worker's `compress` job: from a model and a recipe to an artifact, once for each identity.

use crate::{
    DataPaths, dataset_files, disk,
    made::Made,
    stages::{n_stage_bytes, remove_stages},
    worker::WorkerInput,
};
use std::path::PathBuf;
use trimtab_compress::{
    Calibrated, CalibrationError, CalibrationSet, CompressError, CompressEvent, Compressed,
    Compression, Passage, compress, compress_calibrated, predicted_file_bytes,
};
use trimtab_domain::{
    Bytes, Calibration, DeviceName, Digest, Failure, JobEvent, LayerReport, LogLevel, ModelName,
    Recipe, VariantName,
};
use trimtab_models::Checkpoint;

/// Calibration sequences that go through a block at once on a processor: enough tokens for sums and
/// products to be worth their start.
const N_SIDE_BY_SIDE_ON_PROCESSOR: usize = 4;

/// Sequences that a card reads side by side: fills it with tokens.
const N_SIDE_BY_SIDE_ON_CARD: usize = 8;

/// What to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) input: &'a WorkerInput,
    pub(crate) model_file: &'a PathBuf,
    pub(crate) base: &'a Digest,
    pub(crate) model: &'a ModelName,
    pub(crate) recipe: &'a Recipe,
    pub(crate) variant: &'a VariantName,
}

type Sink<'a> = dyn FnMut(JobEvent) + Send + 'a;

impl Job<'_> {
    /// Makes the variant, or finds it made before under another name.
    pub(crate) fn run(&self, sink: &mut Sink<'_>) -> Result<(), Failure> {
        let paths = &self.input.paths;
        paths.sweep_abandoned();
        let checkpoint = Checkpoint::open(self.model_file).map_err(CompressError::from)?;
        let links = self.links(&checkpoint, sink)?;
        let (last, before) = links.split_last().expect("a recipe has a link");
        if let Some(made) = Made::find(paths, &last.identity)? {
            let message = format!("made before from the same model: {}", made.digest.short());
            sink(JobEvent::Log {
                level: LogLevel::Info,
                message,
            });
            self.tell(&made, sink);
            return Ok(());
        }
        let tmp = paths.tmp();
        let config = checkpoint.config();
        let size = predicted_file_bytes(config, self.recipe)? + n_stage_bytes(config, before)?;
        disk::require_space(&tmp, Bytes(size), &format!("make `{}`", self.variant))?;
        let unfinished = tempfile::Builder::new()
            .prefix(&DataPaths::unfinished_prefix(self.input.job_id))
            .tempfile_in(&tmp)
            .map_err(|error| disk::write_failure(&tmp, &error))?
            .into_temp_path();
        let adapter = match self.recipe.adapter() {
            Some(digest) => Some(paths.models()?.path(digest)),
            None => None,
        };
        let adapter = adapter.as_deref().filter(|folder| folder.is_dir());
        let stages = self.stages(before, adapter, sink)?;
        let request = Compression {
            model_file: &stages.model_file,
            adapter,
            recipe: &last.recipe,
            out_file: &unfinished,
        };
        let stage = self.stage_name(before.len(), last.recipe.steps[0].method());
        let (compressed, layers) = match &last.set {
            None => plainly(request, stage, sink)?,
            Some(set) => self.calibrated_link(request, (set, &last.identity), stage, sink)?,
        };
        let (digest, size) = paths.artifacts()?.adopt(&unfinished)?;
        let made = Made {
            digest,
            size,
            n_parameters: compressed.n_parameters,
            layers,
            stages: stages.reports,
        };
        made.keep(paths, &last.identity)?;
        remove_stages(self.input, before);
        self.tell_variant(&made, sink);
        Ok(())
    }

    /// What a link is called while it works, in words for people.
    pub(crate) fn stage_name(&self, idx: usize, method: &str) -> String {
        match self.recipe.links().len() {
            1 => format!("Making {}", self.variant),
            n => format!("Making {}: {method} ({} of {n})", self.variant, idx + 1),
        }
    }

    /// Sequences that are read side by side.
    pub(crate) fn n_side_by_side(&self) -> usize {
        match self.input.device {
            DeviceName::Cpu => N_SIDE_BY_SIDE_ON_PROCESSOR,
            DeviceName::Cuda(_) => N_SIDE_BY_SIDE_ON_CARD,
        }
    }

    fn calibrated_link(
        &self,
        request: Compression<'_>,
        (set, identity): (&CalibrationSet, &Digest),
        stage: String,
        sink: &mut Sink<'_>,
    ) -> Result<(Compressed, Vec<LayerReport>), Failure> {
        let device = trimtab_runtime::open_device(self.input.device)?;
        let calibrated = Calibrated {
            set,
            state: &self.input.paths.layers_folder(identity),
            device: &device,
            n_side_by_side: self.n_side_by_side(),
        };
        let mut layers = Vec::new();
        let compressed = compress_calibrated(request, calibrated, &mut |event| match event {
            CompressEvent::Layer(report) => {
                layers.push(report.clone());
                sink(JobEvent::LayerCompressed { report });
            }
            CompressEvent::Measuring { n_done, n_total } => sink(JobEvent::Progress {
                stage: format!("Measuring what rounding does to {}", self.model),
                n_done,
                n_total,
            }),
            CompressEvent::Progress { n_done, n_total } => sink(JobEvent::Progress {
                stage: stage.clone(),
                n_done,
                n_total,
            }),
        })?;
        Ok((compressed, layers))
    }

    /// Reads the calibration texts, and refuses those that speak of what models are tested on.
    pub(crate) fn calibration_set(
        &self,
        calibration: &Calibration,
        checkpoint: &Checkpoint,
        sink: &mut Sink<'_>,
    ) -> Result<CalibrationSet, Failure> {
        let texts = self.input.paths.texts()?;
        let stored = |digest: &Digest| std::fs::read_to_string(texts.path(digest)).ok();
        let (files, config) = (checkpoint.files(), checkpoint.config());
        let set = CalibrationSet::read(calibration, files, config, self.input.device, &stored)
            .map_err(CompressError::from)?;
        let tokenizer = files.tokenizer().map_err(CalibrationError::from);
        let tested = tested_passages(&self.input.paths)?;
        let overlap = tokenizer.and_then(|tokenizer| set.overlap(&tokenizer, &tested));
        if let Some(overlap) = overlap.map_err(CompressError::from)? {
            if !calibration.allow_overlap {
                return Err(CompressError::from(CalibrationError::from(Box::new(overlap))).into());
            }
            sink(JobEvent::Log {
                level: LogLevel::Warning,
                message: overlap.to_string(),
            });
        }
        let message = format!(
            "calibrating on {} sequences of {} tokens, digest {}",
            set.sequences().len(),
            set.length(),
            set.digest().short()
        );
        sink(JobEvent::Log {
            level: LogLevel::Info,
            message,
        });
        Ok(set)
    }

    fn tell(&self, made: &Made, sink: &mut Sink<'_>) {
        for report in made.stages.iter().cloned() {
            sink(JobEvent::StageFinished { report });
        }
        for report in made.layers.iter().cloned() {
            sink(JobEvent::LayerCompressed { report });
        }
        self.tell_variant(made, sink);
    }

    fn tell_variant(&self, made: &Made, sink: &mut Sink<'_>) {
        sink(JobEvent::VariantMade {
            variant: self.variant.clone(),
            model: self.model.clone(),
            recipe: self.recipe.clone(),
            digest: made.digest.clone(),
            size: made.size,
            n_parameters: made.n_parameters,
        });
    }
}

/// Carries out a link that looks at weights only.
fn plainly(
    request: Compression<'_>,
    stage: String,
    sink: &mut Sink<'_>,
) -> Result<(Compressed, Vec<LayerReport>), Failure> {
    let mut layers = Vec::new();
    let Compression {
        model_file,
        adapter,
        recipe,
        out_file,
    } = request;
    let compressed = compress(
        model_file,
        adapter,
        recipe,
        out_file,
        &mut |report, n_done, n_total| {
            layers.push(report.clone());
            sink(JobEvent::LayerCompressed { report });
            sink(JobEvent::Progress {
                stage: stage.clone(),
                n_done: n_done as u64,
                n_total: n_total as u64,
            });
        },
    )?;
    Ok((compressed, layers))
}

/// Everything that models are tested on here: problems with their solutions and tests, those of
/// imported suites too, and texts.
fn tested_passages(paths: &DataPaths) -> Result<Vec<Passage>, Failure> {
    let mut passages = Vec::new();
    for name in dataset_files::names(paths) {
        let suite = dataset_files::load(paths, &name)?;
        passages.extend(suite.problems.into_iter().map(|problem| Passage {
            name: format!("problem `{}`", problem.id),
            text: format!(
                "{}\n{}\n{}",
                problem.prompt,
                problem.canonical_solution,
                problem.all_tests()
            ),
        }));
    }
    for name in trimtab_eval::perplexity_text_names() {
        let text = trimtab_eval::perplexity_text(name).expect("a bundled text has its name");
        passages.push(Passage {
            name: format!("perplexity text `{name}`"),
            text: text.text.to_owned(),
        });
    }
    Ok(passages)
}

#[cfg(test)]
mod tests;
