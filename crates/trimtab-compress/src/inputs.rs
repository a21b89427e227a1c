//! What a recipe wants to know of a layer's inputs, and how it is summed up while the model runs.

use crate::layer::{
    ColumnOrder, FactorOptions, Hessian, HessianSum, InputStats, InputStatsSum, InverseFactor,
    LayerError,
};
use burn::tensor::Tensor;
use std::sync::{Mutex, PoisonError};
use trimtab_domain::{Prune, PruneBy, Recipe, Step};
use trimtab_models::decoder::Listen;

/// What was measured of the inputs of a linear layer.
pub(crate) struct Inputs {
    /// Means over all tokens.
    pub(crate) stats: InputStats,
    /// Second moments, where they were asked for as they are.
    pub(crate) hessian: Option<Hessian>,
    /// What weights make up for each other with, where a step asks for it.
    pub(crate) factor: Option<InverseFactor>,
}

/// What a recipe wants to know of a layer's inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Evidence {
    /// Their norms.
    Norms,
    /// Their second moments.
    Products,
    /// Their second moments, and how to solve with them.
    Moments(FactorOptions),
}

impl Evidence {
    /// `None` for a recipe that looks at weights only.
    pub(crate) fn of(recipe: &Recipe) -> Option<Self> {
        let moments = |order, damping_ratio| {
            Self::Moments(FactorOptions {
                order,
                damping_ratio,
            })
        };
        if let Some(Step::Gptq(gptq)) = recipe.steps.last() {
            let order = match gptq.act_order {
                true => ColumnOrder::Activation,
                false => ColumnOrder::Stored,
            };
            return Some(moments(order, gptq.damping));
        }
        let prune = recipe.pruning()?;
        match prune.by {
            PruneBy::Magnitude => None,
            PruneBy::Wanda => Some(Self::Norms),
            PruneBy::SparseGpt => {
                let damping = prune.damping.unwrap_or(Prune::DAMPING);
                Some(moments(ColumnOrder::Stored, damping))
            }
        }
    }
}

/// Sums up what a linear layer sees.
#[derive(Debug)]
pub(crate) struct Tap {
    sum: Mutex<TapSum>,
}

struct TapSum {
    sum: Sum,
    n_tokens: usize,
    failure: Option<LayerError>,
}

enum Sum {
    Norms(InputStatsSum),
    Moments(HessianSum),
}

impl std::fmt::Debug for TapSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TapSum")
            .field("n_tokens", &self.n_tokens)
            .finish_non_exhaustive()
    }
}

impl Listen for Tap {
    fn hear(&self, x: &Tensor<3>) {
        let mut tap = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        if tap.failure.is_some() {
            return;
        }
        let values: Vec<f32> = x
            .to_data()
            .try_into_vec()
            .expect("the model computes in f32");
        tap.n_tokens += x.dims()[1];
        let added = match &mut tap.sum {
            Sum::Norms(sum) => sum.add(&values),
            Sum::Moments(sum) => sum.add(&values),
        };
        tap.failure = added.err();
    }
}

impl Tap {
    pub(crate) fn new(evidence: Evidence, d_in: usize) -> Result<Self, LayerError> {
        let sum = match evidence {
            Evidence::Norms => Sum::Norms(InputStatsSum::new(d_in)?),
            Evidence::Products | Evidence::Moments(_) => Sum::Moments(HessianSum::new(d_in)?),
        };
        Ok(Self {
            sum: Mutex::new(TapSum {
                sum,
                n_tokens: 0,
                failure: None,
            }),
        })
    }

    /// What was seen; `None` if no token came by.
    pub(crate) fn finish(self, evidence: Evidence) -> Result<Option<Inputs>, LayerError> {
        let tap = self.sum.into_inner();
        let tap = tap.unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = tap.failure {
            return Err(failure);
        }
        if tap.n_tokens == 0 {
            return Ok(None);
        }
        Ok(Some(match (tap.sum, evidence) {
            (Sum::Norms(sum), _) => Inputs {
                stats: sum.finish()?,
                hessian: None,
                factor: None,
            },
            (Sum::Moments(sum), evidence) => {
                let (hessian, stats) = sum.finish()?;
                let factor = match evidence {
                    Evidence::Moments(options) => Some(InverseFactor::new(&hessian, options)?),
                    Evidence::Norms | Evidence::Products => None,
                };
                let is_asked_for = evidence == Evidence::Products;
                Inputs {
                    stats,
                    hessian: is_asked_for.then_some(hessian),
                    factor,
                }
            }
        }))
    }
}
