//! Distillation: a model with other weights than its teacher learns to answer as the teacher does.

use super::{Calibration, InvalidRecipe, is_default};
use crate::{Digest, ModelName};
use serde::{Deserialize, Serialize};

/// Trains all weights of the blocks and the last norm, in 32-bit floats, on what a teacher expects
/// after each token of a text; embedding and head stay as they are.
///
/// Source: Hinton et al. 2015, <https://arxiv.org/abs/1503.02531>.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distil {
    /// The model to learn from [default: the one that the recipe is applied to, as it was
    /// published].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<ModelName>,
    /// What the teacher's file is known by; filled in before work begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher_digest: Option<Digest>,
    /// How far student and teacher are apart [default: `forward_kl`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub loss: DistilLoss,
    /// What scores are divided by before they are compared [default: 1].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub temperature: f64,
    /// Share of the cross-entropy with the text itself; the loss has the rest [default: 0].
    #[serde(default, skip_serializing_if = "is_default")]
    pub label_share: f64,
    /// What the distance of hidden states after each block is multiplied by before it is added;
    /// without it they are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_weight: Option<f64>,
    /// Tokens of each position that are kept of the teacher's scores, so that it reads the text once;
    /// without it the teacher reads every batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_tokens: Option<u32>,
    /// Updates of the weights.
    #[serde(default = "Distil::default_steps")]
    pub steps: u32,
    /// Sequences of an update.
    #[serde(default = "Distil::default_batch")]
    pub batch: u32,
    /// Highest learning rate.
    #[serde(default = "Distil::default_rate")]
    pub learning_rate: f64,
    /// Steps over which the rate rises from zero [default: a twentieth of the steps].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<u32>,
    /// How the rate falls after that [default: `cosine`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub decay: RateDecay,
    /// Whether inner activations are computed again in the backward pass instead of kept: less
    /// memory for more time [default: false].
    #[serde(default, skip_serializing_if = "is_default")]
    pub recompute: bool,
    /// Sequences at the end of the text that are not trained on, but measured on [default: 16].
    #[serde(default = "Distil::default_held_out")]
    pub held_out: u32,
    /// What the order of sequences is drawn from [default: 0].
    #[serde(default, skip_serializing_if = "is_default")]
    pub seed: u64,
    /// The text [default: 400 sequences of 256 tokens of the bundled code].
    #[serde(default, skip_serializing_if = "is_default")]
    pub calibration: Calibration,
}

/// How far a student's distribution q is from its teacher's p.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DistilLoss {
    /// KL(p ‖ q): the student covers all that the teacher does.
    #[default]
    ForwardKl,
    /// KL(q ‖ p): the student keeps to what the teacher does most.
    ReverseKl,
    /// Half of each, from their mean.
    JensenShannon,
}

/// How a learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateDecay {
    /// Half a cosine, to zero.
    #[default]
    Cosine,
    /// A straight line, to zero.
    Linear,
    /// Not at all.
    Constant,
}

fn one() -> f64 {
    1.0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::float_cmp,
    reason = "serde calls it with a reference; only the default itself is left out"
)]
fn is_one(value: &f64) -> bool {
    *value == one()
}

impl Default for Distil {
    fn default() -> Self {
        Self {
            teacher: None,
            teacher_digest: None,
            loss: DistilLoss::default(),
            temperature: one(),
            label_share: 0.0,
            hidden_weight: None,
            stored_tokens: None,
            steps: Self::default_steps(),
            batch: Self::default_batch(),
            learning_rate: Self::default_rate(),
            warm_up: None,
            decay: RateDecay::default(),
            recompute: false,
            held_out: Self::default_held_out(),
            seed: 0,
            calibration: Calibration::default(),
        }
    }
}

impl Distil {
    fn default_steps() -> u32 {
        200
    }

    fn default_batch() -> u32 {
        2
    }

    fn default_rate() -> f64 {
        5e-4
    }

    fn default_held_out() -> u32 {
        16
    }

    /// Whether a model as it was published would learn from itself.
    pub(super) fn is_own_teacher(&self) -> bool {
        self.teacher.is_none() && self.label_share < 1.0
    }

    /// Steps over which the rate rises.
    pub fn n_warmup(&self) -> u32 {
        self.warm_up.unwrap_or(self.steps / 20)
    }

    /// The text with its sizes, which do not depend on the device: another number of tokens trains
    /// another model.
    pub fn text(&self) -> Calibration {
        Calibration {
            sequences: self.calibration.sequences.or(Some(400)),
            sequence_length: self.calibration.sequence_length.or(Some(256)),
            ..self.calibration.clone()
        }
    }

    pub(super) fn validate(&self) -> Result<(), InvalidRecipe> {
        let range = |key, value: f64, is_inside: bool, low: &str, high: &str| match is_inside {
            true => Ok(()),
            false => Err(InvalidRecipe::Range {
                key,
                value: value.to_string(),
                low: low.to_owned(),
                high: high.to_owned(),
            }),
        };
        let (t, share, rate) = (self.temperature, self.label_share, self.learning_rate);
        range("temperature", t, t > 0.0 && t <= 100.0, "above 0", "100")?;
        let is_share = (0.0..=1.0).contains(&share);
        range("label_share", share, is_share, "0", "1")?;
        let is_rate = rate > 0.0 && rate <= 1.0;
        range("learning_rate", rate, is_rate, "above 0", "1")?;
        let weight = self.hidden_weight.unwrap_or(1.0);
        let is_weight = weight > 0.0 && weight <= 1e6;
        range("hidden_weight", weight, is_weight, "above 0", "1000000")?;
        let counts = [
            ("steps", self.steps, 1, 1_000_000),
            ("batch", self.batch, 1, 4_096),
            ("held_out", self.held_out, 2, 4_096),
            ("warm_up", self.n_warmup(), 0, self.steps),
            ("stored_tokens", self.stored_tokens.unwrap_or(1), 1, 4_096),
        ];
        for (key, value, low, high) in counts {
            let is_inside = (low..=high).contains(&value);
            range(
                key,
                value.into(),
                is_inside,
                &low.to_string(),
                &high.to_string(),
            )?;
        }
        if self.hidden_weight.is_some() && self.stored_tokens.is_some() {
            return Err(InvalidRecipe::StoredStates);
        }
        if self.label_share >= 1.0 && (self.teacher.is_some() || self.stored_tokens.is_some()) {
            return Err(InvalidRecipe::UnusedTeacher);
        }
        self.text().validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Distil, String> {
        let step: Distil = serde_json::from_str(json).map_err(|error| error.to_string())?;
        step.validate().map_err(|error| error.to_string())?;
        Ok(step)
    }

    #[test]
    fn nothing_said_is_the_default_and_reads_back() {
        assert_eq!(read("{}").unwrap(), Distil::default());
        let json = serde_json::to_string(&Distil::default()).unwrap();
        assert_eq!(read(&json).unwrap(), Distil::default());
        assert_eq!(Distil::default().n_warmup(), 10);
        let text = Distil::default().text();
        assert_eq!(
            (text.sequences, text.sequence_length),
            (Some(400), Some(256))
        );
    }

    #[test]
    fn numbers_that_make_no_sense_and_keys_that_nothing_uses_are_named() {
        for (bad, key) in [
            (r#"{"temperature":0}"#, "`temperature`"),
            (r#"{"label_share":1.5}"#, "`label_share`"),
            (r#"{"learning_rate":0}"#, "`learning_rate`"),
            (r#"{"hidden_weight":0}"#, "`hidden_weight`"),
            (r#"{"steps":0}"#, "`steps`"),
            (r#"{"batch":0}"#, "`batch`"),
            (r#"{"held_out":1}"#, "`held_out`"),
            (r#"{"steps":10,"warm_up":11}"#, "`warm_up`"),
            (r#"{"stored_tokens":0}"#, "`stored_tokens`"),
            (
                r#"{"stored_tokens":8,"hidden_weight":1}"#,
                "`stored_tokens`",
            ),
            (r#"{"label_share":1,"teacher":"m"}"#, "`label_share`"),
            (r#"{"lose":"forward_kl"}"#, "`lose`"),
            (
                r#"{"calibration":{"sequence_length":1}}"#,
                "`sequence_length`",
            ),
        ] {
            let refused = read(bad).unwrap_err();
            assert!(refused.contains(key), "{bad}: {refused}");
        }
    }
}
