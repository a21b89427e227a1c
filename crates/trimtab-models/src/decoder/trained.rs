//! Training of whole weights: which parameters of a decoder are trained, and which weights of the
//! model each of them is. Embedding, positions and head stay frozen.

use super::{Attention, Block, Decoder, Linear, Mlp, Norm};
use crate::{ModelConfig, Part, Place, ReadWeight, WeightRole, WeightSpec, weight_specs};
use burn::{
    module::Param,
    tensor::{DType, Device, Gradients, Int, Tensor, TensorData},
};
use std::collections::HashMap;

/// A parameter that is trained: a weight, or several that are multiplied as one.
#[derive(Debug)]
pub struct TrainedWeight<'a> {
    /// The weights that are stacked to it, in their order.
    pub members: Vec<WeightSpec>,
    /// Its values.
    pub values: TrainedValues<'a>,
}

/// The values of a parameter that is trained.
#[derive(Debug)]
pub enum TrainedValues<'a> {
    /// Of two axes. Whole weights are `[d_in, d_out]`: the members are columns side by side.
    Matrix(&'a mut Param<Tensor<2>>),
    /// Of one axis: members stand one after the other.
    Vector(&'a mut Param<Tensor<1>>),
}

impl TrainedValues<'_> {
    /// The gradient, if the pass went through the parameter.
    pub fn gradient(&self, grads: &Gradients) -> Option<Vec<f32>> {
        let data = match self {
            Self::Matrix(param) => param.val().grad(grads)?.into_data(),
            Self::Vector(param) => param.val().grad(grads)?.into_data(),
        };
        Some(floats(data))
    }

    /// All values, row by row.
    pub fn to_vec(&self) -> Vec<f32> {
        floats(match self {
            Self::Matrix(param) => param.val().into_data(),
            Self::Vector(param) => param.val().into_data(),
        })
    }

    /// Puts other values in place, which are asked for a gradient from now on.
    ///
    /// # Panics
    ///
    /// If there are not as many as before.
    pub fn set(&mut self, values: Vec<f32>) {
        match self {
            Self::Matrix(param) => {
                let old = param.val();
                let data = TensorData::new(values, old.dims());
                **param = Param::from_tensor(Tensor::from_data(data, &old.device()));
            }
            Self::Vector(param) => {
                let old = param.val();
                let data = TensorData::new(values, old.dims());
                **param = Param::from_tensor(Tensor::from_data(data, &old.device()));
            }
        }
    }
}

fn floats(data: TensorData) -> Vec<f32> {
    let values = data.try_into_vec::<f32>();
    values.expect("the model computes in f32")
}

/// The weights of a model by their place.
struct Specs(HashMap<Place, WeightSpec>);

impl Specs {
    fn new(config: &ModelConfig) -> Self {
        let specs = weight_specs(config).into_iter();
        Self(specs.map(|spec| (spec.place, spec)).collect())
    }

    /// Those of `parts` that the model has.
    fn find(&self, parts: &[Part], layer: Option<usize>, is_bias: bool) -> Vec<WeightSpec> {
        let place = |part: &Part| Place {
            part: *part,
            layer,
            expert: None,
            is_bias,
        };
        let found = parts.iter().filter_map(|part| self.0.get(&place(part)));
        found.cloned().collect()
    }

    fn vector<'a>(
        &self,
        (parts, layer, is_bias): (&[Part], Option<usize>, bool),
        param: &'a mut Param<Tensor<1>>,
    ) -> TrainedWeight<'a> {
        TrainedWeight {
            members: self.find(parts, layer, is_bias),
            values: TrainedValues::Vector(param),
        }
    }

    fn norm<'a>(
        &self,
        part: Part,
        layer: Option<usize>,
        norm: &'a mut Norm,
        found: &mut Vec<TrainedWeight<'a>>,
    ) {
        found.push(self.vector((&[part], layer, false), &mut norm.gain));
        if let Some(bias) = &mut norm.bias {
            found.push(self.vector((&[part], layer, true), bias));
        }
    }

    fn linear<'a>(
        &self,
        parts: &[Part],
        layer: Option<usize>,
        linear: &'a mut Linear,
        found: &mut Vec<TrainedWeight<'a>>,
    ) {
        if let Some(weight) = &mut linear.trained {
            found.push(TrainedWeight {
                members: self.find(parts, layer, false),
                values: TrainedValues::Matrix(weight),
            });
        }
        if let Some(bias) = &mut linear.bias {
            found.push(self.vector((parts, layer, true), bias));
        }
    }

    fn block<'a>(
        &self,
        layer_idx: usize,
        block: &'a mut Block,
        found: &mut Vec<TrainedWeight<'a>>,
    ) {
        let layer = Some(layer_idx);
        self.norm(Part::InputNorm, layer, &mut block.input_norm, found);
        if let Attention::Grouped(attention) = &mut block.attention {
            self.linear(QUERY_KEY_VALUE, layer, &mut attention.qkv, found);
            if let Some(norms) = &mut attention.head_norms {
                found.push(self.vector((&[Part::QueryNorm], layer, false), &mut norms.query));
                found.push(self.vector((&[Part::KeyNorm], layer, false), &mut norms.key));
            }
            self.linear(&[Part::Output], layer, &mut attention.output, found);
        }
        let norm = &mut block.post_attention_norm;
        self.norm(Part::PostAttentionNorm, layer, norm, found);
        for (parts, linear) in mlp_linears(&mut block.mlp) {
            self.linear(parts, layer, linear, found);
        }
    }
}

/// What is stacked to one product; a model has some of each.
const QUERY_KEY_VALUE: &[Part] = &[Part::QueryKeyValue, Part::Query, Part::Key, Part::Value];
const UP: &[Part] = &[Part::Gate, Part::Up];

fn mlp_linears(mlp: &mut Mlp) -> Vec<(&'static [Part], &mut Linear)> {
    match mlp {
        Mlp::Gated(mlp) => vec![(UP, &mut mlp.gate_up), (&[Part::Down], &mut mlp.down)],
        Mlp::Plain(mlp) => vec![(UP, &mut mlp.up), (&[Part::Down], &mut mlp.down)],
        Mlp::Experts(_) => Vec::new(),
    }
}

fn block_linears(block: &mut Block) -> Vec<(&'static [Part], &mut Linear)> {
    let mut linears = match &mut block.attention {
        Attention::Grouped(attention) => vec![
            (QUERY_KEY_VALUE, &mut attention.qkv),
            (&[Part::Output][..], &mut attention.output),
        ],
        Attention::Latent(_) => Vec::new(),
    };
    linears.extend(mlp_linears(&mut block.mlp));
    linears
}

impl Decoder {
    /// Makes the weights of all blocks and the last norm ready to be trained: linear layers hold
    /// them as floats instead of packed. `read` gives the weights of linear layers.
    ///
    /// # Errors
    ///
    /// What `read` says.
    pub fn train_weights(
        &mut self,
        config: &ModelConfig,
        read: &ReadWeight<'_>,
    ) -> Result<(), String> {
        let specs = Specs::new(config);
        let device = self.device();
        for (layer_idx, block) in self.blocks.iter_mut().enumerate() {
            for (parts, linear) in block_linears(block) {
                let members = specs.find(parts, Some(layer_idx), false);
                let weight = columns(&members, read)?;
                let shape = [linear.shape.d_in, linear.shape.d_out];
                let weight = Tensor::from_data(TensorData::new(weight, shape), &device);
                linear.trained = Some(Param::from_tensor(weight));
                linear.packed = Param::initialized(linear.packed.id, nothing(&device));
            }
        }
        for mut weight in self.trained_weights_mut(config) {
            let values = weight.values.to_vec();
            weight.values.set(values);
        }
        Ok(())
    }

    /// The parameters that [`Self::train_weights`] made ready, in the order of the forward pass.
    pub fn trained_weights_mut(&mut self, config: &ModelConfig) -> Vec<TrainedWeight<'_>> {
        let specs = Specs::new(config);
        let mut found = Vec::new();
        for (layer_idx, block) in self.blocks.iter_mut().enumerate() {
            specs.block(layer_idx, block, &mut found);
        }
        specs.norm(Part::FinalNorm, None, &mut self.norm, &mut found);
        found
    }
}

/// What a packed weight is while its floats are multiplied instead.
fn nothing(device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(vec![0_i8], [1]), (device, DType::I8))
}

/// Weights side by side, each transposed: `[d_in, Σ d_out]`.
fn columns(members: &[WeightSpec], read: &ReadWeight<'_>) -> Result<Vec<f32>, String> {
    let d_in = members.first().map_or(0, |spec| spec.d_in);
    let d_out: usize = members.iter().map(|spec| spec.d_out).sum();
    let (mut values, mut first) = (vec![0.0; d_in * d_out], 0);
    for spec in members {
        let weight = read(spec)?;
        for (row_idx, row) in weight.chunks_exact(spec.d_in).enumerate() {
            for (channel, value) in row.iter().enumerate() {
                values[channel * d_out + first + row_idx] = *value;
            }
        }
        first += spec.d_out;
    }
    Ok(values)
}

/// The weights of the model that a trained parameter holds, each `[d_out, d_in]` as checkpoints are
/// read.
///
/// # Panics
///
/// If `values` are not those of all `members`.
pub fn split_members(members: &[WeightSpec], values: &[f32]) -> Vec<(WeightSpec, Vec<f32>)> {
    if members.iter().all(|spec| spec.role == WeightRole::Vector) {
        let mut rest = values;
        let parts = members.iter().map(|spec| {
            let (part, after) = rest.split_at(spec.d_in);
            rest = after;
            (spec.clone(), part.to_vec())
        });
        return parts.collect();
    }
    let d_out: usize = members.iter().map(|spec| spec.d_out).sum();
    let mut first = 0;
    let parts = members.iter().map(|spec| {
        let mut weight = vec![0.0; spec.d_out * spec.d_in];
        for (row_idx, row) in weight.chunks_exact_mut(spec.d_in).enumerate() {
            for (channel, value) in row.iter_mut().enumerate() {
                *value = values[channel * d_out + first + row_idx];
            }
        }
        first += spec.d_out;
        (spec.clone(), weight)
    });
    parts.collect()
}
