//! The step `distil`: a model that learns from a teacher, as a stage of a recipe.

use crate::{
    Base, CalibrationSet, CompressError, StageFolder,
    train::{
        Decay, DistilEvent, DistilPlan, Distillation, Distilled, Divergence, FloatModel,
        HiddenLoss, TrainSettings, distil,
    },
};
use std::{fs, path::Path, time::Instant};
use trimtab_domain::{
    AgreementReport, Digest, Distil, DistilLoss, Measured, RateDecay, Recipe, StageReport, Step,
};
use trimtab_models::WeightSpec;

/// Checkpoints of a training, at least.
const N_CHECKPOINTS: u32 = 10;

/// Most steps between two of them.
const MAX_STEPS_BETWEEN: u32 = 50;

/// A student and its teacher.
#[derive(Clone, Copy, Debug)]
pub struct Lesson<'a> {
    /// The student, as it is before.
    pub base: &'a Base,
    /// The link of the recipe, which ends with `distil`.
    pub link: &'a Recipe,
    /// The teacher; its tokenizer is that of the student.
    pub teacher: &'a Base,
    /// What the teacher is called.
    pub teacher_name: &'a str,
    /// What its file is known by.
    pub teacher_digest: &'a Digest,
    /// The text.
    pub set: &'a CalibrationSet,
    /// Folder for what is finished; one of its own for each [`crate::identity`].
    pub folder: &'a Path,
}

/// Trains the student as the step at the end of the link says, and keeps the model in the folder.
/// Where that was done before, it is not done again, and one that was killed goes on after its last
/// checkpoint, with the same result.
///
/// # Errors
///
/// [`CompressError`]; a link that does not end with `distil` is refused.
pub fn teach(
    lesson: Lesson<'_>,
    on_event: &mut dyn FnMut(DistilEvent),
) -> Result<StageReport, CompressError> {
    let Some(Step::Distil(wish)) = lesson.link.steps.last() else {
        return Err(CompressError::NoDistil(lesson.link.name.clone()));
    };
    let folder = StageFolder::open(lesson.folder)?;
    if let Some(report) = folder.finished() {
        return Ok(report);
    }
    let clock = Instant::now();
    let distilled = lesson.distilled(wish, on_event)?;
    let config = lesson.base.config().clone();
    let agreement = AgreementReport {
        teacher: lesson.teacher_name.to_owned(),
        before: distilled.before,
        after: distilled.after,
    };
    let report = StageReport {
        method: "distil".to_owned(),
        summary: summary(wish, lesson.set, &agreement),
        removed: Vec::new(),
        notes: Vec::new(),
        agreement: Some(Box::new(agreement)),
        n_parameters: config.n_parameters(),
        duration_ms: clock.elapsed().as_secs_f64() * 1e3,
    };
    let read = |spec: &WeightSpec| match distilled.weights.get(&spec.name) {
        Some(values) => Ok(values.clone()),
        None => lesson.base.read(spec),
    };
    folder.finish(lesson.base, lesson.link, config, &read, &report)?;
    for name in ["training.safetensors", "teacher.safetensors"] {
        // What is left behind costs space only.
        let _ = fs::remove_file(lesson.folder.join(name));
    }
    Ok(report)
}

impl Lesson<'_> {
    fn distilled(
        &self,
        wish: &Distil,
        on_event: &mut dyn FnMut(DistilEvent),
    ) -> Result<Distilled, CompressError> {
        let read_student = |spec: &WeightSpec| self.base.read(spec);
        let read_teacher = |spec: &WeightSpec| self.teacher.read(spec);
        let hidden = wish.hidden_weight.map(|weight| {
            let layers = (self.base.config().n_layers, self.teacher.config().n_layers);
            HiddenLoss::evenly(weight as f32, layers.0, layers.1)
        });
        let plan = DistilPlan {
            student: FloatModel {
                config: self.base.config(),
                read: &read_student,
                // The weights themselves are part of what a training is known by.
                digest: "student",
            },
            teacher: FloatModel {
                config: self.teacher.config(),
                read: &read_teacher,
                digest: self.teacher_digest.as_str(),
            },
            loss: Distillation {
                divergence: divergence(wish.loss),
                temperature: wish.temperature as f32,
                label_share: wish.label_share as f32,
            },
            hidden: hidden.as_ref(),
            n_top: wish.stored_tokens.map(|n_top| n_top as usize),
            settings: settings(wish, self.set.length()),
            sequences: self.set.sequences(),
            n_held_out: wish.held_out as usize,
            folder: self.folder,
            checkpoint_every: (wish.steps / N_CHECKPOINTS)
                .clamp(1, MAX_STEPS_BETWEEN)
                .into(),
        };
        Ok(distil(plan, on_event)?)
    }
}

fn divergence(loss: DistilLoss) -> Divergence {
    match loss {
        DistilLoss::ForwardKl => Divergence::ForwardKl,
        DistilLoss::ReverseKl => Divergence::ReverseKl,
        DistilLoss::JensenShannon => Divergence::JensenShannon { teacher_share: 0.5 },
    }
}

fn settings(wish: &Distil, length: usize) -> TrainSettings {
    TrainSettings {
        n_steps: wish.steps.into(),
        n_warmup: wish.n_warmup().into(),
        learning_rate: wish.learning_rate,
        decay: match wish.decay {
            RateDecay::Cosine => Decay::Cosine,
            RateDecay::Linear => Decay::Linear,
            RateDecay::Constant => Decay::Constant,
        },
        // The last token of a sequence is only expected, not read.
        batch_tokens: (wish.batch as usize).saturating_mul(length - 1).max(2),
        n_accumulated: 1,
        max_len: length,
        recomputes: wish.recompute,
        seed: wish.seed,
        ..TrainSettings::default()
    }
}

/// What became of the student, in words.
fn summary(wish: &Distil, set: &CalibrationSet, agreement: &AgreementReport) -> String {
    let (before, after) = (&agreement.before, &agreement.after);
    let percent = |share: Measured| format!("{:.1} %", 100.0 * share.value);
    let teacher = &agreement.teacher;
    format!(
        "{} steps of {} × {} tokens; on {} tokens that were not learned, the first choice is that of \
         {teacher} at {} (before: {}), and the perplexity {:.3} (before: {:.3}; {teacher}: {:.3})",
        wish.steps,
        wish.batch,
        set.length(),
        after.n_tokens,
        percent(after.top1),
        percent(before.top1),
        after.student_perplexity.value,
        before.student_perplexity.value,
        after.teacher_perplexity.value,
    )
}
