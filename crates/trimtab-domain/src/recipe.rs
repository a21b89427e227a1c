//! Recipes: ordered compression steps with their parameters, and the presets that ship.

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
    /// Comes before the step that stores the weights.
    MergeAdapter {
        /// Digest of the adapter's folder.
        adapter: Digest,
    },
    /// Keeps the codes of a quantised checkpoint; what is not stored as codes that the kernels
    /// read exactly becomes 16-bit floats, which the report of the layer shows.
    Keep,
    /// Round-to-nearest quantisation of the linear layers.
    Rtn {
        /// Bits per code of the linear layers in the blocks: 8 or 4.
        bits: u8,
        /// Input channels that share a scale; a multiple of 64.
        group_size: u32,
        /// Whether codes are centred on zero. 8-bit codes always are.
        symmetric: bool,
        /// Bits per code of embedding and output head: 8 (one scale per 64 channels) or 16 (f16).
        embedding_bits: u8,
        /// What the activations of the linear layers are multiplied in; the head's stay floats.
        activations: Activations,
    },
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

/// Format of the activations inside matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activations {
    /// Floats: only the weights are quantised (`W4A16` and the like). For products with codes a
    /// processor rounds them to 16 bits in blocks of 64 channels.
    Float,
    /// Quantised to 8 bits per token and 64 channels: faster, slightly less exact (`W4A8`).
    Int8,
}

/// Why a recipe cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecipe {
    /// Nothing to do.
    #[error("recipe `{0}` has no steps")]
    NoSteps(String),
    /// More steps than can be chained.
    #[error("recipe `{0}` has {1} steps; one step stores the weights, after at most one adapter")]
    TooManySteps(String, usize),
    /// No step says how weights are stored.
    #[error(
        "recipe `{0}` does not say how the weights are stored; end it with a cast or a quantisation"
    )]
    NoFormat(String),
    /// Codes cannot be kept once an adapter changed the weights.
    #[error("codes cannot be kept after an adapter was merged; quantise again")]
    KeepAfterMerge,
    /// A bit width without a kernel.
    #[error("{0} bits are not supported; use 8 or 4")]
    Bits(u8),
    /// A group size that the kernels cannot read.
    #[error("group size {0} is not a multiple of 64 between 64 and 4096")]
    GroupSize(u32),
    /// An option that the step would not use.
    #[error("8-bit codes are always symmetric; set `symmetric = true`")]
    AsymmetricInt8,
    /// A bit width of the embedding without a kernel.
    #[error("{0} bits are not supported for the embedding; use 8 or 16")]
    EmbeddingBits(u8),
}

impl Recipe {
    /// The recipe of a preset, `None` for an unknown name.
    pub fn preset(name: &str) -> Option<Self> {
        let step = match name {
            "f32" => Step::Cast {
                to: FloatFormat::F32,
            },
            "f16" => Step::Cast {
                to: FloatFormat::F16,
            },
            "bf16" => Step::Cast {
                to: FloatFormat::Bf16,
            },
            "int8" => Step::Rtn {
                bits: 8,
                group_size: 64,
                symmetric: true,
                embedding_bits: 8,
                activations: Activations::Float,
            },
            "int4" => Step::Rtn {
                bits: 4,
                group_size: 64,
                symmetric: false,
                embedding_bits: 8,
                activations: Activations::Int8,
            },
            "keep" => Step::Keep,
            _ => return None,
        };
        Some(Self {
            name: name.into(),
            steps: vec![step],
        })
    }

    /// Names of all presets, with a sentence for people who are not experts.
    pub fn presets() -> [(&'static str, &'static str); 5] {
        [
            (
                "f32",
                "Full 32-bit weights: the largest and slowest, for checking numbers.",
            ),
            (
                "f16",
                "16-bit weights: the base that others are compared with.",
            ),
            (
                "bf16",
                "16-bit weights of the other kind: a checkpoint published in bf16, as most are, \
                 keeps its numbers exactly.",
            ),
            (
                "int8",
                "8-bit weights, rounded to nearest: about half the size of f16.",
            ),
            (
                "int4",
                "4-bit weights and 8-bit activations (W4A8), rounded to nearest: \
                 2.6 to 3.1 times smaller than f16, fastest, loses the most.",
            ),
        ]
    }

    /// Checks that every step can be carried out and every option is used.
    pub fn validate(&self) -> Result<(), InvalidRecipe> {
        match self.steps.as_slice() {
            [] => Err(InvalidRecipe::NoSteps(self.name.clone())),
            [.., Step::MergeAdapter { .. }] => Err(InvalidRecipe::NoFormat(self.name.clone())),
            [Step::MergeAdapter { .. }, Step::Keep] => Err(InvalidRecipe::KeepAfterMerge),
            [step] | [Step::MergeAdapter { .. }, step] => step.validate(),
            more => Err(InvalidRecipe::TooManySteps(self.name.clone(), more.len())),
        }
    }

    /// The adapter that is merged, if one is.
    pub fn adapter(&self) -> Option<&Digest> {
        self.steps.iter().find_map(|step| match step {
            Step::MergeAdapter { adapter } => Some(adapter),
            Step::Cast { .. } | Step::Keep | Step::Rtn { .. } => None,
        })
    }

    /// The usual short label of the number formats: `F16`, `W8A16`, `W4A8`.
    pub fn scheme(&self) -> String {
        match self.steps.last() {
            Some(Step::Cast {
                to: FloatFormat::F32,
            }) => "F32".into(),
            Some(
                Step::Cast {
                    to: FloatFormat::F16,
                }
                | Step::MergeAdapter { .. },
            )
            | None => "F16".into(),
            Some(Step::Cast {
                to: FloatFormat::Bf16,
            }) => "BF16".into(),
            Some(Step::Keep) => "as published".into(),
            Some(Step::Rtn {
                bits, activations, ..
            }) => match activations {
                Activations::Float => format!("W{bits}A16"),
                Activations::Int8 => format!("W{bits}A8"),
            },
        }
    }
}

impl Step {
    fn validate(&self) -> Result<(), InvalidRecipe> {
        let &Self::Rtn {
            bits,
            group_size,
            symmetric,
            embedding_bits,
            ..
        } = self
        else {
            return Ok(());
        };
        if ![4, 8].contains(&bits) {
            return Err(InvalidRecipe::Bits(bits));
        }
        if !(64..=4096).contains(&group_size) || group_size % 64 != 0 {
            return Err(InvalidRecipe::GroupSize(group_size));
        }
        if bits == 8 && !symmetric {
            return Err(InvalidRecipe::AsymmetricInt8);
        }
        if ![8, 16].contains(&embedding_bits) {
            return Err(InvalidRecipe::EmbeddingBits(embedding_bits));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_says_its_scheme() {
        let schemes: Vec<String> = Recipe::presets()
            .iter()
            .map(|(name, _)| {
                let recipe = Recipe::preset(name).unwrap();
                recipe.validate().unwrap();
                recipe.scheme()
            })
            .collect();
        assert_eq!(schemes, ["F32", "F16", "BF16", "W8A16", "W4A8"]);
    }

    #[test]
    fn rejects_what_no_kernel_can_read() {
        let rtn = |bits, group_size, symmetric| Recipe {
            name: "x".into(),
            steps: vec![Step::Rtn {
                bits,
                group_size,
                symmetric,
                embedding_bits: 8,
                activations: Activations::Float,
            }],
        };
        assert_eq!(rtn(5, 64, false).validate(), Err(InvalidRecipe::Bits(5)));
        assert_eq!(
            rtn(4, 0, false).validate(),
            Err(InvalidRecipe::GroupSize(0))
        );
        assert_eq!(
            rtn(4, 96, false).validate(),
            Err(InvalidRecipe::GroupSize(96))
        );
        assert_eq!(
            rtn(8, 64, false).validate(),
            Err(InvalidRecipe::AsymmetricInt8)
        );
    }

    #[test]
    fn an_adapter_comes_before_the_step_that_stores_the_weights() {
        let merge = || Step::MergeAdapter {
            adapter: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
                .parse()
                .unwrap(),
        };
        let of = |steps: Vec<Step>| Recipe {
            name: "x".into(),
            steps,
        };
        let int8 = || Recipe::preset("int8").unwrap().steps.remove(0);
        assert_eq!(of(vec![merge(), int8()]).validate(), Ok(()));
        assert_eq!(
            of(vec![merge()]).validate(),
            Err(InvalidRecipe::NoFormat("x".into()))
        );
        let kept = of(vec![merge(), Step::Keep]);
        assert_eq!(kept.validate(), Err(InvalidRecipe::KeepAfterMerge));
        let twice = of(vec![merge(), merge(), int8()]);
        assert_eq!(
            twice.validate(),
            Err(InvalidRecipe::TooManySteps("x".into(), 3))
        );
    }

    #[test]
    fn unknown_keys_are_errors() {
        let json = r#"{"name":"x","steps":[{"method":"cast","to":"f16","colour":"red"}]}"#;
        assert!(serde_json::from_str::<Recipe>(json).is_err());
    }
}
