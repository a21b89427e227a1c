//! What is kept of a teacher's distribution: its likeliest tokens, and how much is left for all
//! others together.
//!
//! Student and teacher are compared over those tokens and one more that stands for the rest, so the
//! divergence is at most that of the whole distributions (data-processing inequality, Cover and
//! Thomas 2006, section 2.8); the student decides how it shares out the rest.

use super::{Distillation, Divergence};
use rayon::prelude::*;

/// A probability of zero, as a logarithm.
pub(super) const LOG_ZERO: f32 = -100.0;

/// The likeliest tokens at some positions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TopTokens {
    /// Tokens that are kept at a position.
    pub(super) k: usize,
    /// `[n_positions, k]`
    pub(super) ids: Vec<u32>,
    /// Natural logarithms of their probabilities at the temperature, `[n_positions, k]`.
    pub(super) log_probs: Vec<f32>,
    /// Logarithm of what is left, `[n_positions]`.
    pub(super) rest: Vec<f32>,
}

impl TopTokens {
    /// Keeps the `k` likeliest tokens of each position, of equal ones the first.
    ///
    /// # Shapes
    ///
    /// - `scores`: `[n_positions, vocab]`
    ///
    /// # Panics
    ///
    /// If the vocabulary is smaller than `k`, or `k` is 0.
    pub(super) fn of(scores: &[f32], vocab: usize, k: usize, temperature: f32) -> Self {
        assert!(0 < k && k <= vocab, "{k} tokens of {vocab}");
        let kept: Vec<(Vec<u32>, Vec<f32>, f32)> = scores
            .par_chunks_exact(vocab)
            .map(|scores| likeliest(scores, k, temperature))
            .collect();
        let mut top = Self {
            k,
            ..Self::default()
        };
        for (ids, log_probs, rest) in kept {
            top.ids.extend(ids);
            top.log_probs.extend(log_probs);
            top.rest.push(rest);
        }
        top
    }

    /// Positions.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }
}

fn likeliest(scores: &[f32], k: usize, temperature: f32) -> (Vec<u32>, Vec<f32>, f32) {
    let mut ids: Vec<u32> = (0..scores.len() as u32).collect();
    let order = |a: &u32, b: &u32| {
        let (x, y) = (scores[*a as usize], scores[*b as usize]);
        y.total_cmp(&x).then(a.cmp(b))
    };
    ids.select_nth_unstable_by(k - 1, order);
    ids.truncate(k);
    ids.sort_unstable_by(order);
    let largest = scores[ids[0] as usize];
    let power = |score: f32| f64::from((score - largest) / temperature).exp();
    let sum: f64 = scores.iter().map(|score| power(*score)).sum();
    let log_probs: Vec<f32> = ids
        .iter()
        .map(|id| {
            (power(scores[*id as usize]) / sum)
                .ln()
                .max(f64::from(LOG_ZERO)) as f32
        })
        .collect();
    let kept: f64 = ids.iter().map(|id| power(scores[*id as usize])).sum();
    let rest = ((sum - kept).max(0.0) / sum).ln().max(f64::from(LOG_ZERO));
    (ids, log_probs, rest as f32)
}

impl Distillation {
    /// As [`Self::loss`], of a teacher of whom `top` is known from position `first` on.
    ///
    /// # Shapes
    ///
    /// - `student`: `[n_tokens, vocab]`; `labels`: `[n_tokens]`
    ///
    /// # Panics
    ///
    /// If the sizes do not fit, or an id lies outside the vocabulary.
    pub(super) fn top_loss(
        &self,
        student: &mut [f32],
        (top, first): (&TopTokens, usize),
        labels: &[u32],
        factor: f32,
    ) -> f64 {
        assert!(first + labels.len() <= top.len(), "positions of a teacher");
        if labels.is_empty() {
            return 0.0;
        }
        let vocab = student.len() / labels.len();
        let losses: Vec<f64> = student
            .par_chunks_exact_mut(vocab)
            .zip(labels)
            .enumerate()
            .map(|(idx, (student, label))| {
                let place = (first + idx) * top.k..(first + idx + 1) * top.k;
                let known = Known {
                    ids: &top.ids[place.clone()],
                    log_probs: &top.log_probs[place],
                    rest: top.rest[first + idx],
                };
                self.top_token_loss(student, &known, *label as usize, factor)
            })
            .collect();
        losses.iter().sum()
    }

    fn top_token_loss(
        &self,
        student: &mut [f32],
        known: &Known<'_>,
        label: usize,
        factor: f32,
    ) -> f64 {
        let t = self.temperature;
        let (soft, plain) = (probabilities(student, t), probabilities(student, 1.0));
        let label_loss = -plain.log(student[label]);
        let ids = known.ids.iter().map(|id| *id as usize);
        let in_top: f64 = ids.clone().map(|id| soft.log(student[id]).exp()).sum();
        let q_rest = (1.0 - in_top).max(f64::from(f32::MIN_POSITIVE));
        let log_rest = q_rest.ln().max(f64::from(LOG_ZERO));
        let (mut divergence, rest_slope) = term(self.divergence, known.rest, log_rest);
        let mut slopes = Vec::with_capacity(known.ids.len());
        for (id, log_p) in ids.clone().zip(known.log_probs) {
            let (value, slope) = term(self.divergence, *log_p, soft.log(student[id]));
            divergence += value;
            slopes.push(slope);
        }
        // With g the derivative by q of a token or of the rest, and slope = q · g: the gradient at a
        // score is (slope − q · Σ slopes) / T, where a token of the rest has its share of that slope.
        let sum = slopes.iter().sum::<f64>() + rest_slope;
        let share = 1.0 - self.label_share;
        let (at_soft, at_hard) = (
            f64::from(factor * share * t),
            f64::from(factor * self.label_share),
        );
        let of_rest = rest_slope / q_rest - sum;
        let tops: Vec<(usize, f64)> = ids
            .zip(slopes)
            .map(|(id, slope)| {
                let (q, p) = (soft.log(student[id]).exp(), plain.log(student[id]).exp());
                (id, at_soft * (slope - q * sum) + at_hard * p)
            })
            .collect();
        for score in student.iter_mut() {
            let (q, p) = (soft.log(*score).exp(), plain.log(*score).exp());
            *score = (at_soft * q * of_rest + at_hard * p) as f32;
        }
        for (id, gradient) in tops {
            student[id] = gradient as f32;
        }
        student[label] -= at_hard as f32;
        let soft_loss = divergence * f64::from(t) * f64::from(t);
        f64::from(share) * soft_loss + f64::from(self.label_share) * label_loss
    }
}

/// What is known of a teacher at a position.
struct Known<'a> {
    ids: &'a [u32],
    log_probs: &'a [f32],
    rest: f32,
}

fn term(divergence: Divergence, log_p: f32, log_q: f64) -> (f64, f64) {
    let (value, slope) = divergence.term(log_p, log_q as f32);
    (f64::from(value), f64::from(slope))
}

/// ln softmax(scores / temperature).
struct LogSoftmax {
    temperature: f64,
    largest: f64,
    log_sum: f64,
}

fn probabilities(scores: &[f32], temperature: f32) -> LogSoftmax {
    let largest = scores.iter().copied().fold(f32::MIN, f32::max);
    let powers = scores.iter().map(|s| ((s - largest) / temperature).exp());
    LogSoftmax {
        temperature: f64::from(temperature),
        largest: f64::from(largest),
        log_sum: powers.map(f64::from).sum::<f64>().ln(),
    }
}

impl LogSoftmax {
    fn log(&self, score: f32) -> f64 {
        (f64::from(score) - self.largest) / self.temperature - self.log_sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCAB: usize = 11;

    fn scores(speed: f32, height: f32) -> Vec<f32> {
        (0..2 * VOCAB)
            .map(|i| height * (speed * i as f32).sin())
            .collect()
    }

    fn losses() -> Vec<Distillation> {
        let divergences = [
            Divergence::ForwardKl,
            Divergence::ReverseKl,
            Divergence::JensenShannon { teacher_share: 0.3 },
        ];
        divergences
            .into_iter()
            .flat_map(|divergence| {
                [(1.0, 0.0), (2.0, 0.25)].map(|(temperature, label_share)| Distillation {
                    divergence,
                    temperature,
                    label_share,
                })
            })
            .collect()
    }

    #[test]
    fn all_tokens_are_the_whole_distribution() {
        for loss in losses() {
            let teacher = scores(0.61, 4.0);
            let top = TopTokens::of(&teacher, VOCAB, VOCAB, loss.temperature);
            let (mut whole, mut kept) = (scores(0.37, 3.0), scores(0.37, 3.0));
            let want = loss.loss(&mut whole, &teacher, &[3, 10], 0.5);
            let got = loss.top_loss(&mut kept, (&top, 0), &[3, 10], 0.5);
            assert!((want - got).abs() < 1e-5, "{loss:?}: {want} {got}");
            for (want, got) in whole.iter().zip(&kept) {
                assert!((want - got).abs() < 1e-5, "{loss:?}: {want} {got}");
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences_and_the_loss_with_less_is_less() {
        for loss in losses() {
            let teacher = scores(0.61, 4.0);
            let top = TopTokens::of(&teacher, VOCAB, 3, loss.temperature);
            let value =
                |student: &[f32]| loss.top_loss(&mut student.to_vec(), (&top, 0), &[3, 10], 1.0);
            let student = scores(0.37, 3.0);
            let mut gradient = student.clone();
            let got = loss.top_loss(&mut gradient, (&top, 0), &[3, 10], 1.0);
            let whole = loss.loss(&mut student.clone(), &teacher, &[3, 10], 1.0);
            assert!(got <= whole + 1e-6, "{loss:?}: {got} {whole}");
            for idx in 0..student.len() {
                let moved = |by: f32| {
                    let mut moved = student.clone();
                    moved[idx] += by;
                    value(&moved)
                };
                let want = (moved(2e-2) - moved(-2e-2)) / 4e-2;
                let got = f64::from(gradient[idx]);
                assert!((want - got).abs() < 2e-3, "{loss:?} {idx}: {want} {got}");
            }
        }
    }

    #[test]
    fn the_likeliest_come_first_and_what_is_left_adds_up() {
        let top = TopTokens::of(&[0.0, 2.0, 2.0, -1.0], 4, 2, 1.0);
        assert_eq!(top.ids, [1, 2]);
        let sum: f32 = top.log_probs.iter().chain(&top.rest).map(|p| p.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }
}
