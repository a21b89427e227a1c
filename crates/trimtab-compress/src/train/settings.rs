//! Settings of a training.

use super::{AdamW, Decay, TrainError, schedule::Schedule};
use serde::{Deserialize, Serialize};

/// Settings of a training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// Updates of the weights.
    pub n_steps: u64,
    /// Steps at the beginning over which the learning rate rises from zero.
    pub n_warmup: u64,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// How it falls after the warm-up.
    pub decay: Decay,
    /// Share of a weight that is taken off at a step, before the learning rate.
    pub weight_decay: f64,
    /// Largest norm of all gradients together; larger ones are scaled down to it.
    pub max_gradient_norm: Option<f64>,
    /// Tokens of a batch, filled with whole examples side by side; an example that is longer is a
    /// batch of its own.
    pub batch_tokens: usize,
    /// Batches whose gradients are added before a step.
    pub n_accumulated: usize,
    /// Tokens of an example; what is longer is cut.
    pub max_len: usize,
    /// Whether the inner activations of a block are computed again in the backward pass instead of
    /// kept: less memory for a forward pass more.
    pub recomputes: bool,
    /// What the first factors, the order of examples and dropout are drawn from.
    pub seed: u64,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            n_steps: 100,
            n_warmup: 10,
            learning_rate: 2e-4,
            decay: Decay::default(),
            weight_decay: 0.0,
            max_gradient_norm: Some(1.0),
            batch_tokens: 512,
            n_accumulated: 1,
            max_len: 512,
            recomputes: false,
            seed: 0,
        }
    }
}

impl TrainSettings {
    /// # Errors
    ///
    /// [`TrainError::Setting`] for numbers that make no sense.
    pub fn check(&self) -> Result<(), TrainError> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let checks: [(&'static str, String, bool, &'static str); 8] = [
            (
                "steps",
                self.n_steps.to_string(),
                self.n_steps > 0,
                "above 0",
            ),
            (
                "warm-up",
                self.n_warmup.to_string(),
                self.n_warmup <= self.n_steps,
                "at most the number of steps",
            ),
            (
                "learning rate",
                self.learning_rate.to_string(),
                positive(self.learning_rate),
                "a number above 0",
            ),
            (
                "weight decay",
                self.weight_decay.to_string(),
                (0.0..=1.0).contains(&(self.weight_decay * self.learning_rate)),
                "a number from 0 on that leaves something of a weight",
            ),
            (
                "gradient norm",
                self.max_gradient_norm.unwrap_or(1.0).to_string(),
                self.max_gradient_norm.is_none_or(positive),
                "a number above 0",
            ),
            (
                "tokens of a batch",
                self.batch_tokens.to_string(),
                self.batch_tokens > 1,
                "above 1",
            ),
            (
                "batches of a step",
                self.n_accumulated.to_string(),
                self.n_accumulated > 0,
                "above 0",
            ),
            (
                "tokens of an example",
                self.max_len.to_string(),
                self.max_len > 1,
                "above 1",
            ),
        ];
        match checks.into_iter().find(|(_, _, is_right, _)| !is_right) {
            None => Ok(()),
            Some((name, value, _, wanted)) => Err(TrainError::Setting {
                name,
                value,
                wanted,
            }),
        }
    }

    pub(super) fn optimizer(&self) -> AdamW {
        AdamW {
            weight_decay: self.weight_decay,
            ..AdamW::default()
        }
    }

    pub(super) fn schedule(&self) -> Schedule {
        Schedule {
            peak: self.learning_rate,
            n_warmup: self.n_warmup,
            n_steps: self.n_steps,
            decay: self.decay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_named() {
        let base = TrainSettings::default();
        base.check().unwrap();
        let wrong = [
            (TrainSettings { n_steps: 0, ..base }, "steps"),
            (
                TrainSettings {
                    n_warmup: 101,
                    ..base
                },
                "warm-up",
            ),
            (
                TrainSettings {
                    learning_rate: f64::NAN,
                    ..base
                },
                "learning rate",
            ),
            (
                TrainSettings {
                    weight_decay: -1.0,
                    ..base
                },
                "weight decay",
            ),
            (
                TrainSettings {
                    max_gradient_norm: Some(0.0),
                    ..base
                },
                "gradient norm",
            ),
            (
                TrainSettings {
                    batch_tokens: 1,
                    ..base
                },
                "tokens of a batch",
            ),
            (
                TrainSettings {
                    n_accumulated: 0,
                    ..base
                },
                "batches of a step",
            ),
            (TrainSettings { max_len: 0, ..base }, "tokens of an example"),
        ];
        for (settings, name) in wrong {
            let error = settings.check().unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
