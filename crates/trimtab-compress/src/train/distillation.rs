//! How far a student's next-token distribution is from its teacher's, and the gradient of that at
//! the student's scores.
//!
//! Sources: Hinton et al. 2015, <https://arxiv.org/abs/1503.02531>, section 2 (temperature and its
//! square); Gu et al. 2024, <https://arxiv.org/abs/2306.08543>, section 2.1 (reverse divergence);
//! Agarwal et al. 2024, <https://arxiv.org/abs/2306.13649>, section 3 (generalised Jensen–Shannon).

use super::TrainError;
use rayon::prelude::*;

/// A divergence between the teacher's distribution p and the student's q.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Divergence {
    /// Σ p · ln(p / q): the student covers all that the teacher does.
    ForwardKl,
    /// Σ q · ln(q / p): the student keeps to what the teacher does most.
    ReverseKl,
    /// β · KL(p ‖ m) + (1 − β) · KL(q ‖ m) with m = β · p + (1 − β) · q.
    JensenShannon {
        /// β, between 0 and 1; 0.5 for the symmetric form.
        teacher_share: f32,
    },
}

/// What a student is told to minimise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distillation {
    /// The divergence.
    pub divergence: Divergence,
    /// What both sides' scores are divided by; the divergence is multiplied by its square.
    pub temperature: f32,
    /// Share of the cross-entropy with the labels, which has no temperature; the divergence has the
    /// rest.
    pub label_share: f32,
}

impl Distillation {
    /// # Errors
    ///
    /// [`TrainError::Setting`] for numbers that make no sense.
    pub fn check(&self) -> Result<(), TrainError> {
        let wrong = |name: &'static str, value: f32, wanted: &'static str| {
            Err(TrainError::Setting {
                name,
                value: value.to_string(),
                wanted,
            })
        };
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return wrong("temperature", self.temperature, "a number above 0");
        }
        if !(0.0..=1.0).contains(&self.label_share) {
            return wrong("share of the labels", self.label_share, "between 0 and 1");
        }
        match self.divergence {
            Divergence::JensenShannon {
                teacher_share: share,
            } if !(share > 0.0 && share < 1.0) => {
                wrong("share of the teacher", share, "above 0 and below 1")
            }
            _ => Ok(()),
        }
    }

    /// Sum of the losses of tokens, in natural logarithms; the student's scores become the gradient
    /// of `factor` times that sum.
    ///
    /// # Shapes
    ///
    /// - `student`, `teacher`: `[n_tokens, vocab]`; `labels`: `[n_tokens]`
    ///
    /// # Panics
    ///
    /// If the sizes do not fit, a label lies outside the vocabulary, or [`Self::check`] fails.
    pub fn loss(&self, student: &mut [f32], teacher: &[f32], labels: &[u32], factor: f32) -> f64 {
        assert!(self.check().is_ok(), "{self:?}");
        assert_eq!(
            student.len(),
            teacher.len(),
            "a teacher of another vocabulary"
        );
        if labels.is_empty() {
            return 0.0;
        }
        let vocab = student.len() / labels.len();
        assert_eq!(
            student.len(),
            vocab * labels.len(),
            "scores of other tokens"
        );
        let losses: Vec<f64> = student
            .par_chunks_exact_mut(vocab)
            .zip(teacher.par_chunks_exact(vocab))
            .zip(labels)
            .map(|((student, teacher), label)| {
                self.token_loss(student, teacher, *label as usize, factor)
            })
            .collect();
        losses.iter().sum()
    }

    fn token_loss(&self, student: &mut [f32], teacher: &[f32], label: usize, factor: f32) -> f64 {
        let t = self.temperature;
        let plain = LogSoftmax::new(student, 1.0);
        let (soft_p, soft_q) = (LogSoftmax::new(teacher, t), LogSoftmax::new(student, t));
        let label_loss = -f64::from(plain.of(student[label]));
        // With g the derivative of the divergence by q, its gradient at a score is
        // (q · g − q · Σ q · g) / T.
        let (mut divergence, mut mean_slope) = (0.0_f64, 0.0_f64);
        for (z, y) in student.iter().zip(teacher) {
            let (term, slope) = self.divergence.term(soft_p.of(*y), soft_q.of(*z));
            divergence += f64::from(term);
            mean_slope += f64::from(slope);
        }
        let share = 1.0 - self.label_share;
        let (soft, hard) = (factor * share * t, factor * self.label_share);
        for (z, y) in student.iter_mut().zip(teacher) {
            let log_q = soft_q.of(*z);
            let (_, slope) = self.divergence.term(soft_p.of(*y), log_q);
            let at_soft = slope - log_q.exp() * mean_slope as f32;
            *z = soft * at_soft + hard * plain.of(*z).exp();
        }
        student[label] -= hard;
        let divergence = divergence * f64::from(t) * f64::from(t);
        f64::from(share) * divergence + f64::from(self.label_share) * label_loss
    }
}

impl Divergence {
    /// What one token of the vocabulary adds, and q times its derivative by q.
    pub(super) fn term(self, log_p: f32, log_q: f32) -> (f32, f32) {
        let (p, q) = (log_p.exp(), log_q.exp());
        match self {
            Self::ForwardKl => (p * (log_p - log_q), -p),
            Self::ReverseKl => {
                let term = q * (log_q - log_p);
                (term, term)
            }
            Self::JensenShannon { teacher_share } => {
                let (b, rest) = (teacher_share, 1.0 - teacher_share);
                let log_m = (b * p + rest * q).max(f32::MIN_POSITIVE).ln();
                let slope = q * rest * (log_q - log_m);
                (b * p * (log_p - log_m) + slope, slope)
            }
        }
    }
}

/// ln softmax(scores / temperature), of one score after the other.
#[derive(Clone, Copy)]
struct LogSoftmax {
    temperature: f32,
    largest: f32,
    log_sum: f32,
}

impl LogSoftmax {
    fn new(scores: &[f32], temperature: f32) -> Self {
        let largest = scores.iter().copied().fold(f32::MIN, f32::max);
        let powers = scores.iter().map(|s| ((s - largest) / temperature).exp());
        let sum: f64 = powers.map(f64::from).sum();
        Self {
            temperature,
            largest,
            log_sum: sum.ln() as f32,
        }
    }

    fn of(&self, score: f32) -> f32 {
        (score - self.largest) / self.temperature - self.log_sum
    }
}
