//! From counts to the score: precisions, smoothing, brevity.

use super::{BleuCounts, BleuOptions, Smoothing};
use crate::ngrams::MAX_ORDER;

/// The logarithm of zero that sacreBLEU takes: far enough down for any score to become zero.
const LOG_OF_ZERO: f64 = -9_999_999_999.0;

/// BLEU and its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BleuScore {
    /// 0 to 100.
    pub score: f64,
    /// Smoothed precisions by order, 0 to 100.
    pub precisions: [f64; MAX_ORDER],
    /// What a hypothesis that is shorter than the reference is multiplied with, 0 to 1.
    pub brevity_penalty: f64,
    /// The counts.
    pub counts: BleuCounts,
}

pub(super) fn score(options: &BleuOptions, counts: &BleuCounts) -> BleuScore {
    let brevity_penalty = brevity_penalty(counts);
    let mut precisions = [0.0; MAX_ORDER];
    let has_match = counts.correct.iter().any(|&correct| correct > 0);
    let n_orders = if has_match {
        smooth(options, counts, &mut precisions)
    } else {
        MAX_ORDER
    };
    let log = |precision: &f64| match *precision {
        0.0 => LOG_OF_ZERO,
        precision => precision.ln(),
    };
    let mean_log = precisions[..n_orders].iter().map(log).sum::<f64>() / n_orders as f64;
    BleuScore {
        score: brevity_penalty * mean_log.exp(),
        precisions,
        brevity_penalty,
        counts: *counts,
    }
}

fn brevity_penalty(counts: &BleuCounts) -> f64 {
    match (counts.hypothesis_length, counts.reference_length) {
        (hypothesis, reference) if reference <= hypothesis => 1.0,
        (0, _) => 0.0,
        (hypothesis, reference) => (1.0 - reference as f64 / hypothesis as f64).exp(),
    }
}

/// Fills in precisions and returns how many orders count.
fn smooth(options: &BleuOptions, counts: &BleuCounts, precisions: &mut [f64; MAX_ORDER]) -> usize {
    let mut n_orders = MAX_ORDER;
    let mut halves = 1.0;
    for (idx, precision) in precisions.iter_mut().enumerate() {
        let mut correct = counts.correct[idx] as f64;
        let mut total = counts.total[idx] as f64;
        if let (Smoothing::AddK(k), 1..) = (options.smoothing, idx) {
            correct += k;
            total += k;
        }
        if total == 0.0 {
            break;
        }
        if options.has_effective_order {
            n_orders = idx + 1;
        }
        *precision = if correct > 0.0 {
            100.0 * correct / total
        } else {
            match options.smoothing {
                Smoothing::Exponential => {
                    halves *= 2.0;
                    100.0 / (halves * total)
                }
                Smoothing::Floor(floor) => 100.0 * floor / total,
                Smoothing::AddK(_) | Smoothing::None => 0.0,
            }
        };
    }
    n_orders
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bleu, Tokenization};

    fn bleu(smoothing: Smoothing) -> Bleu {
        let options = BleuOptions {
            smoothing,
            tokenization: Tokenization::None,
            has_effective_order: false,
        };
        Bleu::untested(options).unwrap()
    }

    fn value(smoothing: Smoothing, hypothesis: &str, references: &[&str]) -> f64 {
        let bleu = bleu(smoothing);
        bleu.score(&bleu.counts(hypothesis, references).unwrap())
            .score
    }

    #[test]
    fn agrees_with_a_sum_by_hand() {
        // 4 of 5 words, 2 of 4 pairs, 1 of 3 triples, 0 of 2 quadruples: half of one counts.
        let got = value(Smoothing::Exponential, "a b c x d", &["a b c d e"]);
        let want = 100.0 * (0.8_f64 * 0.5 * (1.0 / 3.0) * 0.25).powf(0.25);
        assert!((got - want).abs() < 1e-9, "{got} {want}");
        assert!(value(Smoothing::None, "a b c x d", &["a b c d e"]) < 1e-9);
    }

    #[test]
    fn a_short_hypothesis_is_penalised() {
        let got = value(Smoothing::None, "a b c d", &["a b c d e f"]);
        assert!((got - 100.0 * (1.0_f64 - 1.5).exp()).abs() < 1e-9, "{got}");
    }

    #[test]
    fn the_best_of_several_references_counts() {
        let got = value(Smoothing::None, "a b c d", &["x", "a b c d"]);
        assert!((got - 100.0).abs() < 1e-9, "{got}");
    }

    #[test]
    fn nothing_scores_nothing() {
        assert!(value(Smoothing::Exponential, "", &["a"]).abs() < 1e-12);
        assert!(value(Smoothing::AddK(1.0), "b", &["a"]).abs() < 1e-12);
    }

    #[test]
    fn a_negative_floor_and_a_missing_reference_are_refused() {
        use crate::BleuError::{InvalidSmoothing, NoReference};
        let options = BleuOptions {
            smoothing: Smoothing::Floor(-1.0),
            ..BleuOptions::default()
        };
        let refused = Bleu::untested(options).unwrap_err();
        assert_eq!(refused, InvalidSmoothing(-1.0));
        let refused = bleu(Smoothing::None).counts("a", &[]).unwrap_err();
        assert_eq!(refused, NoReference);
    }

    proptest::proptest! {
        #[test]
        fn lies_between_0_and_100_and_is_100_for_the_same(
            text in "[a-c.,(){} 1é-]{0,40}", other in "[a-c.,(){} 1é-]{0,40}"
        ) {
            let bleu = Bleu::untested(BleuOptions { has_effective_order: true, ..BleuOptions::default() }).unwrap();
            let between = |a: &str, b: &str| bleu.score(&bleu.counts(a, &[b]).unwrap()).score;
            proptest::prop_assert!((0.0..=100.0 + 1e-9).contains(&between(&text, &other)));
            if bleu.counts(&text, &[&text]).unwrap().hypothesis_length > 0 {
                proptest::prop_assert!((between(&text, &text) - 100.0).abs() < 1e-9);
            }
        }
    }
}
