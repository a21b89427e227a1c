//! Attention over the cache: grouped heads, or heads made from one latent vector.

use super::{LatentHeads, Linear, RopeTables};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use std::sync::Arc;
use trimtab_kernels::{
    AttentionShape, AttentionStep, KvShape, Segment,
    ops::{self, HeadNorm, LayerCache},
};

/// What attention of one layer needs to know of a step.
pub(super) struct StepContext<'a> {
    pub(super) segments: &'a Arc<[Segment]>,
    pub(super) rope: Option<&'a RopeTables>,
}

/// Attention of a block.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each block, and it holds tensors"
)]
#[derive(Module, Debug)]
pub enum Attention {
    /// Query heads share key and value heads.
    Grouped(GroupedAttention),
    /// All heads share one latent vector a token.
    Latent(LatentHeads),
}

/// The cache of a layer while a step runs, and its shape.
pub(super) type LayerSlot<'a> = (&'a mut Option<LayerCache>, KvShape);

impl Attention {
    /// Its heads, as the kernel sees them.
    pub fn shape(&self) -> AttentionShape {
        match self {
            Self::Grouped(attention) => attention.mixing.shape,
            Self::Latent(attention) => attention.mixing.shape,
        }
    }

    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        layer: LayerSlot<'_>,
        context: &StepContext<'_>,
    ) -> Tensor<3> {
        match self {
            Self::Grouped(attention) => attention.forward(x, layer, context),
            Self::Latent(attention) => attention.forward(x, layer, context),
        }
    }
}

/// Constants of the mixing of values by scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixing {
    /// Heads.
    pub shape: AttentionShape,
    /// First and last + 1 channel of a head that is rotated.
    pub rotary: std::ops::Range<usize>,
    /// Tokens that a token sees, itself included; `None` for all.
    pub window: Option<usize>,
    /// What scores are multiplied by.
    pub scale: f32,
}

impl Mixing {
    /// Rotates, stores and attends.
    ///
    /// # Shapes
    ///
    /// - `qkv`: `[1, n_tokens, d_qkv]`; result: `[1, n_tokens, d_out]`
    pub(super) fn run(
        &self,
        qkv: Tensor<3>,
        (layer, kv): LayerSlot<'_>,
        context: &StepContext<'_>,
    ) -> Tensor<3> {
        // Moved out and back, so that the kernel owns the only handle and writes in place.
        let cache = layer.take().expect("every layer puts its cache back");
        let rope = context
            .rope
            .map(|rope| (rope.cos.clone(), rope.sin.clone()));
        let step = AttentionStep {
            shape: self.shape,
            rotary: self.rotary.clone(),
            window: self.window,
            scale: self.scale,
            segments: Arc::clone(context.segments),
            kv,
        };
        let (out, cache) = ops::cached_attention(qkv, rope, cache, step);
        *layer = Some(cache);
        out
    }
}

/// Gains of the norms of queries and keys, head by head.
#[derive(Module, Debug)]
pub struct HeadNorms {
    /// `[d_head]`
    pub query: Param<Tensor<1>>,
    /// `[d_head]`
    pub key: Param<Tensor<1>>,
    /// Added to the mean square.
    pub epsilon: f32,
}

impl HeadNorms {
    /// # Shapes
    ///
    /// - `qkv`, result: `[1, n_tokens, d_qkv]`
    fn forward(&self, qkv: Tensor<3>, shape: AttentionShape) -> Tensor<3> {
        let norm = HeadNorm {
            shape,
            epsilon: self.epsilon,
        };
        let (query, key) = (self.query.val(), self.key.val());
        if !query.is_require_grad() {
            return ops::norm_heads(qkv, (query, key), norm);
        }
        // Gains as an operation of their own, which has gradients.
        let ones = |like: &Tensor<1>| Tensor::ones(like.dims(), &like.device());
        let normed = ops::norm_heads(qkv, (ones(&query), ones(&key)), norm);
        let n_rest = shape.d_qkv() - shape.d_key * (shape.n_heads + shape.n_kv_heads);
        let rest = Tensor::ones([n_rest], &query.device());
        let gains = [
            query.repeat(&[shape.n_heads]),
            key.repeat(&[shape.n_kv_heads]),
            rest,
        ];
        normed * Tensor::cat(gains.to_vec(), 0).unsqueeze()
    }
}

/// Grouped-query attention (Ainslie et al. 2023, <https://arxiv.org/abs/2305.13245>).
#[derive(Module, Debug)]
pub struct GroupedAttention {
    /// Queries, keys and values as one product: `[d_qkv, d_model]`.
    pub qkv: Linear,
    /// Norms of queries and keys, where the architecture has them.
    pub head_norms: Option<HeadNorms>,
    /// `[d_model, n_heads · d_head]`
    pub output: Linear,
    /// Heads and constants.
    #[module(skip)]
    pub mixing: Mixing,
}

impl GroupedAttention {
    fn forward(&self, x: Tensor<3>, layer: LayerSlot<'_>, context: &StepContext<'_>) -> Tensor<3> {
        let mut qkv = self.qkv.forward(x);
        if let Some(norms) = &self.head_norms {
            qkv = norms.forward(qkv, self.mixing.shape);
        }
        self.output.forward(self.mixing.run(qkv, layer, context))
    }
}
