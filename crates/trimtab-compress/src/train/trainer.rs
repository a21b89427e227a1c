//! Steps of training: forward and backward passes over batches, then one update.
//!
//! The decoder runs on burn's autodiff backend, with its packed weights frozen; what is trained is
//! kept as plain numbers beside it, so that an update is a loop and a checkpoint a copy. Examples of
//! a batch lie side by side as sequences of their own. Scores over the vocabulary are made for some
//! learned tokens at a time, and never for tokens that are only read.

use super::{
    Example, ExampleCounts, TrainError, TrainSettings,
    adamw::Trained,
    checkpoint::{self, FORMAT_VERSION, Progress},
    cross_entropy::cross_entropy,
    example::prepare,
    gradient_sums::{GradientSums, factor_names},
    identity::identity,
    order::Order,
    teacher::{Teacher, TeacherInputs},
};
use burn::{
    module::{Module, Param},
    tensor::{Device, Int, Tensor, TensorData},
};
use std::{collections::BTreeMap, path::Path};
use trimtab_kernels::{KvFormat, ops};
use trimtab_models::{
    Artifact, ModelConfig,
    decoder::{Decoder, Dropout, SequenceStep},
    load_decoder,
    peft::{LoraSettings, PeftAdapter},
};

/// Learned tokens whose scores over the vocabulary are in memory at once.
const HEAD_TOKENS: usize = 128;

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

/// An adapter while it is trained on a frozen model.
#[derive(Debug)]
pub struct Trainer {
    model: Decoder,
    teacher: Option<Teacher>,
    adapter: PeftAdapter,
    lora: LoraSettings,
    settings: TrainSettings,
    examples: Vec<Example>,
    counts: ExampleCounts,
    order: Order,
    trained: BTreeMap<String, Trained>,
    n_steps_done: u64,
    last_checkpoint: Option<u64>,
    identity: String,
}

/// A model, and what is put on it.
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
        let identity = identity(&inputs, &settings, &examples);
        let device = Device::flex().autodiff();
        let model = load_decoder(inputs.artifact, Some(inputs.adapter), max_len, &device)?;
        let teacher = match &inputs.teacher {
            Some(teacher) => Some(Teacher::load(teacher, config, max_len)?),
            None => None,
        };
        let lens = examples.iter().map(|example| example.inputs().len());
        let order = Order::new(lens.collect(), settings.batch_tokens, settings.seed);
        let mut trained = BTreeMap::new();
        for layer in inputs.adapter.layers() {
            let part = inputs.adapter.part(layer).expect("its own layer");
            let [a, b] = factor_names(layer);
            trained.insert(a, Trained::new(part.a.to_vec()));
            trained.insert(b, Trained::new(part.b.to_vec()));
        }
        let mut trainer = Self {
            model,
            teacher,
            adapter: inputs.adapter.clone(),
            lora: inputs.lora.clone(),
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
    pub fn adapter(&self) -> PeftAdapter {
        let mut adapter = self.adapter.clone();
        for layer in self.adapter.layers() {
            let [a, b] = factor_names(layer).map(|name| self.trained[&name].values.clone());
            adapter.set_factors(layer, a, b);
        }
        adapter
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
        let mut sums = GradientSums::new(&self.trained);
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
            optimizer.update(trained, &sums.by_name[name], learning_rate, step);
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
        let examples: Vec<&Example> = batch.iter().map(|idx| &self.examples[*idx]).collect();
        let steps: Vec<SequenceStep<'_>> = examples
            .iter()
            .enumerate()
            .map(|(slot, example)| SequenceStep {
                slot,
                ids: example.inputs(),
            })
            .collect();
        let longest = steps.iter().map(|step| step.ids.len()).max();
        let longest = longest.expect("a batch has an example");
        let mut cache = self.model.new_cache(steps.len(), longest, KvFormat::F32);
        let hidden = self.model.hidden(&steps, &mut cache);
        let (rows, labels) = learned_rows(&examples);
        let device = self.model.device();
        let taught = self.teacher.as_ref().map(|t| (t, t.hidden(&steps, &rows)));
        let rows = Tensor::<1, Int>::from_ints(rows.as_slice(), &device);
        let hidden = hidden.select(1, rows);
        let [_, n_learned, d_model] = hidden.dims();
        let (mut loss, mut slopes) = (0.0, Vec::with_capacity(n_learned * d_model));
        for start in (0..n_learned).step_by(HEAD_TOKENS) {
            let end = (start + HEAD_TOKENS).min(n_learned);
            let part = hidden.clone().slice([0..1, start..end, 0..d_model]);
            // A leaf of its own: the head's pass ends here, and its scores with it.
            let part = part.detach().require_grad();
            let scores = self.model.logits(part.clone());
            let dims = scores.dims();
            let mut values = floats(scores.clone());
            let labels = &labels[start..end];
            let losses = match &taught {
                None => cross_entropy(&mut values, labels, factor),
                Some((teacher, hidden)) => {
                    let scores = teacher.scores(hidden, start..end);
                    teacher.loss.loss(&mut values, &scores, labels, factor)
                }
            };
            loss += losses;
            let slope = Tensor::from_data(TensorData::new(values, dims), &device);
            let grads = ops::with_gradient(scores, slope, losses as f32).backward();
            slopes.extend(floats(part.grad(&grads).expect("a leaf that was used")));
            sums.add(&mut self.model, &grads);
        }
        let slopes = Tensor::from_data(TensorData::new(slopes, [1, n_learned, d_model]), &device);
        let grads = ops::with_gradient(hidden, slopes, loss as f32).backward();
        sums.add(&mut self.model, &grads);
        loss
    }

    /// Mean cross-entropy of the learned tokens of all examples, as the adapter stands.
    pub fn mean_loss(&self) -> f64 {
        // Off autodiff, which would keep what a backward pass needs.
        let mut model = self.model.valid();
        for part in model.adapters_mut() {
            part.dropout = None;
        }
        rayon::scope(|_| {
            let loss: f64 = self.examples.iter().map(|e| loss_of(&model, e)).sum();
            loss / self.counts.n_learned as f64
        })
    }

    /// Draws what the adapters do not see in a batch of the coming step.
    fn set_dropout(&mut self, batch_idx: u64) {
        let probability = self.lora.dropout;
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
        let device = self.model.device();
        for part in self.model.adapters_mut() {
            let [down, up] = factor_names(&part.layer).map(|name| &self.trained[&name].values);
            let factor = |values: &Vec<f32>, old: &Param<Tensor<2>>| {
                let data = TensorData::new(values.clone(), old.val().dims());
                Param::from_tensor(Tensor::from_data(data, &device))
            };
            let factors = (factor(down, &part.down), factor(up, &part.up));
            (part.down, part.up) = factors;
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

/// Refuses models whose gradients would lack a part.
fn check_architecture(config: &ModelConfig) -> Result<(), TrainError> {
    if cfg!(feature = "cuda") {
        return Err(TrainError::Build);
    }
    let part = match (&config.experts, &config.latent) {
        (Some(_), _) => "the choice of experts",
        (None, Some(_)) => "absorbed latent attention",
        (None, None) => return Ok(()),
    };
    Err(TrainError::Architecture {
        architecture: config.architecture.model_type(),
        part,
    })
}

/// Where learned positions stand among the tokens of a batch, and what follows them.
fn learned_rows(examples: &[&Example]) -> (Vec<i32>, Vec<u32>) {
    let (mut rows, mut labels, mut first) = (Vec::new(), Vec::new(), 0);
    for example in examples {
        let learned = example.learned();
        rows.extend(learned.clone().map(|position| (first + position) as i32));
        labels.extend_from_slice(&example.ids[learned.start + 1..=learned.end]);
        first += example.inputs().len();
    }
    (rows, labels)
}

/// The values of a tensor.
pub(super) fn floats(tensor: Tensor<3>) -> Vec<f32> {
    let values = tensor.into_data().try_into_vec::<f32>();
    values.expect("the model computes in f32")
}
