//! A variant against its base: what is kept, what is gained, and whether that is proven.
//!
//! "Not enough data" is an answer: a criterion counts as met or missed only when the whole
//! interval lies on one side of it.

use crate::{PairedCounts, paired_ratio};
use trimtab_domain::{Bytes, Comparison, Criterion, Estimate, QualityVerdict, Spread, VariantName};

/// Beyond this, "more problems" is no advice that anyone can follow.
const MAX_PROJECTED_PROBLEMS: u32 = 100_000;

/// How both sides did on one problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairedOutcome {
    /// Whether the base passed.
    pub base_passed: bool,
    /// Whether the variant passed.
    pub variant_passed: bool,
}

/// What a comparison is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparisonInput {
    /// The variant.
    pub variant: VariantName,
    /// One entry for each problem that both sides answered.
    pub outcomes: Vec<PairedOutcome>,
    /// Output tokens per second of the base.
    pub base_decode_tokens_per_s: Option<Spread>,
    /// Output tokens per second of the variant.
    pub variant_decode_tokens_per_s: Option<Spread>,
    /// Size of the base's artifact.
    pub base_size: Option<Bytes>,
    /// Size of the variant's artifact.
    pub variant_size: Option<Bytes>,
    /// What the variant has to reach.
    pub criterion: Criterion,
}

/// Compares a variant with its base, paired by problem.
///
/// - `Meets`: the whole retention interval and the slowest speed-up reach the criterion.
/// - `Fails`: the whole retention interval, or the fastest speed-up, falls short.
/// - `NotEnoughData`: anything else, with a projection of the problems that would decide.
pub fn compare(input: ComparisonInput) -> Comparison {
    let counts = count(&input.outcomes);
    let retention = paired_ratio(counts);
    let speedup = speedup(
        input.base_decode_tokens_per_s,
        input.variant_decode_tokens_per_s,
    );
    let quality = quality_side(retention, input.criterion);
    let speed = speed_side(speedup, input.criterion);
    let verdict = match (quality, speed) {
        (Side::Below, _) | (_, Side::Below) => QualityVerdict::Fails,
        (Side::Reached, Side::Reached) => QualityVerdict::Meets,
        (Side::Open, _) | (_, Side::Open) => QualityVerdict::NotEnoughData,
    };
    let n_more_problems = match (verdict, quality) {
        (QualityVerdict::NotEnoughData, Side::Open) => problems_to_decide(counts, input.criterion),
        _ => None,
    };
    let mut comparison = Comparison {
        variant: input.variant,
        retention,
        n_lost: counts.n_lost as u32,
        n_won: counts.n_won as u32,
        speedup,
        compression_ratio: compression_ratio(input.base_size, input.variant_size),
        criterion: input.criterion,
        verdict,
        sentence: String::new(),
        n_more_problems,
    };
    comparison.sentence = sentence(&comparison, counts, quality, speed);
    comparison
}

/// Where a measurement lies with respect to what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Reached,
    Below,
    Open,
}

fn quality_side(retention: Option<Estimate>, criterion: Criterion) -> Side {
    match retention {
        Some(e) if e.low >= criterion.min_retention => Side::Reached,
        Some(e) if e.high < criterion.min_retention => Side::Below,
        _ => Side::Open,
    }
}

fn speed_side(speedup: Option<Spread>, criterion: Criterion) -> Side {
    match speedup {
        Some(s) if s.min >= criterion.min_speedup => Side::Reached,
        Some(s) if s.max < criterion.min_speedup => Side::Below,
        _ => Side::Open,
    }
}

fn count(outcomes: &[PairedOutcome]) -> PairedCounts {
    let count = |base, variant| {
        let matching = PairedOutcome {
            base_passed: base,
            variant_passed: variant,
        };
        outcomes
            .iter()
            .filter(|outcome| **outcome == matching)
            .count() as f64
    };
    PairedCounts {
        n_both: count(true, true),
        n_lost: count(true, false),
        n_won: count(false, true),
        n_neither: count(false, false),
    }
}

/// Ratio of the medians; its range spans the ratios of all pairs of repeats.
fn speedup(base: Option<Spread>, variant: Option<Spread>) -> Option<Spread> {
    let (base, variant) = (base?, variant?);
    let is_measured = base.min > 0.0 && variant.min > 0.0;
    is_measured.then(|| Spread {
        median: variant.median / base.median,
        min: variant.min / base.max,
        max: variant.max / base.min,
        n: base.n.min(variant.n),
    })
}

fn compression_ratio(base: Option<Bytes>, variant: Option<Bytes>) -> Option<f64> {
    let (base, variant) = (base?, variant?);
    (variant.0 > 0).then(|| base.0 as f64 / variant.0 as f64)
}

/// How many more problems would move the whole interval to one side of the criterion,
/// if the shares stayed as they are; `None` when even very many would not.
fn problems_to_decide(counts: PairedCounts, criterion: Criterion) -> Option<u32> {
    let n = counts.n();
    let is_decided = |n_more: u32| {
        let factor = 1.0 + f64::from(n_more) / n;
        quality_side(paired_ratio(counts.scaled(factor)), criterion) != Side::Open
    };
    if n <= 0.0 || !is_decided(MAX_PROJECTED_PROBLEMS) {
        return None;
    }
    let (mut open, mut decided) = (0, MAX_PROJECTED_PROBLEMS);
    while decided - open > 1 {
        let middle = u32::midpoint(open, decided);
        if is_decided(middle) {
            decided = middle;
        } else {
            open = middle;
        }
    }
    Some(decided)
}

fn sentence(comparison: &Comparison, counts: PairedCounts, quality: Side, speed: Side) -> String {
    let Comparison {
        variant, criterion, ..
    } = comparison;
    let kept = quality_words(comparison, counts);
    let gained = speed_words(comparison.speedup);
    let asked = format!(
        "Asked for: at least {:.0} % kept and at least {:.1}× the speed",
        100.0 * criterion.min_retention,
        criterion.min_speedup
    );
    let answer = match comparison.verdict {
        QualityVerdict::Meets => "met".to_owned(),
        QualityVerdict::Fails => match (quality, speed) {
            (Side::Below, Side::Below) => "missed, on quality and on speed".to_owned(),
            (Side::Below, _) => "missed, on quality".to_owned(),
            _ => "missed, on speed".to_owned(),
        },
        QualityVerdict::NotEnoughData => not_enough_words(comparison, quality),
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
    match (quality, comparison.retention, comparison.n_more_problems) {
        (Side::Open, Some(_), Some(n)) => {
            format!("not enough data; about {n} more problems like these would decide on quality")
        }
        (Side::Open, Some(_), None) => {
            "not enough data; it lies so close to the border that more problems of this kind \
             would hardly decide"
                .to_owned()
        }
        (Side::Open, None, _) => "not enough data; use problems that the base can solve".to_owned(),
        (Side::Reached | Side::Below, _, _) => {
            "not enough data; the quality is proven, the speed has to be measured again".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(both: usize, lost: usize, won: usize, neither: usize) -> ComparisonInput {
        let outcome = |base_passed, variant_passed| PairedOutcome {
            base_passed,
            variant_passed,
        };
        let mut outcomes = vec![outcome(true, true); both];
        outcomes.extend(vec![outcome(true, false); lost]);
        outcomes.extend(vec![outcome(false, true); won]);
        outcomes.extend(vec![outcome(false, false); neither]);
        let speed = |median| {
            Some(Spread {
                median,
                min: median - 1.0,
                max: median + 1.0,
                n: 5,
            })
        };
        ComparisonInput {
            variant: "m:int4".parse().unwrap(),
            outcomes,
            base_decode_tokens_per_s: speed(20.0),
            variant_decode_tokens_per_s: speed(60.0),
            base_size: Some(Bytes(300)),
            variant_size: Some(Bytes(100)),
            criterion: Criterion::default(),
        }
    }

    #[test]
    fn meets_only_with_the_whole_interval_inside() {
        let got = compare(input(400, 0, 0, 100));
        assert_eq!(got.verdict, QualityVerdict::Meets);
        assert!(got.retention.unwrap().low >= 0.95);
        assert_eq!(got.n_more_problems, None);
        assert_eq!(got.compression_ratio, Some(3.0));
        assert!(
            got.sentence.ends_with("2.0× the speed: met."),
            "{}",
            got.sentence
        );
    }

    #[test]
    fn five_problems_prove_nothing_and_say_how_many_would() {
        let got = compare(input(5, 0, 0, 0));
        assert_eq!(got.verdict, QualityVerdict::NotEnoughData);
        let n_more = got.n_more_problems.unwrap();
        // Closed form without differing problems: k/(k + z²) ≥ 0.95 needs k ≥ 19 z² = 72.99.
        assert_eq!(n_more, 68);
        assert!(
            got.sentence.contains("about 68 more problems"),
            "{}",
            got.sentence
        );
    }

    #[test]
    fn the_projected_number_of_problems_does_decide() {
        let first = compare(input(30, 3, 2, 25));
        assert_eq!(first.verdict, QualityVerdict::NotEnoughData);
        let factor = 1.0 + f64::from(first.n_more_problems.unwrap()) / 60.0;
        let counts = count(&input(30, 3, 2, 25).outcomes).scaled(factor);
        assert_ne!(
            quality_side(paired_ratio(counts), Criterion::default()),
            Side::Open
        );
    }

    #[test]
    fn half_the_quality_fails_and_says_so() {
        let got = compare(input(20, 20, 0, 20));
        assert_eq!(got.verdict, QualityVerdict::Fails);
        assert_eq!((got.n_lost, got.n_won), (20, 0));
        assert!(
            got.sentence.ends_with("missed, on quality."),
            "{}",
            got.sentence
        );
        assert!(
            got.sentence
                .contains("solves 20 of 60 problems where the base solves 40")
        );
    }

    #[test]
    fn the_range_of_repeats_decides_on_speed() {
        let mut too_slow = input(400, 0, 0, 0);
        too_slow.variant_decode_tokens_per_s = Some(Spread {
            median: 30.0,
            min: 29.0,
            max: 31.0,
            n: 5,
        });
        let got = compare(too_slow.clone());
        assert_eq!(got.verdict, QualityVerdict::Fails);
        let s = got.speedup.unwrap();
        assert!((s.median - 1.5).abs() < 1e-12);
        assert!((s.min - 29.0 / 21.0).abs() < 1e-12 && (s.max - 31.0 / 19.0).abs() < 1e-12);

        too_slow.variant_decode_tokens_per_s = Some(Spread {
            median: 41.0,
            min: 39.0,
            max: 42.0,
            n: 5,
        });
        let on_the_border = compare(too_slow.clone());
        assert_eq!(on_the_border.verdict, QualityVerdict::NotEnoughData);
        assert!(
            on_the_border.sentence.contains("measured again"),
            "{}",
            on_the_border.sentence
        );

        too_slow.variant_decode_tokens_per_s = None;
        let unmeasured = compare(too_slow);
        assert_eq!(unmeasured.verdict, QualityVerdict::NotEnoughData);
        assert!(unmeasured.speedup.is_none());
    }

    #[test]
    fn a_base_that_solves_nothing_is_not_a_failure_of_the_variant() {
        let got = compare(input(0, 0, 2, 30));
        assert_eq!(
            (got.verdict, got.retention),
            (QualityVerdict::NotEnoughData, None)
        );
        assert!(
            got.sentence.contains("the base solves none of 32 problems"),
            "{}",
            got.sentence
        );
        let empty = compare(input(0, 0, 0, 0));
        assert_eq!(empty.verdict, QualityVerdict::NotEnoughData);
    }

    #[test]
    fn a_ratio_on_the_border_promises_no_number() {
        let got = compare(input(38, 2, 0, 0));
        assert_eq!(
            (got.verdict, got.n_more_problems),
            (QualityVerdict::NotEnoughData, None)
        );
        assert!(
            got.sentence.contains("would hardly decide"),
            "{}",
            got.sentence
        );
    }
}
