//! The worker's `train_lora` job: from a variant and instruction data to an adapter, once for each
//! base, data and settings.

use crate::{DataPaths, disk, made::keep_note, training_log::TrainingLog};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fs, path::Path};
use trimtab_compress::train::{
    Decay, Example, InstructionFormat, LoraTraining, TrainError, TrainSettings, read_instructions,
    train_lora,
};
use trimtab_domain::{
    AdapterReport, Bytes, CalibrationForm, Digest, Failure, JobEvent, LogLevel, LoraOptions,
    LoraSpec, RateDecay, VariantName,
};
use trimtab_models::{
    ModelFiles,
    peft::{LoraSettings, LoraTargets},
};
use trimtab_store::digest_of_folder;

/// Checkpoints of a training, at least.
const N_CHECKPOINTS: u32 = 10;

/// Most steps between two of them.
const MAX_STEPS_BETWEEN: u32 = 100;

/// What to train.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Training<'a> {
    pub(crate) paths: &'a DataPaths,
    pub(crate) model_file: &'a Path,
    pub(crate) artifact: &'a Digest,
    pub(crate) base: &'a VariantName,
    pub(crate) lora: &'a LoraSpec,
}

type Sink<'a> = dyn FnMut(JobEvent) + Send + 'a;

/// What was made for an identity.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    adapter: AdapterReport,
}

impl Training<'_> {
    /// Trains the adapter, or finds it trained before.
    pub(crate) fn run(&self, sink: &mut Sink<'_>) -> Result<(), Failure> {
        let identity = self.identity();
        if let Some(found) = self.find(&identity)? {
            sink(log(format!("trained before: {}", found.digest.short())));
            sink(JobEvent::AdapterTrained {
                report: Box::new(found),
            });
            return Ok(());
        }
        let examples = self.examples()?;
        let folder = self.paths.training_folder(&identity);
        let artifact = self.paths.artifacts()?.path(self.artifact);
        let settings = self.settings();
        let mut told = TrainingLog::new(
            format!("Training an adapter for {}", self.base),
            settings.n_steps,
        );
        let training = LoraTraining {
            artifact: &artifact,
            base_model: self.base.as_str(),
            lora: &lora_settings(&self.lora.options),
            teacher: None,
            settings,
            folder: &folder,
            checkpoint_every: checkpoint_every(self.lora.options.steps),
        };
        let made = train_lora(training, examples, &mut |step| {
            for event in told.on_step(step) {
                sink(event);
            }
        })?;
        let (digest, size) = digest_of_folder(&folder)?;
        self.paths.models()?.adopt_folder(&folder, &digest)?;
        let base_size =
            fs::metadata(&artifact).map_err(|error| disk::write_failure(&artifact, &error))?;
        let adapter = AdapterReport {
            base: self.base.clone(),
            digest,
            size,
            base_size: Bytes(base_size.len()),
            n_parameters: made.n_trained as u64,
            n_examples: made.counts.n_examples as u64,
            n_cut: made.counts.n_cut as u64,
            n_dropped: made.counts.n_dropped as u64,
            loss_before: made.loss_before,
            loss_after: made.loss_after,
            n_compared: made.n_compared as u64,
        };
        self.keep(&identity, &adapter)?;
        sink(JobEvent::AdapterTrained {
            report: Box::new(adapter),
        });
        Ok(())
    }

    /// Digest of everything that decides the adapter.
    fn identity(&self) -> Digest {
        let spec = serde_json::to_string(self.lora).expect("settings are plain data");
        let mut hash = Sha256::new();
        for part in [
            "lora",
            self.artifact.as_str(),
            &spec,
            env!("CARGO_PKG_VERSION"),
        ] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let text = hex::encode(hash.finalize());
        text.parse().expect("hex of 32 bytes is a digest")
    }

    /// What was trained before, if it is still there. A note that cannot be read counts as none.
    fn find(&self, identity: &Digest) -> Result<Option<AdapterReport>, Failure> {
        let json = fs::read_to_string(self.paths.made_note(identity)).ok();
        let note: Option<Note> = json.and_then(|json| serde_json::from_str(&json).ok());
        let models = self.paths.models()?;
        let is_here = |adapter: &AdapterReport| models.contains(&adapter.digest, adapter.size);
        let found = note.map(|note| note.adapter).filter(is_here);
        Ok(found.map(|adapter| AdapterReport {
            base: self.base.clone(),
            ..adapter
        }))
    }

    fn keep(&self, identity: &Digest, adapter: &AdapterReport) -> Result<(), Failure> {
        let note = Note {
            adapter: adapter.clone(),
        };
        let json = serde_json::to_string(&note).expect("a report is plain data");
        keep_note(self.paths, identity, &json)
    }

    /// The data as tokens.
    fn examples(&self) -> Result<Vec<Example>, Failure> {
        let files =
            ModelFiles::open(self.model_file).map_err(trimtab_compress::CompressError::from)?;
        let tokenizer = files.tokenizer().map_err(TrainError::from)?;
        let template = match self.lora.options.form {
            CalibrationForm::Raw => None,
            CalibrationForm::Chat => {
                let template = files.chat_template().map_err(TrainError::from)?;
                Some(template.ok_or_else(|| {
                    Failure::bad_input("the model has no chat template")
                        .with_hint("train on raw prompts with `--form raw`")
                })?)
            }
        };
        let format = InstructionFormat {
            tokenizer: &tokenizer,
            template: template.as_ref(),
        };
        let data = self.paths.texts()?.path(&self.lora.data);
        let named = |error: TrainError| {
            let failure = Failure::from(error);
            Failure {
                message: format!("`{}`: {}", self.lora.data_name, failure.message),
                ..failure
            }
        };
        let instructions = read_instructions(&data).map_err(named)?;
        let encoded = instructions.iter().map(|one| format.encode(one));
        encoded.collect::<Result<_, _>>().map_err(named)
    }

    fn settings(&self) -> TrainSettings {
        let lora = &self.lora.options;
        TrainSettings {
            n_steps: lora.steps.into(),
            n_warmup: lora.warm_up.into(),
            learning_rate: lora.learning_rate,
            decay: decay(lora.decay),
            weight_decay: lora.weight_decay,
            max_gradient_norm: Some(lora.max_gradient_norm),
            batch_tokens: lora.batch_tokens as usize,
            n_accumulated: lora.accumulated as usize,
            max_len: lora.max_length as usize,
            recomputes: lora.recomputes,
            seed: lora.seed,
        }
    }
}

fn log(message: String) -> JobEvent {
    JobEvent::Log {
        level: LogLevel::Info,
        message,
    }
}

pub(crate) fn decay(decay: RateDecay) -> Decay {
    match decay {
        RateDecay::Cosine => Decay::Cosine,
        RateDecay::Linear => Decay::Linear,
        RateDecay::Constant => Decay::Constant,
    }
}

/// Steps between checkpoints.
pub(crate) fn checkpoint_every(n_steps: u32) -> u64 {
    (n_steps / N_CHECKPOINTS).clamp(1, MAX_STEPS_BETWEEN).into()
}

fn lora_settings(lora: &LoraOptions) -> LoraSettings {
    LoraSettings {
        rank: lora.rank as usize,
        alpha: lora.alpha,
        is_rank_stabilised: lora.is_rank_stabilised,
        dropout: lora.dropout as f32,
        targets: match &lora.pattern {
            Some(pattern) => LoraTargets::Pattern(pattern.clone()),
            None => LoraTargets::Ends(lora.targets.clone()),
        },
    }
}

#[cfg(test)]
mod tests;
