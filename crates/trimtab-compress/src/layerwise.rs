//! Block by block through a model: every linear layer is compressed with the inputs that it sees on
//! the calibration text, and what follows sees its outputs as they are then.
//!
//! The blocks' inputs of all sequences are kept, so that each block is run a few times and then
//! never again; one block is in memory at a time.

use crate::{
    CompressError,
    inputs::{Evidence, Tap},
    passes::{Batch, Calibrated, CompressEvent, Half, OnEvent, Passes, Ticker, gathered},
    plan::Plan,
    state::{Finished, State},
};
use std::sync::Arc;
use trimtab_domain::Step;
use trimtab_models::decoder::{Block, LinearKind, LinearPlace, Listen, Observer};

/// A model on its way.
pub(crate) struct Layerwise<'a> {
    plan: &'a Plan<'a>,
    evidence: Evidence,
    /// Whether layers see the inputs that compressed layers before them in their block leave.
    is_sequential: bool,
    passes: Passes<'a>,
}

impl<'a> Layerwise<'a> {
    /// `read` is that of the plan's base.
    pub(crate) fn new(
        plan: &'a Plan<'a>,
        calibrated: Calibrated<'a>,
        evidence: Evidence,
        read: &'a trimtab_models::ReadWeight<'a>,
    ) -> Self {
        let is_sequential = match plan.recipe.steps.last() {
            Some(Step::Gptq(gptq)) => gptq.true_sequential,
            _ => true,
        };
        Self {
            plan,
            evidence,
            is_sequential,
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
        for layer_idx in first..n_layers {
            let mut block = self.passes.blocks.block(layer_idx)?;
            let n_ticks = (batches.len() * (self.stages(&mut block).len() + 2)) as u64;
            let mut ticker = Ticker {
                on_event,
                n_done: n_ticks * layer_idx as u64,
                n_total: n_ticks * n_layers as u64,
            };
            let finished = self.block(layer_idx, &mut block, &mut batches, &mut ticker)?;
            state.save(layer_idx, &finished, &gathered(&batches))?;
        }
        Ok(())
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
            let taps = self.attach(layer_idx, block, |_| true, LinearKind::Down)?;
            for batch in batches.iter() {
                let attended = self.passes.pass(block, Half::Attention, batch);
                let attended = Batch {
                    hidden: attended,
                    n_sequences: batch.n_sequences,
                };
                self.passes.pass(block, Half::Mlp, &attended);
                ticker.tick();
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
                let taps = self.attach(layer_idx, block, |at| at.kind == kind, kind)?;
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

    /// Attaches observers to the layers that are `tapped`, and lets those from `first_idle` on rest:
    /// nobody needs their products.
    fn attach(
        &self,
        layer_idx: usize,
        block: &mut Block,
        tapped: impl Fn(LinearPlace) -> bool,
        first_idle: LinearKind,
    ) -> Result<Vec<(LinearPlace, Arc<Tap>)>, CompressError> {
        let mut taps = Vec::new();
        for (place, linear) in block.linears_mut() {
            let mut observer = Observer {
                listener: None,
                is_idle: place.kind >= first_idle,
            };
            if tapped(place) {
                let tap = Tap::new(self.evidence, linear.shape.d_in).map_err(|source| {
                    let members = self.passes.blocks.members(layer_idx, place);
                    CompressError::layer(&members[0].name, source)
                })?;
                let tap = Arc::new(tap);
                observer.listener = Some(Arc::clone(&tap) as Arc<dyn Listen>);
                taps.push((place, tap));
            }
            let is_needed = observer.is_idle || observer.listener.is_some();
            linear.observer = is_needed.then_some(observer);
        }
        Ok(taps)
    }

    /// Compresses the layers that were tapped, and lets the block go on with what they became.
    fn compress(
        &self,
        layer_idx: usize,
        block: &mut Block,
        taps: Vec<(LinearPlace, Arc<Tap>)>,
        ticker: &mut Ticker<'_, '_>,
        finished: &mut Vec<Finished>,
    ) -> Result<(), CompressError> {
        let mut linears = block.linears_mut();
        for (_, linear) in &mut linears {
            linear.observer = None;
        }
        for (place, tap) in taps {
            let members = self.passes.blocks.members(layer_idx, place);
            let named = |source| CompressError::layer(&members[0].name, source);
            let tap = Arc::into_inner(tap).expect("the observers were taken off");
            let inputs = tap.finish(self.evidence).map_err(named)?;
            let mut values = Vec::new();
            for spec in &members {
                let weight = self
                    .plan
                    .base
                    .read(spec)
                    .map_err(|reason| CompressError::Weight {
                        name: spec.name.clone(),
                        reason,
                    })?;
                let made = self.plan.make(spec, weight, inputs.as_ref())?;
                values.extend(made.values());
                (ticker.on_event)(CompressEvent::Layer(made.report.clone()));
                finished.push(made.into_stored());
            }
            let linear = linears.iter_mut().find(|(at, _)| *at == place);
            let (_, linear) = linear.expect("the block has the layers that were tapped");
            self.passes.blocks.replace(linear, &values);
        }
        Ok(())
    }
}
