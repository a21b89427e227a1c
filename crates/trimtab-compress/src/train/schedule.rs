//! The learning rate of a step: a linear warm-up, then a fall to zero or none.
//!
//! Steps count from 0, and a warm-up begins at zero, as in `get_cosine_schedule_with_warmup` and its
//! siblings of the `transformers` package.

use serde::{Deserialize, Serialize};

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Half a cosine, to zero.
    #[default]
    Cosine,
    /// A straight line, to zero.
    Linear,
    /// Not at all.
    Constant,
}

/// The learning rate over a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Schedule {
    pub(super) peak: f64,
    pub(super) n_warmup: u64,
    pub(super) n_steps: u64,
    pub(super) decay: Decay,
}

impl Schedule {
    /// The rate of step `step`, counted from 0.
    pub(super) fn rate(&self, step: u64) -> f64 {
        if step < self.n_warmup {
            return self.peak * step as f64 / self.n_warmup as f64;
        }
        let n_falling = self.n_steps.saturating_sub(self.n_warmup).max(1);
        let fallen = ((step - self.n_warmup) as f64 / n_falling as f64).min(1.0);
        self.peak
            * match self.decay {
                Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * fallen).cos()),
                Decay::Linear => 1.0 - fallen,
                Decay::Constant => 1.0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall_as_they_should() {
        let schedule = |decay| Schedule {
            peak: 2.0,
            n_warmup: 4,
            n_steps: 12,
            decay,
        };
        let check = |decay, want: [f64; 5]| {
            for (step, want) in [0, 1, 4, 8, 12].into_iter().zip(want) {
                let got = schedule(decay).rate(step);
                assert!((got - want).abs() < 1e-12, "{decay:?} {step}: {got}");
            }
        };
        check(Decay::Linear, [0.0, 0.5, 2.0, 1.0, 0.0]);
        check(Decay::Cosine, [0.0, 0.5, 2.0, 1.0, 0.0]);
        check(Decay::Constant, [0.0, 0.5, 2.0, 2.0, 2.0]);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "the rate is the peak itself")]
    fn a_training_of_warm_up_alone_ends_at_the_peak() {
        let schedule = Schedule {
            peak: 1.0,
            n_warmup: 3,
            n_steps: 3,
            decay: Decay::Cosine,
        };
        assert_eq!(schedule.rate(3), 1.0);
    }
}
