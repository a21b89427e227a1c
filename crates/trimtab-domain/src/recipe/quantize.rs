//! Quantisation steps: round to nearest, and GPTQ.

use super::{
    Activations, Calibration, CodeGrid, GroupSize, InvalidRecipe, Override, ScaleSearch, StoredAs,
    is_default,
};
use serde::{Deserialize, Serialize};

/// Round-to-nearest quantisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rtn {
    /// Bits per code of the linear layers in the blocks: 2, 3, 4 or 8.
    pub bits: u8,
    /// Weights that share a scale: a multiple of 64 input channels, `channel` or `tensor`.
    pub group_size: GroupSize,
    /// Whether codes are centred on zero. 8-bit codes always are.
    pub symmetric: bool,
    /// Bits per code of embedding and output head: 8 (one scale per 64 channels) or 16 (f16).
    pub embedding_bits: u8,
    /// What the activations of the linear layers are multiplied in; the head's stay floats.
    pub activations: Activations,
    /// How the ends of a group's grid are chosen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scale_search: ScaleSearch,
    /// How the weights are stored.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stored_as: StoredAs,
    /// Weights that are stored in another way; the first match counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

/// Quantisation that makes up for rounding: column by column, the weights not yet rounded are
/// changed so that the layer's outputs on the calibration text move least.
///
/// Source: Frantar et al. 2022, "GPTQ", <https://arxiv.org/abs/2210.17323>.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gptq {
    /// Bits per code of the linear layers in the blocks: 2, 3, 4 or 8.
    pub bits: u8,
    /// Weights that share a scale: a multiple of 64 input channels, `channel` or `tensor`.
    pub group_size: GroupSize,
    /// Whether codes are centred on zero. 8-bit codes always are.
    pub symmetric: bool,
    /// Bits per code of embedding and output head: 8 (one scale per 64 channels) or 16 (f16).
    /// Both are rounded to nearest.
    pub embedding_bits: u8,
    /// What the activations of the linear layers are multiplied in; the head's stay floats.
    pub activations: Activations,
    /// How the ends of a group's grid are chosen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scale_search: ScaleSearch,
    /// How the weights are stored.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stored_as: StoredAs,
    /// Weights that are stored in another way; the first match counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// Whether channels with the largest inputs are rounded first. Groups keep their channels.
    #[serde(default, skip_serializing_if = "is_default")]
    pub act_order: bool,
    /// Whether layers of a block see the inputs that those before them leave once compressed;
    /// else all see the inputs of the uncompressed block.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub true_sequential: bool,
    /// What is added to the diagonal of the Hessian, as a share of its mean. Where that is not
    /// enough to solve with, it is raised, which the report of the layer says.
    #[serde(default = "damping")]
    pub damping: f64,
    /// The text that inputs are measured on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub calibration: Calibration,
}

fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_yes(value: &bool) -> bool {
    *value
}

fn damping() -> f64 {
    Gptq::DAMPING
}

impl Rtn {
    /// Plain rounding with the embedding in 8 bits and float activations.
    pub fn new(bits: u8, group_size: impl Into<GroupSize>, symmetric: bool) -> Self {
        Self {
            bits,
            group_size: group_size.into(),
            symmetric,
            embedding_bits: 8,
            activations: Activations::Float,
            scale_search: ScaleSearch::MinMax,
            stored_as: StoredAs::Codes,
            overrides: Vec::new(),
        }
    }

    /// What its codes look like.
    pub fn grid(&self) -> CodeGrid<'_> {
        CodeGrid {
            bits: self.bits,
            group_size: self.group_size,
            symmetric: self.symmetric,
            embedding_bits: self.embedding_bits,
            activations: self.activations,
            scale_search: self.scale_search,
            stored_as: self.stored_as,
            overrides: &self.overrides,
        }
    }
}

impl Gptq {
    /// The grid of [`Rtn::new`], found on the default calibration text.
    pub fn new(bits: u8, group_size: impl Into<GroupSize>, symmetric: bool) -> Self {
        Self {
            bits,
            group_size: group_size.into(),
            symmetric,
            embedding_bits: 8,
            activations: Activations::Float,
            scale_search: ScaleSearch::MinMax,
            stored_as: StoredAs::Codes,
            overrides: Vec::new(),
            act_order: false,
            true_sequential: true,
            damping: Self::DAMPING,
            calibration: Calibration::default(),
        }
    }

    /// Damping where none is given.
    pub const DAMPING: f64 = 0.01;

    /// What its codes look like.
    pub fn grid(&self) -> CodeGrid<'_> {
        CodeGrid {
            bits: self.bits,
            group_size: self.group_size,
            symmetric: self.symmetric,
            embedding_bits: self.embedding_bits,
            activations: self.activations,
            scale_search: self.scale_search,
            stored_as: self.stored_as,
            overrides: &self.overrides,
        }
    }

    pub(super) fn validate(&self) -> Result<(), InvalidRecipe> {
        self.grid().validate()?;
        super::check_damping(self.damping)?;
        self.calibration.validate()
    }
}

impl CodeGrid<'_> {
    /// The usual short label: `W4A16`, `W4A8`; `W3-8A16` for widths that are chosen, `W3 in F16` for
    /// codes that are not stored as such.
    pub(super) fn scheme(&self, chosen: Option<(u8, u8)>) -> String {
        let bits = match chosen {
            Some((low, high)) => format!("{low}-{high}"),
            None => self.bits.to_string(),
        };
        match (self.stored_as, self.activations) {
            (StoredAs::F16, _) => format!("W{bits} in F16"),
            (StoredAs::Codes, Activations::Float) => format!("W{bits}A16"),
            (StoredAs::Codes, Activations::Int8) => format!("W{bits}A8"),
        }
    }
}
