//! The self-tests: a few texts with the scores that the reference packages give them.

use super::{
    MetricId, Outcome,
    known::{BLEU, CODEBLEU, KnownBleu},
};
use crate::{
    Bleu, BleuOptions, CodeBleu, CodeBleuOptions, EditSimilarity, ExactMatch, Language,
    compile_rate, pass_at_k,
};

/// Closed forms on both sides: only rounding differs.
const TOLERANCE: f64 = 1e-9;

pub(super) fn run(metric: MetricId) -> Outcome {
    match metric {
        MetricId::Bleu => BLEU.iter().try_for_each(bleu),
        MetricId::CodeBleu(language) => codebleu(language),
        MetricId::ExactMatch => {
            let exact = ExactMatch::untested();
            let of = |text| f64::from(u8::from(exact.of(text, &["x", "a b"]) == Some(true)));
            check("equal texts", of(" a b\n"), 1.0)?;
            check("other texts", of("a c"), 0.0)
        }
        MetricId::EditSimilarity => {
            let similarity = EditSimilarity::untested().of("kitten", &["sitting"]);
            let similarity = similarity.map_err(|error| error.to_string())?;
            check("`kitten` and `sitting`", similarity, 4.0 / 7.0)
        }
        MetricId::PassAtK => {
            let value = pass_at_k(4, 2, 2).ok_or("it is undefined for 2 of 4")?;
            check("2 of 4, k = 2", value, 5.0 / 6.0)
        }
        MetricId::CompileRate => {
            let rate = compile_rate(3, 4).ok_or("it is undefined for 3 of 4")?;
            check("3 of 4", rate.value, 0.75)
        }
    }
}

fn bleu(known: &KnownBleu) -> Outcome {
    let options = BleuOptions {
        tokenization: known.tokenization,
        ..BleuOptions::default()
    };
    let bleu = Bleu::untested(options).map_err(|error| error.to_string())?;
    let counts = bleu.counts(known.hypothesis, &[known.reference]);
    let counts = counts.map_err(|error| error.to_string())?;
    check(
        known.tokenization.name(),
        bleu.score(&counts).score,
        known.score,
    )
}

fn codebleu(language: Language) -> Outcome {
    let told = |error: crate::CodeBleuError| error.to_string();
    let known = CODEBLEU.iter().find(|known| known.language == language);
    let known = known.ok_or("there is no known score")?;
    let mut codebleu = CodeBleu::untested(language, CodeBleuOptions::default()).map_err(told)?;
    let counts = codebleu.counts(known.hypothesis, &[known.reference]);
    let score = codebleu.score(&counts.map_err(told)?).map_err(told)?;
    let got = [
        ("n-gram match", score.ngram_match),
        ("weighted n-gram match", score.weighted_ngram_match),
        ("syntax match", score.syntax_match),
        ("data-flow match", score.dataflow_match.unwrap_or(0.0)),
    ];
    for ((part, value), expected) in got.into_iter().zip(known.parts) {
        check(part, value, expected)?;
    }
    Ok(())
}

fn check(what: &str, value: f64, expected: f64) -> Outcome {
    if (value - expected).abs() <= TOLERANCE {
        Ok(())
    } else {
        Err(format!("{what}: {value} instead of {expected}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_number_fails() {
        let known = KnownBleu {
            score: BLEU[0].score + 1e-6,
            ..BLEU[0]
        };
        let failed = bleu(&known).unwrap_err();
        assert!(
            failed.starts_with("13a: ") && failed.contains(" instead of "),
            "{failed}"
        );
        assert!(check("x", f64::NAN, 1.0).is_err());
    }
}
