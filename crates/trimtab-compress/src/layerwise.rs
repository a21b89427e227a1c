//! Block by block through a model: every linear layer is compressed with the inputs that it sees on
//! the calibration text, and what follows sees its outputs as they are then.
//!
//! The blocks' inputs of all sequences are kept, so that each block is run a few times and then
//! never again; one block is in memory at a time.

use crate::{
    CompressError,
    inputs::{Evidence, Inputs, Tap},
    passes::{Batch, Calibrated, CompressEvent, Half, OnEvent, Passes, Ticker, gathered},
    plan::Plan,
    scaling::Folded,
    state::{Finished, State},
};
use std::{collections::HashMap, sync::Arc};
use trimtab_domain::Step;
use trimtab_models::decoder::{Block, LinearKind, LinearPlace, Listen, Observer};

/// A model on its way.
pub(crate) struct Layerwise<'a> {
    pub(crate) plan: &'a Plan<'a>,
    /// What is measured before a layer is compressed; nothing where it is rounded to nearest.
    evidence: Option<Evidence>,
    /// Whether layers see the inputs that compressed layers before them in their block leave.
    is_sequential: bool,
    /// The weights of the block at work, where they are scaled.
    pub(crate) folded: &'a Folded,
    passes: Passes<'a>,
}

/// Layers with what was attached to hear their inputs.
pub(crate) type Taps = Vec<(LinearPlace, Option<Arc<Tap>>)>;

impl<'a> Layerwise<'a> {
    /// `read` is that of `folded` with the plan.
    pub(crate) fn new(
        plan: &'a Plan<'a>,
        calibrated: Calibrated<'a>,
        folded: &'a Folded,
        read: &'a trimtab_models::ReadWeight<'a>,
    ) -> Self {
        let evidence = Evidence::of(plan.recipe);
        let is_sequential = match plan.recipe.steps.last() {
            Some(Step::Gptq(gptq)) => gptq.true_sequential,
            _ => evidence.is_some(),
        };
        Self {
            plan,
            evidence,
            is_sequential,
            folded,
            passes: Passes::new(plan.base.config(), read, calibrated),
        }
    }

    /// Compresses all blocks into `state`, going on where it ends.
    pub(crate) fn run(
        &self,
        state: &State<'_>,
        on_event: &mut OnEvent<'_>,
    ) -> Result<(), CompressError> {
        let n_layers = self.plan.base.config().n_layers;
        let (first, hidden) = state.resume(n_layers);
        for layer_idx in 0..first {
            let reports = state.reports(layer_idx).unwrap_or_default();
            for report in reports {
                on_event(CompressEvent::Layer(report));
            }
        }
        let mut batches = match hidden {
            Some(values) if first > 0 => self.passes.restored(&values)?,
            _ => self.passes.embedded()?,
        };
        let is_scaled = self.plan.recipe.awq().is_some();
        for layer_idx in first..n_layers {
            self.folded.clear();
            let mut block = self.passes.blocks.block(layer_idx)?;
            let n_passes = self.n_passes(&mut block) + usize::from(is_scaled);
            let n_ticks = (batches.len() * n_passes) as u64;
            let mut ticker = Ticker {
                on_event,
                n_done: n_ticks * layer_idx as u64,
                n_total: n_ticks * n_layers as u64,
            };
            if is_scaled {
                self.scale(layer_idx, &mut block, &batches, &mut ticker)?;
                block = self.passes.blocks.block(layer_idx)?;
            }
            let finished = self.block(layer_idx, &mut block, &mut batches, &mut ticker)?;
            let vectors = self.folded.vectors(self.plan);
            state.save(layer_idx, &finished, &vectors, &gathered(&batches))?;
        }
        Ok(())
    }

    /// How often the calibration text goes through a block: to be heard, and through its halves.
    fn n_passes(&self, block: &mut Block) -> usize {
        let n_heard = match self.evidence {
            Some(_) => self.stages(block).len(),
            None => 0,
        };
        n_heard + 2
    }

    /// Which layers are compressed at once, stage by stage.
    fn stages(&self, block: &mut Block) -> Vec<Vec<LinearPlace>> {
        let places: Vec<LinearPlace> = block.linears_mut().iter().map(|(at, _)| *at).collect();
        match self.is_sequential {
            true => places
                .chunk_by(|a, b| a.kind == b.kind)
                .map(<[LinearPlace]>::to_vec)
                .collect(),
            false => vec![places],
        }
    }

    fn block(
        &self,
        layer_idx: usize,
        block: &mut Block,
        batches: &mut [Batch],
        ticker: &mut Ticker<'_, '_>,
    ) -> Result<Vec<Finished>, CompressError> {
        let mut finished = Vec::new();
        if !self.is_sequential {
            let all = |_| true;
            let taps = self.attach(layer_idx, block, all, LinearKind::Down, self.evidence)?;
            if self.evidence.is_some() {
                self.listen(block, batches, ticker);
            }
            self.compress(layer_idx, block, taps, ticker, &mut finished)?;
        }
        for half in [Half::Attention, Half::Mlp] {
            let stages = match self.is_sequential {
                true => self.stages(block),
                false => Vec::new(),
            };
            for stage in stages
                .iter()
                .filter(|stage| Half::of(stage[0].kind) == half)
            {
                let kind = stage[0].kind;
                let here = |at: LinearPlace| at.kind == kind;
                let taps = self.attach(layer_idx, block, here, kind, self.evidence)?;
                for batch in batches.iter() {
                    self.passes.pass(block, half, batch);
                    ticker.tick();
                }
                self.compress(layer_idx, block, taps, ticker, &mut finished)?;
            }
            for batch in batches.iter_mut() {
                batch.hidden = self.passes.pass(block, half, batch);
                ticker.tick();
            }
        }
        Ok(finished)
    }

    /// Lets a block read the calibration text for those who hear it.
    pub(crate) fn listen(&self, block: &Block, batches: &[Batch], ticker: &mut Ticker<'_, '_>) {
        for batch in batches {
            let attended = Batch {
                hidden: self.passes.pass(block, Half::Attention, batch),
                n_sequences: batch.n_sequences,
            };
            self.passes.pass(block, Half::Mlp, &attended);
            ticker.tick();
        }
    }

    /// Attaches what hears inputs to the layers that are `tapped`, where there is `evidence` to
    /// collect, and lets those from `first_idle` on rest: nobody needs their products.
    pub(crate) fn attach(
        &self,
        layer_idx: usize,
        block: &mut Block,
        tapped: impl Fn(LinearPlace) -> bool,
        first_idle: LinearKind,
        evidence: Option<Evidence>,
    ) -> Result<Taps, CompressError> {
        let mut taps = Vec::new();
        for (place, linear) in block.linears_mut() {
            let mut observer = Observer {
                listener: None,
                is_idle: place.kind >= first_idle,
            };
            if tapped(place) {
                let tap = evidence.map(|evidence| Tap::new(evidence, linear.shape.d_in));
                let tap = tap.transpose().map_err(|source| {
                    let members = self.passes.blocks.members(layer_idx, place);
                    CompressError::layer(&members[0].name, source)
                })?;
                let tap = tap.map(Arc::new);
                observer.listener = tap.clone().map(|tap| tap as Arc<dyn Listen>);
                taps.push((place, tap));
            }
            let is_needed = observer.is_idle || observer.listener.is_some();
            linear.observer = is_needed.then_some(observer);
        }
        Ok(taps)
    }

    /// Takes off what was attached; what each layer has heard, `None` where no token came by.
    pub(crate) fn heard(
        &self,
        layer_idx: usize,
        block: &mut Block,
        taps: Taps,
        evidence: Option<Evidence>,
    ) -> Result<HashMap<LinearPlace, Option<Inputs>>, CompressError> {
        for (_, linear) in block.linears_mut() {
            linear.observer = None;
        }
        let mut heard = HashMap::new();
        for (place, tap) in taps {
            let inputs = match tap.zip(evidence) {
                Some((tap, evidence)) => {
                    let tap = Arc::into_inner(tap).expect("the observers were taken off");
                    tap.finish(evidence).map_err(|source| {
                        let members = self.passes.blocks.members(layer_idx, place);
                        CompressError::layer(&members[0].name, source)
                    })?
                }
                None => None,
            };
            heard.insert(place, inputs);
        }
        Ok(heard)
    }

    /// Compresses the layers that were tapped, and lets the block go on with what they became.
    fn compress(
        &self,
        layer_idx: usize,
        block: &mut Block,
        taps: Taps,
        ticker: &mut Ticker<'_, '_>,
        finished: &mut Vec<Finished>,
    ) -> Result<(), CompressError> {
        let mut heard = self.heard(layer_idx, block, taps, self.evidence)?;
        for (place, linear) in block.linears_mut() {
            let Some(inputs) = heard.remove(&place) else {
                continue;
            };
            let mut values = Vec::new();
            for spec in &self.passes.blocks.members(layer_idx, place) {
                let read = self.folded.read(self.plan, spec);
                let weight = read.map_err(|reason| CompressError::Weight {
                    name: spec.name.clone(),
                    reason,
                })?;
                let mut made = self.plan.make(spec, weight, inputs.as_ref())?;
                made.report.channel_scales = self.folded.scales(&spec.name);
                values.extend(made.values());
                (ticker.on_event)(CompressEvent::Layer(made.report.clone()));
                finished.push(made.into_stored());
            }
            self.passes.blocks.replace(linear, &values);
        }
        Ok(())
    }
}
