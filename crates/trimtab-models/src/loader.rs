//! From an artifact to a module tree.

use crate::{
    Artifact, ArtifactError, ModelConfig, WeightSpec,
    llama::{Block, Llama, PackedLinear},
    weight_specs,
};
use burn::{
    module::{Param, ParamId},
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use safetensors::SafeTensors;
use std::collections::HashMap;
use trimtab_kernels::{PackedShape, join_packed};

/// Reads every weight of `artifact` into memory.
///
/// # Errors
///
/// [`ArtifactError`] where the file is damaged or joint weights differ in format.
pub fn load_llama(
    artifact: &Artifact,
    max_len: usize,
    device: &Device,
) -> Result<Llama, ArtifactError> {
    let config = &artifact.header().config;
    let source = Source {
        artifact,
        tensors: artifact.tensors()?,
        specs: weight_specs(config)
            .into_iter()
            .map(|spec| (spec.name.clone(), spec))
            .collect(),
        device,
    };
    let embedding = source.linear(&["model.embed_tokens"])?;
    let head = match config.has_tied_head {
        true => embedding.clone(),
        false => source.linear(&["lm_head"])?,
    };
    let blocks = (0..config.n_layers)
        .map(|layer_idx| load_block(&source, config, layer_idx))
        .collect::<Result<_, _>>()?;
    let (rope_cos, rope_sin) = Llama::rope_tensors(config, max_len.min(config.max_len), device);
    Ok(Llama {
        embedding,
        blocks,
        norm: source.vector(&["model.norm"])?,
        head,
        rope_cos,
        rope_sin,
        attention: config.attention_shape(),
        rms_epsilon: config.rms_epsilon,
    })
}

fn load_block(
    source: &Source<'_>,
    config: &ModelConfig,
    layer_idx: usize,
) -> Result<Block, ArtifactError> {
    let name = |part: &str| format!("model.layers.{layer_idx}.{part}");
    let (q, k, v) = (
        name("self_attn.q_proj"),
        name("self_attn.k_proj"),
        name("self_attn.v_proj"),
    );
    let biases = [&q, &k, &v].map(|name| format!("{name}.bias"));
    let has_bias = weight_specs(config)
        .iter()
        .any(|spec| spec.name == biases[0]);
    let qkv_bias = match has_bias {
        true => Some(source.vector(&biases)?),
        false => None,
    };
    Ok(Block {
        input_norm: source.vector(&[name("input_layernorm")])?,
        qkv: source.linear(&[q, k, v])?,
        qkv_bias,
        output: source.linear(&[name("self_attn.o_proj")])?,
        post_attention_norm: source.vector(&[name("post_attention_layernorm")])?,
        gate_up: source.linear(&[name("mlp.gate_proj"), name("mlp.up_proj")])?,
        down: source.linear(&[name("mlp.down_proj")])?,
    })
}

struct Source<'a> {
    artifact: &'a Artifact,
    tensors: SafeTensors<'a>,
    specs: HashMap<String, WeightSpec>,
    device: &'a Device,
}

impl Source<'_> {
    fn spec(&self, name: &str) -> &WeightSpec {
        self.specs
            .get(name)
            .expect("the loader asks for weights of the configuration")
    }

    /// Weights stacked along their output channels to one.
    fn linear<S: AsRef<str>>(&self, names: &[S]) -> Result<PackedLinear, ArtifactError> {
        let mut parts = Vec::new();
        for name in names {
            let spec = self.spec(name.as_ref());
            let shape = self
                .artifact
                .packed_shape(spec)
                .expect("checked when it was opened");
            parts.push((shape, self.artifact.weight_in(&self.tensors, spec)?));
        }
        let (shape, bytes) = join_packed(&parts).ok_or_else(|| ArtifactError::Weight {
            name: names[0].as_ref().to_owned(),
            reason: "its joint weights differ in format".to_owned(),
        })?;
        for (_, part) in parts {
            self.artifact.release(part);
        }
        Ok(self.packed_linear(shape, bytes))
    }

    fn packed_linear(&self, shape: PackedShape, bytes: Vec<i8>) -> PackedLinear {
        let n_bytes = bytes.len();
        let data = TensorData::new(bytes, [n_bytes]);
        let packed = Tensor::<1, Int>::from_data(data, (self.device, DType::I8));
        PackedLinear {
            packed: Param::initialized(ParamId::new(), packed),
            shape,
        }
    }

    /// Vectors joined to one.
    fn vector<S: AsRef<str>>(&self, names: &[S]) -> Result<Param<Tensor<1>>, ArtifactError> {
        let mut values: Vec<f32> = Vec::new();
        for name in names {
            let bytes = self
                .artifact
                .weight_in(&self.tensors, self.spec(name.as_ref()))?;
            values.extend(
                bytes
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|bytes| f32::from_le_bytes(*bytes)),
            );
        }
        let len = values.len();
        let tensor = Tensor::<1>::from_data(TensorData::new(values, [len]), self.device);
        Ok(Param::initialized(ParamId::new(), tensor))
    }
}
