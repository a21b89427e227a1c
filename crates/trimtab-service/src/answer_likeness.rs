//! How alike the programs of a variant's answers are to the suite's references.

use std::collections::{BTreeMap, HashMap};
use trimtab_domain::{CompletionScore, Failure, PromptStyle};
use trimtab_metrics::{CodeBleu, CodeBleuCounts, CodeBleuError, CodeBleuOptions, Language};
use trimtab_suites::{Problem, Suite, complete_program, program_of};

/// CodeBLEU (compatible mode) of all answers to a suite as one corpus, language by language.
///
/// An answer without a program counts as an empty one. Pairs that are too long or too complex to be
/// parsed are left out, as are problems without a reference.
///
/// # Errors
///
/// A metric whose self-test failed.
pub(crate) fn codebleu_of_answers(
    suite: &Suite,
    style: PromptStyle,
    scores: &[CompletionScore],
) -> Result<BTreeMap<&'static str, f64>, Failure> {
    let problems: HashMap<&str, &Problem> = suite
        .problems
        .iter()
        .map(|problem| (problem.id.as_str(), problem))
        .collect();
    let mut corpora: BTreeMap<&'static str, (CodeBleu, CodeBleuCounts)> = BTreeMap::new();
    for score in scores.iter().filter(|score| score.suite == suite.name) {
        let Some(problem) = problems.get(score.problem_id.as_str()) else {
            continue;
        };
        if problem.canonical_solution.trim().is_empty() {
            continue;
        }
        let name = problem.language.as_str();
        if !corpora.contains_key(name) {
            let language: Language = name.parse().map_err(Failure::failed)?;
            let codebleu = CodeBleu::new(language, CodeBleuOptions::default());
            let codebleu = codebleu.map_err(Failure::failed)?;
            corpora.insert(name, (codebleu, CodeBleuCounts::default()));
        }
        let (codebleu, counts) = corpora.get_mut(name).expect("it was put there");
        let reference = complete_program(problem, &problem.canonical_solution);
        let answer = program_of(problem, style, &score.completion).unwrap_or_default();
        match codebleu.counts(&answer, &[&reference]) {
            Ok(pair) => *counts += pair,
            Err(CodeBleuError::TooLong { .. } | CodeBleuError::TooComplex { .. }) => {}
            Err(error) => return Err(Failure::failed(error)),
        }
    }
    let scored =
        corpora
            .into_iter()
            .map(|(name, (codebleu, counts))| match codebleu.score(&counts) {
                Ok(score) => Ok(Some((name, score.codebleu))),
                Err(CodeBleuError::NothingToScore) => Ok(None),
                Err(error) => Err(Failure::failed(error)),
            });
    scored.filter_map(Result::transpose).collect()
}
