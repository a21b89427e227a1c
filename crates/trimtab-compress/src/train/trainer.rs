//! Training step by step: of an adapter beside frozen weights, or of the weights themselves.
//!
//! Examples of a batch lie side by side, as sequences do when a model answers several at once; only
//! attention looks at which one a token belongs to. Scores over the vocabulary are made for some
//! learned tokens at a time, and never for tokens that are only read.

use super::{
    Example, ExampleCounts, ModelSource, TrainError, TrainSettings,
    adamw::Trained,
    checkpoint::{self, FORMAT_VERSION, Progress},
    cross_entropy::cross_entropy,
    example::{learned_rows, prepare},
    identity::Depends,
    order::Order,
    parameters::{GradientSums, Parameters, factor_names, joint_name},
    pass::{HeadPass, Left},
    recorded::Recorded,
    source::check_architecture,
    teacher::{Teacher, TeacherInputs},
};
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};
use trimtab_kernels::KvFormat;
use trimtab_models::{
    Artifact, ModelConfig,
    decoder::{Decoder, Dropout, SequenceStep, split_members},
    load_decoder,
    peft::{LoraSettings, PeftAdapter},
};

/// Learned tokens whose scores over the vocabulary are in memory at once.
pub(super) const HEAD_TOKENS: usize = 128;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The step, counted from 1.
    pub step: u64,
    /// Mean loss of the learned tokens, in natural logarithms, before the update: the cross-entropy,
    /// or what a teacher makes of it.
    pub loss: f64,
    /// Norm of all gradients together, before it was limited.
    pub gradient_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Tokens that went through the model.
    pub n_tokens: usize,
    /// Tokens of these that were learned.
    pub n_learned: usize,
}

/// A model while it is trained.
#[derive(Debug)]
pub struct Trainer {
    model: Decoder,
    parameters: Parameters,
    teacher: Option<Teacher>,
    settings: TrainSettings,
    examples: Vec<Example>,
    counts: ExampleCounts,
    order: Order,
    trained: BTreeMap<String, Trained>,
    n_steps_done: u64,
    last_checkpoint: Option<u64>,
    identity: String,
}

/// A model, and an adapter that is put on it and trained.
#[derive(Clone, Copy, Debug)]
pub struct TrainInputs<'a> {
    /// The model, in any format of weights.
    pub artifact: &'a Artifact,
    /// The adapter to begin with.
    pub adapter: &'a PeftAdapter,
    /// Its settings.
    pub lora: &'a LoraSettings,
    /// A model that is learned from, beside the examples or instead of them.
    pub teacher: Option<TeacherInputs<'a>>,
}

/// A model whose weights are trained.
#[derive(Clone, Copy, Debug)]
pub struct WeightInputs<'a> {
    /// The model to begin with.
    pub student: ModelSource<'a>,
    /// A model that is learned from, beside the examples or instead of them.
    pub teacher: Option<TeacherInputs<'a>>,
}

/// A model that is ready to be trained, and what of it is.
struct Ready<'a> {
    model: Decoder,
    parameters: Parameters,
    /// What tells the model from others, and the rest that decides the numbers.
    name: (String, String),
    teacher: Option<TeacherInputs<'a>>,
}

impl Trainer {
    /// Loads the model and attaches the adapter.
    ///
    /// # Errors
    ///
    /// [`TrainError`] for settings that make no sense, examples that do not fit the model, and
    /// architectures that gradients do not go through.
    pub fn new(
        inputs: TrainInputs<'_>,
        settings: TrainSettings,
        examples: Vec<Example>,
    ) -> Result<Self, TrainError> {
        let config = &inputs.artifact.header().config;
        settings.check()?;
        check_architecture(config)?;
        let max_len = settings.max_len.min(config.max_len);
        let (examples, counts) = prepare(examples, max_len, config.vocab_size)?;
        let device = Device::flex().autodiff();
        let ready = Ready {
            model: load_decoder(inputs.artifact, Some(inputs.adapter), max_len, &device)?,
            parameters: Parameters::Factors(inputs.adapter.clone(), inputs.lora.clone()),
            name: (
                ModelSource::Artifact(inputs.artifact).name(),
                format!("{:?}", inputs.lora),
            ),
            teacher: inputs.teacher,
        };
        Self::start(ready, config, settings, (examples, counts))
    }

    /// Loads the model with the weights of its blocks and its last norm ready to be trained, in
    /// 32-bit floats; embedding, positions and head stay as they are.
    ///
    /// Takes 20 bytes of memory for each weight that is trained: the weight, a copy that the model
    /// computes with, its gradient, and two means.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn of_weights(
        inputs: WeightInputs<'_>,
        settings: TrainSettings,
        examples: Vec<Example>,
    ) -> Result<Self, TrainError> {
        let config = inputs.student.config();
        settings.check()?;
        check_architecture(config)?;
        let max_len = settings.max_len.min(config.max_len);
        let (examples, counts) = prepare(examples, max_len, config.vocab_size)?;
        let mut model = inputs.student.load(max_len, &Device::flex().autodiff())?;
        model
            .train_weights(config, &|spec| inputs.student.floats(spec))
            .map_err(TrainError::Weights)?;
        let ready = Ready {
            model,
            parameters: Parameters::Weights(Box::new(config.clone())),
            name: (inputs.student.name(), "weights".to_owned()),
            teacher: inputs.teacher,
        };
        Self::start(ready, config, settings, (examples, counts))
    }

    fn start(
        ready: Ready<'_>,
        config: &ModelConfig,
        settings: TrainSettings,
        (examples, counts): (Vec<Example>, ExampleCounts),
    ) -> Result<Self, TrainError> {
        let Ready {
            mut model,
            parameters,
            name: (name, form),
            teacher,
        } = ready;
        let max_len = settings.max_len.min(config.max_len);
        let trained: BTreeMap<String, Trained> = parameters
            .of(&mut model)
            .into_iter()
            .map(|(name, values)| (name, Trained::new(values.to_vec())))
            .collect();
        let depends = Depends {
            model: name,
            form,
            teacher: teacher.as_ref(),
            settings: &settings,
            examples: &examples,
            start: &trained,
        };
        let identity = depends.identity();
        let teacher = match &teacher {
            Some(teacher) => {
                teacher.check(config, max_len)?;
                Some(Teacher::load(teacher, &examples, max_len)?)
            }
            None => None,
        };
        let lens = examples.iter().map(|example| example.inputs().len());
        let order = Order::new(lens.collect(), settings.batch_tokens, settings.seed);
        let mut trainer = Self {
            model,
            parameters,
            teacher,
            settings,
            examples,
            counts,
            order,
            trained,
            n_steps_done: 0,
            last_checkpoint: None,
            identity,
        };
        trainer.attach();
        Ok(trainer)
    }

    /// What is learned from.
    pub fn counts(&self) -> ExampleCounts {
        self.counts
    }

    /// Steps that were done.
    pub fn n_steps_done(&self) -> u64 {
        self.n_steps_done
    }

    /// Whether all steps were done.
    pub fn is_done(&self) -> bool {
        self.n_steps_done >= self.settings.n_steps
    }

    /// Numbers that are trained.
    pub fn n_trained(&self) -> usize {
        self.trained
            .values()
            .map(|trained| trained.values.len())
            .sum()
    }

    /// The adapter as it stands.
    ///
    /// # Panics
    ///
    /// If weights are trained instead of an adapter.
    pub fn adapter(&self) -> PeftAdapter {
        let Parameters::Factors(start, _) = &self.parameters else {
            panic!("weights are trained, and no adapter");
        };
        let mut adapter = start.clone();
        for layer in start.layers() {
            let [a, b] = factor_names(layer).map(|name| self.trained[&name].values.clone());
            adapter.set_factors(layer, a, b);
        }
        adapter
    }

    /// The trained weights as they stand, each `[d_out, d_in]`, by the names of the model's weights.
    ///
    /// # Panics
    ///
    /// If an adapter is trained instead of weights.
    pub fn into_weights(mut self) -> HashMap<String, Vec<f32>> {
        let Parameters::Weights(config) = &self.parameters else {
            panic!("an adapter is trained, and no weights");
        };
        let mut weights = HashMap::new();
        for weight in self.model.trained_weights_mut(config) {
            let trained = self.trained.remove(&joint_name(&weight.members));
            let trained = trained.expect("every parameter is trained");
            for (spec, values) in split_members(&weight.members, &trained.values) {
                weights.insert(spec.name, values);
            }
        }
        weights
    }

    /// The teacher, where it scores every batch.
    pub(super) fn teacher_model(&self) -> Option<&Decoder> {
        self.teacher.as_ref().and_then(Teacher::model)
    }

    /// The model as it stands, without gradients.
    pub(super) fn plain_model(&self) -> Decoder {
        // Off autodiff, which would keep what a backward pass needs.
        let mut model = self.model.valid();
        for part in model.adapters_mut() {
            part.dropout = None;
        }
        model
    }

    /// Goes on from a checkpoint, if there is one; says whether there was.
    ///
    /// # Errors
    ///
    /// [`TrainError`] for damaged checkpoints and those of another training.
    pub fn resume(&mut self, path: &Path) -> Result<bool, TrainError> {
        let progress = checkpoint::load(path, &self.identity, &mut self.trained)?;
        let Some(progress) = progress else {
            return Ok(false);
        };
        self.n_steps_done = progress.step;
        self.last_checkpoint = Some(progress.step);
        self.order.seek(progress.position);
        self.attach();
        Ok(true)
    }

    /// Writes a checkpoint; the one before stays until the new one is on disk.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] where it cannot be written.
    pub fn save(&mut self, path: &Path) -> Result<(), TrainError> {
        let progress = Progress {
            format_version: FORMAT_VERSION,
            step: self.n_steps_done,
            position: self.order.position(),
            identity: self.identity.clone(),
        };
        checkpoint::save(path, &progress, &self.trained)?;
        self.last_checkpoint = Some(self.n_steps_done);
        Ok(())
    }

    /// One update, from one or more batches.
    ///
    /// # Errors
    ///
    /// [`TrainError::NotANumber`] where loss or gradients are no numbers; nothing is updated then.
    pub fn step(&mut self) -> Result<StepReport, TrainError> {
        // Inside the pool, since entering it anew for every product costs more.
        rayon::scope(|_| self.step_in_pool())
    }

    fn step_in_pool(&mut self) -> Result<StepReport, TrainError> {
        let n_batches = self.settings.n_accumulated;
        let batches: Vec<Vec<usize>> = (0..n_batches).map(|_| self.order.next_batch()).collect();
        let of_batches = |count: &dyn Fn(&Example) -> usize| -> usize {
            let examples = batches.iter().flatten();
            examples.map(|idx| count(&self.examples[*idx])).sum()
        };
        let n_tokens = of_batches(&|example| example.inputs().len());
        let n_learned = of_batches(&|example| example.learned().len());
        let mut sums = GradientSums::default();
        let mut loss = 0.0;
        for (batch_idx, batch) in batches.iter().enumerate() {
            self.set_dropout(batch_idx as u64);
            loss += self.pass(batch, 1.0 / n_learned as f32, &mut sums);
        }
        let loss = loss / n_learned as f64;
        let gradient_norm = sums.norm();
        let step = self.n_steps_done + 1;
        for (what, value) in [("loss", loss), ("gradient", gradient_norm)] {
            if !value.is_finite() {
                return Err(TrainError::NotANumber {
                    what,
                    step,
                    last_checkpoint: self.last_checkpoint,
                });
            }
        }
        if let Some(limit) = self.settings.max_gradient_norm {
            sums.limit(gradient_norm, limit);
        }
        let learning_rate = self.settings.schedule().rate(self.n_steps_done);
        let optimizer = self.settings.optimizer();
        for (name, trained) in &mut self.trained {
            let gradient = sums.take(name, trained);
            optimizer.update(trained, &gradient, learning_rate, step);
        }
        self.n_steps_done = step;
        self.attach();
        Ok(StepReport {
            step,
            loss,
            gradient_norm,
            learning_rate,
            n_tokens,
            n_learned,
        })
    }

    /// Forward and backward pass of a batch; returns the sum of its losses and adds the gradients of
    /// `factor` times that sum.
    fn pass(&mut self, batch: &[usize], factor: f32, sums: &mut GradientSums) -> f64 {
        let numbered: Vec<(usize, &Example)> = batch
            .iter()
            .map(|idx| (*idx, &self.examples[*idx]))
            .collect();
        let examples: Vec<&Example> = numbered.iter().map(|(_, example)| *example).collect();
        let steps: Vec<SequenceStep<'_>> = examples
            .iter()
            .enumerate()
            .map(|(slot, example)| SequenceStep {
                slot,
                ids: example.inputs(),
            })
            .collect();
        let (rows, labels) = learned_rows(&examples);
        let teacher = self.teacher.as_ref();
        let lesson = teacher.map(|teacher| (teacher, teacher.lesson(&numbered, &steps, &rows)));
        let mut recorded = Recorded::forward(&self.model, &steps, self.settings.recomputes);
        let mut head = HeadPass {
            model: &mut self.model,
            parameters: &self.parameters,
            lesson: lesson.as_ref().map(|(teacher, lesson)| (*teacher, lesson)),
            factor,
            sums: &mut *sums,
        };
        let (mut loss, mut slope) = head.run(&recorded.last, &rows, &labels);
        for block_idx in (0..self.model.blocks.len()).rev() {
            if let Some((teacher, lesson)) = &lesson {
                let at = Left {
                    values: &|| recorded.left(),
                    rows: &rows,
                    block_idx,
                };
                loss += at.add_hidden(teacher, lesson, factor, &mut slope);
            }
            let (grads, next) = recorded.back(&self.model, slope);
            sums.add(self.parameters.of(&mut self.model), &grads);
            slope = next;
        }
        loss
    }

    /// Mean cross-entropy of the learned tokens of the first `n_examples`, or of all, as the model
    /// stands.
    pub fn mean_loss(&self, n_examples: usize) -> f64 {
        let model = self.plain_model();
        let examples = &self.examples[..n_examples.min(self.examples.len())];
        rayon::scope(|_| {
            let loss: f64 = examples.iter().map(|e| loss_of(&model, e)).sum();
            let n_learned: usize = examples.iter().map(|e| e.learned().len()).sum();
            loss / n_learned as f64
        })
    }

    /// Draws what the adapters do not see in a batch of the coming step.
    fn set_dropout(&mut self, batch_idx: u64) {
        let Parameters::Factors(_, lora) = &self.parameters else {
            return;
        };
        let probability = lora.dropout;
        let first = (self.n_steps_done * self.settings.n_accumulated as u64 + batch_idx) << 20;
        let seed = self.settings.seed.rotate_left(32) ^ first;
        for (idx, part) in self.model.adapters_mut().enumerate() {
            part.dropout = (probability > 0.0).then_some(Dropout {
                probability,
                seed: seed ^ idx as u64,
            });
        }
    }

    /// Puts the trained numbers into the model.
    fn attach(&mut self) {
        for (name, mut values) in self.parameters.of(&mut self.model) {
            values.set(self.trained[&name].values.clone());
        }
    }
}

/// Sum of the losses of an example's learned tokens.
fn loss_of(model: &Decoder, example: &Example) -> f64 {
    let ids = example.inputs();
    let mut cache = model.new_cache(1, ids.len(), KvFormat::F32);
    let hidden = model.hidden(&[SequenceStep { slot: 0, ids }], &mut cache);
    let d_model = hidden.dims()[2];
    let learned = example.learned();
    let mut loss = 0.0;
    for start in learned.clone().step_by(HEAD_TOKENS) {
        let end = (start + HEAD_TOKENS).min(learned.end);
        let part = hidden.clone().slice([0..1, start..end, 0..d_model]);
        let mut scores = floats(model.logits(part));
        loss += cross_entropy(&mut scores, &example.ids[start + 1..=end], 1.0);
    }
    loss
}

/// The values of a tensor.
pub(super) fn floats(tensor: Tensor<3>) -> Vec<f32> {
    let values = tensor.into_data().try_into_vec::<f32>();
    values.expect("the model computes in f32")
}
