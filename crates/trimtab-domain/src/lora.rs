//! Training of low-rank adapters: what is asked for, and what was made.

use crate::{Bytes, CalibrationForm, Digest, RateDecay, VariantName};
use serde::{Deserialize, Serialize};

/// An adapter that is to be trained beside a variant, whose weights stay as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraSpec {
    /// Name of the data's file, for people.
    pub data_name: String,
    /// SHA-256 of the data: a JSON document a line, with `prompt` and `completion`.
    pub data: Digest,
    /// How.
    pub options: LoraOptions,
}

/// How an adapter is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraOptions {
    /// Whether prompt and completion are put one after the other or into the model's chat form.
    pub form: CalibrationForm,
    /// Rank of the factors.
    pub rank: u32,
    /// The change of a layer is multiplied by alpha over the rank.
    pub alpha: f64,
    /// Whether by alpha over the square root of the rank instead.
    pub is_rank_stabilised: bool,
    /// Share of a layer's inputs that the adapter does not see while it is trained.
    pub dropout: f64,
    /// Ends of the names of layers, from a dot on; empty where there is a pattern.
    pub targets: Vec<String>,
    /// A regular expression for whole names of layers.
    pub pattern: Option<String>,
    /// Updates.
    pub steps: u32,
    /// Steps over which the learning rate rises from zero.
    pub warm_up: u32,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// How it falls after that.
    pub decay: RateDecay,
    /// Share of a factor that is taken off at a step, before the learning rate.
    pub weight_decay: f64,
    /// Largest norm of all gradients together; larger ones are scaled down to it.
    pub max_gradient_norm: f64,
    /// Tokens of a batch, filled with whole examples.
    pub batch_tokens: u32,
    /// Batches whose gradients are added before an update.
    pub accumulated: u32,
    /// Tokens of an example; what is longer is cut.
    pub max_length: u32,
    /// Whether inner activations are computed again in the backward pass instead of kept.
    pub recomputes: bool,
    /// What the first factors, the order of examples and dropout are drawn from.
    pub seed: u64,
}

impl Default for LoraOptions {
    fn default() -> Self {
        Self {
            form: CalibrationForm::Chat,
            rank: 8,
            alpha: 16.0,
            is_rank_stabilised: false,
            dropout: 0.0,
            targets: vec!["q_proj".to_owned(), "v_proj".to_owned()],
            pattern: None,
            steps: 100,
            warm_up: 10,
            learning_rate: 2e-4,
            decay: RateDecay::default(),
            weight_decay: 0.0,
            max_gradient_norm: 1.0,
            batch_tokens: 512,
            accumulated: 1,
            max_length: 512,
            recomputes: false,
            seed: 0,
        }
    }
}

/// An adapter that was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterReport {
    /// The variant that it was trained beside.
    pub base: VariantName,
    /// SHA-256 of its folder.
    pub digest: Digest,
    /// Size of the adapter's files.
    pub size: Bytes,
    /// Size of the variant, without which the adapter is of no use.
    pub base_size: Bytes,
    /// Numbers of the adapter.
    pub n_parameters: u64,
    /// Examples that were learned.
    pub n_examples: u64,
    /// Examples of these that were cut.
    pub n_cut: u64,
    /// Examples that were left out because no token of theirs can be learned.
    pub n_dropped: u64,
    /// Mean cross-entropy of the learned tokens of the first examples before the first step, in
    /// natural logarithms.
    pub loss_before: f64,
    /// The same after the last.
    pub loss_after: f64,
    /// How many examples these are.
    pub n_compared: u64,
}

impl AdapterReport {
    /// What has to be deployed: the variant and the adapter.
    pub fn deployed_size(&self) -> Bytes {
        Bytes(self.base_size.0.saturating_add(self.size.0))
    }
}
