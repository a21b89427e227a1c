//! A model that another one learns from: it scores the same tokens, and is not trained. It scores
//! them in every step, or once, when the likeliest tokens are kept in a file.

use super::{
    Distillation, Example, HiddenLoss, ModelSource, TrainError,
    example::learned_rows,
    lessons,
    lessons::LessonsKey,
    top_tokens::TopTokens,
    trainer::{HEAD_TOKENS, floats},
};
use burn::tensor::{Device, Int, Tensor};
use std::{ops::Range, path::Path};
use trimtab_models::{
    ModelConfig,
    decoder::{Decoder, SequenceStep},
};

/// A model to learn from, and how.
#[derive(Clone, Copy, Debug)]
pub struct TeacherInputs<'a> {
    /// The model; its vocabulary is that of the student.
    pub model: ModelSource<'a>,
    /// What is minimised.
    pub loss: Distillation,
    /// Hidden states that should be alike as well.
    pub hidden: Option<&'a HiddenLoss>,
    /// Keeps the teacher's likeliest tokens in a file, so that it scores no token twice.
    pub stored: Option<StoredLessons<'a>>,
}

/// Where a teacher's scores are kept.
#[derive(Clone, Copy, Debug)]
pub struct StoredLessons<'a> {
    /// The file; it is made where it is not there.
    pub path: &'a Path,
    /// Tokens that are kept at each position; the others are kept as one.
    pub n_top: usize,
}

impl TeacherInputs<'_> {
    /// # Errors
    ///
    /// A vocabulary, positions or a width that are not the student's, and settings that make no
    /// sense or contradict each other.
    pub(super) fn check(&self, student: &ModelConfig, max_len: usize) -> Result<(), TrainError> {
        self.loss.check()?;
        let config = self.model.config();
        if config.vocab_size != student.vocab_size {
            return Err(TrainError::TeacherVocabulary {
                teacher: config.vocab_size,
                student: student.vocab_size,
            });
        }
        let wrong = |name, value: usize, wanted| {
            let value = value.to_string();
            Err(TrainError::Setting {
                name,
                value,
                wanted,
            })
        };
        if config.max_len < max_len {
            return wrong(
                "tokens of an example",
                max_len,
                "within the positions of the teacher",
            );
        }
        if let Some(hidden) = self.hidden {
            hidden.check(student, config)?;
        }
        match self.stored {
            Some(_) if self.hidden.is_some() => Err(TrainError::StoredStates),
            Some(stored) if !(1..=config.vocab_size).contains(&stored.n_top) => wrong(
                "tokens that are kept",
                stored.n_top,
                "between 1 and the size of the vocabulary",
            ),
            _ => Ok(()),
        }
    }
}

/// A teacher that is ready.
#[derive(Debug)]
pub(super) struct Teacher {
    scores: Scores,
    loss: Distillation,
    pub(super) hidden: Option<HiddenLoss>,
}

#[derive(Debug)]
enum Scores {
    Online(Box<Decoder>),
    /// The likeliest tokens at all learned positions, and where those of each example begin.
    Stored(TopTokens, Vec<usize>),
}

/// What a teacher says of a batch, at its learned positions.
#[derive(Debug)]
pub(super) enum Lesson {
    Online {
        /// What goes into the head: `[1, n_rows, d_model]`.
        hidden: Tensor<3>,
        /// What leaves the blocks that are compared, in the order of the pairs:
        /// `[n_rows, d_model]` each.
        states: Vec<Vec<f32>>,
    },
    Stored(TopTokens),
}

impl Teacher {
    /// # Errors
    ///
    /// Weights or a file that cannot be read, or a file that cannot be written.
    pub(super) fn load(
        inputs: &TeacherInputs<'_>,
        examples: &[Example],
        max_len: usize,
    ) -> Result<Self, TrainError> {
        let load = || inputs.model.load(max_len, &Device::flex());
        let scores = match inputs.stored {
            None => Scores::Online(Box::new(load()?)),
            Some(StoredLessons { path, n_top }) => {
                let key = LessonsKey::new(inputs, n_top, examples);
                let top = if let Some(top) = lessons::load(path, &key)? {
                    top
                } else {
                    let top = score(&load()?, examples, n_top, inputs.loss.temperature);
                    lessons::save(path, &key, &top)?;
                    top
                };
                let firsts = examples.iter().scan(0, |next, example| {
                    let first = *next;
                    *next += example.learned().len();
                    Some(first)
                });
                Scores::Stored(top, firsts.collect())
            }
        };
        Ok(Self {
            scores,
            loss: inputs.loss,
            hidden: inputs.hidden.cloned(),
        })
    }

    /// The model, where it scores every batch.
    pub(super) fn model(&self) -> Option<&Decoder> {
        match &self.scores {
            Scores::Online(model) => Some(model),
            Scores::Stored(..) => None,
        }
    }

    /// What it says of a batch: examples by their number, and their learned `rows`.
    pub(super) fn lesson(
        &self,
        batch: &[(usize, &Example)],
        steps: &[SequenceStep<'_>],
        rows: &[i32],
    ) -> Lesson {
        match &self.scores {
            Scores::Stored(top, firsts) => {
                let mut part = TopTokens {
                    k: top.k,
                    ..TopTokens::default()
                };
                for (idx, example) in batch {
                    let positions = firsts[*idx]..firsts[*idx] + example.learned().len();
                    let tokens = positions.start * top.k..positions.end * top.k;
                    part.ids.extend_from_slice(&top.ids[tokens.clone()]);
                    part.log_probs.extend_from_slice(&top.log_probs[tokens]);
                    part.rest.extend_from_slice(&top.rest[positions]);
                }
                Lesson::Stored(part)
            }
            Scores::Online(model) => {
                let pairs = self.hidden.as_ref().map_or(&[][..], |hidden| &hidden.pairs);
                let blocks: Vec<usize> = pairs.iter().map(|(_, block)| *block).collect();
                run(model, steps, rows, &blocks)
            }
        }
    }

    /// Sum of the losses of some learned positions of a batch; the student's scores become the
    /// gradient of `factor` times that sum.
    ///
    /// # Shapes
    ///
    /// - `student`: `[positions.len(), vocab]`; `labels`: `[positions.len()]`
    pub(super) fn loss(
        &self,
        (lesson, positions): (&Lesson, Range<usize>),
        student: &mut [f32],
        labels: &[u32],
        factor: f32,
    ) -> f64 {
        match (lesson, &self.scores) {
            (Lesson::Stored(top), _) => {
                self.loss
                    .top_loss(student, (top, positions.start), labels, factor)
            }
            (Lesson::Online { hidden, .. }, Scores::Online(model)) => {
                let scores = scores(model, hidden, positions);
                self.loss.loss(student, &scores, labels, factor)
            }
            (Lesson::Online { .. }, Scores::Stored(..)) => {
                unreachable!("a stored teacher gives stored lessons")
            }
        }
    }
}

/// Runs sequences through a teacher.
fn run(model: &Decoder, steps: &[SequenceStep<'_>], rows: &[i32], states_of: &[usize]) -> Lesson {
    let lens: Vec<usize> = steps.iter().map(|step| step.ids.len()).collect();
    let at_rows = |x: Tensor<3>| x.select(1, Tensor::<1, Int>::from_ints(rows, &model.device()));
    let mut states = vec![Vec::new(); states_of.len()];
    let mut x = model.embedded(steps);
    for (block_idx, block) in model.blocks.iter().enumerate() {
        x = block.forward(x, &lens, model.rope.as_ref());
        for (states, of) in states.iter_mut().zip(states_of) {
            if *of == block_idx {
                *states = floats(at_rows(x.clone()));
            }
        }
    }
    Lesson::Online {
        hidden: at_rows(model.norm.forward(x)),
        states,
    }
}

/// Scores over the vocabulary: `[rows.len(), vocab]`.
pub(super) fn scores(model: &Decoder, hidden: &Tensor<3>, rows: Range<usize>) -> Vec<f32> {
    let d_model = hidden.dims()[2];
    floats(model.logits(hidden.clone().slice([0..1, rows, 0..d_model])))
}

/// The likeliest tokens at all learned positions of all examples.
fn score(model: &Decoder, examples: &[Example], n_top: usize, temperature: f32) -> TopTokens {
    let mut top = TopTokens {
        k: n_top,
        ..TopTokens::default()
    };
    for example in examples {
        let ids = example.inputs();
        let (rows, _) = learned_rows(&[example]);
        let Lesson::Online { hidden, .. } =
            run(model, &[SequenceStep { slot: 0, ids }], &rows, &[])
        else {
            unreachable!("a model that runs is online")
        };
        for start in (0..rows.len()).step_by(HEAD_TOKENS) {
            let rows = start..(start + HEAD_TOKENS).min(rows.len());
            let scores = scores(model, &hidden, rows.clone());
            let vocab = scores.len() / rows.len();
            let more = TopTokens::of(&scores, vocab, n_top, temperature);
            top.ids.extend(more.ids);
            top.log_probs.extend(more.log_probs);
            top.rest.extend(more.rest);
        }
    }
    top
}
