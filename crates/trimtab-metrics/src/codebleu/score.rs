//! From counts to the score.

use super::{CodeBleuCounts, CodeBleuError, CodeBleuMode, CodeBleuOptions, Degenerate};

/// CodeBLEU and its four parts, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodeBleuScore {
    /// The weighted mean of the parts.
    pub codebleu: f64,
    /// BLEU over words.
    pub ngram_match: f64,
    /// Recall over words, keywords counting five times.
    pub weighted_ngram_match: f64,
    /// Share of the reference's subtrees that the hypothesis has.
    pub syntax_match: f64,
    /// Share of the reference's data flow that the hypothesis has; `None` if the references have none.
    pub dataflow_match: Option<f64>,
    /// Pairs that were scored.
    pub n_pairs: u64,
    /// What was degenerate.
    pub degenerate: Degenerate,
}

pub(super) fn score(
    options: &CodeBleuOptions,
    counts: &CodeBleuCounts,
) -> Result<CodeBleuScore, CodeBleuError> {
    if counts.n_pairs == 0 {
        return Err(CodeBleuError::NothingToScore);
    }
    let (ngram_match, weighted_ngram_match) = counts.words.scores();
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    // Every tree has a root, so the share of subtrees is always defined.
    let syntax_match = share(counts.n_subtrees_matched, counts.n_subtrees).unwrap_or(0.0);
    let dataflow_match = share(counts.n_flows_matched, counts.n_flows);
    let parts = [ngram_match, weighted_ngram_match, syntax_match];
    Ok(CodeBleuScore {
        codebleu: combine(options, parts, dataflow_match)?,
        ngram_match,
        weighted_ngram_match,
        syntax_match,
        dataflow_match,
        n_pairs: counts.n_pairs,
        degenerate: counts.degenerate,
    })
}

fn combine(
    options: &CodeBleuOptions,
    parts: [f64; 3],
    dataflow_match: Option<f64>,
) -> Result<f64, CodeBleuError> {
    let [others @ .., weight_of_flow] = options.weights;
    let sum: f64 = others.iter().zip(parts).map(|(w, part)| w * part).sum();
    match (options.mode, dataflow_match) {
        // The package writes `dataflow_match_score or 1`.
        (CodeBleuMode::Compatible, flow) => {
            let flow = flow.filter(|flow| *flow > 0.0).unwrap_or(1.0);
            Ok(sum + weight_of_flow * flow)
        }
        (CodeBleuMode::Strict, Some(flow)) => {
            Ok((sum + weight_of_flow * flow) / options.weights.iter().sum::<f64>())
        }
        (CodeBleuMode::Strict, None) => {
            let left: f64 = others.iter().sum();
            // With all weight on the data flow, nothing is left to take a mean of.
            if left > 0.0 {
                Ok(sum / left)
            } else {
                Err(CodeBleuError::UndefinedDataFlow)
            }
        }
    }
}
