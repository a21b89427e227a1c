//! A comparison in words: what is kept, what was asked for, the answer, and what it rests on.

use crate::{
    PairedCounts, ResampledQuality,
    compare::{Seen, Side},
    resampled_quality::MIN_PROBLEMS,
};
use trimtab_domain::{Comparison, Estimate, QualityMeasure, QualityTest, QualityVerdict, Spread};

/// What is kept and gained, what was asked for, and whether it was reached.
pub(crate) fn sentence(comparison: &Comparison, seen: &Seen) -> String {
    let Comparison {
        variant, criterion, ..
    } = comparison;
    let kept = match &seen.resampled {
        Some(quality) => resampled_words(quality),
        None => quality_words(comparison, seen.counts),
    };
    let gained = speed_words(comparison.speedup);
    let asked = format!(
        "Asked for: at least {:.0} % kept and at least {:.1}× the speed",
        100.0 * criterion.min_retention,
        criterion.min_speedup
    );
    let answer = match comparison.verdict {
        QualityVerdict::Meets => "met".to_owned(),
        QualityVerdict::Fails => match (seen.quality, seen.speed) {
            (Side::Below, Side::Below) => "missed, on quality and on speed".to_owned(),
            (Side::Below, _) => "missed, on quality".to_owned(),
            _ => "missed, on speed".to_owned(),
        },
        QualityVerdict::NotEnoughData => not_enough_words(comparison, seen.quality),
    };
    format!("{variant} {kept} and {gained}. {asked}: {answer}.")
}

fn quality_words(comparison: &Comparison, counts: PairedCounts) -> String {
    let n = counts.n().round() as u32;
    let problems = if n == 1 { "problem" } else { "problems" };
    match comparison.retention {
        None if n == 0 => "has no problem yet that both it and the base answered".to_owned(),
        None => {
            format!("cannot be compared on quality, as the base solves none of {n} {problems},")
        }
        Some(e) => format!(
            "solves {} of {n} {problems} where the base solves {}: it keeps {:.1} % \
             (95 % interval {:.1} to {:.1} %)",
            counts.n_both + counts.n_won,
            counts.n_both + counts.n_lost,
            100.0 * e.value,
            100.0 * e.low,
            100.0 * e.high
        ),
    }
}

fn resampled_words(quality: &ResampledQuality) -> String {
    let ResampledQuality {
        measure,
        base,
        variant,
        n,
        retention,
        ..
    } = quality;
    let scores = format!(
        "scores {variant:.3} in {} on {n} problems where the base scores {base:.3}",
        measure.label()
    );
    match retention {
        Some(e) => format!(
            "{scores}: it keeps {:.1} % (95 % interval {:.1} to {:.1} %)",
            100.0 * e.value,
            100.0 * e.low,
            100.0 * e.high
        ),
        None => format!("{scores}, which cannot be compared by drawing problems,"),
    }
}

fn speed_words(speedup: Option<Spread>) -> String {
    match speedup {
        None => "its speed is not measured yet".to_owned(),
        Some(s) => format!(
            "decodes at {:.2}× the base's speed ({:.2} to {:.2}× over {} repeats)",
            s.median, s.min, s.max, s.n
        ),
    }
}

fn not_enough_words(comparison: &Comparison, quality: Side) -> String {
    let why = match (comparison.retention, comparison.quality_test) {
        (Some(e), None) if comparison.measure != QualityMeasure::PassAt1 && e.n < MIN_PROBLEMS => {
            format!("not enough data, as fewer than {MIN_PROBLEMS} problems carry no verdict")
        }
        (Some(e), Some(test)) if is_one_sided(e, comparison.criterion.min_retention) => format!(
            "not enough data, as {} variants are compared and each claim has to be surer than alone",
            test.n_compared
        ),
        _ => "not enough data".to_owned(),
    };
    match (quality, comparison.retention, comparison.n_more_problems) {
        (Side::Open, Some(_), Some(n)) => {
            format!("{why}; about {n} more problems like these would decide on quality")
        }
        (Side::Open, Some(_), None) => format!(
            "{why}; it lies so close to the border that more problems of this kind \
             would hardly decide"
        ),
        (Side::Open, None, _) => "not enough data; use problems that the base can solve".to_owned(),
        (Side::Reached | Side::Below, _, _) => {
            "not enough data; the quality is proven, the speed has to be measured again".to_owned()
        }
    }
}

/// Whether the interval alone would have decided.
fn is_one_sided(retention: Estimate, asked: f64) -> bool {
    retention.low >= asked || retention.high < asked
}

/// What the verdict rests on: problems, test, correction, level, power.
pub(crate) fn basis(comparison: &Comparison) -> String {
    let Some(difference) = comparison.difference else {
        return match comparison.measure {
            QualityMeasure::PassAt1 => "No problem has been answered by both sides.".to_owned(),
            measure => format!(
                "{} does not vary between draws of problems.",
                measure.label()
            ),
        };
    };
    let paired = paired_words(comparison, difference);
    let test = comparison
        .quality_test
        .map(|test| test_words(test, comparison))
        .unwrap_or_default();
    let time = comparison.tpot_ratio.map_or_else(String::new, |e| {
        format!(
            " Time per output token on {} of the same problems: {:.3} of the base's \
             (95 % interval {:.3} to {:.3}, bootstrap).",
            e.n, e.value, e.low, e.high
        )
    });
    format!("{paired}{test}{time}")
}

fn paired_words(comparison: &Comparison, difference: Estimate) -> String {
    let points = format!(
        "difference {:+.1} points (95 % interval {:+.1} to {:+.1})",
        100.0 * difference.value,
        100.0 * difference.low,
        100.0 * difference.high
    );
    let n = difference.n;
    let Some(p) = comparison.mcnemar_p else {
        let measure = comparison.measure.label();
        return format!(
            "{measure} paired on n = {n} problems, by drawing problems anew: {points}."
        );
    };
    format!(
        "Paired on n = {n} problems: {} lost, {} won, {points}, McNemar's exact test {}.",
        comparison.n_lost,
        comparison.n_won,
        p_words(p)
    )
}

fn test_words(test: QualityTest, comparison: &Comparison) -> String {
    let (claim, p, adjusted) = match comparison.verdict {
        QualityVerdict::Fails if test.p_fails < test.p_meets => {
            ("less than", test.p_fails, test.p_fails_adjusted)
        }
        _ => ("at least", test.p_meets, test.p_meets_adjusted),
    };
    let correction = if test.n_compared > 1 {
        format!(
            ", {} with Holm's correction for {} variants",
            p_words(adjusted),
            test.n_compared
        )
    } else {
        String::new()
    };
    let power = test.power.map_or_else(String::new, |power| {
        format!(
            " A variant exactly as good as the base would be proven by such problems with a chance \
             of {:.0} % (power).",
            100.0 * power
        )
    });
    let kind = match comparison.measure {
        QualityMeasure::PassAt1 => "Score test",
        QualityMeasure::MeanPassAt1 | QualityMeasure::CodeBleu => "Bootstrap test",
    };
    format!(
        " {kind} that it keeps {claim} {:.0} %: {}{correction}; proven at {} or less.{power}",
        100.0 * comparison.criterion.min_retention,
        p_words(p),
        test.level
    )
}

/// `p = 0.034`, or `p < 0.001`.
fn p_words(p: f64) -> String {
    if p < 0.001 {
        "p < 0.001".to_owned()
    } else {
        format!("p = {p:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::p_words;

    #[test]
    fn small_p_values_are_not_called_zero() {
        assert_eq!(p_words(0.000_4), "p < 0.001");
        assert_eq!(p_words(0.034_2), "p = 0.034");
        assert_eq!(p_words(1.0), "p = 1.000");
    }
}
