//! Pruning: which weights become zeros.

use super::{Calibration, InvalidRecipe};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Sets weights of the linear layers in the blocks to zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    /// How the weights are chosen.
    pub by: PruneBy,
    /// How many are taken: a share such as 0.5, or a pattern such as `2:4`.
    pub sparsity: Sparsity,
    /// What is added to the diagonal of the Hessian, as a share of its mean; `sparsegpt` only
    /// [default: 0.01].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damping: Option<f64>,
    /// The text that inputs are measured on; not for `magnitude`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

/// How weights to prune are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PruneBy {
    /// The smallest of a matrix go.
    Magnitude,
    /// The smallest of a row go, each times the norm of its input.
    /// Source: Sun et al. 2023, <https://arxiv.org/abs/2306.11695>.
    Wanda,
    /// Those whose loss the others can best make up for go, and the others do.
    /// Source: Frantar & Alistarh 2023, <https://arxiv.org/abs/2301.00774>.
    #[serde(rename = "sparsegpt")]
    SparseGpt,
}

impl PruneBy {
    /// The word in recipes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Magnitude => "magnitude",
            Self::Wanda => "wanda",
            Self::SparseGpt => "sparsegpt",
        }
    }
}

/// How many weights are zeros.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sparsity {
    /// This share of them, wherever they are.
    Share(f64),
    /// `n` of every `m` consecutive input channels.
    Pattern {
        /// Zeros.
        n: u32,
        /// Channels.
        m: u32,
    },
}

impl fmt::Display for Sparsity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{} %", share * 100.0),
            Self::Pattern { n, m } => write!(f, "{n}:{m}"),
        }
    }
}

impl Serialize for Sparsity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Share(share) => serializer.serialize_f64(*share),
            Self::Pattern { .. } => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Sparsity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Sparsity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share such as 0.5, or a pattern such as `2:4`")
            }
            fn visit_f64<E: de::Error>(self, share: f64) -> Result<Sparsity, E> {
                Ok(Sparsity::Share(share))
            }
            fn visit_u64<E: de::Error>(self, share: u64) -> Result<Sparsity, E> {
                Ok(Sparsity::Share(share as f64))
            }
            fn visit_i64<E: de::Error>(self, share: i64) -> Result<Sparsity, E> {
                Ok(Sparsity::Share(share as f64))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Sparsity, E> {
                let pattern = text.split_once(':').and_then(|(n, m)| {
                    let (n, m) = (n.parse().ok()?, m.parse().ok()?);
                    Some(Sparsity::Pattern { n, m })
                });
                pattern.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Prune {
    /// Damping of `sparsegpt` where none is given.
    pub const DAMPING: f64 = 0.01;

    /// Channels of a pattern, at most.
    const LONGEST_PATTERN: u32 = 64;

    pub(super) fn validate(&self) -> Result<(), InvalidRecipe> {
        match self.sparsity {
            Sparsity::Share(share) if !(share > 0.0 && share < 1.0) => {
                return Err(InvalidRecipe::Sparsity(share.to_string()));
            }
            Sparsity::Pattern { n, m } if !(1..m).contains(&n) || m > Self::LONGEST_PATTERN => {
                return Err(InvalidRecipe::Pattern { n, m });
            }
            Sparsity::Share(_) | Sparsity::Pattern { .. } => {}
        }
        if self.by != PruneBy::SparseGpt && self.damping.is_some() {
            return Err(self.unused("damping"));
        }
        if self.by == PruneBy::Magnitude && self.calibration.is_some() {
            return Err(self.unused("calibration"));
        }
        super::check_damping(self.damping.unwrap_or(Self::DAMPING))?;
        match &self.calibration {
            Some(calibration) => calibration.validate(),
            None => Ok(()),
        }
    }

    fn unused(&self, key: &'static str) -> InvalidRecipe {
        InvalidRecipe::Unused {
            key,
            by: self.by.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prune(json: &str) -> Result<(), String> {
        let step: Prune = serde_json::from_str(json).map_err(|error| error.to_string())?;
        step.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn a_sparsity_is_a_share_or_a_pattern_within_its_bounds() {
        assert_eq!(prune(r#"{"by":"wanda","sparsity":0.5}"#), Ok(()));
        assert_eq!(prune(r#"{"by":"wanda","sparsity":"2:4"}"#), Ok(()));
        for bad in [
            "1.0", "0", "-0.5", "\"5:4\"", "\"0:4\"", "\"4:4\"", "\"half\"",
        ] {
            let refused = prune(&format!(r#"{{"by":"magnitude","sparsity":{bad}}}"#)).unwrap_err();
            let named = refused.contains("sparsity") || refused.contains("pattern");
            assert!(named, "{bad}: {refused}");
        }
    }

    #[test]
    fn options_that_a_method_would_not_use_are_refused_by_name() {
        let refused = prune(r#"{"by":"wanda","sparsity":0.5,"damping":0.1}"#).unwrap_err();
        assert_eq!(refused, "`damping` is not used by `wanda`; leave it out");
        let refused = prune(r#"{"by":"magnitude","sparsity":0.5,"calibration":{}}"#).unwrap_err();
        assert_eq!(
            refused,
            "`calibration` is not used by `magnitude`; leave it out"
        );
    }
}
