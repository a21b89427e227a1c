//! A student learns all weights of its blocks from a teacher: from beginning to end, or from the last
//! checkpoint on.
//!
//! Source: Hinton et al. 2015, <https://arxiv.org/abs/1503.02531>; that it heals models from which
//! layers were taken: Muralidharan et al. 2024, <https://arxiv.org/abs/2407.14679>.

use super::{
    Distillation, Example, FloatModel, HiddenLoss, ModelSource, StepReport, StoredLessons,
    TeacherInputs, TrainError, TrainSettings, Trainer, WeightInputs, agreement::agreement,
};
use burn::tensor::Device;
use std::{collections::HashMap, path::Path};
use trimtab_domain::Agreement;

/// Who learns what from whom.
#[derive(Clone, Copy, Debug)]
pub struct DistilPlan<'a> {
    /// The model that learns.
    pub student: FloatModel<'a>,
    /// The model that it learns from; its tokenizer is that of the student.
    pub teacher: FloatModel<'a>,
    /// What is minimised.
    pub loss: Distillation,
    /// Hidden states that should be alike as well.
    pub hidden: Option<&'a HiddenLoss>,
    /// Tokens of each position that are kept of the teacher; `None` where it scores every batch anew.
    pub n_top: Option<usize>,
    /// Settings of the training.
    pub settings: TrainSettings,
    /// Sequences of equal length; the last are not trained on.
    pub sequences: &'a [Vec<u32>],
    /// Sequences on which agreement is measured.
    pub n_held_out: usize,
    /// Folder of the checkpoint, which is gone on from if it is there, and of the teacher's scores.
    pub folder: &'a Path,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
}

/// What is heard of a distillation.
#[derive(Clone, Debug, PartialEq)]
pub enum DistilEvent {
    /// Sequences that agreement was measured on.
    Measured {
        /// So many are done.
        n_done: u64,
        /// Of so many.
        n_total: u64,
    },
    /// How far the student agreed before it learnt.
    Before(Agreement),
    /// A training goes on from a checkpoint after this step.
    Resumed(u64),
    /// A step was done.
    Step(StepReport),
}

/// What a distillation has made.
#[derive(Debug)]
pub struct Distilled {
    /// The weights that were trained, each `[d_out, d_in]`, by name; all others are as they were.
    pub weights: HashMap<String, Vec<f32>>,
    /// How far the student agreed before.
    pub before: Agreement,
    /// How far it agrees now.
    pub after: Agreement,
    /// Numbers that were trained.
    pub n_trained: usize,
    /// Sequences that were trained on.
    pub n_sequences: usize,
    /// The last step, if one was done here.
    pub last: Option<StepReport>,
}

/// Name of the checkpoint in the folder.
const CHECKPOINT: &str = "training.safetensors";

/// Name of the file with the teacher's scores.
const LESSONS: &str = "teacher.safetensors";

/// Sequences that are trained on, at least.
const MIN_SEQUENCES: usize = 4;

/// Trains a student. `on_event` hears how far it is.
///
/// # Errors
///
/// [`TrainError`]; the last checkpoint stays, and the next call goes on from it.
pub fn distil(
    plan: DistilPlan<'_>,
    on_event: &mut dyn FnMut(DistilEvent),
) -> Result<Distilled, TrainError> {
    let [learned, held_out] = plan.divided()?;
    std::fs::create_dir_all(plan.folder).map_err(|source| TrainError::Io {
        path: plan.folder.to_owned(),
        source,
    })?;
    let lessons = plan.folder.join(LESSONS);
    let teacher = TeacherInputs {
        model: ModelSource::Floats(plan.teacher),
        loss: plan.loss,
        hidden: plan.hidden,
        stored: plan.n_top.map(|n_top| StoredLessons {
            path: &lessons,
            n_top,
        }),
    };
    let inputs = WeightInputs {
        student: ModelSource::Floats(plan.student),
        teacher: Some(teacher),
    };
    let examples: Vec<Example> = learned.iter().cloned().map(Example::text).collect();
    let n_sequences = examples.len();
    let mut trainer = Trainer::of_weights(inputs, plan.settings, examples)?;
    let before = plan.agreement(&trainer, held_out, on_event)?;
    on_event(DistilEvent::Before(before));
    let checkpoint = plan.folder.join(CHECKPOINT);
    if trainer.resume(&checkpoint)? {
        on_event(DistilEvent::Resumed(trainer.n_steps_done()));
    }
    let mut last = None;
    while !trainer.is_done() {
        let report = trainer.step()?;
        on_event(DistilEvent::Step(report));
        last = Some(report);
        if report.step.is_multiple_of(plan.checkpoint_every.max(1)) {
            trainer.save(&checkpoint)?;
        }
    }
    if last.is_some() {
        // What is measured now is not lost if the process ends meanwhile.
        trainer.save(&checkpoint)?;
    }
    let after = plan.agreement(&trainer, held_out, on_event)?;
    Ok(Distilled {
        n_trained: trainer.n_trained(),
        weights: trainer.into_weights(),
        before,
        after,
        n_sequences,
        last,
    })
}

/// Refuses a text of which too little is left to train on, or to measure agreement on.
///
/// # Errors
///
/// [`TrainError::TooFewSequences`]
pub fn check_sequences(sequences: &[Vec<u32>], n_held_out: usize) -> Result<(), TrainError> {
    let held_out = n_held_out.max(2);
    let wanted = held_out.saturating_add(MIN_SEQUENCES);
    let n_sequences = sequences.len();
    if n_held_out < 2 || n_sequences < wanted {
        return Err(TrainError::TooFewSequences {
            n_sequences,
            length: sequences.first().map_or(0, Vec::len),
            wanted,
            held_out,
        });
    }
    Ok(())
}

impl<'a> DistilPlan<'a> {
    /// What is trained on, and what is not.
    fn divided(&self) -> Result<[&'a [Vec<u32>]; 2], TrainError> {
        check_sequences(self.sequences, self.n_held_out)?;
        let n_learned = self.sequences.len() - self.n_held_out;
        let (learned, held_out) = self.sequences.split_at(n_learned);
        Ok([learned, held_out])
    }

    fn agreement(
        &self,
        trainer: &Trainer,
        held_out: &[Vec<u32>],
        on_event: &mut dyn FnMut(DistilEvent),
    ) -> Result<Agreement, TrainError> {
        let student = trainer.plain_model();
        let n_total = held_out.len() as u64;
        let mut told = |n_done: usize| {
            let n_done = n_done as u64;
            on_event(DistilEvent::Measured { n_done, n_total });
        };
        if let Some(teacher) = trainer.teacher_model() {
            return Ok(agreement(teacher, &student, held_out, &mut told));
        }
        // A teacher whose scores are stored is in memory only here.
        let model = ModelSource::Floats(self.teacher);
        let teacher = model.load(self.settings.max_len, &Device::flex())?;
        Ok(agreement(&teacher, &student, held_out, &mut told))
    }
}
