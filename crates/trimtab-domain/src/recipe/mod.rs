//! Recipes: ordered compression steps with their parameters, and the presets that ship.

mod calibration;
mod codes;
mod distil;
mod invalid;
mod presets;
mod prune;
mod quantize;
mod shrink;

pub use calibration::{Calibration, CalibrationForm, CalibrationSource, CalibrationText};
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
        self.steps.iter().try_for_each(Step::validate)
    }

    /// Refuses steps that would undo each other.
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
            Step::Keep if merges => Err(InvalidRecipe::KeepAfterMerge),
            Step::Keep if prunes => Err(InvalidRecipe::KeepAfterPrune),
            Step::Gptq(_) if prunes => Err(InvalidRecipe::GptqAfterPrune),
            _ => Ok(()),
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

    /// What the inputs of the layers are measured on; `None` for a recipe that looks at weights only.
    /// Of a recipe with several [links](Self::links) it is that of the first step that has one.
    pub fn calibration(&self) -> Option<Calibration> {
        self.steps.iter().find_map(|step| match step {
            Step::Gptq(gptq) => Some(gptq.calibration.clone()),
            Step::Shrink(shrink) => Some(shrink.calibration.clone()),
            Step::Distil(distil) => Some(distil.text()),
            Step::Prune(prune) if prune.by != PruneBy::Magnitude => {
                Some(prune.calibration.clone().unwrap_or_default())
            }
            _ => None,
        })
    }

    /// The calibrations of all steps, to be completed before work begins.
    pub fn calibrations_mut(&mut self) -> impl Iterator<Item = &mut Calibration> {
        self.steps.iter_mut().filter_map(|step| match step {
            Step::Gptq(gptq) => Some(&mut gptq.calibration),
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
            Some(step) => step.grid().map_or("F16".to_owned(), |grid| grid.scheme()),
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
            Self::Rtn(_) => "rtn",
            Self::Gptq(_) => "gptq",
        }
    }

    fn stores_weights(&self) -> bool {
        match self {
            Self::Cast { .. } | Self::Keep | Self::Rtn(_) | Self::Gptq(_) => true,
            Self::MergeAdapter { .. } | Self::Shrink(_) | Self::Distil(_) | Self::Prune(_) => false,
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
            | Self::Prune(_) => None,
        }
    }

    fn validate(&self) -> Result<(), InvalidRecipe> {
        match self {
            Self::Cast { .. } | Self::MergeAdapter { .. } | Self::Keep => Ok(()),
            Self::Shrink(shrink) => shrink.validate(),
            Self::Distil(distil) => distil.validate(),
            Self::Prune(prune) => prune.validate(),
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
