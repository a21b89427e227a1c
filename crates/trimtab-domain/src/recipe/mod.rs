//! Recipes: ordered compression steps with their parameters, and the presets that ship.

mod awq;
mod calibration;
mod choose_bits;
mod codes;
mod distil;
mod invalid;
mod overriding;
mod presets;
mod prune;
mod quantize;
mod shrink;

pub use awq::Awq;
pub use calibration::{Calibration, CalibrationForm, CalibrationSource, CalibrationText};
pub use choose_bits::ChooseBits;
pub use codes::{Activations, CodeGrid, GroupSize, Override, ScaleSearch, StoredAs};
pub use distil::{Distil, DistilLoss, RateDecay};
pub use invalid::InvalidRecipe;
pub use prune::{Prune, PruneBy, Sparsity};
pub use quantize::{Gptq, Rtn};
pub use shrink::{LayerCount, Shrink};

use crate::Digest;
use serde::{Deserialize, Serialize};

/// Ordered compression steps. The same base, recipe and code always give the same variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Short name, shown beside the variant; a preset's recipe carries the preset's name.
    pub name: String,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// One compression step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Stores all weights in a float format; the base model of a comparison.
    Cast {
        /// The format.
        to: FloatFormat,
    },
    /// Adds an imported low-rank adapter to the weights it was trained for, in 32-bit floats.
    /// Comes before all other steps.
    MergeAdapter {
        /// Digest of the adapter's folder.
        adapter: Digest,
    },
    /// Takes out whole layers, heads and neurons: makes a smaller model, which the steps after it
    /// read.
    Shrink(Shrink),
    /// Lets the model learn from a teacher: makes a model with other weights, which the steps after
    /// it read.
    Distil(Box<Distil>),
    /// Keeps the codes of a quantised checkpoint; what is not stored as codes that the kernels
    /// read exactly becomes 16-bit floats, which the report of the layer shows.
    Keep,
    /// Sets weights to zero; comes before the step that stores the weights.
    Prune(Prune),
    /// Chooses how many bits each module gets; comes before the step that rounds.
    ChooseBits(ChooseBits),
    /// Scales channels so that rounding takes less from them; comes before the step that rounds.
    Awq(Awq),
    /// Round-to-nearest quantisation of the linear layers.
    Rtn(Rtn),
    /// Quantisation of the linear layers in which each weight makes up for the rounding of those
    /// before it.
    Gptq(Gptq),
}

/// Float formats of stored weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FloatFormat {
    /// 32-bit.
    F32,
    /// 16-bit, IEEE half.
    F16,
    /// 16-bit with the range of 32-bit floats and 8 significant bits (bfloat16), as most checkpoints
    /// are published.
    Bf16,
}

impl Recipe {
    /// Checks that every step can be carried out and every option is used.
    pub fn validate(&self) -> Result<(), InvalidRecipe> {
        let Some((last, before)) = self.steps.split_last() else {
            return Err(InvalidRecipe::NoSteps(self.name.clone()));
        };
        if !last.stores_weights() {
            return Err(InvalidRecipe::NoFormat(self.name.clone()));
        }
        if before.iter().any(Step::stores_weights) {
            return Err(InvalidRecipe::TooManySteps(
                self.name.clone(),
                self.steps.len(),
            ));
        }
        if let Some(pair) = before.windows(2).find(|pair| !pair[1].may_follow(&pair[0])) {
            return Err(InvalidRecipe::Order {
                first: pair[0].method(),
                then: pair[1].method(),
            });
        }
        self.check_pairs(last)?;
        self.check_calibrations()?;
        self.steps.iter().try_for_each(Step::validate)?;
        match (self.bit_choice(), last.grid()) {
            (Some(choice), Some(grid)) => grid.check_choice(&choice.candidates),
            _ => Ok(()),
        }
    }

    /// Refuses steps that would undo each other, or do nothing.
    fn check_pairs(&self, last: &Step) -> Result<(), InvalidRecipe> {
        let has = |is: fn(&Step) -> bool| self.steps.iter().any(is);
        let merges = has(|step| matches!(step, Step::MergeAdapter { .. }));
        let prunes = has(|step| matches!(step, Step::Prune(_)));
        let learns_from_itself =
            |step: &Step| matches!(step, Step::Distil(distil) if distil.is_own_teacher());
        if self.steps.first().is_some_and(learns_from_itself) {
            return Err(InvalidRecipe::OwnTeacher);
        }
        let stage = self.steps.iter().find(|step| step.is_stage());
        if let (Step::Keep, Some(stage)) = (last, stage) {
            return Err(InvalidRecipe::KeepAfterStage(stage.method()));
        }
        match last {
            Step::Keep if merges => return Err(InvalidRecipe::KeepAfterMerge),
            Step::Keep if prunes => return Err(InvalidRecipe::KeepAfterPrune),
            Step::Gptq(_) if prunes => return Err(InvalidRecipe::GptqAfterPrune),
            _ => {}
        }
        let prepares = |step: &&Step| matches!(step, Step::Awq(_) | Step::ChooseBits(_));
        if let Some(step) = self.steps.iter().find(prepares) {
            if prunes {
                return Err(InvalidRecipe::AfterPrune(step.method()));
            }
            if last.grid().is_none() {
                return Err(InvalidRecipe::NothingRounded(step.method()));
            }
        }
        Ok(())
    }

    /// Refuses two calibrations that differ: a model reads one text. What makes another model has its
    /// own.
    fn check_calibrations(&self) -> Result<(), InvalidRecipe> {
        let is_said = |step: &Step| step.calibration().is_some_and(|one| !is_default(&one));
        let said = |step: &&Step| !step.is_stage() && is_said(step);
        let mut said = self.steps.iter().filter(said);
        let Some(first) = said.next() else {
            return Ok(());
        };
        match said.find(|step| step.calibration() != first.calibration()) {
            None => Ok(()),
            Some(then) => Err(InvalidRecipe::TwoCalibrations {
                first: first.method(),
                then: then.method(),
            }),
        }
    }

    /// The recipe cut after each step that makes another model: every link but the last ends with
    /// such a step, and each reads what the one before it has made. A recipe without such steps is
    /// its only link.
    pub fn links(&self) -> Vec<Self> {
        let link = |steps: &[Step]| Self {
            name: self.name.clone(),
            steps: steps.to_vec(),
        };
        let links = self.steps.split_inclusive(Step::is_stage);
        links.map(link).collect()
    }

    /// The adapter that is merged, if one is.
    pub fn adapter(&self) -> Option<&Digest> {
        self.steps.iter().find_map(|step| match step {
            Step::MergeAdapter { adapter } => Some(adapter),
            _ => None,
        })
    }

    /// The pruning, if there is one.
    pub fn pruning(&self) -> Option<&Prune> {
        self.steps.iter().find_map(|step| match step {
            Step::Prune(prune) => Some(prune),
            _ => None,
        })
    }

    /// The grid of the quantisation, if there is one.
    pub fn grid(&self) -> Option<CodeGrid<'_>> {
        self.steps.last().and_then(Step::grid)
    }

    /// The scaling of channels, if there is one.
    pub fn awq(&self) -> Option<&Awq> {
        self.steps.iter().find_map(|step| match step {
            Step::Awq(awq) => Some(awq),
            _ => None,
        })
    }

    /// The choice of bits, if there is one.
    pub fn bit_choice(&self) -> Option<&ChooseBits> {
        self.steps.iter().find_map(|step| match step {
            Step::ChooseBits(choice) => Some(choice),
            _ => None,
        })
    }

    /// The recipe with more overrides of the step that rounds, after those that it has.
    #[must_use]
    pub fn with_overrides(mut self, more: impl IntoIterator<Item = Override>) -> Self {
        match self.steps.last_mut() {
            Some(Step::Rtn(rtn)) => rtn.overrides.extend(more),
            Some(Step::Gptq(gptq)) => gptq.overrides.extend(more),
            _ => {}
        }
        self
    }

    /// What the inputs of the layers are measured on; `None` for a recipe that looks at weights
    /// only. A step that names no calibration takes that of another. Of a recipe with several
    /// [links](Self::links) it is that of the first step that makes another model.
    pub fn calibration(&self) -> Option<Calibration> {
        if let Some(stage) = self.steps.iter().find(|step| step.is_stage()) {
            return stage.calibration();
        }
        let mut all = self.steps.iter().filter_map(Step::calibration).peekable();
        all.peek()?;
        Some(all.find(|one| !is_default(one)).unwrap_or_default())
    }

    /// The calibrations of all steps, to be completed before work begins.
    pub fn calibrations_mut(&mut self) -> impl Iterator<Item = &mut Calibration> {
        self.steps.iter_mut().filter_map(|step| match step {
            Step::Gptq(gptq) => Some(&mut gptq.calibration),
            Step::Awq(awq) => Some(&mut awq.calibration),
            Step::ChooseBits(choice) => Some(&mut choice.calibration),
            Step::Shrink(shrink) => Some(&mut shrink.calibration),
            Step::Distil(distil) => Some(&mut distil.calibration),
            Step::Prune(prune) => prune.calibration.as_mut(),
            Step::Cast { .. } | Step::MergeAdapter { .. } | Step::Keep | Step::Rtn(_) => None,
        })
    }

    /// The steps that learn from a teacher, to be completed before work begins.
    pub fn distils_mut(&mut self) -> impl Iterator<Item = &mut Distil> {
        self.steps.iter_mut().filter_map(|step| match step {
            Step::Distil(distil) => Some(&mut **distil),
            _ => None,
        })
    }

    /// The usual short label of the number formats: `F16`, `W8A16`, `W4A8`, `F16 2:4`; `F16 shrunk`
    /// for a model with fewer layers, heads or neurons.
    pub fn scheme(&self) -> String {
        let stored = match self.steps.last() {
            Some(Step::Cast {
                to: FloatFormat::F32,
            }) => "F32".to_owned(),
            Some(Step::Cast {
                to: FloatFormat::Bf16,
            }) => "BF16".to_owned(),
            Some(Step::Keep) => "as published".to_owned(),
            Some(step) => match step.grid() {
                Some(grid) => grid.scheme(self.bit_choice().map(ChooseBits::range)),
                None => "F16".to_owned(),
            },
            None => "F16".to_owned(),
        };
        let stored = match self.pruning() {
            Some(prune) => format!("{stored} {}", prune.sparsity),
            None => stored,
        };
        let is_shrunk = |step: &Step| matches!(step, Step::Shrink(_));
        match self.steps.iter().any(is_shrunk) {
            true => format!("{stored} shrunk"),
            false => stored,
        }
    }
}

impl Step {
    /// The word in recipes.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Cast { .. } => "cast",
            Self::MergeAdapter { .. } => "merge_adapter",
            Self::Shrink(_) => "shrink",
            Self::Distil(_) => "distil",
            Self::Keep => "keep",
            Self::Prune(_) => "prune",
            Self::ChooseBits(_) => "choose_bits",
            Self::Awq(_) => "awq",
            Self::Rtn(_) => "rtn",
            Self::Gptq(_) => "gptq",
        }
    }

    fn stores_weights(&self) -> bool {
        match self {
            Self::Cast { .. } | Self::Keep | Self::Rtn(_) | Self::Gptq(_) => true,
            Self::MergeAdapter { .. }
            | Self::Shrink(_)
            | Self::Distil(_)
            | Self::Prune(_)
            | Self::ChooseBits(_)
            | Self::Awq(_) => false,
        }
    }

    /// Whether it makes another model, which the steps after it read.
    pub fn is_stage(&self) -> bool {
        match self {
            Self::Shrink(_) | Self::Distil(_) => true,
            Self::Cast { .. }
            | Self::MergeAdapter { .. }
            | Self::Keep
            | Self::Prune(_)
            | Self::ChooseBits(_)
            | Self::Awq(_)
            | Self::Rtn(_)
            | Self::Gptq(_) => false,
        }
    }

    /// Whether it may stand right after `former`.
    fn may_follow(&self, former: &Self) -> bool {
        let is_repeated_stage = self.is_stage() && former.is_stage();
        is_repeated_stage || former.rank() < self.rank()
    }

    /// Place among the steps before the one that stores the weights.
    fn rank(&self) -> u8 {
        match self {
            Self::MergeAdapter { .. } => 0,
            Self::Shrink(_) | Self::Distil(_) => 1,
            Self::Prune(_) => 2,
            Self::ChooseBits(_) => 3,
            Self::Awq(_) => 4,
            Self::Cast { .. } | Self::Keep | Self::Rtn(_) | Self::Gptq(_) => u8::MAX,
        }
    }

    fn grid(&self) -> Option<CodeGrid<'_>> {
        match self {
            Self::Rtn(rtn) => Some(rtn.grid()),
            Self::Gptq(gptq) => Some(gptq.grid()),
            Self::Cast { .. }
            | Self::MergeAdapter { .. }
            | Self::Shrink(_)
            | Self::Distil(_)
            | Self::Keep
            | Self::Prune(_)
            | Self::ChooseBits(_)
            | Self::Awq(_) => None,
        }
    }

    /// What its measurements are made on, if it makes any.
    fn calibration(&self) -> Option<Calibration> {
        match self {
            Self::Gptq(gptq) => Some(gptq.calibration.clone()),
            Self::Awq(awq) => Some(awq.calibration.clone()),
            Self::ChooseBits(choice) => Some(choice.calibration.clone()),
            Self::Shrink(shrink) => Some(shrink.calibration.clone()),
            Self::Distil(distil) => Some(distil.text()),
            Self::Prune(prune) if prune.by != PruneBy::Magnitude => {
                Some(prune.calibration.clone().unwrap_or_default())
            }
            Self::Prune(_)
            | Self::Cast { .. }
            | Self::MergeAdapter { .. }
            | Self::Keep
            | Self::Rtn(_) => None,
        }
    }

    fn validate(&self) -> Result<(), InvalidRecipe> {
        match self {
            Self::Cast { .. } | Self::MergeAdapter { .. } | Self::Keep => Ok(()),
            Self::Shrink(shrink) => shrink.validate(),
            Self::Distil(distil) => distil.validate(),
            Self::Prune(prune) => prune.validate(),
            Self::ChooseBits(choice) => choice.validate(),
            Self::Awq(awq) => awq.calibration.validate(),
            Self::Rtn(rtn) => rtn.grid().validate(),
            Self::Gptq(gptq) => gptq.validate(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Damping is a small share of the Hessian's mean diagonal.
fn check_damping(damping: f64) -> Result<(), InvalidRecipe> {
    if damping > 0.0 && damping <= 1.0 {
        return Ok(());
    }
    Err(InvalidRecipe::Range {
        key: "damping",
        value: damping.to_string(),
        low: "above 0".to_owned(),
        high: "1".to_owned(),
    })
}

#[cfg(test)]
mod tests;
