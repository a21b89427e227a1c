//! Scores of a track whose answers are compared with references: shares, and BLEU and CodeBLEU of
//! all answers as one corpus, each with its interval.

use crate::{
    Bleu, BleuCounts, BleuOptions, Bootstrap, CodeBleu, CodeBleuCounts, CodeBleuOptions,
    CodeBleuScore, LIKENESS_VERSION, Language, LikenessError, ResampledQuality, bootstrap,
    flips::paired, resampled_quality, wilson_interval,
};
use trimtab_domain::{CompletionScore, Estimate, Likeness, LikenessScore, QualityMeasure};

/// Enough for two figures of an interval, and quick enough to be drawn for each look at a page.
const N_RESAMPLES: u32 = 2000;

/// Suite, track and language.
type TrackKey<'a> = (&'a str, &'a str, &'a str);

/// The scores of a variant's answers that were compared with references, track by track in the order
/// of landing.
///
/// # Errors
///
/// [`LikenessError`] for a failed self-test.
pub fn likeness_scores(
    scores: &[CompletionScore],
    seed: u64,
) -> Result<Vec<LikenessScore>, LikenessError> {
    let mut tracks: Vec<(TrackKey<'_>, Vec<&Likeness>)> = Vec::new();
    for score in scores {
        let Some(likeness) = &score.detail.likeness else {
            continue;
        };
        let key = (
            score.suite.as_str(),
            score.track.as_str(),
            likeness.language.as_str(),
        );
        match tracks.iter_mut().find(|(known, _)| *known == key) {
            Some((_, answers)) => answers.push(likeness),
            None => tracks.push((key, vec![likeness])),
        }
    }
    let mut found = Vec::new();
    for ((suite, track, language), answers) in tracks {
        // A language that no metric knows was written by another version.
        if let Ok(language) = language.parse() {
            found.extend(likeness_score((suite, track), language, &answers, seed)?);
        }
    }
    Ok(found)
}

/// CodeBLEU of variant and base on the answers that both have; see [`codebleu_quality`].
pub fn likeness_quality(
    base: &[CompletionScore],
    variant: &[CompletionScore],
    min_retention: f64,
    seed: u64,
) -> Option<ResampledQuality> {
    let mut tracks: Vec<(&str, &str)> = Vec::new();
    let mut pairs = Vec::new();
    for (base, variant) in paired(base, variant) {
        let (Some(of_base), Some(of_variant)) = (&base.detail.likeness, &variant.detail.likeness)
        else {
            continue;
        };
        let key = (variant.suite.as_str(), variant.track.as_str());
        let known = tracks.iter().position(|track| *track == key);
        let track = known.unwrap_or_else(|| {
            tracks.push(key);
            tracks.len() - 1
        });
        pairs.push((track, &**of_base, &**of_variant));
    }
    codebleu_quality(&pairs, min_retention, seed)
}

/// The score of the answers of one track; `None` where no answer was compared by the metrics of
/// this program.
///
/// # Errors
///
/// [`LikenessError`] for a failed self-test.
fn likeness_score(
    (suite, track): (&str, &str),
    language: Language,
    answers: &[&Likeness],
    seed: u64,
) -> Result<Option<LikenessScore>, LikenessError> {
    let current = |answer: &&&Likeness| answer.version == LIKENESS_VERSION;
    let compared: Vec<&Likeness> = answers.iter().filter(current).copied().collect();
    if compared.is_empty() {
        return Ok(None);
    }
    let mut notes = Vec::new();
    let n_old = answers.len() - compared.len();
    if n_old > 0 {
        notes.push(format!(
            "{n_old} answers were compared by another version of the metrics and are left out"
        ));
    }
    let codebleu = code_parts(&compared, &mut notes);
    let signatures = [
        Bleu::new(BleuOptions::default())?.signature(Some(1)),
        CodeBleu::new(language, CodeBleuOptions::default())?.signature(Some(1)),
    ];
    let n = compared.len() as u32;
    let count = |is: &dyn Fn(&Likeness) -> bool| compared.iter().filter(|a| is(a)).count() as u32;
    Ok(Some(LikenessScore {
        suite: suite.to_owned(),
        track: track.to_owned(),
        language: language.name().to_owned(),
        n,
        exact_match: wilson_interval(count(&|answer| answer.is_exact), n),
        same_tree: share(&compared, |answer| answer.is_same_tree),
        edit_similarity: edit_similarity(&compared, seed, &mut notes),
        bleu: corpus(&compared, "BLEU", seed, &mut notes, bleu_of),
        codebleu: corpus(&compared, "CodeBLEU", seed, &mut notes, |answers| {
            Some(codebleu_of(answers)?.codebleu)
        }),
        codebleu_parts: codebleu,
        compile_rate: share(&compared, |answer| answer.compiles),
        notes,
        signatures: signatures.to_vec(),
    }))
}

/// CodeBLEU of some answers as one corpus; `None` where none could be parsed.
fn codebleu_of(answers: &[&Likeness]) -> Option<CodeBleuScore> {
    let mut counts = CodeBleuCounts::default();
    for tally in answers.iter().filter_map(|answer| answer.codebleu.as_ref()) {
        counts += CodeBleuCounts::from(tally);
    }
    counts.score(&CodeBleuOptions::default()).ok()
}

/// CodeBLEU of variant and base on the same problems: of each track as one corpus, then the mean over
/// tracks. `pairs` are tracks by number, with the base's answer and the variant's.
///
/// `None` where a track has no answer that could be parsed.
fn codebleu_quality(
    pairs: &[(usize, &Likeness, &Likeness)],
    min_retention: f64,
    seed: u64,
) -> Option<ResampledQuality> {
    let is_current = |answer: &Likeness| answer.version == LIKENESS_VERSION;
    let pairs: Vec<_> = pairs
        .iter()
        .copied()
        .filter(|(_, base, variant)| is_current(base) && is_current(variant))
        .collect();
    let n_tracks = pairs.iter().map(|(track, ..)| track + 1).max()?;
    let both = |drawn: &[(usize, &Likeness, &Likeness)]| {
        let mut sides = vec![[CodeBleuCounts::default(); 2]; n_tracks];
        for (track, base, variant) in drawn {
            // A pair that one side cannot be scored on is no pair.
            if let (Some(base), Some(variant)) = (&base.codebleu, &variant.codebleu) {
                sides[*track][0] += CodeBleuCounts::from(base);
                sides[*track][1] += CodeBleuCounts::from(variant);
            }
        }
        let mean = |side: usize| -> Option<f64> {
            let scores: Option<Vec<f64>> = sides
                .iter()
                .map(|track| {
                    Some(
                        track[side]
                            .score(&CodeBleuOptions::default())
                            .ok()?
                            .codebleu,
                    )
                })
                .collect();
            Some(scores?.iter().sum::<f64>() / n_tracks as f64)
        };
        Some((mean(0)?, mean(1)?))
    };
    resampled_quality(QualityMeasure::CodeBleu, &pairs, both, min_retention, seed)
}

fn bleu_of(answers: &[&Likeness]) -> Option<f64> {
    let mut counts = BleuCounts::default();
    for tally in answers.iter().filter_map(|answer| answer.bleu.as_ref()) {
        counts += BleuCounts::from(tally);
    }
    let bleu = Bleu::new(BleuOptions::default()).ok()?;
    Some(bleu.score(&counts).score)
}

/// The share of answers of which something holds, of those of which it is known.
fn share(answers: &[&Likeness], of: impl Fn(&Likeness) -> Option<bool>) -> Option<Estimate> {
    let known: Vec<bool> = answers.iter().filter_map(|answer| of(answer)).collect();
    let n_true = known.iter().filter(|holds| **holds).count();
    (!known.is_empty()).then(|| wilson_interval(n_true as u32, known.len() as u32))
}

fn edit_similarity(answers: &[&Likeness], seed: u64, notes: &mut Vec<String>) -> Option<Estimate> {
    corpus(answers, "edit similarity", seed, notes, |answers| {
        let known: Vec<f64> = answers.iter().filter_map(|a| a.edit_similarity).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    })
}

/// A score of all answers together with its interval over answers. Where the interval cannot be
/// had there is no score but a note, for a number without an interval says too much.
fn corpus(
    answers: &[&Likeness],
    metric: &str,
    seed: u64,
    notes: &mut Vec<String>,
    score: impl Fn(&[&Likeness]) -> Option<f64>,
) -> Option<Estimate> {
    let value = score(answers)?;
    let settings = Bootstrap {
        n_resamples: N_RESAMPLES,
        ..Bootstrap::new(seed)
    };
    match bootstrap(answers, |drawn| score(drawn), settings) {
        Ok(estimate) => Some(estimate),
        Err(error) => {
            notes.push(format!(
                "{metric} is {value:.4}, without an interval: {error}"
            ));
            None
        }
    }
}

/// The parts of CodeBLEU, and what was degenerate on the way.
fn code_parts(answers: &[&Likeness], notes: &mut Vec<String>) -> Option<[Option<f64>; 4]> {
    let n_unparsed = answers.iter().filter(|a| a.codebleu.is_none()).count();
    if n_unparsed > 0 {
        notes.push(format!(
            "{n_unparsed} answers are too long or too deep to be parsed; CodeBLEU leaves them out"
        ));
    }
    let score = codebleu_of(answers)?;
    let degenerate = score.degenerate;
    let said = [
        (degenerate.n_empty_hypotheses, "answers are empty"),
        (
            degenerate.n_undefined_data_flows,
            "references have no data flow",
        ),
        (
            degenerate.n_references_with_errors,
            "references do not parse",
        ),
        (degenerate.n_hypotheses_with_errors, "answers do not parse"),
    ];
    let n_pairs = score.n_pairs;
    for (n, what) in said.into_iter().filter(|(n, _)| *n > 0) {
        notes.push(format!("{n} of {n_pairs} {what} (CodeBLEU)"));
    }
    Some([
        Some(score.ngram_match),
        Some(score.weighted_ngram_match),
        Some(score.syntax_match),
        score.dataflow_match,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference_likeness;

    fn answers() -> Vec<Likeness> {
        (0..40)
            .map(|i| {
                let reference = format!("int f{i}(int a) {{ int b = a + {i}; return b * a; }}");
                let answer = match i % 4 {
                    0 => reference.clone(),
                    1 => format!("int f{i}(int a) {{ return a + {i}; }}"),
                    2 => format!("int g(int x) {{ int y = x + {i}; return y; }}"),
                    _ => String::new(),
                };
                let mut likeness = reference_likeness(Language::Java, &answer, &reference).unwrap();
                likeness.compiles = (i % 2 == 0).then_some(i % 4 == 0);
                likeness
            })
            .collect()
    }

    #[test]
    fn shares_count_only_what_is_known() {
        let answers = answers();
        let answers: Vec<&Likeness> = answers.iter().collect();
        let score = likeness_score(("s", "t"), Language::Java, &answers, 1)
            .unwrap()
            .unwrap();
        assert_eq!((score.n, score.exact_match.n), (40, 40));
        assert!((score.exact_match.value - 0.25).abs() < 1e-12);
        let compiled = score.compile_rate.unwrap();
        assert_eq!(compiled.n, 20);
        assert!((compiled.value - 0.5).abs() < 1e-12);
        let codebleu = score.codebleu.unwrap();
        assert!(codebleu.low < codebleu.value && codebleu.value < codebleu.high);
        assert!(score.bleu.unwrap().value > 1.0, "0 to 100");
        let notes = score.notes.join("\n");
        assert!(notes.contains("10 of 40 answers are empty"), "{notes}");
    }

    #[test]
    fn answers_are_scored_by_track() {
        let mut scores = Vec::new();
        for (idx, likeness) in answers().into_iter().enumerate() {
            let mut score = crate::flips::tests::score("m:f16", &idx.to_string(), false, "x");
            score.track = ["to-java", "from-java"][idx % 2].to_owned();
            score.verdict = trimtab_domain::Verdict::Compared;
            score.detail.likeness = Some(Box::new(likeness));
            scores.push(score);
        }
        scores.push(crate::flips::tests::score("m:f16", "tested", true, "x"));
        let got = likeness_scores(&scores, 1).unwrap();
        let told: Vec<(&str, u32)> = got.iter().map(|s| (s.track.as_str(), s.n)).collect();
        assert_eq!(told, [("to-java", 20), ("from-java", 20)]);
        let same = likeness_quality(&scores, &scores, 0.95, 1).unwrap();
        assert_eq!((same.n, same.base.to_bits()), (40, same.variant.to_bits()));
    }

    #[test]
    fn sides_are_compared_on_the_same_answers() {
        let base = answers();
        let worse: Vec<Likeness> = (0..40).map(|i| base[(i + i % 2) % 40].clone()).collect();
        let pairs: Vec<_> = (0..40).map(|i| (i % 2, &base[i], &worse[i])).collect();
        let got = codebleu_quality(&pairs, 0.95, 1).unwrap();
        assert_eq!(got.n, 40);
        let one_side = |track: usize, of: &[Likeness]| {
            let of_track: Vec<&Likeness> =
                (0..40).filter(|i| i % 2 == track).map(|i| &of[i]).collect();
            codebleu_of(&of_track).unwrap().codebleu
        };
        assert!((got.base - f64::midpoint(one_side(0, &base), one_side(1, &base))).abs() < 1e-12);
        assert!(
            (got.variant - f64::midpoint(one_side(0, &worse), one_side(1, &worse))).abs() < 1e-12
        );
        assert_eq!(codebleu_quality(&[], 0.95, 1), None);
    }

    #[test]
    fn answers_of_another_version_are_not_mixed_in() {
        let mut answers = answers();
        answers[0].version = LIKENESS_VERSION + 1;
        let answers: Vec<&Likeness> = answers.iter().collect();
        let score = likeness_score(("s", "t"), Language::Java, &answers, 1)
            .unwrap()
            .unwrap();
        assert_eq!(score.n, 39);
        assert!(score.notes[0].starts_with("1 answers were compared by another version"));
        let none = likeness_score(("s", "t"), Language::Java, &answers[..1], 1);
        assert_eq!(none.unwrap(), None);
    }

    #[test]
    fn a_corpus_that_does_not_vary_has_a_note_in_place_of_an_interval() {
        let code = "int f() { return 1; }";
        let one = reference_likeness(Language::Java, code, code).unwrap();
        let answers = vec![&one; 5];
        let score = likeness_score(("s", "t"), Language::Java, &answers, 1)
            .unwrap()
            .unwrap();
        assert_eq!(score.codebleu, None);
        assert!(
            score
                .notes
                .iter()
                .any(|note| note.starts_with("CodeBLEU is 1.0000, without"))
        );
    }
}
