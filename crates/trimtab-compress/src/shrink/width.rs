//! Block by block through a model: heads and neurons that matter least go, and what follows sees
//! the outputs that are left.
//!
//! While the text passes, a block keeps its shape: the columns of what goes are zeros in the layer
//! that reads it, which gives the same outputs as the smaller block.

use super::{
    choice::{Choice, choose},
    cut::{LayerCut, channels, columns},
    sizes::{Sizes, heads_per_group},
};
use crate::{
    Base, CompressError,
    layer::{Hessian, HessianSum, LayerError},
    passes::{Batch, Half, Passes, Ticker, gathered, values},
    state::State,
};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use trimtab_domain::Removed;
use trimtab_kernels::pack_f32;
use trimtab_models::{
    Part, Place, WeightSpec,
    decoder::{Block, LinearKind, Listen, Observer},
    weight_specs,
};

/// What became of a layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct CutRecord {
    pub(super) cut: LayerCut,
    pub(super) removed: Vec<Removed>,
}

/// A model on its way.
pub(super) struct Width<'a> {
    base: &'a Base,
    sizes: Sizes,
    /// The layers that stay.
    layers: &'a [usize],
    passes: &'a Passes<'a>,
    specs: HashMap<Place, WeightSpec>,
}

/// A layer that is cut, with the weights that took over from what went.
struct CutLayer {
    record: CutRecord,
    weights: Vec<(String, Vec<u8>)>,
}

/// What a layer adds to the stream through groups of channels.
struct Reader {
    part: Part,
    kind: LinearKind,
    half: Half,
    /// Channels of a group.
    width: usize,
    n_kept: usize,
}

impl<'a> Width<'a> {
    pub(super) fn new(
        base: &'a Base,
        sizes: Sizes,
        layers: &'a [usize],
        passes: &'a Passes<'a>,
    ) -> Self {
        let specs = weight_specs(base.config());
        Self {
            base,
            sizes,
            layers,
            passes,
            specs: specs.into_iter().map(|spec| (spec.place, spec)).collect(),
        }
    }

    /// How many passes over the text a layer takes.
    pub(super) fn n_passes(base: &Base, sizes: Sizes) -> usize {
        2 + readers(base, sizes).len()
    }

    /// Cuts all layers that stay into `state`, going on where it ends.
    pub(super) fn run(
        &self,
        state: &State<'_>,
        ticker: &mut Ticker<'_, '_>,
    ) -> Result<(), CompressError> {
        let (first, hidden) = state.resume_from::<CutRecord>(self.layers.len());
        let mut batches = match hidden {
            Some(values) if first > 0 => self.passes.restored(&values)?,
            _ => self.passes.embedded()?,
        };
        let n_passes = Self::n_passes(self.base, self.sizes) * batches.len();
        ticker.n_done += (first * n_passes) as u64;
        for (idx, source) in self.layers.iter().enumerate().skip(first) {
            let made = self.layer(*source, &mut batches, ticker)?;
            let weights = made.weights.iter();
            let weights = weights.map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
            state.save_record(idx, weights, &made.record, &gathered(&batches))?;
        }
        Ok(())
    }

    fn layer(
        &self,
        source: usize,
        batches: &mut [Batch],
        ticker: &mut Ticker<'_, '_>,
    ) -> Result<CutLayer, CompressError> {
        let mut block = self.passes.blocks.block(source)?;
        let mut made = CutLayer {
            record: CutRecord {
                cut: LayerCut::whole(self.base.config(), source),
                removed: Vec::new(),
            },
            weights: Vec::new(),
        };
        let readers = readers(self.base, self.sizes);
        for half in [Half::Attention, Half::Mlp] {
            for reader in readers.iter().filter(|reader| reader.half == half) {
                self.cut(reader, &mut block, (source, &*batches), &mut made, ticker)?;
            }
            for batch in batches.iter_mut() {
                batch.hidden = self.passes.pass(&block, half, batch);
                ticker.tick();
            }
        }
        Ok(made)
    }

    /// Chooses what a layer reads on, and lets the block go on with that.
    fn cut(
        &self,
        reader: &Reader,
        block: &mut Block,
        (source, batches): (usize, &[Batch]),
        made: &mut CutLayer,
        ticker: &mut Ticker<'_, '_>,
    ) -> Result<(), CompressError> {
        let place = Place {
            part: reader.part,
            layer: Some(source),
            expert: None,
            is_bias: false,
        };
        let spec = &self.specs[&place];
        let named = |source| CompressError::layer(&spec.name, source);
        let hessian = self
            .measured(reader, block, batches, ticker)
            .map_err(named)?;
        let weight = self.base.read(spec);
        let weight = weight.map_err(|reason| CompressError::Weight {
            name: spec.name.clone(),
            reason,
        })?;
        let choice = choose(weight, &hessian, reader.width, reader.n_kept).map_err(named)?;
        let kept = channels(&choice.kept, reader.width);
        let left = columns(&choice.weight, spec.d_in, &kept);
        made.weights.push((spec.name.clone(), pack_f32(&left)));
        let mut linears = block.linears_mut();
        let linear = linears.iter_mut().find(|(at, _)| at.kind == reader.kind);
        let (_, linear) = linear.expect("a block has the layers that were measured");
        self.passes.blocks.replace(linear, &choice.weight);
        let record = &mut made.record;
        record.removed.extend(removed(spec, reader, &choice));
        match reader.half {
            Half::Attention => record.cut.kv_heads = choice.kept,
            Half::Mlp => record.cut.neurons = choice.kept,
        }
        Ok(())
    }

    /// The second moments of what a layer reads.
    fn measured(
        &self,
        reader: &Reader,
        block: &mut Block,
        batches: &[Batch],
        ticker: &mut Ticker<'_, '_>,
    ) -> Result<Hessian, LayerError> {
        let mut tap = None;
        for (place, linear) in block.linears_mut() {
            if place.kind == reader.kind {
                let listener = Arc::new(Tap::new(linear.shape.d_in)?);
                tap = Some(Arc::clone(&listener));
                linear.observer = Some(Observer {
                    listener: Some(listener as Arc<dyn Listen>),
                    // Nobody needs the product of this pass.
                    is_idle: true,
                });
            }
        }
        for batch in batches {
            self.passes.pass(block, reader.half, batch);
            ticker.tick();
        }
        for (_, linear) in block.linears_mut() {
            linear.observer = None;
        }
        let tap = tap.and_then(Arc::into_inner);
        tap.expect("the observer was attached and taken off")
            .finish()
    }
}

/// The layers that read what goes.
fn readers(base: &Base, sizes: Sizes) -> Vec<Reader> {
    let config = base.config();
    let mut readers = Vec::new();
    if sizes.n_kv_heads < config.n_kv_heads {
        readers.push(Reader {
            part: Part::Output,
            kind: LinearKind::Output,
            half: Half::Attention,
            width: heads_per_group(config) * config.d_head,
            n_kept: sizes.n_kv_heads,
        });
    }
    if sizes.d_ff < config.d_ff {
        readers.push(Reader {
            part: Part::Down,
            kind: LinearKind::Down,
            half: Half::Mlp,
            width: 1,
            n_kept: sizes.d_ff,
        });
    }
    readers
}

/// What went, in words: heads one by one, neurons as a number.
fn removed(spec: &WeightSpec, reader: &Reader, choice: &Choice) -> Vec<Removed> {
    let module = module_of(&spec.name);
    match reader.half {
        Half::Attention => choice
            .removed
            .iter()
            .map(|(group, score)| Removed {
                name: format!("{module}, key and value head {group}"),
                score: *score,
            })
            .collect(),
        Half::Mlp => vec![Removed {
            name: format!(
                "{module}, {} of {} neurons",
                choice.removed.len(),
                spec.d_in
            ),
            score: choice.removed.iter().map(|(_, score)| score).sum(),
        }],
    }
}

/// The name of the module that a weight or norm belongs to.
pub(super) fn module_of(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(module, _)| module)
}

/// Sums up what a layer reads.
#[derive(Debug)]
struct Tap {
    sum: Mutex<(HessianSum, Option<LayerError>)>,
}

impl Tap {
    fn new(d_in: usize) -> Result<Self, LayerError> {
        Ok(Self {
            sum: Mutex::new((HessianSum::new(d_in)?, None)),
        })
    }

    fn finish(self) -> Result<Hessian, LayerError> {
        let (sum, failure) = self
            .sum
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(failure) => Err(failure),
            None => Ok(sum.finish()?.0),
        }
    }
}

impl Listen for Tap {
    fn hear(&self, x: &Tensor<3>) {
        let mut tap = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        let (sum, failure) = &mut *tap;
        if failure.is_none() {
            *failure = sum.add(&values(x)).err();
        }
    }
}
