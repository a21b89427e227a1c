//! A model that another one learns from: it scores the same tokens, and is not trained.

use super::{Distillation, TrainError, trainer::floats};
use burn::tensor::{Device, Int, Tensor};
use std::ops::Range;
use trimtab_kernels::KvFormat;
use trimtab_models::{
    Artifact, ModelConfig,
    decoder::{Decoder, SequenceStep},
    load_decoder,
};

/// A model to learn from, and how.
#[derive(Clone, Copy, Debug)]
pub struct TeacherInputs<'a> {
    /// The model; its vocabulary is that of the student.
    pub artifact: &'a Artifact,
    /// What is minimised.
    pub loss: Distillation,
}

/// A loaded teacher.
#[derive(Debug)]
pub(super) struct Teacher {
    model: Decoder,
    pub(super) loss: Distillation,
}

impl Teacher {
    /// # Errors
    ///
    /// A vocabulary or positions that are not the student's, settings of the loss that make no
    /// sense, and weights that cannot be read.
    pub(super) fn load(
        inputs: &TeacherInputs<'_>,
        student: &ModelConfig,
        max_len: usize,
    ) -> Result<Self, TrainError> {
        inputs.loss.check()?;
        let config = &inputs.artifact.header().config;
        if config.vocab_size != student.vocab_size {
            return Err(TrainError::TeacherVocabulary {
                teacher: config.vocab_size,
                student: student.vocab_size,
            });
        }
        if config.max_len < max_len {
            return Err(TrainError::Setting {
                name: "tokens of an example",
                value: max_len.to_string(),
                wanted: "within the positions of the teacher",
            });
        }
        Ok(Self {
            model: load_decoder(inputs.artifact, None, max_len, &Device::flex())?,
            loss: inputs.loss,
        })
    }

    /// What goes into the head at some tokens of a batch.
    ///
    /// # Shapes
    ///
    /// - result: `[1, rows.len(), d_model]`
    pub(super) fn hidden(&self, steps: &[SequenceStep<'_>], rows: &[i32]) -> Tensor<3> {
        let longest = steps.iter().map(|step| step.ids.len()).max();
        let longest = longest.expect("a batch has an example");
        let mut cache = self.model.new_cache(steps.len(), longest, KvFormat::F32);
        let hidden = self.model.hidden(steps, &mut cache);
        hidden.select(1, Tensor::<1, Int>::from_ints(rows, &self.model.device()))
    }

    /// Scores over the vocabulary at some of these tokens.
    ///
    /// # Shapes
    ///
    /// - result: `[rows.len(), vocab]`
    pub(super) fn scores(&self, hidden: &Tensor<3>, rows: Range<usize>) -> Vec<f32> {
        let d_model = hidden.dims()[2];
        let hidden = hidden.clone().slice([0..1, rows, 0..d_model]);
        floats(self.model.logits(hidden))
    }
}
