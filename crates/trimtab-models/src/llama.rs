//! The Llama decoder: pre-norm blocks of grouped-query attention and gated MLP.
//!
//! Sources: Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models",
//! <https://arxiv.org/abs/2302.13971>; Qwen2 (biases on queries, keys and values),
//! <https://arxiv.org/abs/2407.10671>. Reference implementation: `modeling_llama.py` and
//! `modeling_qwen2.py` of Hugging Face transformers.
//!
//! Queries, keys and values are one product, and so are gate and up. One tree serves prefill and decode.

use crate::ModelConfig;
use burn::{
    module::{Module, Param},
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use trimtab_kernels::{
    AttentionShape, PackedShape, RopeTable,
    ops::{self, LayerCache, MlpShape},
};

/// A linear layer with a packed weight.
#[derive(Module, Debug)]
pub struct PackedLinear {
    /// The packed weight, `[n_bytes]`.
    pub packed: Param<Tensor<1, Int>>,
    /// Shape and format of the weight.
    #[module(skip)]
    pub shape: PackedShape,
}

impl PackedLinear {
    /// `x · weightᵀ`
    ///
    /// # Shapes
    ///
    /// - `x`: `[1, n_tokens, d_in]`; result: `[1, n_tokens, d_out]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        ops::linear(x, self.packed.val(), self.shape)
    }
}

/// One decoder block.
#[derive(Module, Debug)]
pub struct Block {
    /// Gain of the norm before attention, `[d_model]`.
    pub input_norm: Param<Tensor<1>>,
    /// Queries, keys and values as one product: `[d_qkv, d_model]`.
    pub qkv: PackedLinear,
    /// Their biases, `[d_qkv]`, where the architecture has them.
    pub qkv_bias: Option<Param<Tensor<1>>>,
    /// `[d_model, n_heads · d_head]`
    pub output: PackedLinear,
    /// Gain of the norm before the MLP, `[d_model]`.
    pub post_attention_norm: Param<Tensor<1>>,
    /// Gate, then up: `[2 · d_ff, d_model]`.
    pub gate_up: PackedLinear,
    /// `[d_model, d_ff]`
    pub down: PackedLinear,
}

/// A Llama or Qwen2 model.
#[derive(Module, Debug)]
pub struct Llama {
    /// `[vocab, d_model]`, read row by row.
    pub embedding: PackedLinear,
    /// The decoder blocks.
    pub blocks: Vec<Block>,
    /// Gain of the last norm, `[d_model]`.
    pub norm: Param<Tensor<1>>,
    /// `[vocab, d_model]`; the embedding's own storage when tied.
    pub head: PackedLinear,
    /// `[max_len, d_head / 2]`
    pub rope_cos: Tensor<2>,
    /// `[max_len, d_head / 2]`
    pub rope_sin: Tensor<2>,
    /// Heads.
    #[module(skip)]
    pub attention: AttentionShape,
    /// Added to the mean square in norms.
    pub rms_epsilon: f32,
}

/// Keys and values of the tokens seen so far.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<Option<LayerCache>>,
    len: usize,
    capacity: usize,
}

impl KvCache {
    /// Tokens in the cache.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is in the cache.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Llama {
    /// Rotary tables as tensors.
    pub(crate) fn rope_tensors(
        config: &ModelConfig,
        max_len: usize,
        device: &Device,
    ) -> (Tensor<2>, Tensor<2>) {
        let table = RopeTable::new(max_len, config.d_head, config.rope_theta);
        let tensor = |values| {
            Tensor::from_data(
                TensorData::new(values, [max_len, config.d_head / 2]),
                device,
            )
        };
        (tensor(table.cos), tensor(table.sin))
    }

    /// An empty cache for `capacity` tokens.
    ///
    /// # Panics
    ///
    /// If `capacity` exceeds the rotary tables.
    pub fn new_cache(&self, capacity: usize) -> KvCache {
        assert!(
            capacity <= self.rope_cos.dims()[0],
            "the rotary tables end before the cache"
        );
        let AttentionShape {
            n_kv_heads, d_head, ..
        } = self.attention;
        let device = self.norm.val().device();
        let zeros = || Tensor::<3>::zeros([n_kv_heads, capacity, d_head], &device);
        let layers = self
            .blocks
            .iter()
            .map(|_| {
                Some(LayerCache {
                    keys: zeros(),
                    values: zeros(),
                })
            })
            .collect();
        KvCache {
            layers,
            len: 0,
            capacity,
        }
    }

    /// Runs new tokens through all blocks and the last norm; the cache grows by them.
    ///
    /// # Shapes
    ///
    /// - `ids`: `[n_tokens]`; result: `[1, n_tokens, d_model]`
    ///
    /// # Panics
    ///
    /// If the cache is too short, or an id lies outside the vocabulary.
    pub fn hidden(&self, ids: &[u32], cache: &mut KvCache) -> Tensor<3> {
        assert!(cache.len + ids.len() <= cache.capacity, "the cache is full");
        let epsilon = self.rms_epsilon;
        let mut x = self.embed(ids);
        // The output of the block's last product, added in the next norm.
        let mut pending: Option<Tensor<3>> = None;
        for (block, layer) in self.blocks.iter().zip(&mut cache.layers) {
            let gain = block.input_norm.val();
            let normed = match pending.take() {
                None => ops::rms_norm(x.clone(), gain, epsilon),
                Some(residual) => {
                    let (sum, normed) = ops::add_rms_norm(x, residual, gain, epsilon);
                    x = sum;
                    normed
                }
            };
            let attended = block.attend(normed, self, layer, cache.len);
            let gain = block.post_attention_norm.val();
            let (sum, normed) = ops::add_rms_norm(x, attended, gain, epsilon);
            x = sum;
            let shape = MlpShape {
                gate_up: block.gate_up.shape,
                down: block.down.shape,
            };
            let (gate_up, down) = (block.gate_up.packed.val(), block.down.packed.val());
            pending = Some(ops::gated_mlp(normed, gate_up, down, shape));
        }
        cache.len += ids.len();
        let gain = self.norm.val();
        match pending {
            Some(residual) => ops::add_rms_norm(x, residual, gain, epsilon).1,
            None => ops::rms_norm(x, gain, epsilon),
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

    fn embed(&self, ids: &[u32]) -> Tensor<3> {
        let ids: Vec<i32> = ids.iter().map(|id| id.cast_signed()).collect();
        let n_tokens = ids.len();
        let device = self.norm.val().device();
        let ids =
            Tensor::<2, Int>::from_data(TensorData::new(ids, [1, n_tokens]), (&device, DType::I32));
        ops::rows(ids, self.embedding.packed.val(), self.embedding.shape)
    }
}

impl Block {
    fn attend(
        &self,
        normed: Tensor<3>,
        model: &Llama,
        layer: &mut Option<LayerCache>,
        position: usize,
    ) -> Tensor<3> {
        let mut qkv = self.qkv.forward(normed);
        if let Some(bias) = &self.qkv_bias {
            qkv = qkv + bias.val().unsqueeze();
        }
        // Moved out and back, so that the kernel owns the only handle and writes in place.
        let cache = layer.take().expect("every layer puts its cache back");
        let rope = (model.rope_cos.clone(), model.rope_sin.clone());
        let (out, cache) = ops::cached_attention(qkv, rope, cache, position, model.attention);
        *layer = Some(cache);
        self.output.forward(out)
    }
}
