//! From an artifact to a module tree.

use crate::{
    Artifact, ArtifactError, ModelConfig, Part, Place, WeightSpec,
    architectures::LatentAttention,
    config::MlpKind,
    decoder::{
        AdapterPart, Attention, Block, Decoder, ExpertMlp, GatedMlp, GroupedAttention, HeadNorms,
        LatentHeads, Linear, LinearKind, Mixing, Mlp, Norm, PlainMlp, RopeTables, Routing,
    },
    peft::PeftAdapter,
    rope::rope_tables,
    weight_specs,
};
use burn::{
    module::{Param, ParamId},
    tensor::{Device, Int, Tensor, TensorData},
};
use safetensors::SafeTensors;
use std::{borrow::Cow, collections::HashMap};
use trimtab_kernels::{
    PackedFormat, PackedShape, PackedView, join_packed, ops, pack_bf16, pack_f16, pack_f32,
};

/// Reads every weight of `artifact` into memory, for sequences of up to `max_len` tokens; an
/// adapter is attached beside the weights that it changes.
///
/// # Errors
///
/// [`ArtifactError`] where the file is damaged, joint weights differ in format, or the adapter
/// changes a weight that it can only be merged into.
pub fn load_decoder(
    artifact: &Artifact,
    adapter: Option<&PeftAdapter>,
    max_len: usize,
    device: &Device,
) -> Result<Decoder, ArtifactError> {
    let config = &artifact.header().config;
    let stored = StoredWeights {
        artifact,
        tensors: artifact.tensors()?,
    };
    let source = Source {
        adapter,
        ..Source::new(&stored, config, device)
    };
    source.decoder(max_len)
}

/// Packed weights from wherever they lie.
pub(crate) trait PackedWeights {
    /// Format and bytes of a weight; a vector is little-endian f32.
    fn packed(&self, spec: &WeightSpec) -> Result<(PackedShape, Cow<'_, [u8]>), ArtifactError>;

    /// Hears that borrowed bytes are not needed any more.
    fn release(&self) {}
}

/// The weights of an artifact.
struct StoredWeights<'a> {
    artifact: &'a Artifact,
    tensors: SafeTensors<'a>,
}

impl PackedWeights for StoredWeights<'_> {
    fn packed(&self, spec: &WeightSpec) -> Result<(PackedShape, Cow<'_, [u8]>), ArtifactError> {
        let vector = PackedShape {
            d_out: spec.d_out,
            d_in: spec.d_in,
            format: PackedFormat::F32,
        };
        let shape = self.artifact.packed_shape(spec).unwrap_or(vector);
        let bytes = self.artifact.weight_in(&self.tensors, spec)?;
        Ok((shape, bytes))
    }

    fn release(&self) {
        self.artifact.release();
    }
}

pub(crate) struct Source<'a> {
    weights: &'a dyn PackedWeights,
    specs: HashMap<Place, WeightSpec>,
    config: &'a ModelConfig,
    adapter: Option<&'a PeftAdapter>,
    device: &'a Device,
}

impl<'a> Source<'a> {
    pub(crate) fn new(
        weights: &'a dyn PackedWeights,
        config: &'a ModelConfig,
        device: &'a Device,
    ) -> Self {
        Self {
            weights,
            specs: weight_specs(config)
                .into_iter()
                .map(|spec| (spec.place, spec))
                .collect(),
            config,
            adapter: None,
            device,
        }
    }

    /// All weights, for sequences of up to `max_len` tokens.
    pub(crate) fn decoder(&self, max_len: usize) -> Result<Decoder, ArtifactError> {
        let config = self.config;
        let max_len = max_len.min(config.max_len);
        let top = self.at(None);
        let embedding = top.linear(&[Part::Embedding])?;
        let head = match config.has_tied_head {
            true => embedding.clone(),
            false => top.linear(&[Part::Head])?,
        };
        let positions = match config.has_learned_positions {
            true => Some(top.linear(&[Part::Positions])?),
            false => None,
        };
        let blocks = (0..config.n_layers)
            .map(|layer_idx| self.at(Some(layer_idx)).block(layer_idx))
            .collect::<Result<_, _>>()?;
        Ok(Decoder {
            embedding,
            positions,
            blocks,
            norm: top.norm(Part::FinalNorm)?,
            head,
            rope: self.rope(max_len),
            max_len,
        })
    }

    /// The weights of a layer, or those outside the blocks.
    pub(crate) fn at(&'a self, layer: Option<usize>) -> Weights<'a> {
        Weights {
            source: self,
            layer,
            expert: None,
        }
    }

    pub(crate) fn rope(&self, max_len: usize) -> Option<RopeTables> {
        let config = self.config;
        if config.has_learned_positions {
            return None;
        }
        let n_rotated = match &config.latent {
            Some(latent) => latent.d_rotated,
            None => config.d_head,
        };
        let (cos, sin) = rope_tables(&config.rope_scaling, config.rope_theta, n_rotated, max_len);
        let tensor = |values| {
            let data = TensorData::new(values, [max_len, n_rotated / 2]);
            Tensor::from_data(data, self.device)
        };
        Some(RopeTables {
            cos: tensor(cos),
            sin: tensor(sin),
        })
    }

    pub(crate) fn param(&self, bytes: Vec<i8>, shape: PackedShape) -> Param<Tensor<1, Int>> {
        Param::initialized(ParamId::new(), ops::weight(bytes, shape, self.device))
    }
}

/// The weights of one layer or expert, by part.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    source: &'a Source<'a>,
    layer: Option<usize>,
    expert: Option<usize>,
}

impl Weights<'_> {
    /// The weights of a routed expert of the layer.
    pub(crate) fn of_expert(self, expert: Option<usize>) -> Self {
        Self { expert, ..self }
    }

    pub(crate) fn find(&self, part: Part, is_bias: bool) -> Option<&WeightSpec> {
        self.source.specs.get(&Place {
            part,
            layer: self.layer,
            expert: self.expert,
            is_bias,
        })
    }

    fn spec(&self, part: Part) -> &WeightSpec {
        self.find(part, false)
            .expect("the loader asks for weights of the configuration")
    }

    fn packed(&self, spec: &WeightSpec) -> Result<(PackedShape, Cow<'_, [u8]>), ArtifactError> {
        self.source.weights.packed(spec)
    }

    /// Weights stacked along their output channels to one, with their biases.
    pub(crate) fn linear(&self, parts: &[Part]) -> Result<Linear, ArtifactError> {
        let stored: Vec<(PackedShape, Cow<'_, [u8]>)> = parts
            .iter()
            .map(|part| self.packed(self.spec(*part)))
            .collect::<Result<_, _>>()?;
        let borrowed: Vec<(PackedShape, &[u8])> = stored
            .iter()
            .map(|(shape, bytes)| (*shape, bytes.as_ref()))
            .collect();
        let (shape, bytes) = join_packed(&borrowed).ok_or_else(|| ArtifactError::Weight {
            name: self.spec(parts[0]).name.clone(),
            reason: "its joint weights differ in format".to_owned(),
        })?;
        self.source.weights.release();
        let has_bias = self.find(parts[0], true).is_some();
        Ok(Linear {
            packed: self.source.param(bytes, shape),
            bias: match has_bias {
                true => Some(self.vector(parts, true)?),
                false => None,
            },
            trained: None,
            adapters: self.adapters(parts),
            shape,
            observer: None,
        })
    }

    /// What the adapter adds to weights that are stacked to one.
    fn adapters(&self, parts: &[Part]) -> Vec<AdapterPart> {
        let matrix = |values: &[f32], shape: [usize; 2]| {
            let data = TensorData::new(values.to_vec(), shape);
            let tensor = Tensor::<2>::from_data(data, self.source.device);
            Param::initialized(ParamId::new(), tensor)
        };
        let (mut adapters, mut first_row) = (Vec::new(), 0);
        for part in parts {
            let spec = self.spec(*part);
            let low_rank = self
                .source
                .adapter
                .and_then(|adapter| adapter.part(&spec.name));
            if let Some(low_rank) = low_rank {
                adapters.push(AdapterPart {
                    down: matrix(&low_rank.a, [low_rank.rank, low_rank.d_in]),
                    up: matrix(&low_rank.b, [low_rank.d_out, low_rank.rank]),
                    scale: low_rank.scaling,
                    first_row,
                    layer: spec.name.clone(),
                    dropout: None,
                });
            }
            first_row += spec.d_out;
        }
        adapters
    }

    /// Vectors joined to one.
    fn vector(&self, parts: &[Part], is_bias: bool) -> Result<Param<Tensor<1>>, ArtifactError> {
        let mut values: Vec<f32> = Vec::new();
        for part in parts {
            let spec = self
                .find(*part, is_bias)
                .expect("joint weights all have a bias, or none has");
            let (_, bytes) = self.packed(spec)?;
            values.extend(floats(&bytes));
        }
        let len = values.len();
        let tensor = Tensor::<1>::from_data(TensorData::new(values, [len]), self.source.device);
        Ok(Param::initialized(ParamId::new(), tensor))
    }

    pub(crate) fn norm(&self, part: Part) -> Result<Norm, ArtifactError> {
        self.norm_with(part, self.source.config.norm_epsilon)
    }

    fn norm_with(&self, part: Part, epsilon: f32) -> Result<Norm, ArtifactError> {
        Ok(Norm {
            gain: self.vector(&[part], false)?,
            bias: match self.find(part, true) {
                Some(_) => Some(self.vector(&[part], true)?),
                None => None,
            },
            epsilon,
        })
    }

    pub(crate) fn block(&self, layer_idx: usize) -> Result<Block, ArtifactError> {
        let config = self.source.config;
        Ok(Block {
            input_norm: self.norm(Part::InputNorm)?,
            attention: match &config.latent {
                Some(latent) => Attention::Latent(self.latent_heads(latent, layer_idx)?),
                None => Attention::Grouped(self.grouped_attention(layer_idx)?),
            },
            post_attention_norm: self.norm(Part::PostAttentionNorm)?,
            mlp: match self.find(Part::Router, false) {
                Some(_) => Mlp::Experts(self.experts()?),
                None => self.mlp()?,
            },
        })
    }

    /// The weights that are stacked to a linear layer.
    pub(crate) fn parts(&self, kind: LinearKind) -> &'static [Part] {
        let has = |part| self.find(part, false).is_some();
        match kind {
            LinearKind::QueryKeyValue if has(Part::QueryKeyValue) => &[Part::QueryKeyValue],
            LinearKind::QueryKeyValue => &[Part::Query, Part::Key, Part::Value],
            LinearKind::QueryDown => &[Part::QueryDown],
            LinearKind::LatentDown => &[Part::LatentDown],
            LinearKind::Query => &[Part::Query],
            LinearKind::Output => &[Part::Output],
            LinearKind::Up if has(Part::Gate) => &[Part::Gate, Part::Up],
            LinearKind::Up => &[Part::Up],
            LinearKind::Down => &[Part::Down],
        }
    }

    fn grouped_attention(&self, layer_idx: usize) -> Result<GroupedAttention, ArtifactError> {
        let config = self.source.config;
        let head_norms = match config.has_query_key_norm {
            true => Some(HeadNorms {
                query: self.vector(&[Part::QueryNorm], false)?,
                key: self.vector(&[Part::KeyNorm], false)?,
                epsilon: config.norm_epsilon,
            }),
            false => None,
        };
        let rotary = match config.has_learned_positions {
            true => 0..0,
            false => 0..config.d_head,
        };
        Ok(GroupedAttention {
            qkv: self.linear(self.parts(LinearKind::QueryKeyValue))?,
            head_norms,
            output: self.linear(&[Part::Output])?,
            mixing: Mixing {
                shape: config.attention_shape(),
                rotary,
                window: config.window_of(layer_idx),
                scale: config.attention_scale_of(layer_idx),
            },
        })
    }

    fn mlp(&self) -> Result<Mlp, ArtifactError> {
        Ok(match self.source.config.mlp {
            MlpKind::GatedSilu => Mlp::Gated(self.gated_mlp()?),
            MlpKind::Plain(activation) => Mlp::Plain(PlainMlp {
                up: self.linear(self.parts(LinearKind::Up))?,
                down: self.linear(&[Part::Down])?,
                activation: activation.into(),
            }),
        })
    }

    fn gated_mlp(&self) -> Result<GatedMlp, ArtifactError> {
        Ok(GatedMlp {
            gate_up: self.linear(self.parts(LinearKind::Up))?,
            down: self.linear(&[Part::Down])?,
        })
    }

    fn experts(&self) -> Result<ExpertMlp, ArtifactError> {
        let experts = self.source.config.experts.as_ref();
        let experts = experts.expect("a router comes with experts");
        let expert = |expert_idx| self.of_expert(Some(expert_idx)).gated_mlp();
        Ok(ExpertMlp {
            router: self.linear(&[Part::Router])?,
            experts: (0..experts.n_experts)
                .map(expert)
                .collect::<Result<_, _>>()?,
            shared: match experts.n_shared {
                0 => None,
                _ => Some(self.gated_mlp()?),
            },
            routing: Routing {
                n_active: experts.n_active,
                n_groups: experts.n_groups,
                n_active_groups: experts.n_active_groups,
                scale: experts.routed_scale,
                has_normed_weights: experts.has_normed_weights,
            },
        })
    }

    fn latent_heads(
        &self,
        latent: &LatentAttention,
        layer_idx: usize,
    ) -> Result<LatentHeads, ArtifactError> {
        let config = self.source.config;
        let query_latent = match latent.d_query_latent {
            None => None,
            Some(_) => Some((
                self.linear(&[Part::QueryDown])?,
                self.norm_with(Part::QueryDownNorm, LatentAttention::NORM_EPSILON)?,
            )),
        };
        let (absorb_query, expand_value) = self.latent_projections(latent)?;
        let d_key = latent.d_cached();
        Ok(LatentHeads {
            query_latent,
            query: self.linear(&[Part::Query])?,
            latent: self.linear(&[Part::LatentDown])?,
            latent_norm: self.norm_with(Part::LatentNorm, LatentAttention::NORM_EPSILON)?,
            absorb_query,
            expand_value,
            output: self.linear(&[Part::Output])?,
            mixing: Mixing {
                shape: config.attention_shape(),
                rotary: latent.d_latent..d_key,
                window: config.window_of(layer_idx),
                scale: config.attention_scale_of(layer_idx),
            },
        })
    }

    /// The projection from latents to keys and values, cut into heads: for queries the other way
    /// round, for values as it is.
    fn latent_projections(
        &self,
        latent: &LatentAttention,
    ) -> Result<(Vec<Linear>, Vec<Linear>), ArtifactError> {
        let spec = self.spec(Part::LatentUp);
        if self
            .source
            .adapter
            .is_some_and(|adapter| adapter.part(&spec.name).is_some())
        {
            return Err(ArtifactError::Weight {
                name: spec.name.clone(),
                reason: "an adapter can only be merged into it, not attached".to_owned(),
            });
        }
        let (shape, bytes) = self.packed(spec)?;
        let view = PackedView::new(shape, &bytes).expect("checked when it was opened");
        let (d_plain, d_latent) = (latent.d_plain, latent.d_latent);
        let mut row = vec![0.0; d_latent];
        let (mut absorb, mut expand) = (Vec::new(), Vec::new());
        for head_idx in 0..self.source.config.n_heads {
            let first = head_idx * (d_plain + latent.d_value);
            let mut transposed = vec![0.0; d_latent * d_plain];
            for channel in 0..d_plain {
                view.dequantize_row_reference(first + channel, &mut row);
                for (idx, value) in row.iter().enumerate() {
                    transposed[idx * d_plain + channel] = *value;
                }
            }
            absorb.push(self.float_linear(&transposed, d_plain, shape.format));
            let mut values = Vec::with_capacity(latent.d_value * d_latent);
            for channel in 0..latent.d_value {
                view.dequantize_row_reference(first + d_plain + channel, &mut row);
                values.extend_from_slice(&row);
            }
            expand.push(self.float_linear(&values, d_latent, shape.format));
        }
        self.source.weights.release();
        Ok((absorb, expand))
    }

    fn float_linear(&self, values: &[f32], d_in: usize, format: PackedFormat) -> Linear {
        let (format, bytes) = match format {
            PackedFormat::F32 => (format, pack_f32(values)),
            PackedFormat::Bf16 => (format, pack_bf16(values)),
            _ => (PackedFormat::F16, pack_f16(values)),
        };
        let shape = PackedShape {
            d_out: values.len() / d_in,
            d_in,
            format,
        };
        Linear {
            packed: self.source.param(bytemuck::cast_vec(bytes), shape),
            bias: None,
            trained: None,
            adapters: Vec::new(),
            shape,
            observer: None,
        }
    }
}

/// Stored f32 values.
fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
}
