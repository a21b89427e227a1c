//! Frequencies of the rotary position embedding, and how they are stretched for longer contexts.
//!
//! Sources: Su et al. 2021 (rotary embedding), <https://arxiv.org/abs/2104.09864>; Chen et al. 2023
//! (linear), <https://arxiv.org/abs/2306.15595>; Peng et al. 2023 (`YaRN`, section 3),
//! <https://arxiv.org/abs/2309.00071>; Llama 3.1's rule as in Hugging Face's
//! `modeling_rope_utils.py`. All angles are computed in f64.

use crate::ConfigError;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// How rotary frequencies are stretched for longer contexts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RopeScaling {
    /// Not at all.
    #[default]
    None,
    /// Every position is divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Low frequencies are divided by `factor`, high ones kept, those between blended.
    Llama3 {
        /// The divisor.
        factor: f64,
        /// Turns within the old context below which a frequency counts as low.
        low_freq_factor: f64,
        /// Turns above which it counts as high.
        high_freq_factor: f64,
        /// Context before stretching.
        original_max_len: usize,
    },
    /// As `Llama3`, with a ramp over channels, and warmer attention.
    Yarn(Yarn),
    /// Every frequency has its own divisor, as GGUF files store it.
    Factors {
        /// One for each pair of channels.
        factors: Vec<f32>,
    },
}

/// The constants of `YaRN`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Yarn {
    /// The divisor of low frequencies.
    pub factor: f64,
    /// Turns within the old context above which a frequency is kept.
    pub beta_fast: f64,
    /// Turns below which it is divided in full.
    pub beta_slow: f64,
    /// Context before stretching.
    pub original_max_len: usize,
    /// What cosines and sines are multiplied by.
    pub attention_factor: f64,
    /// Weight of the warming in attention scores (DeepSeek-V2); 0 for none.
    pub mscale_all_dim: f64,
    /// Whether the ends of the ramp are rounded to whole channels.
    pub rounds_ramp: bool,
}

/// 0.1 · weight · ln(factor) + 1, the warming of `YaRN` (section 3.4); 1 where nothing is stretched.
pub(crate) fn yarn_warming(factor: f64, weight: f64) -> f64 {
    if factor <= 1.0 {
        1.0
    } else {
        0.1 * weight * factor.ln() + 1.0
    }
}

impl RopeScaling {
    /// Refuses constants that give no frequencies.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let constants: Vec<(&str, f64)> = match self {
            Self::None => Vec::new(),
            Self::Linear { factor } => vec![("factor", *factor)],
            Self::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_len,
            } => vec![
                ("factor", *factor),
                ("low_freq_factor", *low_freq_factor),
                (
                    "high_freq_factor above low_freq_factor",
                    high_freq_factor - low_freq_factor,
                ),
                ("original_max_position_embeddings", *original_max_len as f64),
            ],
            Self::Yarn(yarn) => vec![
                ("factor", yarn.factor),
                ("beta_fast", yarn.beta_fast),
                ("beta_slow", yarn.beta_slow),
                ("attention_factor", yarn.attention_factor),
                (
                    "original_max_position_embeddings",
                    yarn.original_max_len as f64,
                ),
            ],
            Self::Factors { factors } => factors
                .iter()
                .map(|factor| ("rope_freqs", f64::from(*factor)))
                .collect(),
        };
        match constants
            .iter()
            .find(|(_, value)| !value.is_finite() || *value <= 0.0)
        {
            None => Ok(()),
            Some((key, value)) => Err(ConfigError::Type {
                key: format!("rope_scaling.{key}"),
                value: value.to_string(),
                wanted: "a number above 0",
            }),
        }
    }

    /// Angle per position of each pair of channels.
    ///
    /// # Shapes
    ///
    /// - result: `[n_rotated / 2]`
    pub fn frequencies(&self, theta: f64, n_rotated: usize) -> Vec<f64> {
        let plain = |pair: usize| theta.powf(-2.0 * pair as f64 / n_rotated as f64);
        (0..n_rotated / 2)
            .map(|pair| match self {
                Self::None => plain(pair),
                Self::Linear { factor } => plain(pair) / factor,
                Self::Llama3 {
                    factor,
                    low_freq_factor,
                    high_freq_factor,
                    original_max_len,
                } => {
                    let turns = *original_max_len as f64 * plain(pair) / TAU;
                    let kept = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    blend(plain(pair), *factor, kept.clamp(0.0, 1.0))
                }
                Self::Yarn(yarn) => {
                    blend(plain(pair), yarn.factor, yarn.kept(theta, n_rotated, pair))
                }
                Self::Factors { factors } => {
                    plain(pair) / factors.get(pair).map_or(1.0, |factor| f64::from(*factor))
                }
            })
            .collect()
    }

    /// What each unscaled frequency is divided by.
    ///
    /// # Shapes
    ///
    /// - result: `[n_rotated / 2]`
    pub fn divisors(&self, theta: f64, n_rotated: usize) -> Vec<f32> {
        let plain = Self::None.frequencies(theta, n_rotated).into_iter();
        plain
            .zip(self.frequencies(theta, n_rotated))
            .map(|(plain, scaled)| (plain / scaled) as f32)
            .collect()
    }

    /// What cosines and sines are multiplied by.
    pub fn amplitude(&self) -> f64 {
        match self {
            Self::Yarn(yarn) => yarn.attention_factor,
            _ => 1.0,
        }
    }
}

/// A frequency of which the share `kept` is kept and the rest divided by `factor`.
fn blend(frequency: f64, factor: f64, kept: f64) -> f64 {
    frequency * kept + frequency / factor * (1.0 - kept)
}

impl Yarn {
    /// How much of a frequency is kept: 1 for fast pairs, 0 for slow ones, a ramp between.
    fn kept(&self, theta: f64, n_rotated: usize, pair: usize) -> f64 {
        let n_rotated = n_rotated as f64;
        // The pair that turns `turns` times within the old context.
        let pair_of = |turns: f64| {
            n_rotated * (self.original_max_len as f64 / (turns * TAU)).ln() / (2.0 * theta.ln())
        };
        let (mut low, mut high) = (pair_of(self.beta_fast), pair_of(self.beta_slow));
        if self.rounds_ramp {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(n_rotated - 1.0));
        if low >= high {
            high = low + 0.001;
        }
        1.0 - ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0)
    }
}

/// Cosines and sines of every position, times the amplitude.
///
/// # Shapes
///
/// - results: `[max_len, n_rotated / 2]`
pub fn rope_tables(
    scaling: &RopeScaling,
    theta: f64,
    n_rotated: usize,
    max_len: usize,
) -> (Vec<f32>, Vec<f32>) {
    let frequencies = scaling.frequencies(theta, n_rotated);
    let amplitude = scaling.amplitude();
    (0..max_len)
        .flat_map(|position| frequencies.iter().map(move |f| position as f64 * f))
        .map(|angle| {
            (
                (angle.cos() * amplitude) as f32,
                (angle.sin() * amplitude) as f32,
            )
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_keeps_fast_pairs_and_divides_slow_ones() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_len: 8192,
        };
        let (plain, scaled) = (
            RopeScaling::None.frequencies(500_000.0, 128),
            scaling.frequencies(500_000.0, 128),
        );
        assert_eq!(scaled[..1], plain[..1]);
        assert_eq!(scaled[63..], [plain[63] / 8.0]);
        assert!(scaled.is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn constants_that_give_no_frequencies_are_refused() {
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(RopeScaling::Linear { factor }.check().is_err(), "{factor}");
        }
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 4.0,
            high_freq_factor: 4.0,
            original_max_len: 8192,
        };
        assert!(scaling.check().is_err());
    }
}
