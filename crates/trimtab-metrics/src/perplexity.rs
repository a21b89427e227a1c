//! Perplexity: how surprised a model is by a text, per token.
//!
//! perplexity = exp(−(1/n) Σ ln p(tokenᵢ)), in nats; lower is better.

use crate::normal::Z_95;
use trimtab_domain::Estimate;

/// Rounding of a log-softmax in 32 bits may leave a certain token a hair above 0.
const MAX_ROUNDING: f64 = 1e-4;

/// Why log-probabilities have no perplexity.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidLogProbs {
    /// An interval needs two tokens or more.
    #[error("perplexity needs at least 2 scored tokens, got {0}")]
    TooFewTokens(usize),
    /// A number that is not the logarithm of a probability.
    #[error("log-prob {value} at token {token_idx} is not the logarithm of a probability")]
    NotALogProb {
        /// Which token.
        token_idx: usize,
        /// What was there.
        value: f64,
    },
}

/// Perplexity of the scored tokens with its 95 % interval.
///
/// The interval is exp of a normal interval on the mean negative log-likelihood,
/// with the standard deviation of the tokens (n − 1 in the denominator) over √n.
/// It treats tokens as independent, so it is a little too narrow for running text.
///
/// ```
/// // A model that gives every token the chance 1/4 is as unsure as a fair choice of four.
/// let result = trimtab_metrics::perplexity(&[0.25_f64.ln(); 8]).expect("log-probs");
/// assert!((result.value - 4.0).abs() < 1e-12);
/// ```
pub fn perplexity(token_log_probs: &[f64]) -> Result<Estimate, InvalidLogProbs> {
    let n = token_log_probs.len();
    if n < 2 {
        return Err(InvalidLogProbs::TooFewTokens(n));
    }
    for (token_idx, &value) in token_log_probs.iter().enumerate() {
        if !value.is_finite() || value > MAX_ROUNDING {
            return Err(InvalidLogProbs::NotALogProb { token_idx, value });
        }
    }
    let n_f64 = n as f64;
    let mean_nll = -token_log_probs.iter().sum::<f64>() / n_f64;
    let squares: f64 = token_log_probs
        .iter()
        .map(|log_prob| (-log_prob - mean_nll).powi(2))
        .sum();
    let standard_error = (squares / (n_f64 - 1.0) / n_f64).sqrt();
    Ok(Estimate {
        value: mean_nll.exp(),
        low: (mean_nll - Z_95 * standard_error).exp(),
        high: (mean_nll + Z_95 * standard_error).exp(),
        n: n as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_two_tokens_by_hand() {
        // −ln p = 1 and 3: mean 2, standard deviation √2, standard error 1.
        let result = perplexity(&[-1.0, -3.0]).unwrap();
        assert!((result.value - 2.0_f64.exp()).abs() < 1e-12);
        assert!((result.low - (2.0 - Z_95).exp()).abs() < 1e-12);
        assert!((result.high - (2.0 + Z_95).exp()).abs() < 1e-9);
        assert_eq!(result.n, 2);
    }

    #[test]
    fn refuses_what_is_not_a_log_prob() {
        assert_eq!(perplexity(&[]), Err(InvalidLogProbs::TooFewTokens(0)));
        assert_eq!(perplexity(&[-1.0]), Err(InvalidLogProbs::TooFewTokens(1)));
        for bad in [f64::NEG_INFINITY, f64::INFINITY, 0.5] {
            assert_eq!(
                perplexity(&[-1.0, bad]),
                Err(InvalidLogProbs::NotALogProb {
                    token_idx: 1,
                    value: bad
                })
            );
        }
        assert!(perplexity(&[f64::NAN, -1.0]).is_err());
    }
}
