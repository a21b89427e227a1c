//! Chooses the next token from its scores.

use crate::RuntimeError;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token each time (greedy).
    pub temperature: f32,
    /// Keep the smallest set of tokens with this share of probability; 1 keeps all.
    pub top_p: f32,
    /// Seed of the draws.
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token each time.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
        }
    }
}

/// Chooses tokens; the same seed and scores give the same tokens.
#[derive(Debug)]
pub struct Sampler {
    sampling: Sampling,
    rng: ChaCha12Rng,
}

impl Sampler {
    /// A sampler at the start of its draws.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Setting`] for a negative temperature or a share outside 0–1.
    pub fn new(sampling: Sampling) -> Result<Self, RuntimeError> {
        if !(0.0..=10.0).contains(&sampling.temperature) {
            let message = format!(
                "temperature {} is not between 0 and 10",
                sampling.temperature
            );
            return Err(RuntimeError::Setting(message));
        }
        if !(sampling.top_p > 0.0 && sampling.top_p <= 1.0) {
            let message = format!("top_p {} is not above 0 and at most 1", sampling.top_p);
            return Err(RuntimeError::Setting(message));
        }
        Ok(Self {
            sampling,
            rng: ChaCha12Rng::seed_from_u64(sampling.seed),
        })
    }

    /// The next token; `None` if a score is not a number.
    pub fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        if logits.iter().any(|score| score.is_nan()) {
            return None;
        }
        if self.sampling.temperature == 0.0 {
            return Some(argmax(logits));
        }
        Some(draw(logits, self.sampling, &mut self.rng))
    }
}

/// Index of the largest score; the first of equals.
fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (idx, score) in logits.iter().enumerate() {
        if *score > logits[best] {
            best = idx;
        }
    }
    best as u32
}

/// Draws from softmax(logits / temperature), cut to the likeliest tokens that hold `top_p` of it.
fn draw(logits: &[f32], sampling: Sampling, rng: &mut impl Rng) -> u32 {
    let largest = f64::from(logits[argmax(logits) as usize]);
    let weight =
        |score: f32| ((f64::from(score) - largest) / f64::from(sampling.temperature)).exp();
    let mut ranked: Vec<(u32, f64)> = logits
        .iter()
        .enumerate()
        .map(|(id, score)| (id as u32, weight(*score)))
        .collect();
    ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let total: f64 = ranked.iter().map(|(_, weight)| weight).sum();
    let mut kept = 0.0;
    let n_kept = ranked
        .iter()
        .position(|(_, weight)| {
            kept += weight;
            kept >= f64::from(sampling.top_p) * total
        })
        .map_or(ranked.len(), |last| last + 1);
    let kept: f64 = ranked[..n_kept].iter().map(|(_, weight)| weight).sum();
    let mut left = rng.random::<f64>() * kept;
    for (id, weight) in &ranked[..n_kept] {
        left -= weight;
        if left < 0.0 {
            return *id;
        }
    }
    ranked[n_kept - 1].0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_takes_the_first_of_equal_scores() {
        let mut sampler = Sampler::new(Sampling::greedy()).unwrap();
        assert_eq!(sampler.choose(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(sampler.choose(&[1.0, f32::NAN]), None);
    }

    #[test]
    fn draws_follow_the_probabilities_and_repeat_with_the_seed() {
        let logits = [0.0, 2.0_f32.ln(), 5.0_f32.ln()];
        let draws = |seed| {
            let mut sampler = Sampler::new(Sampling {
                temperature: 1.0,
                top_p: 1.0,
                seed,
            })
            .unwrap();
            (0..4000)
                .map(|_| sampler.choose(&logits).unwrap())
                .collect::<Vec<_>>()
        };
        let first = draws(7);
        assert_eq!(first, draws(7));
        assert_ne!(first, draws(8));
        // Shares 1/8, 2/8, 5/8; four standard errors at n = 4,000 are 0.031 at most.
        for (id, share) in [(0, 0.125), (1, 0.25), (2, 0.625)] {
            let seen = first.iter().filter(|drawn| **drawn == id).count() as f64 / 4000.0;
            assert!((seen - share).abs() < 0.031, "token {id}: {seen}");
        }
    }

    #[test]
    fn top_p_never_draws_beyond_its_share() {
        let sampling = Sampling {
            temperature: 1.0,
            top_p: 0.5,
            seed: 1,
        };
        let mut sampler = Sampler::new(sampling).unwrap();
        let logits = [0.0, 2.0_f32.ln(), 5.0_f32.ln()];
        assert!((0..500).all(|_| sampler.choose(&logits) == Some(2)));
    }

    #[test]
    fn settings_outside_their_range_are_refused() {
        assert!(
            Sampler::new(Sampling {
                temperature: -1.0,
                top_p: 1.0,
                seed: 0
            })
            .is_err()
        );
        assert!(
            Sampler::new(Sampling {
                temperature: f32::NAN,
                top_p: 1.0,
                seed: 0
            })
            .is_err()
        );
        assert!(
            Sampler::new(Sampling {
                temperature: 1.0,
                top_p: 0.0,
                seed: 0
            })
            .is_err()
        );
    }
}
