//! Llama and its relatives in plain burn operations, without a cache: what the fused operations are
//! tested against in every number format.
//!
//! Weights are dequantised to f32; positions, attention and norm follow the papers named in
//! [`crate::architectures`] line by line. Slow, and meant to be read.

use crate::{Artifact, ArtifactError, ModelConfig, WeightSpec, weight_specs};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use safetensors::SafeTensors;
use std::collections::HashMap;
use trimtab_kernels::PackedView;

/// Scores of the next token after each of `ids`.
///
/// # Shapes
///
/// - result: `[n_tokens, vocab]`, row-major
///
/// # Numerics
///
/// Computes in f32 and with float activations, also where the format quantises them.
///
/// # Errors
///
/// [`ArtifactError`] where the file is damaged.
pub fn logits_reference(
    artifact: &Artifact,
    ids: &[u32],
    device: &Device,
) -> Result<Vec<f32>, ArtifactError> {
    let config = &artifact.header().config;
    let weights = Weights {
        artifact,
        tensors: artifact.tensors()?,
        specs: weight_specs(config)
            .into_iter()
            .map(|spec| (spec.name.clone(), spec))
            .collect(),
        device,
    };
    let embedding = weights.matrix("model.embed_tokens")?;
    let rows: Vec<i32> = ids.iter().map(|id| id.cast_signed()).collect();
    let n_tokens = rows.len();
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [n_tokens]), device);
    let mut x = embedding.clone().select(0, rows);
    for layer_idx in 0..config.n_layers {
        let name = |part: &str| format!("model.layers.{layer_idx}.{part}");
        let normed = rms_norm(x.clone(), weights.vector(&name("input_layernorm"))?, config);
        x = x + attend(&weights, config, layer_idx, normed)?;
        let gain = weights.vector(&name("post_attention_layernorm"))?;
        let normed = rms_norm(x.clone(), gain, config);
        let gate = normed
            .clone()
            .matmul(weights.matrix(&name("mlp.gate_proj"))?.transpose());
        let up = normed.matmul(weights.matrix(&name("mlp.up_proj"))?.transpose());
        let down = weights.matrix(&name("mlp.down_proj"))?.transpose();
        x = x + (activation::silu(gate) * up).matmul(down);
    }
    let normed = rms_norm(x, weights.vector("model.norm")?, config);
    let head = match config.has_tied_head {
        true => embedding,
        false => weights.matrix("lm_head")?,
    };
    let logits = normed.matmul(head.transpose()).into_data();
    Ok(logits
        .try_into_vec()
        .expect("the reference computes in f32"))
}

/// Queries, keys and values of all tokens, then each head by itself.
fn attend(
    weights: &Weights<'_>,
    config: &ModelConfig,
    layer_idx: usize,
    x: Tensor<2>,
) -> Result<Tensor<2>, ArtifactError> {
    let project = |part: &str, n_heads: usize| -> Result<Tensor<3>, ArtifactError> {
        let name = format!("model.layers.{layer_idx}.self_attn.{part}");
        let mut projected = x.clone().matmul(weights.matrix(&name)?.transpose());
        let bias = format!("{name}.bias");
        if weights.specs.contains_key(&bias) {
            projected = projected + weights.vector(&bias)?.unsqueeze();
        }
        let n_tokens = projected.dims()[0];
        // [n_heads, n_tokens, d_head]
        Ok(projected
            .reshape([n_tokens, n_heads, config.d_head])
            .swap_dims(0, 1))
    };
    let queries = rotate(project("q_proj", config.n_heads)?, config);
    let keys = rotate(project("k_proj", config.n_kv_heads)?, config);
    let values = project("v_proj", config.n_kv_heads)?;
    let (keys, values) = (repeat_heads(keys, config), repeat_heads(values, config));
    let scale = (config.d_head as f32).sqrt().recip();
    let scores = queries.matmul(keys.swap_dims(1, 2)) * scale;
    let n_tokens = x.dims()[0];
    let hidden = Tensor::<2>::ones([n_tokens, n_tokens], weights.device)
        .triu(1)
        .bool();
    let scores = scores.mask_fill(hidden.unsqueeze(), f32::NEG_INFINITY);
    let mixed = activation::softmax(scores, 2).matmul(values);
    let joined = mixed
        .swap_dims(0, 1)
        .reshape([n_tokens, config.n_heads * config.d_head]);
    let name = format!("model.layers.{layer_idx}.self_attn.o_proj");
    Ok(joined.matmul(weights.matrix(&name)?.transpose()))
}

/// `x / rms(x) · gain`
fn rms_norm(x: Tensor<2>, gain: Tensor<1>, config: &ModelConfig) -> Tensor<2> {
    let mean_square = x.clone().powi_scalar(2).mean_dim(1);
    x / (mean_square + config.norm_epsilon).sqrt() * gain.unsqueeze()
}

/// Turns channel pairs `(i, i + d_head / 2)` of `[n_heads, n_tokens, d_head]` by position angles.
fn rotate(x: Tensor<3>, config: &ModelConfig) -> Tensor<3> {
    let [n_heads, n_tokens, d_head] = x.dims();
    let half = d_head / 2;
    let angle = |position: usize, pair: usize| {
        position as f64 * config.rope_theta.powf(-2.0 * pair as f64 / d_head as f64)
    };
    let angles: Vec<f64> = (0..n_tokens)
        .flat_map(|position| (0..half).map(move |pair| (position, pair)))
        .map(|(position, pair)| angle(position, pair))
        .collect();
    let table = |f: fn(f64) -> f64| {
        let values: Vec<f32> = angles.iter().map(|angle| f(*angle) as f32).collect();
        Tensor::<3>::from_data(TensorData::new(values, [1, n_tokens, half]), &x.device())
    };
    let (cos, sin) = (table(f64::cos), table(f64::sin));
    let first = x.clone().slice([0..n_heads, 0..n_tokens, 0..half]);
    let second = x.slice([0..n_heads, 0..n_tokens, half..d_head]);
    let turned_first = first.clone() * cos.clone() - second.clone() * sin.clone();
    let turned_second = second * cos + first * sin;
    Tensor::cat(vec![turned_first, turned_second], 2)
}

/// Every key and value head, once for each query head that shares it.
fn repeat_heads(x: Tensor<3>, config: &ModelConfig) -> Tensor<3> {
    let [n_kv_heads, n_tokens, d_head] = x.dims();
    let n_shared = config.n_heads / n_kv_heads;
    x.unsqueeze_dim::<4>(1)
        .expand([n_kv_heads, n_shared, n_tokens, d_head])
        .reshape([config.n_heads, n_tokens, d_head])
}

struct Weights<'a> {
    artifact: &'a Artifact,
    tensors: SafeTensors<'a>,
    specs: HashMap<String, WeightSpec>,
    device: &'a Device,
}

impl Weights<'_> {
    fn matrix(&self, name: &str) -> Result<Tensor<2>, ArtifactError> {
        let spec = &self.specs[name];
        let shape = self
            .artifact
            .packed_shape(spec)
            .expect("checked when it was opened");
        let bytes = self.artifact.weight_in(&self.tensors, spec)?;
        let view = PackedView::new(shape, &bytes).expect("checked when it was opened");
        let mut values = vec![0.0; shape.d_out * shape.d_in];
        for (row_idx, row) in values.chunks_exact_mut(shape.d_in).enumerate() {
            view.dequantize_row_reference(row_idx, row);
        }
        Ok(Tensor::from_data(
            TensorData::new(values, [shape.d_out, shape.d_in]),
            self.device,
        ))
    }

    fn vector(&self, name: &str) -> Result<Tensor<1>, ArtifactError> {
        let bytes = self.artifact.weight_in(&self.tensors, &self.specs[name])?;
        let values: Vec<f32> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        let n = values.len();
        Ok(Tensor::from_data(TensorData::new(values, [n]), self.device))
    }
}
