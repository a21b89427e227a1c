//! The decoder: one module tree that runs every architecture, for prefill, decoding and scoring,
//! with one sequence or many.
//!
//! Blocks normalise, attend, normalise and pass through an MLP; which norm, which attention and
//! which MLP is data. A step takes new tokens of any number of sequences: their activations lie
//! side by side, and only attention looks at which sequence a token belongs to.

mod attention;
mod block;
mod cache;
mod dropout;
mod experts;
mod latent;
mod linear;
mod linears;
mod mlp;
mod norm;
mod observer;
mod trained;

pub use attention::{Attention, GroupedAttention, HeadNorms, Mixing};
pub use block::{Block, LinearKind, LinearPlace};
pub use cache::{KvCache, SequenceStep};
pub use dropout::Dropout;
pub use experts::{ExpertMlp, Routing};
pub use latent::LatentHeads;
pub use linear::{AdapterPart, Linear};
pub use mlp::{GatedMlp, Mlp, PlainMlp};
pub use norm::Norm;
pub use observer::{Listen, Observer};
pub use trained::{TrainedValues, TrainedWeight, split_members};

use attention::StepContext;
use burn::{
    module::Module,
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use trimtab_kernels::{KvFormat, ops};

/// Cosines and sines of the rotary embedding.
#[derive(Module, Debug)]
pub struct RopeTables {
    /// `[max_len, n_rotated / 2]`
    pub cos: Tensor<2>,
    /// `[max_len, n_rotated / 2]`
    pub sin: Tensor<2>,
}

/// A decoder-only model.
#[derive(Module, Debug)]
pub struct Decoder {
    /// `[vocab, d_model]`, read row by row.
    pub embedding: Linear,
    /// Learned positions, `[max_len, d_model]`, where the model has them.
    pub positions: Option<Linear>,
    /// The decoder blocks.
    pub blocks: Vec<Block>,
    /// The last norm.
    pub norm: Norm,
    /// `[vocab, d_model]`; the embedding's own storage when tied.
    pub head: Linear,
    /// Rotary tables, where positions are not learned.
    pub rope: Option<RopeTables>,
    /// Longest sequence.
    pub max_len: usize,
}

impl Decoder {
    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.norm.gain.val().device()
    }

    /// An empty cache for `n_slots` sequences of up to `capacity` tokens each. Memory is taken as
    /// slots fill.
    ///
    /// # Panics
    ///
    /// If `capacity` exceeds the longest sequence.
    pub fn new_cache(&self, n_slots: usize, capacity: usize, format: KvFormat) -> KvCache {
        assert!(
            capacity <= self.max_len,
            "the positions end before the cache"
        );
        let shapes = self
            .blocks
            .iter()
            .map(|block| block.attention.shape().kv_shape(n_slots, capacity, format));
        KvCache::new(shapes.collect(), &self.device())
    }

    /// Runs new tokens of one or more sequences through all blocks and the last norm; their caches
    /// grow by them.
    ///
    /// # Shapes
    ///
    /// - result: `[1, n_tokens, d_model]`, the sequences one after the other
    ///
    /// # Panics
    ///
    /// If a cache is too short, a slot is named twice, or an id lies outside the vocabulary.
    pub fn hidden(&self, steps: &[SequenceStep<'_>], cache: &mut KvCache) -> Tensor<3> {
        let segments = cache.segments(steps);
        let context = StepContext {
            segments: &segments,
            rope: self.rope.as_ref(),
        };
        let mut x = self.embed(steps, |slot| cache.len(slot));
        // The output of the block's last product, added in the next norm.
        let mut pending: Option<Tensor<3>> = None;
        for (block, layer) in self.blocks.iter().zip(cache.layers_mut()) {
            let normed = match pending.take() {
                None => block.input_norm.forward(x.clone()),
                Some(residual) => {
                    let (sum, normed) = block.input_norm.forward_sum(x, residual);
                    x = sum;
                    normed
                }
            };
            let attended = block.attention.forward(normed, layer, &context);
            let (sum, normed) = block.post_attention_norm.forward_sum(x, attended);
            x = sum;
            pending = Some(block.mlp.forward(normed));
        }
        cache.grow(steps);
        match pending {
            Some(residual) => self.norm.forward_sum(x, residual).1,
            None => self.norm.forward(x),
        }
    }

    /// Scores of the next token after each position.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[1, n_tokens, d_model]`; result: `[1, n_tokens, vocab]`
    pub fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        self.head.forward(hidden)
    }

    /// What enters the first block, of sequences from their beginning.
    ///
    /// # Shapes
    ///
    /// - result: `[1, n_tokens, d_model]`, the sequences one after the other
    ///
    /// # Panics
    ///
    /// If an id lies outside the vocabulary, or a sequence is longer than learned positions.
    pub fn embedded(&self, steps: &[SequenceStep<'_>]) -> Tensor<3> {
        self.embed(steps, |_| 0)
    }

    fn embed(&self, steps: &[SequenceStep<'_>], first: impl Fn(usize) -> usize) -> Tensor<3> {
        let ids = steps.iter().flat_map(|step| step.ids.iter().copied());
        let embedded = self.gather(&self.embedding, ids.map(u32::cast_signed).collect());
        let Some(positions) = &self.positions else {
            return embedded;
        };
        let at = steps.iter().flat_map(|step| {
            let start = first(step.slot);
            (start..start + step.ids.len()).map(|position| position as i32)
        });
        embedded + self.gather(positions, at.collect())
    }

    fn gather(&self, weight: &Linear, rows: Vec<i32>) -> Tensor<3> {
        let data = TensorData::new(rows.clone(), [1, rows.len()]);
        let rows = Tensor::<2, Int>::from_data(data, (&self.device(), DType::I32));
        ops::rows(rows, weight.packed.val(), weight.shape)
    }
}
