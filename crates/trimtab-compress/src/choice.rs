//! Which module gets how many bits: one module after the other is rounded to each width, what leaves
//! its block goes on through the rest of the model, and the next token's distribution is compared.
//!
//! All that is on its way is carried through the model together, so that each block is read once and
//! one is in memory at a time. Rounding is to nearest, whatever rounds in the end: it is the module
//! that is asked for its sensitivity, not the method.

use crate::{
    CompressError, CompressEvent,
    divergence::Answers,
    layer::{BitOption, Budget, LayerError, ModuleOptions, choose_bits},
    make::rounded,
    passes::{Calibrated, OnEvent},
    plan::Plan,
    predict::{all_in, file_bytes},
    state::State,
};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trimtab_domain::{BitLoss, ChooseBits, Override, Recipe};
use trimtab_models::{
    FloatBlocks, Part, WeightRole, WeightSpec,
    decoder::{Block, Linear, LinearKind, RopeTables},
    weight_specs,
};

/// Sequences that the divergence is measured on, at most.
const N_SEQUENCES: usize = 2;

/// Tokens of each, at most.
const N_TOKENS: usize = 128;

/// Rounded models that go through a block side by side.
const SIDE_BY_SIDE: usize = 8;

/// What is on its way is kept after so many blocks: it grows to as much as a small model.
const KEPT_EVERY: usize = 4;

/// What the file of a variant takes beside its weights, for each of them: its name, place and format.
const HEADER_BYTES: u64 = 512;

/// What was chosen, and why.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Choice {
    /// Weights that do not get the width of the step.
    overrides: Vec<Override>,
    /// What each width costs, by weight.
    pub(crate) losses: BTreeMap<String, Vec<BitLoss>>,
}

impl Choice {
    /// The recipe with what was chosen.
    pub(crate) fn applied(&self, recipe: &Recipe) -> Recipe {
        recipe.clone().with_overrides(self.overrides.clone())
    }
}

/// Weights that get the same width: of a block, those that do the same.
struct Module {
    layer_idx: usize,
    kind: LinearKind,
    members: Vec<WeightSpec>,
}

/// A plan whose modules are measured.
pub(crate) struct Choosing<'a> {
    plan: &'a Plan<'a>,
    calibrated: Calibrated<'a>,
    choice: &'a ChooseBits,
    /// The recipe with all weights in each of the widths.
    recipes: Vec<(u8, Recipe)>,
    blocks: FloatBlocks<'a>,
    rope: Option<RopeTables>,
}

/// Counts how often a rounded model went through a block, or to its answer.
struct Ticker<'a, 'b> {
    on_event: &'a mut OnEvent<'b>,
    n_done: u64,
    n_total: u64,
}

impl Ticker<'_, '_> {
    fn tick(&mut self, n: usize) {
        self.n_done += n as u64;
        (self.on_event)(CompressEvent::Measuring {
            n_done: self.n_done,
            n_total: self.n_total,
        });
    }
}

/// What leaves a block: of the model as it is, and of each with a rounded module, in order.
struct Carried {
    base: Tensor<3>,
    rounded: Vec<Tensor<3>>,
}

impl<'a> Choosing<'a> {
    /// `read` is the plan's.
    pub(crate) fn new(
        plan: &'a Plan<'a>,
        calibrated: Calibrated<'a>,
        choice: &'a ChooseBits,
        read: &'a trimtab_models::ReadWeight<'a>,
    ) -> Self {
        let blocks = FloatBlocks::new(plan.base.config(), read, calibrated.device);
        let widths = choice.candidates.iter();
        let recipes = widths.map(|bits| (*bits, all_in(plan.recipe, *bits)));
        Self {
            plan,
            calibrated,
            choice,
            recipes: recipes.collect(),
            rope: blocks.rope(N_TOKENS.min(calibrated.set.length())),
            blocks,
        }
    }

    /// Measures all modules and chooses; what was chosen before is taken from `state`.
    ///
    /// # Errors
    ///
    /// [`CompressError::Choice`] for a budget below the smallest widths, before anything is measured.
    pub(crate) fn run(
        &self,
        state: &State<'_>,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Choice, CompressError> {
        if let Some(choice) = state.choice() {
            return Ok(choice);
        }
        let modules = self.modules();
        let no_losses = vec![vec![0.0; self.recipes.len()]; modules.len()];
        self.chosen(&modules, &no_losses)?;
        let losses = self.losses(&modules, state, on_event)?;
        let choice = self.chosen(&modules, &losses)?;
        state.save_choice(&choice, self.plan.base.config().n_layers)?;
        Ok(choice)
    }

    /// The modules of all blocks, in order, without the weights whose width the recipe says.
    fn modules(&self) -> Vec<Module> {
        let config = self.plan.base.config();
        let grid = self.plan.recipe.grid();
        let said = grid.map_or(&[][..], |grid| grid.overrides);
        let mut modules: BTreeMap<(usize, LinearKind), Vec<WeightSpec>> = BTreeMap::new();
        for spec in weight_specs(config) {
            let is_said = said.iter().any(|one| one.matches(&spec.name));
            let kind = kind_of(spec.place.part, config.latent.is_some());
            if let (WeightRole::Linear, Some(layer_idx), Some(kind), false) =
                (spec.role, spec.place.layer, kind, is_said)
            {
                modules.entry((layer_idx, kind)).or_default().push(spec);
            }
        }
        let modules = modules.into_iter();
        modules
            .map(|((layer_idx, kind), members)| Module {
                layer_idx,
                kind,
                members,
            })
            .collect()
    }

    /// The divergence of every module in every width.
    fn losses(
        &self,
        modules: &[Module],
        state: &State<'_>,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Vec<Vec<f64>>, CompressError> {
        let (n_layers, n_widths) = (self.plan.base.config().n_layers, self.recipes.len());
        let n_blocks = |module: &Module| n_layers - module.layer_idx;
        let n_runs: usize = modules.iter().map(|module| n_blocks(module) + 1).sum();
        let mut ticker = Ticker {
            on_event,
            n_done: 0,
            n_total: (n_runs * n_widths) as u64,
        };
        let (first, mut carried) = self.resumed(modules, state)?;
        let n_before = |module: &Module| first.saturating_sub(module.layer_idx);
        let n_done: usize = modules.iter().map(n_before).sum();
        ticker.n_done = (n_done * n_widths) as u64;
        for layer_idx in first..n_layers {
            let here = modules
                .iter()
                .filter(|module| module.layer_idx == layer_idx);
            self.pass_block(
                layer_idx,
                &here.collect::<Vec<_>>(),
                &mut carried,
                &mut ticker,
            )?;
            if (layer_idx + 1).is_multiple_of(KEPT_EVERY) {
                state.save_measured(layer_idx, &carried.values())?;
            }
        }
        let head = self.blocks.head()?;
        let base = Answers::new(head.forward(carried.base));
        let divergences = carried.rounded.chunks(n_widths).map(|widths| {
            let divergence = |hidden: &Tensor<3>| {
                ticker.tick(1);
                base.divergence_of(head.forward(hidden.clone()))
            };
            widths.iter().map(divergence).collect()
        });
        Ok(divergences.collect())
    }

    /// Where the measurement begins, and what enters the block there.
    fn resumed(
        &self,
        modules: &[Module],
        state: &State<'_>,
    ) -> Result<(usize, Carried), CompressError> {
        let sequences = self.calibrated.set.sequences().iter().take(N_SEQUENCES);
        let sequences: Vec<Vec<u32>> = sequences
            .map(|ids| ids[..N_TOKENS.min(ids.len())].to_vec())
            .collect();
        let base = Tensor::cat(self.blocks.embedded(&sequences)?, 1);
        let config = self.plan.base.config();
        let shape = base.dims();
        let n_values: usize = shape.iter().product();
        if let Some((first, values)) = state.measured(config.n_layers) {
            let n_modules = modules.iter().filter(|module| module.layer_idx < first);
            let n_hidden = 1 + n_modules.count() * self.recipes.len();
            // What another measurement left is not looked at.
            if values.len() == n_hidden * n_values {
                let mut hidden = values.chunks_exact(n_values).map(|values| {
                    let data = TensorData::new(values.to_vec(), shape);
                    Tensor::<3>::from_data(data, self.calibrated.device)
                });
                let base = hidden.next().expect("the model as it is comes first");
                let rounded = hidden.collect();
                return Ok((first, Carried { base, rounded }));
            }
        }
        let rounded = Vec::new();
        Ok((0, Carried { base, rounded }))
    }

    /// Takes all that is on its way through a block, and sets out with its own modules rounded.
    fn pass_block(
        &self,
        layer_idx: usize,
        modules: &[&Module],
        carried: &mut Carried,
        ticker: &mut Ticker<'_, '_>,
    ) -> Result<(), CompressError> {
        let mut block = self.blocks.block(layer_idx)?;
        let mut rounded = Vec::with_capacity(carried.rounded.len());
        for some in carried.rounded.chunks(SIDE_BY_SIDE) {
            let out = self.forward(&block, Tensor::cat(some.to_vec(), 1), some.len());
            rounded.extend(out.chunk(some.len(), 1));
            ticker.tick(some.len());
        }
        for module in modules {
            for (_, recipe) in &self.recipes {
                let originals = self.round(&mut block, module, recipe)?;
                rounded.push(self.forward(&block, carried.base.clone(), 1));
                restore(&mut block, module.kind, originals);
                ticker.tick(1);
            }
        }
        carried.base = self.forward(&block, carried.base.clone(), 1);
        carried.rounded = rounded;
        Ok(())
    }

    fn forward(&self, block: &Block, hidden: Tensor<3>, n_models: usize) -> Tensor<3> {
        let n_sequences = N_SEQUENCES.min(self.calibrated.set.sequences().len());
        let attended = block.attend(hidden, n_models * n_sequences, self.rope.as_ref());
        block.transform(attended)
    }

    /// Rounds the weights of a module; returns its layers as they were.
    fn round(
        &self,
        block: &mut Block,
        module: &Module,
        recipe: &Recipe,
    ) -> Result<Vec<Linear>, CompressError> {
        let mut originals = Vec::new();
        for (place, linear) in block.linears_mut() {
            if place.kind != module.kind {
                continue;
            }
            let mut values = Vec::new();
            for spec in self.blocks.members(module.layer_idx, place) {
                let weight =
                    self.plan
                        .base
                        .read(&spec)
                        .map_err(|reason| CompressError::Weight {
                            name: spec.name.clone(),
                            reason,
                        })?;
                values.extend(match module.members.contains(&spec) {
                    true => rounded(recipe, &spec, &weight)?,
                    false => weight,
                });
            }
            originals.push(linear.clone());
            self.blocks.replace(linear, &values);
        }
        Ok(originals)
    }

    /// Widths with the least sum of losses within the budget.
    fn chosen(&self, modules: &[Module], losses: &[Vec<f64>]) -> Result<Choice, CompressError> {
        let options = |(module, losses): (&Module, &Vec<f64>)| ModuleOptions {
            n_weights: module.members.iter().map(n_weights).sum(),
            options: (self.recipes.iter().zip(losses))
                .map(|((bits, recipe), loss)| BitOption {
                    bits: u32::from(*bits),
                    n_bytes: module
                        .members
                        .iter()
                        .map(|spec| file_bytes(recipe, spec))
                        .sum(),
                    loss: *loss,
                })
                .collect(),
        };
        let options: Vec<ModuleOptions> = modules.iter().zip(losses).map(options).collect();
        let (budget, fixed) = self.budget(modules);
        let choice = choose_bits(&options, Budget::Bytes(budget.saturating_sub(fixed)));
        let choice = choice.map_err(|error| match error {
            LayerError::Budget { needed, .. } => CompressError::Choice(LayerError::Budget {
                budget,
                needed: needed + fixed,
            }),
            other => CompressError::Choice(other),
        })?;
        let step_bits = self.plan.recipe.grid().map(|grid| grid.bits);
        let mut all = Choice {
            overrides: Vec::new(),
            losses: BTreeMap::new(),
        };
        for ((module, losses), option_idx) in modules.iter().zip(losses).zip(choice.option_idx) {
            let chosen = self.recipes[option_idx].0;
            let widths = self.recipes.iter().map(|(bits, _)| *bits);
            let losses = widths.zip(losses).map(|(bits, divergence)| BitLoss {
                bits,
                divergence: *divergence,
                is_chosen: bits == chosen,
            });
            let losses: Vec<BitLoss> = losses.collect();
            for spec in &module.members {
                all.losses.insert(spec.name.clone(), losses.clone());
                if Some(chosen) != step_bits {
                    all.overrides.push(Override {
                        pattern: spec.name.clone(),
                        bits: chosen,
                        group_size: None,
                    });
                }
            }
        }
        Ok(all)
    }

    /// Bytes that may be taken, and those that are taken whatever is chosen: of the blocks' linear
    /// layers for an average of bits, of the whole file for bytes.
    fn budget(&self, modules: &[Module]) -> (u64, u64) {
        let specs = weight_specs(self.plan.base.config());
        let is_chosen = |spec: &&WeightSpec| {
            let mut members = modules.iter().flat_map(|module| &module.members);
            members.any(|member| member.name == spec.name)
        };
        let is_linear = |spec: &&WeightSpec| spec.role == WeightRole::Linear;
        let fixed = || specs.iter().filter(|spec| !is_chosen(spec));
        let bytes = |spec: &WeightSpec| file_bytes(self.plan.recipe, spec);
        match (self.choice.budget_bits, self.choice.budget_bytes) {
            (Some(bits), _) => {
                let all: u64 = specs.iter().filter(is_linear).map(n_weights).sum();
                let budget = bits * all as f64 / 8.0;
                (budget as u64, fixed().filter(is_linear).map(bytes).sum())
            }
            (None, budget) => {
                let header = HEADER_BYTES * specs.len() as u64;
                let budget = budget.unwrap_or_default().0;
                (budget, header + fixed().map(bytes).sum::<u64>())
            }
        }
    }
}

impl Carried {
    /// All values, of the model as it is first.
    fn values(&self) -> Vec<f32> {
        let values = |hidden: &Tensor<3>| -> Vec<f32> {
            let data = hidden.to_data();
            data.try_into_vec().expect("the model computes in f32")
        };
        let all = std::iter::once(&self.base).chain(&self.rounded);
        all.flat_map(values).collect()
    }
}

fn restore(block: &mut Block, kind: LinearKind, originals: Vec<Linear>) {
    let linears = block.linears_mut().into_iter();
    let rounded = linears.filter(|(place, _)| place.kind == kind);
    for ((_, linear), original) in rounded.zip(originals) {
        *linear = original;
    }
}

/// The layer that a weight is part of.
fn kind_of(part: Part, is_latent: bool) -> Option<LinearKind> {
    Some(match part {
        Part::Query if is_latent => LinearKind::Query,
        Part::Query | Part::Key | Part::Value | Part::QueryKeyValue => LinearKind::QueryKeyValue,
        Part::QueryDown => LinearKind::QueryDown,
        Part::LatentDown => LinearKind::LatentDown,
        Part::Output => LinearKind::Output,
        Part::Gate | Part::Up => LinearKind::Up,
        Part::Down => LinearKind::Down,
        _ => return None,
    })
}

fn n_weights(spec: &WeightSpec) -> u64 {
    spec.d_out as u64 * spec.d_in as u64
}
