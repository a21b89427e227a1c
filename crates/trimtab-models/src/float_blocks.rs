//! A model in 32-bit floats, straight from wherever its weights lie: its blocks one at a time, which is
//! what calibration runs, with no more than a block in memory; or all of it, for training.

use crate::{
    ArtifactError, ModelConfig, Part, WeightSpec,
    decoder::{Block, Decoder, Linear, LinearPlace, Norm, RopeTables},
    loader::{PackedWeights, Source},
};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use std::borrow::Cow;
use trimtab_kernels::{PackedFormat, PackedShape, ops, pack_f32};

/// What comes after the last block.
#[derive(Debug)]
pub struct FloatHead {
    norm: Norm,
    head: Linear,
}

impl FloatHead {
    /// Scores of the next token after each position.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[1, n_tokens, d_model]`; result: `[1, n_tokens, vocab]`
    pub fn forward(&self, hidden: Tensor<3>) -> Tensor<3> {
        self.head.forward(self.norm.forward(hidden))
    }
}

/// Reads a weight as floats, `[d_out, d_in]` row-major, or says why it cannot.
pub type ReadWeight<'a> = dyn Fn(&WeightSpec) -> Result<Vec<f32>, String> + 'a;

/// The blocks of a model.
pub struct FloatBlocks<'a> {
    weights: FloatWeights<'a>,
    config: &'a ModelConfig,
    device: &'a Device,
}

/// Weights that are read as floats.
pub(crate) struct FloatWeights<'a> {
    pub(crate) read: &'a ReadWeight<'a>,
}

impl PackedWeights for FloatWeights<'_> {
    fn packed(&self, spec: &WeightSpec) -> Result<(PackedShape, Cow<'_, [u8]>), ArtifactError> {
        let weight = (self.read)(spec).map_err(|reason| ArtifactError::Weight {
            name: spec.name.clone(),
            reason,
        })?;
        let shape = PackedShape {
            d_out: spec.d_out,
            d_in: spec.d_in,
            format: PackedFormat::F32,
        };
        Ok((shape, Cow::Owned(pack_f32(&weight))))
    }
}

/// Reads every weight into memory, as [`crate::load_decoder`] does, and keeps it in 32-bit floats.
///
/// # Errors
///
/// [`ArtifactError::Weight`] where a weight cannot be read.
pub fn load_float_decoder(
    config: &ModelConfig,
    read: &ReadWeight<'_>,
    max_len: usize,
    device: &Device,
) -> Result<Decoder, ArtifactError> {
    Source::new(&FloatWeights { read }, config, device).decoder(max_len)
}

impl<'a> FloatBlocks<'a> {
    /// The blocks of the model `config`, whose weights `read` knows.
    pub fn new(config: &'a ModelConfig, read: &'a ReadWeight<'a>, device: &'a Device) -> Self {
        Self {
            weights: FloatWeights { read },
            config,
            device,
        }
    }

    fn source(&self) -> Source<'_> {
        Source::new(&self.weights, self.config, self.device)
    }

    /// What enters the first block, for each sequence: `[1, n_tokens, d_model]`.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Weight`] where the embedding cannot be read.
    ///
    /// # Panics
    ///
    /// If an id lies outside the vocabulary, or a sequence is longer than the learned positions.
    pub fn embedded(&self, sequences: &[Vec<u32>]) -> Result<Vec<Tensor<3>>, ArtifactError> {
        let source = self.source();
        let top = source.at(None);
        let embedding = top.linear(&[Part::Embedding])?;
        let positions = match self.config.has_learned_positions {
            true => Some(top.linear(&[Part::Positions])?),
            false => None,
        };
        let rows = |weight: &Linear, ids: Vec<i32>| {
            let data = TensorData::new(ids.clone(), [1, ids.len()]);
            let ids = Tensor::<2, Int>::from_data(data, (self.device, DType::I32));
            ops::rows(ids, weight.packed.val(), weight.shape)
        };
        let embed = |ids: &Vec<u32>| {
            let embedded = rows(&embedding, ids.iter().map(|id| id.cast_signed()).collect());
            match &positions {
                Some(positions) => embedded + rows(positions, (0..ids.len() as i32).collect()),
                None => embedded,
            }
        };
        Ok(sequences.iter().map(embed).collect())
    }

    /// Rotary tables for sequences of up to `max_len` tokens, where the model has them.
    pub fn rope(&self, max_len: usize) -> Option<RopeTables> {
        self.source().rope(max_len)
    }

    /// A block with its weights in 32-bit floats.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Weight`] where a weight cannot be read.
    pub fn block(&self, layer_idx: usize) -> Result<Block, ArtifactError> {
        self.source().at(Some(layer_idx)).block(layer_idx)
    }

    /// The last norm and the head, in 32-bit floats.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Weight`] where a weight cannot be read.
    pub fn head(&self) -> Result<FloatHead, ArtifactError> {
        let source = self.source();
        let top = source.at(None);
        let part = match self.config.has_tied_head {
            true => Part::Embedding,
            false => Part::Head,
        };
        Ok(FloatHead {
            norm: top.norm(Part::FinalNorm)?,
            head: top.linear(&[part])?,
        })
    }

    /// The weights that are stacked to a linear layer of a block, in their order.
    pub fn members(&self, layer_idx: usize, place: LinearPlace) -> Vec<WeightSpec> {
        let source = self.source();
        let weights = source.at(Some(layer_idx)).of_expert(place.expert);
        let parts = weights.parts(place.kind).iter();
        parts
            .filter_map(|part| weights.find(*part, false).cloned())
            .collect()
    }

    /// Gives a linear layer other weights, `[d_out, d_in]`.
    ///
    /// # Panics
    ///
    /// If there are not as many values as before.
    pub fn replace(&self, linear: &mut Linear, values: &[f32]) {
        let PackedShape { d_out, d_in, .. } = linear.shape;
        assert_eq!(values.len(), d_out * d_in, "weights of another shape");
        linear.shape.format = PackedFormat::F32;
        let bytes = bytemuck::cast_vec(pack_f32(values));
        linear.packed = self.source().param(bytes, linear.shape);
    }
}

impl std::fmt::Debug for FloatBlocks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FloatBlocks")
            .field("config", self.config)
            .finish_non_exhaustive()
    }
}
