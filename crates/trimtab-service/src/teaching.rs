//! The step `distil` of a compression: its teacher, and what it tells while it trains.

use crate::{Service, compression::Job, stages::Link, training_log::TrainingLog};
use std::path::PathBuf;
use trimtab_compress::{
    Base, CalibrationSet, CompressError, Lesson, teach,
    train::{DistilEvent, TrainError, check_same_tokenizer},
};
use trimtab_domain::{
    Agreement, Digest, Distil, Failure, FailureKind, JobEvent, LogLevel, Measured, Recipe,
    StageReport,
};
use trimtab_models::{Checkpoint, ModelFiles};

type Sink<'a> = dyn FnMut(JobEvent) + Send + 'a;

impl Service {
    /// The recipe with the digests of its teachers; those of the catalog are fetched first.
    ///
    /// # Errors
    ///
    /// An unknown teacher, and one that is another file now than when the recipe was completed.
    pub async fn with_teachers(
        &self,
        mut recipe: Recipe,
        mut listener: impl FnMut(&JobEvent),
    ) -> Result<Recipe, Failure> {
        for distil in recipe.distils_mut() {
            let Some(teacher) = &distil.teacher else {
                continue;
            };
            self.ensure_model(teacher, &mut listener).await?;
            let digest = self.inner.model_digest(teacher).await?;
            let digest = digest.ok_or_else(|| {
                Failure::new(FailureKind::Bug, "a model was fetched and is not here")
            })?;
            match &distil.teacher_digest {
                Some(wanted) if *wanted != digest => {
                    return Err(Failure::conflict(format!(
                        "the teacher `{teacher}` is another file than the recipe says"
                    ))
                    .with_hint("leave `teacher_digest` out to learn from the one that is here"));
                }
                _ => distil.teacher_digest = Some(digest),
            }
        }
        Ok(recipe)
    }
}

impl Job<'_> {
    /// File and digest of a step's teacher.
    fn teacher_file(&self, distil: &Distil) -> Result<(PathBuf, Digest), Failure> {
        let digest = match (&distil.teacher, &distil.teacher_digest) {
            (None, _) => return Ok((self.model_file.clone(), self.base.clone())),
            (Some(_), Some(digest)) => digest,
            (Some(teacher), None) => {
                let message = format!("the digest of the teacher `{teacher}` is not known");
                return Err(Failure::new(FailureKind::Bug, message));
            }
        };
        Ok((self.input.paths.models()?.path(digest), digest.clone()))
    }

    /// Refuses a teacher that reads texts as other tokens than the student.
    pub(crate) fn check_teacher(
        &self,
        distil: &Distil,
        student: &Checkpoint,
    ) -> Result<(), Failure> {
        if distil.teacher.is_none() {
            return Ok(());
        }
        let (path, _) = self.teacher_file(distil)?;
        let teacher = ModelFiles::open(&path).map_err(CompressError::from)?;
        let teacher = teacher.tokenizer().map_err(TrainError::from)?;
        let student = student.files().tokenizer().map_err(TrainError::from)?;
        Ok(check_same_tokenizer(&teacher, &student)?)
    }

    /// Lets the student of a link learn.
    pub(crate) fn distil(
        &self,
        base: &Base,
        (link, distil, set): (&Link, &Distil, &CalibrationSet),
        stage: String,
        sink: &mut Sink<'_>,
    ) -> Result<StageReport, Failure> {
        let (path, digest) = self.teacher_file(distil)?;
        // As it was published: an adapter that the student was given is not the teacher's.
        let published = Recipe {
            name: String::new(),
            steps: Vec::new(),
        };
        let teacher = Base::open(&path, None, &published)?;
        let teacher_name = distil.teacher.as_ref().unwrap_or(self.model);
        let lesson = Lesson {
            base,
            link: &link.recipe,
            teacher: &teacher,
            teacher_name: teacher_name.as_str(),
            teacher_digest: &digest,
            set,
            folder: &self.input.paths.stage_folder(&link.identity),
        };
        let mut told = TrainingLog::new(stage, distil.steps.into());
        let report = teach(lesson, &mut |event| {
            for event in job_events(event, &mut told, teacher_name.as_str()) {
                sink(event);
            }
        });
        Ok(report?)
    }
}

fn job_events(event: DistilEvent, told: &mut TrainingLog, teacher: &str) -> Vec<JobEvent> {
    let log = |message| {
        vec![JobEvent::Log {
            level: LogLevel::Info,
            message,
        }]
    };
    match event {
        DistilEvent::Measured { n_done, n_total } => vec![JobEvent::Progress {
            stage: "Measuring agreement".to_owned(),
            n_done,
            n_total,
        }],
        DistilEvent::Before(before) => log(describe("before", &before, teacher)),
        DistilEvent::Resumed(step) => log(format!("goes on after step {step}")),
        DistilEvent::Step(report) => told.on_step(&report),
    }
}

fn describe(when: &str, agreement: &Agreement, teacher: &str) -> String {
    let percent = |share: Measured| {
        format!(
            "{:.1} ± {:.1} %",
            100.0 * share.value,
            100.0 * share.standard_error
        )
    };
    let number = |number: Measured| format!("{:.3} ± {:.3}", number.value, number.standard_error);
    format!(
        "{when}, on {} tokens: first choice of {teacher} {}, among the first five {}, divergence {}, \
         perplexity {} ({teacher}: {})",
        agreement.n_tokens,
        percent(agreement.top1),
        percent(agreement.top5),
        number(agreement.kl),
        number(agreement.student_perplexity),
        number(agreement.teacher_perplexity),
    )
}
