//! Activation-aware scaling of a block before its weights are rounded: input channels with large
//! activations are stored larger, and what makes them is divided by the same, so that the block
//! computes what it did.
//!
//! Source: Lin et al. 2023, <https://arxiv.org/abs/2306.00978>, section 3.2. An input is scaled where
//! something linear makes it: a norm's gain, values before the output of attention where every
//! query head has its own, the upper half of a gated MLP. What experts share stays as it is.

use crate::{
    CompressError,
    inputs::{Evidence, Inputs},
    layer::{LayerError, WeightView, awq_scales, divide_rows, multiply_columns},
    layerwise::Layerwise,
    passes::{Batch, Ticker},
    plan::Plan,
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    ops::Range,
};
use trimtab_domain::ChannelScales;
use trimtab_models::{
    ModelConfig, Part, WeightRole, WeightSpec,
    decoder::{Block, LinearKind, LinearPlace},
    weight_specs,
};

/// Layers that read one input, and what makes it.
pub(crate) struct ScaledInput {
    /// A layer at which the input is heard.
    heard: LinearPlace,
    /// Weights whose columns are multiplied.
    readers: Vec<WeightSpec>,
    /// What is divided.
    producers: Vec<Producer>,
}

/// Rows of a weight, or elements of a vector, that make the channels of an input.
struct Producer {
    spec: WeightSpec,
    rows: Range<usize>,
}

impl Producer {
    /// All rows.
    fn whole(spec: &WeightSpec) -> Self {
        let n_rows = match spec.role {
            WeightRole::Vector => spec.d_in,
            _ => spec.d_out,
        };
        Self {
            spec: spec.clone(),
            rows: 0..n_rows,
        }
    }
}

/// The weights of one block.
struct BlockSpecs {
    specs: Vec<WeightSpec>,
}

impl BlockSpecs {
    fn new(config: &ModelConfig, layer_idx: usize) -> Self {
        let is_here = |spec: &WeightSpec| spec.place.layer == Some(layer_idx);
        Self {
            specs: weight_specs(config).into_iter().filter(is_here).collect(),
        }
    }

    fn find(&self, part: Part, expert: Option<usize>, is_bias: bool) -> Option<&WeightSpec> {
        self.specs.iter().find(|spec| {
            let place = spec.place;
            (place.part, place.expert, place.is_bias) == (part, expert, is_bias)
        })
    }

    fn has(&self, part: Part) -> bool {
        self.find(part, None, false).is_some()
    }

    fn readers(&self, parts: &[Part], expert: Option<usize>) -> Vec<WeightSpec> {
        let found = parts
            .iter()
            .filter_map(|part| self.find(*part, expert, false));
        found.cloned().collect()
    }

    /// A weight and its bias, all rows.
    fn whole(&self, part: Part, expert: Option<usize>) -> Vec<Producer> {
        let both = [false, true].map(|is_bias| self.find(part, expert, is_bias));
        both.into_iter().flatten().map(Producer::whole).collect()
    }

    fn attention_input(&self) -> ScaledInput {
        let (parts, kind): (&[Part], _) = if self.has(Part::QueryDown) {
            (&[Part::QueryDown, Part::LatentDown], LinearKind::LatentDown)
        } else if self.has(Part::LatentDown) {
            (&[Part::Query, Part::LatentDown], LinearKind::LatentDown)
        } else {
            let parts = &[Part::QueryKeyValue, Part::Query, Part::Key, Part::Value];
            (parts, LinearKind::QueryKeyValue)
        };
        ScaledInput {
            heard: LinearPlace { kind, expert: None },
            readers: self.readers(parts, None),
            producers: self.whole(Part::InputNorm, None),
        }
    }

    /// The input of the output, where every query head has its own values.
    fn attention_output(&self, config: &ModelConfig) -> Option<ScaledInput> {
        let output = self.find(Part::Output, None, false)?;
        if config.latent.is_some() || config.n_kv_heads != config.n_heads {
            return None;
        }
        let joint = match self.has(Part::Value) {
            true => Part::Value,
            false => Part::QueryKeyValue,
        };
        let mut producers = self.whole(joint, None);
        for producer in &mut producers {
            // Values are the last rows of queries, keys and values.
            let end = producer.rows.end;
            producer.rows = end.checked_sub(output.d_in)?..end;
        }
        Some(ScaledInput {
            heard: LinearPlace {
                kind: LinearKind::Output,
                expert: None,
            },
            readers: vec![output.clone()],
            producers,
        })
    }

    /// The input of a dense MLP.
    fn mlp_input(&self) -> Option<ScaledInput> {
        if self.has(Part::Router) {
            return None;
        }
        Some(ScaledInput {
            heard: LinearPlace {
                kind: LinearKind::Up,
                expert: None,
            },
            readers: self.readers(&[Part::Gate, Part::Up], None),
            producers: self.whole(Part::PostAttentionNorm, None),
        })
    }

    /// The inputs of the last products of all gated MLPs: `silu(gate) ⊙ up` is linear in `up`.
    fn mlp_outputs(&self) -> Vec<ScaledInput> {
        let gates = self.specs.iter().filter(|spec| {
            let place = spec.place;
            place.part == Part::Gate && !place.is_bias
        });
        gates
            .map(|gate| gate.place.expert)
            .map(|expert| ScaledInput {
                heard: LinearPlace {
                    kind: LinearKind::Down,
                    expert,
                },
                readers: self.readers(&[Part::Down], expert),
                producers: self.whole(Part::Up, expert),
            })
            .collect()
    }
}

/// The inputs of a block that can be scaled.
pub(crate) fn scaled_inputs(config: &ModelConfig, layer_idx: usize) -> Vec<ScaledInput> {
    let block = BlockSpecs::new(config, layer_idx);
    let mut inputs = vec![block.attention_input()];
    inputs.extend(block.attention_output(config));
    inputs.extend(block.mlp_input());
    inputs.extend(block.mlp_outputs());
    inputs
}

/// Weights of the block at work that scales were folded into.
#[derive(Default)]
pub(crate) struct Folded {
    weights: RefCell<BTreeMap<String, Vec<f32>>>,
    scales: RefCell<HashMap<String, ChannelScales>>,
}

impl Folded {
    /// A weight with the scales of its block, as floats.
    pub(crate) fn read(&self, plan: &Plan<'_>, spec: &WeightSpec) -> Result<Vec<f32>, String> {
        match self.weights.borrow().get(&spec.name) {
            Some(weight) => Ok(weight.clone()),
            None => plan.base.read(spec),
        }
    }

    /// What the columns of a weight were multiplied by.
    pub(crate) fn scales(&self, name: &str) -> Option<ChannelScales> {
        self.scales.borrow().get(name).copied()
    }

    /// The vectors that were changed.
    pub(crate) fn vectors(&self, plan: &Plan<'_>) -> BTreeMap<String, Vec<f32>> {
        let weights = self.weights.borrow();
        let vectors = weights
            .iter()
            .filter(|(name, _)| !plan.formats.contains_key(*name));
        vectors
            .map(|(name, values)| (name.clone(), values.clone()))
            .collect()
    }

    /// Forgets the block.
    pub(crate) fn clear(&self) {
        self.weights.borrow_mut().clear();
        self.scales.borrow_mut().clear();
    }

    /// Multiplies the columns of what reads the input, and divides the rows of what makes it.
    fn fold(
        &self,
        plan: &Plan<'_>,
        input: &ScaledInput,
        scales: &[f64],
    ) -> Result<(), CompressError> {
        for reader in &input.readers {
            self.change(plan, reader, |weight| multiply_columns(weight, scales))?;
        }
        for Producer { spec, rows } in &input.producers {
            let n_columns = match spec.role {
                WeightRole::Vector => 1,
                _ => spec.d_in,
            };
            let values = rows.start * n_columns..rows.end * n_columns;
            self.change(plan, spec, |weight| {
                divide_rows(&mut weight[values.clone()], scales)
            })?;
        }
        Ok(())
    }

    fn change(
        &self,
        plan: &Plan<'_>,
        spec: &WeightSpec,
        change: impl FnOnce(&mut [f32]) -> Result<(), LayerError>,
    ) -> Result<(), CompressError> {
        let mut weight = self
            .read(plan, spec)
            .map_err(|reason| CompressError::Weight {
                name: spec.name.clone(),
                reason,
            })?;
        change(&mut weight).map_err(|source| CompressError::layer(&spec.name, source))?;
        self.weights.borrow_mut().insert(spec.name.clone(), weight);
        Ok(())
    }
}

impl Layerwise<'_> {
    /// Finds scales for the inputs of a block and folds them into its weights.
    pub(crate) fn scale(
        &self,
        layer_idx: usize,
        block: &mut Block,
        batches: &[Batch],
        ticker: &mut Ticker<'_, '_>,
    ) -> Result<(), CompressError> {
        let inputs = scaled_inputs(self.plan.base.config(), layer_idx);
        let is_rounded = |spec: &WeightSpec| self.plan.formats[&spec.name].grid.is_some();
        let inputs: Vec<ScaledInput> = inputs
            .into_iter()
            .filter(|input| input.readers.iter().any(is_rounded))
            .collect();
        let is_heard = |at: LinearPlace| inputs.iter().any(|input| input.heard == at);
        let evidence = Some(Evidence::Products);
        let taps = self.attach(layer_idx, block, is_heard, LinearKind::Down, evidence)?;
        self.listen(block, batches, ticker);
        let mut heard = self.heard(layer_idx, block, taps, evidence)?;
        for input in &inputs {
            let measured = heard.remove(&input.heard).flatten();
            if let Some(measured) = measured {
                self.scale_input(input, &measured)?;
            }
        }
        Ok(())
    }

    fn scale_input(&self, input: &ScaledInput, measured: &Inputs) -> Result<(), CompressError> {
        let first = &input.readers[0].name;
        let named = |source| CompressError::layer(first, source);
        let mut weights = Vec::new();
        for reader in &input.readers {
            let Some(grid) = self.plan.formats[&reader.name].grid else {
                continue;
            };
            let read = self.plan.base.read(reader);
            let weight = read.map_err(|reason| CompressError::Weight {
                name: reader.name.clone(),
                reason,
            })?;
            weights.push((reader, weight, grid));
        }
        let views = weights.iter().map(|(reader, weight, grid)| {
            let view = WeightView::new(reader.d_out, reader.d_in, weight);
            view.map(|view| (view, *grid))
        });
        let views = views.collect::<Result<Vec<_>, _>>().map_err(named)?;
        let hessian = measured.hessian.as_ref().expect("products were measured");
        let found = awq_scales(&views, &measured.stats, hessian).map_err(named)?;
        let bounds = |(low, high): (f64, f64), scale: &f64| (low.min(*scale), high.max(*scale));
        let (min, max) = found.scales.iter().fold((f64::INFINITY, 0.0), bounds);
        let scales = ChannelScales {
            min,
            max,
            exponent: found.exponent,
            error_ratio: match found.error_unscaled == 0.0 {
                true => 1.0,
                false => found.error / found.error_unscaled,
            },
        };
        for reader in &input.readers {
            let mut all = self.folded.scales.borrow_mut();
            all.insert(reader.name.clone(), scales);
        }
        self.folded.fold(self.plan, input, &found.scales)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Tensor, TensorData};
    use std::path::Path;
    use trimtab_domain::Recipe;
    use trimtab_models::FloatBlocks;

    /// Products of 32-bit floats with other factors.
    const TOLERANCE: f32 = 2e-5;

    /// What a block makes of some tokens, in sequences of eight.
    fn outputs(blocks: &FloatBlocks<'_>, layer_idx: usize, d_model: usize) -> Vec<f32> {
        let block = blocks.block(layer_idx).unwrap();
        let hidden = (0..16 * d_model)
            .map(|i| (i as f32 * 0.731).sin())
            .collect();
        let hidden = TensorData::new::<f32, _>(hidden, [1, 16, d_model]);
        let hidden = Tensor::from_data(hidden, &Device::flex());
        let attended = block.attend(hidden, 2, blocks.rope(8).as_ref());
        let data = block.transform(attended).into_data();
        data.try_into_vec().unwrap()
    }

    /// Folds arbitrary scales into all blocks of a fixture; returns how many inputs the first and
    /// the last block have.
    #[track_caller]
    fn check(name: &str) -> (usize, usize) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../trimtab-models/tests/fixtures/architectures")
            .join(name);
        let recipe = Recipe::preset("f32").unwrap();
        let plan = Plan::new(&folder, None, &recipe).unwrap();
        let config = plan.base.config();
        let folded = Folded::default();
        let device = Device::flex();
        let (plainly, scaled) = (
            |spec: &WeightSpec| plan.base.read(spec),
            |spec: &WeightSpec| folded.read(&plan, spec),
        );
        let plain = FloatBlocks::new(config, &plainly, &device);
        let scaled = FloatBlocks::new(config, &scaled, &device);
        let mut n_inputs = Vec::new();
        for layer_idx in 0..config.n_layers {
            folded.clear();
            let inputs = scaled_inputs(config, layer_idx);
            for (idx, input) in inputs.iter().enumerate() {
                let d_in = input.readers[0].d_in;
                let scale = |i: usize| 2.0_f64.powf(((i + idx) as f64 * 0.37).sin() * 3.0);
                let scales: Vec<f64> = (0..d_in).map(scale).collect();
                folded.fold(&plan, input, &scales).unwrap();
            }
            let want = outputs(&plain, layer_idx, config.d_model);
            let got = outputs(&scaled, layer_idx, config.d_model);
            let largest = want.iter().fold(0.0, |a: f32, b| a.max(b.abs()));
            for (got, want) in got.iter().zip(&want) {
                let is_close = (got - want).abs() < TOLERANCE * largest;
                assert!(is_close, "{name}, block {layer_idx}: {got}, not {want}");
            }
            n_inputs.push(inputs.len());
        }
        (n_inputs[0], n_inputs[config.n_layers - 1])
    }

    #[test]
    fn folded_scales_leave_the_outputs_of_every_architecture_alone() {
        // Inputs of attention, of the MLP and of its last product.
        assert_eq!(check("llama_tied"), (3, 3));
        assert_eq!(check("qwen2"), (3, 3));
        // No gate; of GPT-2, every head has its own values.
        assert_eq!(check("starcoder2"), (2, 2));
        assert_eq!(check("gpt2"), (3, 3));
        assert_eq!(check("gpt_bigcode"), (2, 2));
        assert_eq!(check("gpt_bigcode_heads"), (3, 3));
        let (dense, mixed) = check("deepseek_v2_lite");
        assert_eq!(dense, 3);
        assert!(mixed > 3, "{mixed}: every expert has a last product");
        for name in [
            "deepseek_v2_groups",
            "qwen3_biased",
            "llama_untied_biased",
            "mistral_full",
        ] {
            check(name);
        }
    }

    #[test]
    fn what_was_folded_is_told_and_forgotten() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../trimtab-models/tests/fixtures/architectures/llama_tied");
        let recipe = Recipe::preset("f32").unwrap();
        let plan = Plan::new(&folder, None, &recipe).unwrap();
        let folded = Folded::default();
        let inputs = scaled_inputs(plan.base.config(), 0);
        let d_model = plan.base.config().d_model;
        folded.fold(&plan, &inputs[0], &vec![2.0; d_model]).unwrap();
        let vectors = folded.vectors(&plan);
        let names: Vec<&String> = vectors.keys().collect();
        assert_eq!(names, ["model.layers.0.input_layernorm"]);
        let spec = &inputs[0].producers[0].spec;
        let halved: Vec<f32> = plan
            .base
            .read(spec)
            .unwrap()
            .iter()
            .map(|w| w / 2.0)
            .collect();
        assert_eq!(vectors["model.layers.0.input_layernorm"], halved);
        assert_eq!(folded.read(&plan, spec), Ok(halved));
        folded.clear();
        assert_eq!(folded.read(&plan, spec), plan.base.read(spec));
        assert!(folded.vectors(&plan).is_empty());
    }
}
