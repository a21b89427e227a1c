//! One decoder block, run by itself over whole sequences: what compression needs of it.

use super::{
    Attention, Linear, Mlp, Norm, RopeTables, SequenceStep, attention::StepContext, cache::KvCache,
};
use burn::{module::Module, tensor::Tensor};
use trimtab_kernels::KvFormat;

/// One decoder block.
#[derive(Module, Debug)]
pub struct Block {
    /// Before attention.
    pub input_norm: Norm,
    /// Attention over the cache.
    pub attention: Attention,
    /// Before the MLP.
    pub post_attention_norm: Norm,
    /// The MLP.
    pub mlp: Mlp,
}

/// A linear layer of a block: several weights that are multiplied as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinearPlace {
    /// What it computes.
    pub kind: LinearKind,
    /// The routed expert it belongs to.
    pub expert: Option<usize>,
}

/// What a linear layer of a block computes, in the order in which they follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LinearKind {
    /// Queries, keys and values.
    QueryKeyValue,
    /// The vector that queries are made from.
    QueryDown,
    /// The vector that keys and values are made from.
    LatentDown,
    /// Queries, where keys and values have their own products.
    Query,
    /// The output of attention.
    Output,
    /// Hidden channels of the MLP, the gate's among them.
    Up,
    /// The output of the MLP.
    Down,
}

impl LinearKind {
    /// Whether it belongs to attention; else to the MLP.
    pub fn is_attention(self) -> bool {
        self <= Self::Output
    }
}

impl Block {
    /// `x + attention(norm(x))` for whole sequences.
    ///
    /// # Shapes
    ///
    /// - `x`, result: `[1, n_sequences · n_tokens, d_model]`, the sequences one after the other
    pub fn attend(&self, x: Tensor<3>, n_sequences: usize, rope: Option<&RopeTables>) -> Tensor<3> {
        let n_tokens = x.dims()[1] / n_sequences;
        self.attend_each(x, &vec![n_tokens; n_sequences], rope)
    }

    /// The whole block for sequences of `lens` tokens each, from their beginning.
    ///
    /// # Shapes
    ///
    /// - `x`, result: `[1, n_tokens, d_model]`, the sequences one after the other
    pub fn forward(&self, x: Tensor<3>, lens: &[usize], rope: Option<&RopeTables>) -> Tensor<3> {
        self.transform(self.attend_each(x, lens, rope))
    }

    fn attend_each(&self, x: Tensor<3>, lens: &[usize], rope: Option<&RopeTables>) -> Tensor<3> {
        let longest = lens.iter().copied().max().unwrap_or(0);
        let shape = self.attention.shape();
        let kv_shape = shape.kv_shape(lens.len(), longest, KvFormat::F32);
        let mut cache = KvCache::new(vec![kv_shape], &x.device());
        // Only how many there are is looked at.
        let ids = vec![0; longest];
        let steps: Vec<SequenceStep<'_>> = lens
            .iter()
            .enumerate()
            .map(|(slot, len)| SequenceStep {
                slot,
                ids: &ids[..*len],
            })
            .collect();
        let segments = cache.segments(&steps);
        let context = StepContext {
            segments: &segments,
            rope,
        };
        let normed = self.input_norm.forward(x.clone());
        let slot = cache.layers_mut().next().expect("the cache has one layer");
        x + self.attention.forward(normed, slot, &context)
    }

    /// `x + mlp(norm(x))`
    ///
    /// # Shapes
    ///
    /// - `x`, result: `[1, n_tokens, d_model]`
    pub fn transform(&self, x: Tensor<3>) -> Tensor<3> {
        x.clone() + self.mlp.forward(self.post_attention_norm.forward(x))
    }

    /// The linear layers that can be compressed, in the order in which they follow each other.
    pub fn linears_mut(&mut self) -> Vec<(LinearPlace, &mut Linear)> {
        let mut linears = Vec::new();
        let mut push = |kind, expert, linear| linears.push((LinearPlace { kind, expert }, linear));
        match &mut self.attention {
            Attention::Grouped(attention) => {
                push(LinearKind::QueryKeyValue, None, &mut attention.qkv);
                push(LinearKind::Output, None, &mut attention.output);
            }
            Attention::Latent(attention) => {
                if let Some((down, _)) = &mut attention.query_latent {
                    push(LinearKind::QueryDown, None, down);
                }
                push(LinearKind::LatentDown, None, &mut attention.latent);
                push(LinearKind::Query, None, &mut attention.query);
                push(LinearKind::Output, None, &mut attention.output);
            }
        }
        match &mut self.mlp {
            Mlp::Gated(mlp) => {
                push(LinearKind::Up, None, &mut mlp.gate_up);
                push(LinearKind::Down, None, &mut mlp.down);
            }
            Mlp::Plain(mlp) => {
                push(LinearKind::Up, None, &mut mlp.up);
                push(LinearKind::Down, None, &mut mlp.down);
            }
            Mlp::Experts(mlp) => {
                if let Some(shared) = &mut mlp.shared {
                    push(LinearKind::Up, None, &mut shared.gate_up);
                    push(LinearKind::Down, None, &mut shared.down);
                }
                for (expert_idx, expert) in mlp.experts.iter_mut().enumerate() {
                    push(LinearKind::Up, Some(expert_idx), &mut expert.gate_up);
                    push(LinearKind::Down, Some(expert_idx), &mut expert.down);
                }
            }
        }
        linears.sort_by_key(|(place, _)| *place);
        linears
    }
}
