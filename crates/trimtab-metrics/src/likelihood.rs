//! A variant's predictions against the base's, token by token.
//!
//! A variant may solve the same problems and still have become unsure: that shows here first, with
//! far fewer tokens than problems. KL divergence of the variant q from the base p at one position:
//! Σ p · ln(p / q) over the vocabulary, in nats; 0 when both predict alike.

use crate::clustered::Windows;
use trimtab_domain::LikelihoodComparison;

/// Rounding of logits in 32 bits may leave a divergence a hair below 0.
const MAX_ROUNDING: f64 = 1e-4;

/// Base and variant at one position of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenComparison {
    /// KL divergence of the variant's prediction from the base's, in nats.
    pub kl_divergence: f64,
    /// Whether both hold the same token for the likeliest.
    pub has_same_top: bool,
    /// ln of the chance that the base gave to the token that followed.
    pub base_log_prob: f64,
    /// ln of the chance that the variant gave to it.
    pub variant_log_prob: f64,
}

/// Why likelihoods cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidLikelihoods {
    /// A standard error needs two windows or more.
    #[error(
        "comparing likelihoods needs at least 2 windows, got {0}; use a longer text or a shorter window"
    )]
    TooFewWindows(usize),
    /// A window without tokens.
    #[error("window {0} holds no tokens")]
    EmptyWindow(usize),
    /// Windows and tokens do not fit.
    #[error("the windows hold {n_in_windows} tokens in all, but {n_tokens} were given")]
    LengthMismatch {
        /// Sum of the windows' lengths.
        n_in_windows: usize,
        /// Tokens.
        n_tokens: usize,
    },
    /// A number that cannot be what it should be.
    #[error("token {token_idx}: {value} is not {what}")]
    NotPossible {
        /// Which token.
        token_idx: usize,
        /// What it should have been.
        what: &'static str,
        /// What was there.
        value: f64,
    },
    /// Logits that are not two vectors over one vocabulary.
    #[error(
        "base and variant need logits over the same vocabulary that holds the token, got {n_base} and {n_variant} for token {target}"
    )]
    NotOneVocabulary {
        /// Logits of the base.
        n_base: usize,
        /// Logits of the variant.
        n_variant: usize,
        /// Id of the token that followed.
        target: usize,
    },
    /// A logit that is no number.
    #[error("logit {0} of one side is not a finite number")]
    NotALogit(usize),
}

/// Compares two predictions for one position, given as logits; `target` is the token that followed.
///
/// # Shapes
///
/// - `base_logits`, `variant_logits`: `[vocab]`
///
/// # Numerics
///
/// Computed in `f64` from log-softmax, so that a confident prediction does not become a zero.
///
/// # Errors
///
/// [`InvalidLikelihoods`] when the vocabularies differ or a logit is not finite.
///
/// ```
/// // The base is sure to 1/2 each, the variant to 1/4 and 3/4: ½ ln 2 + ½ ln ⅔.
/// let got = trimtab_metrics::compare_token(&[0.0, 0.0], &[0.0, 3.0_f32.ln()], 0).expect("logits");
/// assert!((got.kl_divergence - 0.5 * (4.0_f64 / 3.0).ln()).abs() < 1e-7);
/// assert!(!got.has_same_top);
/// ```
pub fn compare_token(
    base_logits: &[f32],
    variant_logits: &[f32],
    target: usize,
) -> Result<TokenComparison, InvalidLikelihoods> {
    if base_logits.len() != variant_logits.len() || target >= base_logits.len() {
        return Err(InvalidLikelihoods::NotOneVocabulary {
            n_base: base_logits.len(),
            n_variant: variant_logits.len(),
            target,
        });
    }
    let (base, variant) = (prediction(base_logits)?, prediction(variant_logits)?);
    let kl_divergence: f64 = base_logits
        .iter()
        .zip(variant_logits)
        .map(|(&p, &q)| {
            let ln_p = f64::from(p) - base.ln_sum;
            ln_p.exp() * (ln_p - (f64::from(q) - variant.ln_sum))
        })
        .sum();
    Ok(TokenComparison {
        kl_divergence: kl_divergence.max(0.0),
        has_same_top: base.top == variant.top,
        base_log_prob: f64::from(base_logits[target]) - base.ln_sum,
        variant_log_prob: f64::from(variant_logits[target]) - variant.ln_sum,
    })
}

/// What a softmax needs, and its likeliest token; of equal ones the first.
struct Prediction {
    ln_sum: f64,
    top: usize,
}

fn prediction(logits: &[f32]) -> Result<Prediction, InvalidLikelihoods> {
    if let Some(idx) = logits.iter().position(|logit| !logit.is_finite()) {
        return Err(InvalidLikelihoods::NotALogit(idx));
    }
    let (mut top, mut largest) = (0, f32::MIN);
    for (idx, &logit) in logits.iter().enumerate() {
        if logit > largest {
            (top, largest) = (idx, logit);
        }
    }
    let largest = f64::from(largest);
    let sum: f64 = logits
        .iter()
        .map(|&logit| (f64::from(logit) - largest).exp())
        .sum();
    Ok(Prediction {
        ln_sum: largest + sum.ln(),
        top,
    })
}

/// Sums up a text: `tokens` in order, `window_lengths` tokens of them in each window.
///
/// Each number has a standard error that treats windows, not tokens, as independent, and a 95 %
/// interval from Student's t with one degree of freedom less than there are windows; few windows
/// give wide intervals, so prefer many short ones. The median's and the 99th percentile's intervals
/// are Woodruff's, the agreement's is Wilson's at the effective number of tokens, the perplexity
/// ratio's is exp of the one of the mean log-probability lost.
///
/// # Errors
///
/// [`InvalidLikelihoods`] names the window or token that cannot be.
pub fn compare_likelihoods(
    tokens: &[TokenComparison],
    window_lengths: &[usize],
) -> Result<LikelihoodComparison, InvalidLikelihoods> {
    check_windows(tokens.len(), window_lengths)?;
    for (token_idx, token) in tokens.iter().enumerate() {
        check_token(token_idx, *token)?;
    }
    let windows = Windows {
        lengths: window_lengths,
    };
    let of_each =
        |value: fn(&TokenComparison) -> f64| tokens.iter().map(value).collect::<Vec<f64>>();
    let divergences = of_each(|token| token.kl_divergence.max(0.0));
    let agreements = of_each(|token| f64::from(u8::from(token.has_same_top)));
    let losses = of_each(|token| token.base_log_prob - token.variant_log_prob);
    Ok(LikelihoodComparison {
        kl_mean: windows.mean_estimate(&divergences),
        kl_median: windows.quantile_estimate(&divergences, 0.5),
        kl_p99: windows.quantile_estimate(&divergences, 0.99),
        top1_agreement: windows.share_estimate(&agreements),
        perplexity_ratio: windows.exp_mean_estimate(&losses),
        n_tokens: tokens.len() as u32,
        n_windows: window_lengths.len() as u32,
    })
}

fn check_windows(n_tokens: usize, window_lengths: &[usize]) -> Result<(), InvalidLikelihoods> {
    if window_lengths.len() < 2 {
        return Err(InvalidLikelihoods::TooFewWindows(window_lengths.len()));
    }
    if let Some(idx) = window_lengths.iter().position(|&length| length == 0) {
        return Err(InvalidLikelihoods::EmptyWindow(idx));
    }
    let n_in_windows = window_lengths
        .iter()
        .fold(0_usize, |sum, length| sum.saturating_add(*length));
    if n_in_windows != n_tokens {
        return Err(InvalidLikelihoods::LengthMismatch {
            n_in_windows,
            n_tokens,
        });
    }
    Ok(())
}

fn check_token(token_idx: usize, token: TokenComparison) -> Result<(), InvalidLikelihoods> {
    let is_log_prob = |value: f64| value.is_finite() && value <= MAX_ROUNDING;
    let kl = token.kl_divergence;
    let checks = [
        (kl.is_finite() && kl >= -MAX_ROUNDING, "a divergence", kl),
        (
            is_log_prob(token.base_log_prob),
            "the logarithm of a probability",
            token.base_log_prob,
        ),
        (
            is_log_prob(token.variant_log_prob),
            "the logarithm of a probability",
            token.variant_log_prob,
        ),
    ];
    match checks.into_iter().find(|(is_possible, ..)| !is_possible) {
        None => Ok(()),
        Some((_, what, value)) => Err(InvalidLikelihoods::NotPossible {
            token_idx,
            what,
            value,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(kl_divergence: f64, has_same_top: bool, lost: f64) -> TokenComparison {
        TokenComparison {
            kl_divergence,
            has_same_top,
            base_log_prob: -1.0,
            variant_log_prob: -1.0 - lost,
        }
    }

    #[test]
    fn a_prediction_does_not_differ_from_itself() {
        let logits = [3.0, -700.0, 0.25, 3.0];
        let got = compare_token(&logits, &logits, 2).unwrap();
        assert_eq!((got.kl_divergence, got.has_same_top), (0.0, true));
        assert_eq!(got.base_log_prob.to_bits(), got.variant_log_prob.to_bits());
        // Adding the same to all logits changes no chance.
        let shifted = logits.map(|logit| logit + 8.0);
        assert!(compare_token(&logits, &shifted, 2).unwrap().kl_divergence < 1e-12);
    }

    #[test]
    fn what_is_no_prediction_is_refused() {
        assert!(matches!(
            compare_token(&[1.0], &[1.0, 2.0], 0),
            Err(InvalidLikelihoods::NotOneVocabulary { .. })
        ));
        assert!(matches!(
            compare_token(&[1.0, 2.0], &[1.0, 2.0], 2),
            Err(InvalidLikelihoods::NotOneVocabulary { target: 2, .. })
        ));
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(
                compare_token(&[1.0, 2.0], &[1.0, wrong], 0),
                Err(InvalidLikelihoods::NotALogit(1))
            );
        }
    }

    #[test]
    fn a_text_is_summed_up() {
        let tokens: Vec<TokenComparison> = (0..40)
            .map(|i| token(f64::from(i), i % 4 != 0, if i % 2 == 0 { 0.2 } else { 0.0 }))
            .collect();
        let got = compare_likelihoods(&tokens, &[10; 4]).unwrap();
        assert!((got.kl_mean.value - 19.5).abs() < 1e-12);
        assert!((got.kl_median.value - 19.5).abs() < 1e-12);
        assert!((got.kl_p99.value - 38.61).abs() < 1e-9);
        assert!((got.top1_agreement.value - 0.75).abs() < 1e-12);
        assert!((got.perplexity_ratio.value - 0.1_f64.exp()).abs() < 1e-12);
        assert_eq!((got.n_tokens, got.n_windows), (40, 4));
        for e in [got.kl_mean, got.kl_median, got.kl_p99, got.top1_agreement] {
            assert!(e.low <= e.value && e.value <= e.high, "{e:?}");
        }
    }

    #[test]
    fn windows_and_tokens_have_to_fit() {
        let tokens = [token(0.1, true, 0.0); 6];
        assert_eq!(
            compare_likelihoods(&tokens, &[6]),
            Err(InvalidLikelihoods::TooFewWindows(1))
        );
        assert_eq!(
            compare_likelihoods(&tokens, &[6, 0]),
            Err(InvalidLikelihoods::EmptyWindow(1))
        );
        for lengths in [[3, 4], [usize::MAX, 7]] {
            assert!(matches!(
                compare_likelihoods(&tokens, &lengths),
                Err(InvalidLikelihoods::LengthMismatch { n_tokens: 6, .. })
            ));
        }
        let bad = [
            token(-0.5, true, 0.0),
            token(f64::NAN, true, 0.0),
            token(0.1, true, f64::NAN),
            token(0.1, true, -2.0),
        ];
        for bad in bad {
            assert!(matches!(
                compare_likelihoods(&[tokens[0], bad], &[1, 1]),
                Err(InvalidLikelihoods::NotPossible { token_idx: 1, .. })
            ));
        }
    }
}
