//! A variant against its base: what is kept, what is gained, and whether that is proven.
//!
//! "Not enough data" is an answer: a criterion counts as met or missed only when a test says so
//! that is corrected for the number of variants compared.

use crate::{
    Bootstrap, ONE_SIDED_LEVEL, PairedCounts, PairedValues, ResampledQuality, RetentionTest,
    bootstrap,
    corrected_claims::{CorrectedClaims, correct},
    mcnemar, paired_difference, paired_ratio, ratio_of_means, retention_test, verdict_words,
};
use trimtab_domain::{
    Bytes, Comparison, Criterion, Estimate, QualityMeasure, QualityTest, QualityVerdict, Spread,
    VariantName,
};

/// Enough for two figures of an interval, and quick enough to be drawn for each look at a page.
const N_RESAMPLES: u32 = 2000;

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
    /// One entry for each answer that both sides have and tests decided.
    pub outcomes: Vec<PairedOutcome>,
    /// Quality that is no share of solved problems; where it is there, it decides.
    pub resampled: Option<ResampledQuality>,
    /// Time per output token on each problem where both sides have one.
    pub tpot_ms: Vec<PairedValues>,
    /// Seed of the bootstrap.
    pub seed: u64,
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

/// Compares variants with their base, each paired by problem, in the order given.
///
/// - `Meets`: retention is proven to reach the criterion, and so does the slowest speed-up.
/// - `Fails`: retention is proven to fall short, or the fastest speed-up does.
/// - `NotEnoughData`: anything else, with a projection of the problems that would decide.
///
/// Retention is proven by its score test at a one-sided level of 2.5 %, or by draws of problems where
/// quality is no share of solved problems ([`ResampledQuality`]). All variants of a run are
/// given together: the p-values for "meets" are corrected by Holm's method over all of them, those
/// for "fails" likewise. With one variant that is the same as its whole 95 % interval lying on one
/// side of the criterion. With several, any false "meets" or "fails" among all of them has a chance
/// of at most 5 %; the intervals stay at 95 % each.
pub fn compare(inputs: Vec<ComparisonInput>) -> Vec<Comparison> {
    let counts: Vec<PairedCounts> = inputs
        .iter()
        .map(|input| PairedCounts::of(&input.outcomes))
        .collect();
    let tests: Vec<Option<RetentionTest>> = inputs
        .iter()
        .zip(&counts)
        .map(|(input, counts)| match &input.resampled {
            Some(quality) => quality.test,
            None => retention_test(*counts, input.criterion.min_retention),
        })
        .collect();
    let corrected = correct(&tests);
    inputs
        .into_iter()
        .zip(counts)
        .zip(corrected)
        .map(|((input, counts), quality)| compare_one(input, counts, quality))
        .collect()
}

fn compare_one(
    input: ComparisonInput,
    counts: PairedCounts,
    quality: Option<CorrectedClaims>,
) -> Comparison {
    let speedup = speedup(
        input.base_decode_tokens_per_s,
        input.variant_decode_tokens_per_s,
    );
    let quality_side = quality.map_or(Side::Open, CorrectedClaims::side);
    let speed_side = speed_side(speedup, input.criterion);
    let verdict = match (quality_side, speed_side) {
        (Side::Below, _) | (_, Side::Below) => QualityVerdict::Fails,
        (Side::Reached, Side::Reached) => QualityVerdict::Meets,
        (Side::Open, _) | (_, Side::Open) => QualityVerdict::NotEnoughData,
    };
    let seen = Seen {
        counts,
        resampled: input.resampled,
        quality: quality_side,
        speed: speed_side,
    };
    let n_more_problems = match (verdict, quality_side) {
        (QualityVerdict::NotEnoughData, Side::Open) => {
            seen.problems_to_decide(quality, input.criterion)
        }
        _ => None,
    };
    let resampling = Bootstrap {
        n_resamples: N_RESAMPLES,
        ..Bootstrap::new(input.seed)
    };
    let mut comparison = Comparison {
        variant: input.variant,
        measure: seen.measure(),
        retention: seen.retention(),
        difference: seen.difference(),
        mcnemar_p: seen.mcnemar_p(),
        quality_test: seen.told(quality, input.criterion),
        n_lost: counts.n_lost as u32,
        n_won: counts.n_won as u32,
        speedup,
        tpot_ratio: bootstrap(&input.tpot_ms, ratio_of_means, resampling).ok(),
        compression_ratio: compression_ratio(input.base_size, input.variant_size),
        criterion: input.criterion,
        verdict,
        sentence: String::new(),
        basis: String::new(),
        n_more_problems,
    };
    comparison.sentence = verdict_words::sentence(&comparison, &seen);
    comparison.basis = verdict_words::basis(&comparison);
    comparison
}

/// What a comparison has seen of quality and speed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) counts: PairedCounts,
    pub(crate) resampled: Option<ResampledQuality>,
    pub(crate) quality: Side,
    pub(crate) speed: Side,
}

impl Seen {
    fn measure(&self) -> QualityMeasure {
        self.resampled
            .map_or(QualityMeasure::PassAt1, |q| q.measure)
    }

    fn retention(&self) -> Option<Estimate> {
        match self.resampled {
            Some(quality) => quality.retention,
            None => paired_ratio(self.counts),
        }
    }

    fn difference(&self) -> Option<Estimate> {
        match self.resampled {
            Some(quality) => quality.difference,
            None => paired_difference(self.counts),
        }
    }

    /// The test knows one answer a problem, solved or not.
    fn mcnemar_p(&self) -> Option<f64> {
        let applies = self.resampled.is_none() && self.counts.n() > 0.0;
        let (n_lost, n_won) = (self.counts.n_lost as u32, self.counts.n_won as u32);
        applies.then(|| mcnemar(n_lost, n_won).p_exact)
    }

    fn told(&self, quality: Option<CorrectedClaims>, criterion: Criterion) -> Option<QualityTest> {
        let told = quality?.told(self.counts, criterion);
        let Some(resampled) = self.resampled else {
            return Some(told);
        };
        let level = told.level / f64::from(told.n_compared);
        let power = resampled.power_if_equal(criterion.min_retention, level);
        Some(QualityTest { power, ..told })
    }

    fn problems_to_decide(
        &self,
        quality: Option<CorrectedClaims>,
        criterion: Criterion,
    ) -> Option<u32> {
        match (self.resampled, quality) {
            (Some(resampled), quality) => {
                let n_compared = quality.map_or(1, CorrectedClaims::n_compared);
                let level = ONE_SIDED_LEVEL / f64::from(n_compared);
                resampled.problems_to_decide(criterion.min_retention, level)
            }
            (None, Some(quality)) => quality.problems_to_decide(self.counts, criterion),
            (None, None) => None,
        }
    }
}

/// Where a measurement lies with respect to what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Reached,
    Below,
    Open,
}

fn speed_side(speedup: Option<Spread>, criterion: Criterion) -> Side {
    match speedup {
        Some(s) if s.min >= criterion.min_speedup => Side::Reached,
        Some(s) if s.max < criterion.min_speedup => Side::Below,
        _ => Side::Open,
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
            resampled: None,
            tpot_ms: vec![],
            seed: 0,
            base_decode_tokens_per_s: speed(20.0),
            variant_decode_tokens_per_s: speed(60.0),
            base_size: Some(Bytes(300)),
            variant_size: Some(Bytes(100)),
            criterion: Criterion::default(),
        }
    }

    fn compare_alone(input: ComparisonInput) -> Comparison {
        compare(vec![input]).remove(0)
    }

    #[test]
    fn meets_only_with_the_whole_interval_inside() {
        let got = compare_alone(input(400, 0, 0, 100));
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
        let got = compare_alone(input(5, 0, 0, 0));
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
        let first = compare_alone(input(30, 3, 2, 25));
        assert_eq!(first.verdict, QualityVerdict::NotEnoughData);
        let factor = 1.0 + f64::from(first.n_more_problems.unwrap()) / 60.0;
        let counts = PairedCounts::of(&input(30, 3, 2, 25).outcomes).scaled(factor);
        let test = retention_test(counts, Criterion::default().min_retention).unwrap();
        assert!(test.p_meets.min(test.p_fails) <= ONE_SIDED_LEVEL);
    }

    #[test]
    fn half_the_quality_fails_and_says_so() {
        let got = compare_alone(input(20, 20, 0, 20));
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
        let got = compare_alone(too_slow.clone());
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
        let on_the_border = compare_alone(too_slow.clone());
        assert_eq!(on_the_border.verdict, QualityVerdict::NotEnoughData);
        assert!(
            on_the_border.sentence.contains("measured again"),
            "{}",
            on_the_border.sentence
        );

        too_slow.variant_decode_tokens_per_s = None;
        let unmeasured = compare_alone(too_slow);
        assert_eq!(unmeasured.verdict, QualityVerdict::NotEnoughData);
        assert!(unmeasured.speedup.is_none());
    }

    #[test]
    fn a_base_that_solves_nothing_is_not_a_failure_of_the_variant() {
        let got = compare_alone(input(0, 0, 2, 30));
        assert_eq!(
            (got.verdict, got.retention),
            (QualityVerdict::NotEnoughData, None)
        );
        assert!(
            got.sentence.contains("the base solves none of 32 problems"),
            "{}",
            got.sentence
        );
        let empty = compare_alone(input(0, 0, 0, 0));
        assert_eq!(empty.verdict, QualityVerdict::NotEnoughData);
    }

    #[test]
    fn a_ratio_on_the_border_promises_no_number() {
        let got = compare_alone(input(38, 2, 0, 0));
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
    #[test]
    fn more_variants_ask_for_more_proof() {
        // Alone it just meets: p is below 2.5 %, but not below a fifth of it.
        let just = input(100, 1, 1, 20);
        let alone = compare_alone(just.clone());
        assert_eq!(alone.verdict, QualityVerdict::Meets, "{}", alone.basis);
        let mut all = vec![just];
        all.extend(vec![input(20, 1, 1, 10); 4]);
        let among = compare(all).remove(0);
        let test = among.quality_test.unwrap();
        assert_eq!(test.n_compared, 5);
        assert!((test.p_meets_adjusted - 5.0 * test.p_meets).abs() < 1e-12);
        assert_eq!(among.verdict, QualityVerdict::NotEnoughData);
        assert!(among.retention.unwrap().low >= 0.95);
        assert!(among.sentence.contains("5 variants"), "{}", among.sentence);
        assert!(among.n_more_problems.is_some());
    }

    #[test]
    fn a_variant_that_cannot_be_compared_costs_the_others_nothing() {
        let together = compare(vec![input(400, 0, 0, 100), input(0, 0, 0, 0)]);
        let alone = compare_alone(input(400, 0, 0, 100));
        assert_eq!(together[0], alone);
        assert_eq!(together[1].quality_test, None);
    }

    #[test]
    fn time_per_token_is_compared_on_the_same_problems() {
        let mut timed = input(20, 2, 2, 20);
        assert_eq!(compare_alone(timed.clone()).tpot_ratio, None);
        timed.tpot_ms = (0..40)
            .map(|i| PairedValues {
                base: 20.0 + f64::from(i),
                variant: 10.0 + 0.5 * f64::from(i) + f64::from(i % 3),
            })
            .collect();
        let got = compare_alone(timed);
        let e = got.tpot_ratio.unwrap();
        assert!(e.low < e.value && e.value < e.high && e.n == 40);
        assert!((e.value - 0.525).abs() < 0.01, "{e:?}");
        assert!(got.basis.contains("Time per output token"), "{}", got.basis);
    }

    #[test]
    fn quality_that_is_no_share_decides_where_it_is_given() {
        let pairs: Vec<PairedValues> = (0..300)
            .map(|i| PairedValues {
                base: 0.3 + 0.1 * f64::from(i % 5),
                variant: 0.3 + 0.1 * f64::from(i % 5) - 0.02 * f64::from(i % 2),
            })
            .collect();
        let means = |pairs: &[PairedValues]| {
            let mean = |of: fn(&PairedValues) -> f64| {
                pairs.iter().map(of).sum::<f64>() / pairs.len() as f64
            };
            Some((mean(|pair| pair.base), mean(|pair| pair.variant)))
        };
        let measure = QualityMeasure::CodeBleu;
        let mut compared = input(0, 0, 0, 0);
        compared.resampled = crate::resampled_quality(measure, &pairs, means, 0.95, 1);
        let got = compare_alone(compared.clone());
        assert_eq!(got.verdict, QualityVerdict::Meets, "{}", got.sentence);
        assert_eq!((got.measure, got.mcnemar_p), (measure, None));
        assert!(
            got.sentence
                .contains("scores 0.490 in CodeBLEU on 300 problems"),
            "{}",
            got.sentence
        );
        assert!(got.basis.contains("by drawing problems"), "{}", got.basis);
        assert!(got.quality_test.unwrap().power.unwrap() > 0.99);

        compared.resampled = crate::resampled_quality(measure, &pairs[..20], means, 0.95, 1);
        let few = compare_alone(compared);
        assert_eq!(few.verdict, QualityVerdict::NotEnoughData);
        assert_eq!(few.n_more_problems, Some(10), "{}", few.sentence);
    }

    #[test]
    fn power_is_told_beside_the_verdict() {
        let few = compare_alone(input(20, 2, 2, 20)).quality_test.unwrap();
        let many = compare_alone(input(2000, 60, 60, 1000));
        assert!(few.power.unwrap() < 0.1, "{few:?}");
        assert!(many.quality_test.unwrap().power.unwrap() > 0.99);
        assert!(many.basis.contains("power"), "{}", many.basis);
    }
}
