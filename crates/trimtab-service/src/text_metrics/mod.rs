//! Metrics of texts that lie in files: BLEU, CodeBLEU, exact match, edit similarity, compile rate.

mod compile_rate;
mod pairs;

pub use compile_rate::{CompileRateReply, compile_rate};
pub use pairs::TextPairs;
use serde::Serialize;
use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, ScopedJoinHandle},
};
use trimtab_domain::{Check, CheckStatus, Failure, FailureKind};
use trimtab_metrics::{
    Bleu, BleuCounts, BleuError, CodeBleu, CodeBleuCounts, CodeBleuError, CodeBleuScore,
    EditSimilarity, EditSimilarityError, ExactMatch, MetricDisabled, SelfTest, wilson_interval,
};
pub use trimtab_metrics::{
    BleuOptions, CodeBleuMode, CodeBleuOptions, Language, MetricId, Smoothing, Tokenization,
    pass_at_k,
};

/// BLEU of a corpus.
#[derive(Clone, Debug, Serialize)]
pub struct BleuReply {
    /// 0 to 100.
    pub bleu: f64,
    /// Smoothed precisions by order, 0 to 100.
    pub precisions: [f64; 4],
    /// 0 to 1.
    pub brevity_penalty: f64,
    /// Words of hypotheses.
    pub hypothesis_length: u64,
    /// Words of references.
    pub reference_length: u64,
    /// Pairs.
    pub n: usize,
    /// All that changes the number.
    pub signature: String,
}

/// CodeBLEU of a corpus and its parts, 0 to 1.
#[derive(Clone, Debug, Serialize)]
pub struct CodeBleuReply {
    /// The weighted mean.
    pub codebleu: f64,
    /// BLEU over words.
    pub ngram_match_score: f64,
    /// Recall over words, keywords counting more.
    pub weighted_ngram_match_score: f64,
    /// Share of subtrees.
    pub syntax_match_score: f64,
    /// Share of data flow; where there is none, nothing, or 0 in the mode `compatible`.
    pub dataflow_match_score: Option<f64>,
    /// Pairs.
    pub n: u64,
    /// Pairs that say less than they seem to.
    pub degenerate: DegenerateReply,
    /// All that changes the number.
    pub signature: String,
}

/// Counts of degenerate pairs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DegenerateReply {
    /// Hypotheses without a word.
    pub empty_hypotheses: u64,
    /// Pairs whose references have no data flow.
    pub undefined_data_flows: u64,
    /// Pairs with a reference that does not parse.
    pub references_with_errors: u64,
    /// Hypotheses that do not parse.
    pub hypotheses_with_errors: u64,
    /// Pairs with a text nested too deeply for a data flow.
    pub too_deep: u64,
}

/// The share of hypotheses that equal a reference, with its 95 % Wilson interval.
#[derive(Clone, Debug, Serialize)]
pub struct ExactMatchReply {
    /// The share.
    pub exact_match: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Pairs.
    pub n: u32,
    /// All that changes the number.
    pub signature: String,
}

/// The mean edit similarity.
#[derive(Clone, Debug, Serialize)]
pub struct EditSimilarityReply {
    /// 0 to 1.
    pub edit_similarity: f64,
    /// Pairs.
    pub n: usize,
    /// All that changes the number.
    pub signature: String,
}

/// BLEU of all pairs as one corpus.
///
/// # Errors
///
/// Bad options, or a failed self-test.
pub fn bleu(pairs: &TextPairs, options: BleuOptions) -> Result<BleuReply, Failure> {
    let bleu = Bleu::new(options).map_err(|error| match error {
        BleuError::Disabled(disabled) => failed(&disabled),
        other => Failure::bad_input(other),
    })?;
    let mut counts = BleuCounts::default();
    for idx in 0..pairs.len() {
        let (hypothesis, references) = pairs.get(idx);
        counts += bleu
            .counts(hypothesis, &references)
            .map_err(|error| at_line(idx, error))?;
    }
    let score = bleu.score(&counts);
    Ok(BleuReply {
        bleu: score.score,
        precisions: score.precisions,
        brevity_penalty: score.brevity_penalty,
        hypothesis_length: counts.hypothesis_length,
        reference_length: counts.reference_length,
        n: pairs.len(),
        signature: bleu.signature(Some(pairs.n_references())),
    })
}

/// Pairs that a thread takes at a time: some take far longer than others.
const N_PAIRS_AT_ONCE: usize = 8;

/// CodeBLEU of all pairs as one corpus; each processor takes some pairs at a time.
///
/// # Errors
///
/// Bad options, a text above the limits, or a failed self-test.
pub fn codebleu(
    pairs: &TextPairs,
    language: Language,
    options: CodeBleuOptions,
) -> Result<CodeBleuReply, Failure> {
    let codebleu = code_bleu(language, options)?;
    let n_threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let n_threads = n_threads.min(pairs.len().div_ceil(N_PAIRS_AT_ONCE));
    let next = AtomicUsize::new(0);
    let parts: Vec<Result<CodeBleuCounts, AtPair>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads)
            .map(|_| scope.spawn(|| count_code(pairs, &next, language, options)))
            .collect();
        let ended = threads.into_iter().map(ScopedJoinHandle::join);
        ended
            .map(|part| part.unwrap_or_else(|_| Err((0, panicked()))))
            .collect()
    });
    let counts = sum_of_parts(parts)?;
    let score = codebleu.score(&counts).map_err(Failure::bad_input)?;
    let signature = codebleu.signature(Some(pairs.n_references()));
    Ok(reply(&score, options.mode, signature))
}

/// A failure and the pair that it is about.
type AtPair = (usize, Failure);

/// Of several failures the one of the first pair is told, whichever thread was first.
fn sum_of_parts(parts: Vec<Result<CodeBleuCounts, AtPair>>) -> Result<CodeBleuCounts, Failure> {
    let mut counts = CodeBleuCounts::default();
    let mut first: Option<AtPair> = None;
    for part in parts {
        match part {
            Ok(part) => counts += part,
            Err(at_pair) if first.as_ref().is_none_or(|known| at_pair.0 < known.0) => {
                first = Some(at_pair);
            }
            Err(_) => {}
        }
    }
    first.map_or(Ok(counts), |(_, failure)| Err(failure))
}

fn panicked() -> Failure {
    Failure::new(FailureKind::Bug, "a thread that computes CodeBLEU panicked")
}

fn code_bleu(language: Language, options: CodeBleuOptions) -> Result<CodeBleu, Failure> {
    CodeBleu::new(language, options).map_err(|error| match error {
        CodeBleuError::Disabled(disabled) => failed(&disabled),
        other => Failure::bad_input(other),
    })
}

fn count_code(
    pairs: &TextPairs,
    next: &AtomicUsize,
    language: Language,
    options: CodeBleuOptions,
) -> Result<CodeBleuCounts, AtPair> {
    let mut codebleu = code_bleu(language, options).map_err(|failure| (0, failure))?;
    let mut counts = CodeBleuCounts::default();
    loop {
        let start = next.fetch_add(N_PAIRS_AT_ONCE, Ordering::Relaxed);
        if start >= pairs.len() {
            return Ok(counts);
        }
        for idx in start..pairs.len().min(start + N_PAIRS_AT_ONCE) {
            let (hypothesis, references) = pairs.get(idx);
            let pair = codebleu.counts(hypothesis, &references);
            counts += pair.map_err(|error| (idx, at_line(idx, error)))?;
        }
    }
}

fn reply(score: &CodeBleuScore, mode: CodeBleuMode, signature: String) -> CodeBleuReply {
    let degenerate = score.degenerate;
    CodeBleuReply {
        codebleu: score.codebleu,
        ngram_match_score: score.ngram_match,
        weighted_ngram_match_score: score.weighted_ngram_match,
        syntax_match_score: score.syntax_match,
        dataflow_match_score: match mode {
            CodeBleuMode::Compatible => Some(score.dataflow_match.unwrap_or(0.0)),
            CodeBleuMode::Strict => score.dataflow_match,
        },
        n: score.n_pairs,
        degenerate: DegenerateReply {
            empty_hypotheses: degenerate.n_empty_hypotheses,
            undefined_data_flows: degenerate.n_undefined_data_flows,
            references_with_errors: degenerate.n_references_with_errors,
            hypotheses_with_errors: degenerate.n_hypotheses_with_errors,
            too_deep: degenerate.n_too_deep,
        },
        signature,
    }
}

/// The share of pairs that match exactly.
///
/// # Errors
///
/// A failed self-test.
pub fn exact_match(pairs: &TextPairs) -> Result<ExactMatchReply, Failure> {
    let exact = ExactMatch::new().map_err(|disabled| failed(&disabled))?;
    let matches = (0..pairs.len()).filter(|&idx| {
        let (hypothesis, references) = pairs.get(idx);
        exact.of(hypothesis, &references) == Some(true)
    });
    let share = wilson_interval(matches.count() as u32, pairs.len() as u32);
    Ok(ExactMatchReply {
        exact_match: share.value,
        low: share.low,
        high: share.high,
        n: share.n,
        signature: exact.signature(),
    })
}

/// The mean edit similarity of the pairs.
///
/// # Errors
///
/// A text above the limit, or a failed self-test.
pub fn edit_similarity(pairs: &TextPairs) -> Result<EditSimilarityReply, Failure> {
    let edit = EditSimilarity::new().map_err(|error| match error {
        EditSimilarityError::Disabled(disabled) => failed(&disabled),
        other => Failure::bad_input(other),
    })?;
    let mut sum = 0.0;
    for idx in 0..pairs.len() {
        let (hypothesis, references) = pairs.get(idx);
        let similarity = edit.of(hypothesis, &references);
        sum += similarity.map_err(|error| at_line(idx, error))?;
    }
    Ok(EditSimilarityReply {
        edit_similarity: sum / pairs.len() as f64,
        n: pairs.len(),
        signature: edit.signature(),
    })
}

/// Refuses to go on with a metric whose self-test fails.
///
/// # Errors
///
/// The failed self-test.
pub fn require_metric(metric: MetricId) -> Result<(), Failure> {
    trimtab_metrics::require(metric).map_err(|disabled| failed(&disabled))
}

/// What `doctor` tells of the metrics.
pub(crate) fn checks() -> Vec<Check> {
    let tests = trimtab_metrics::self_tests();
    tests.iter().map(check).collect()
}

fn check(test: &SelfTest) -> Check {
    let name = format!("metric {}", test.metric.name());
    match (&test.outcome, &test.signature) {
        (Ok(()), Ok(signature)) => Check {
            name,
            status: CheckStatus::Ok,
            detail: format!("self-test passed; {signature}"),
            hint: None,
        },
        (outcome, signature) => {
            let reason = outcome.as_ref().err().map(ToString::to_string);
            Check {
                name,
                status: CheckStatus::Error,
                detail: reason
                    .or_else(|| signature.clone().err())
                    .unwrap_or_default(),
                hint: Some(REBUILD.to_owned()),
            }
        }
    }
}

const REBUILD: &str = "this build computes other numbers: build it again from a clean checkout";

fn failed(disabled: &MetricDisabled) -> Failure {
    Failure::failed(disabled).with_hint(REBUILD)
}

fn at_line(idx: usize, error: impl std::fmt::Display) -> Failure {
    Failure::bad_input(format!("line {}: {error}", idx + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_of_the_first_pair_is_told() {
        let at = |idx| Err((idx, at_line(idx, "too long")));
        let parts = vec![Ok(CodeBleuCounts::default()), at(40), at(3), at(9)];
        let failure = sum_of_parts(parts).unwrap_err();
        assert_eq!(failure.message, "line 4: too long");
        assert!(sum_of_parts(vec![Ok(CodeBleuCounts::default())]).is_ok());
    }
}
