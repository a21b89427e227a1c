//! Activation-aware scaling, which prepares weights for rounding.

use super::{Calibration, is_default};
use serde::{Deserialize, Serialize};

/// Multiplies input channels that carry large activations, so that rounding takes less from them,
/// and divides what makes these inputs by the same: the model computes what it did, and is rounded
/// better. Layers that read one input are scaled as one, by the exponent of the mean activation that
/// hurts their outputs least.
///
/// Source: Lin et al. 2023, "AWQ", <https://arxiv.org/abs/2306.00978>, section 3.2.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Awq {
    /// The text that inputs are measured on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub calibration: Calibration,
}
