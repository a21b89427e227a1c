//! How long measuring speed by context and batch takes, foreseen from what was measured before.

use crate::VariantName;
use serde::{Deserialize, Serialize};

/// How long the speeds of a run's variants take to measure, beside their answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpeedForecast {
    /// One entry a variant, in the order of the run.
    pub variants: Vec<VariantSpeedForecast>,
}

/// How long the speed of one variant takes to measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantSpeedForecast {
    /// The variant.
    pub variant: VariantName,
    /// Expected minutes; absent where nothing is known.
    pub minutes: Option<f64>,
    /// What that is known from.
    pub basis: SpeedBasis,
}

/// What a forecast of speed is made from: results of the same device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SpeedBasis {
    /// Speed by context and batch.
    Matrix {
        /// Of this variant, of the same model.
        of: VariantName,
    },
    /// Speed of one sequence at one short context, taken to be the same at every context and of every
    /// sequence, though that is not known.
    OneContext {
        /// Of this variant, of the same model.
        of: VariantName,
        /// Tokens of the context.
        n_tokens: u32,
    },
    /// No variant of the model was measured.
    Nothing,
}

impl SpeedForecast {
    /// Minutes of all variants together; `None` unless each is known.
    pub fn minutes(&self) -> Option<f64> {
        self.variants.iter().map(|variant| variant.minutes).sum()
    }

    /// The forecast in a sentence, with what it does not know.
    pub fn in_words(&self) -> String {
        let known: Vec<f64> = self.variants.iter().filter_map(|it| it.minutes).collect();
        if known.is_empty() {
            return "How long measuring speed by context and batch takes is not known: no variant of \
                    these models was measured on this device."
                .to_owned();
        }
        let minutes = known.iter().sum::<f64>();
        let minutes = match minutes {
            less if less < 1.0 => "less than a minute".to_owned(),
            _ => format!("about {minutes:.0} min"),
        };
        let known = format!("Measuring speed by context and batch takes {minutes} more");
        let unknown = self.names(|it| it.minutes.is_none()).map(|names| {
            format!(
                ", and for {names} a time that is not known, since no variant of the model was \
                 measured on this device"
            )
        });
        let borrowed = self.names(|it| match &it.basis {
            SpeedBasis::Matrix { of } | SpeedBasis::OneContext { of, .. } => *of != it.variant,
            SpeedBasis::Nothing => false,
        });
        let borrowed = borrowed
            .map(|names| format!("; {names} counted as fast as another variant of the model"));
        let n_tokens = self.variants.iter().find_map(|it| match it.basis {
            SpeedBasis::OneContext { n_tokens, .. } => Some(n_tokens),
            SpeedBasis::Matrix { .. } | SpeedBasis::Nothing => None,
        });
        let one_context = self.names(|it| matches!(it.basis, SpeedBasis::OneContext { .. }));
        let one_context = one_context.zip(n_tokens).map(|(names, n_tokens)| {
            format!(
                "; for {names} speed with long contexts and several sequences is not known, and taken \
                 to be that of one sequence of about {n_tokens} tokens"
            )
        });
        let parts = [unknown, borrowed, one_context].into_iter().flatten();
        format!("{known}{}.", parts.collect::<String>())
    }

    /// Names of the variants that something holds of; `None` if there are none.
    fn names(&self, holds: fn(&VariantSpeedForecast) -> bool) -> Option<String> {
        let found = self.variants.iter().filter(|variant| holds(variant));
        let names: Vec<&str> = found.map(|found| found.variant.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> VariantName {
        text.parse().unwrap()
    }

    fn forecast(variants: &[(&str, Option<f64>, SpeedBasis)]) -> SpeedForecast {
        let variants = variants.iter().cloned();
        SpeedForecast {
            variants: variants
                .map(|(variant, minutes, basis)| VariantSpeedForecast {
                    variant: name(variant),
                    minutes,
                    basis,
                })
                .collect(),
        }
    }

    #[test]
    fn what_is_not_known_is_said() {
        let matrix = |of: &str| SpeedBasis::Matrix { of: name(of) };
        let one = |of: &str| SpeedBasis::OneContext {
            of: name(of),
            n_tokens: 320,
        };
        let known = [
            ("m:f16", Some(4.6), matrix("m:f16")),
            ("m:a", Some(2.8), matrix("m:a")),
        ];
        assert_eq!(
            forecast(&known).in_words(),
            "Measuring speed by context and batch takes about 7 min more."
        );
        assert!((forecast(&known).minutes().unwrap() - 7.4).abs() < 1e-9);

        let mixed = forecast(&[
            ("m:f16", Some(4.6), one("m:f16")),
            ("m:int8", Some(3.0), one("m:f16")),
            ("n:f16", None, SpeedBasis::Nothing),
        ]);
        assert_eq!(mixed.minutes(), None);
        assert_eq!(
            mixed.in_words(),
            "Measuring speed by context and batch takes about 8 min more, and for n:f16 a time that \
             is not known, since no variant of the model was measured on this device; m:int8 counted \
             as fast as another variant of the model; for m:f16, m:int8 speed with long contexts and \
             several sequences is not known, and taken to be that of one sequence of about 320 tokens."
        );
        let nothing = forecast(&[("n:f16", None, SpeedBasis::Nothing)]);
        assert!(nothing.in_words().contains("takes is not known"));
    }
}
