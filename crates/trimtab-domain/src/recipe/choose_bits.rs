//! Mixed precision: how many bits each module gets, by what rounding it does to the answers.

use super::{Calibration, CodeGrid, InvalidRecipe, is_default};
use crate::Bytes;
use serde::{Deserialize, Serialize};

/// Rounds one module after the other to each of some bit widths, measures how far the distribution
/// of the next token moves (Kullback–Leibler divergence), and gives every module the width with
/// which all together move it least within a budget. Weights that are multiplied as one are one
/// module. The widths become overrides of the step that rounds; overrides that it already has stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChooseBits {
    /// Bits per weight that the linear layers in the blocks may take on average, scales and zero
    /// points included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_bits: Option<f64>,
    /// Bytes that the variant's file may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_bytes: Option<Bytes>,
    /// Bit widths to choose from.
    #[serde(default = "candidates")]
    pub candidates: Vec<u8>,
    /// The text whose first sequences the divergence is measured on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub calibration: Calibration,
}

fn candidates() -> Vec<u8> {
    ChooseBits::CANDIDATES.to_vec()
}

impl ChooseBits {
    /// Bit widths to choose from where none are named.
    pub const CANDIDATES: [u8; 3] = [3, 4, 8];

    /// A choice of the usual widths within so many bits per weight.
    pub fn within_bits(budget_bits: f64) -> Self {
        Self {
            budget_bits: Some(budget_bits),
            budget_bytes: None,
            candidates: candidates(),
            calibration: Calibration::default(),
        }
    }

    pub(super) fn validate(&self) -> Result<(), InvalidRecipe> {
        match (self.budget_bits, self.budget_bytes) {
            (Some(bits), None) if !(2.0..=16.0).contains(&bits) => {
                return Err(InvalidRecipe::Range {
                    key: "budget_bits",
                    value: bits.to_string(),
                    low: "2".to_owned(),
                    high: "16".to_owned(),
                });
            }
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) | (Some(_), Some(_)) => return Err(InvalidRecipe::Budget),
        }
        let mut candidates = self.candidates.clone();
        candidates.sort_unstable();
        candidates.dedup();
        let is_offered = |bits: &u8| CodeGrid::BITS.contains(bits);
        let is_each_once = candidates.len() == self.candidates.len();
        if !is_each_once || candidates.len() < 2 || !candidates.iter().all(is_offered) {
            return Err(InvalidRecipe::Candidates(format!("{:?}", self.candidates)));
        }
        self.calibration.validate()
    }

    /// The least and the largest width.
    pub fn range(&self) -> (u8, u8) {
        let widths = || self.candidates.iter().copied();
        (
            widths().min().unwrap_or_default(),
            widths().max().unwrap_or_default(),
        )
    }
}
