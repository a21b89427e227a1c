//! Shrinking: whole layers, heads and neurons go, and a smaller dense model is left.

use super::{Calibration, InvalidRecipe, is_default};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Takes out what matters least on the calibration text; at least one of `layers`, `heads` and
/// `neurons` is given. Every layer keeps as many heads and neurons, so that the result is an
/// ordinary checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shrink {
    /// Whole layers that go, those that change the residual stream least first.
    ///
    /// Source: Men et al. 2024, "`ShortGPT`", <https://arxiv.org/abs/2403.03853>.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<LayerCount>,
    /// Share of key and value heads that go, each with the query heads that read it.
    ///
    /// Source: Ma et al. 2023, "LLM-Pruner", <https://arxiv.org/abs/2305.11627>, section 3.1, on
    /// which weights go together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<f64>,
    /// Share of the MLP's hidden channels that go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neurons: Option<f64>,
    /// The text that importance is measured on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub calibration: Calibration,
}

/// How many layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerCount {
    /// So many.
    Number(u32),
    /// This share of them, to the nearest whole layer.
    Share(f64),
}

impl fmt::Display for LayerCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Share(share) => write!(f, "{share}"),
        }
    }
}

impl Serialize for LayerCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(n) => serializer.serialize_u32(*n),
            Self::Share(share) => serializer.serialize_f64(*share),
        }
    }
}

impl<'de> Deserialize<'de> for LayerCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = LayerCount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of layers such as 8, or a share such as 0.25")
            }
            fn visit_f64<E: de::Error>(self, share: f64) -> Result<LayerCount, E> {
                Ok(LayerCount::Share(share))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<LayerCount, E> {
                let n = u32::try_from(n);
                n.map(LayerCount::Number)
                    .map_err(|_| E::custom("`layers` is more than any model has"))
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<LayerCount, E> {
                let n = u32::try_from(n);
                n.map(LayerCount::Number)
                    .map_err(|_| E::custom(format!("`layers` {n:?} is not a number of layers")))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Shrink {
    pub(super) fn validate(&self) -> Result<(), InvalidRecipe> {
        if self.layers.is_none() && self.heads.is_none() && self.neurons.is_none() {
            return Err(InvalidRecipe::NothingToShrink);
        }
        let share = |key, share: f64| match share > 0.0 && share < 1.0 {
            true => Ok(()),
            false => Err(InvalidRecipe::ShrinkShare {
                key,
                value: share.to_string(),
            }),
        };
        match self.layers {
            Some(LayerCount::Number(0)) => return Err(InvalidRecipe::NoLayers),
            Some(LayerCount::Share(layers)) => share("layers", layers)?,
            Some(LayerCount::Number(_)) | None => {}
        }
        share("heads", self.heads.unwrap_or(0.5))?;
        share("neurons", self.neurons.unwrap_or(0.5))?;
        self.calibration.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shrink(json: &str) -> Result<(), String> {
        let step: Shrink = serde_json::from_str(json).map_err(|error| error.to_string())?;
        step.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn layers_are_a_number_or_a_share() {
        let read = |json: &str| serde_json::from_str::<LayerCount>(json);
        assert_eq!(read("8").unwrap(), LayerCount::Number(8));
        assert_eq!(read("0.25").unwrap(), LayerCount::Share(0.25));
        for bad in ["-1", "\"some\"", "5000000000", "null"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let write = |count: LayerCount| serde_json::to_string(&count).unwrap();
        assert_eq!(write(LayerCount::Number(8)), "8");
        assert_eq!(write(LayerCount::Share(0.25)), "0.25");
    }

    #[test]
    fn wishes_that_leave_all_or_nothing_are_refused_by_name() {
        assert_eq!(shrink(r#"{"layers":3}"#), Ok(()));
        assert_eq!(
            shrink(r#"{"layers":0.3,"heads":0.3,"neurons":0.3}"#),
            Ok(())
        );
        for (bad, key) in [
            ("{}", "nothing"),
            (r#"{"layers":0}"#, "`layers`"),
            (r#"{"layers":1.0}"#, "`layers`"),
            (r#"{"heads":1.0}"#, "`heads`"),
            (r#"{"heads":0}"#, "`heads`"),
            (r#"{"neurons":-0.5}"#, "`neurons`"),
            (r#"{"neurons":0.5,"rows":1}"#, "`rows`"),
        ] {
            let refused = shrink(bad).unwrap_err();
            assert!(refused.contains(key), "{bad}: {refused}");
        }
    }
}
