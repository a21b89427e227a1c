//! The whole trade-off in one sentence that a person who is no expert can act on.

use trimtab_domain::{Comparison, Criterion, QualityMeasure, QualityVerdict, TradeoffView};

/// What to do, in one sentence: which variant to use, or why to stay with the base.
pub fn advice(tradeoff: &TradeoffView) -> String {
    let so_far = if tradeoff.is_complete { "" } else { "So far: " };
    let sentence = with_verdict(tradeoff, QualityVerdict::Meets)
        .max_by(|a, b| median_speedup(a).total_cmp(&median_speedup(b)))
        .map(use_it)
        .or_else(|| most_promising(tradeoff).map(|open| wait_for_it(tradeoff, open)))
        .unwrap_or_else(|| stay(tradeoff));
    format!("{so_far}{sentence}")
}

fn with_verdict(
    tradeoff: &TradeoffView,
    verdict: QualityVerdict,
) -> impl Iterator<Item = &Comparison> {
    tradeoff
        .comparisons
        .iter()
        .filter(move |comparison| comparison.verdict == verdict)
}

fn median_speedup(comparison: &Comparison) -> f64 {
    comparison.speedup.map_or(0.0, |speedup| speedup.median)
}

/// The undecided variant that keeps the most.
fn most_promising(tradeoff: &TradeoffView) -> Option<&Comparison> {
    let kept = |comparison: &Comparison| comparison.retention.map_or(0.0, |e| e.value);
    with_verdict(tradeoff, QualityVerdict::NotEnoughData).max_by(|a, b| kept(a).total_cmp(&kept(b)))
}

fn use_it(comparison: &Comparison) -> String {
    format!("Use {}: it {}.", comparison.variant, facts(comparison))
}

fn wait_for_it(tradeoff: &TradeoffView, comparison: &Comparison) -> String {
    let Comparison {
        variant, criterion, ..
    } = comparison;
    let base = &tradeoff.baseline;
    let next = match (comparison.retention, comparison.n_more_problems) {
        (None, _) => "evaluate it on problems that the base can solve".to_owned(),
        (Some(_), Some(n)) => format!("evaluate about {n} more problems to know"),
        (Some(_), None) => "it is too close to the border to call".to_owned(),
    };
    format!(
        "Stay with {base} for now: {variant} {}, but that it {} is not proven; {next}.",
        facts(comparison),
        asked(*criterion)
    )
}

fn stay(tradeoff: &TradeoffView) -> String {
    let base = &tradeoff.baseline;
    match tradeoff.comparisons.as_slice() {
        [] => format!("No variant has been compared with {base} yet."),
        [only] => format!(
            "Stay with {base}: {} {}, which is not what was asked for ({}).",
            only.variant,
            facts(only),
            asked(only.criterion)
        ),
        all => format!(
            "Stay with {base}: none of the {} variants {}.",
            all.len(),
            asked(all[0].criterion)
        ),
    }
}

fn asked(criterion: Criterion) -> String {
    format!(
        "keeps at least {:.0} % of the quality at {:.1} times the speed",
        100.0 * criterion.min_retention,
        criterion.min_speedup
    )
}

fn facts(comparison: &Comparison) -> String {
    let kept = comparison.retention.map(|e| {
        let of_what = match comparison.measure {
            QualityMeasure::PassAt1 => "what the base solves".to_owned(),
            measure => format!("the base's {}", measure.label()),
        };
        format!(
            "keeps {:.0} % of {of_what} (n = {} problems)",
            100.0 * e.value,
            e.n
        )
    });
    let speed = comparison
        .speedup
        .map(|s| format!("writes {:.1} times as fast", s.median));
    let size = comparison
        .compression_ratio
        .map(|r| format!("is {r:.1} times smaller"));
    let known: Vec<String> = [kept, speed, size].into_iter().flatten().collect();
    match known.as_slice() {
        [] => "has not been measured yet".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::{Estimate, RunId, Spread, Timestamp};

    fn comparison(name: &str, verdict: QualityVerdict, median: f64) -> Comparison {
        Comparison {
            variant: name.parse().unwrap(),
            measure: QualityMeasure::PassAt1,
            retention: Some(Estimate {
                value: 0.98,
                low: 0.9,
                high: 1.05,
                n: 60,
            }),
            difference: None,
            mcnemar_p: None,
            quality_test: None,
            n_lost: 2,
            n_won: 1,
            speedup: Some(Spread {
                median,
                min: median,
                max: median,
                n: 5,
            }),
            tpot_ratio: None,
            compression_ratio: Some(3.0),
            criterion: Criterion::default(),
            verdict,
            sentence: String::new(),
            basis: String::new(),
            n_more_problems: Some(90),
        }
    }

    fn tradeoff(comparisons: Vec<Comparison>) -> TradeoffView {
        TradeoffView {
            run_id: RunId(1),
            title: "t".into(),
            created_at: Timestamp(0),
            is_complete: true,
            baseline: "m:f16".parse().unwrap(),
            results: vec![],
            comparisons,
            pareto_frontier: vec![],
            findings: vec![],
        }
    }

    #[test]
    fn names_the_fastest_variant_that_meets() {
        let said = advice(&tradeoff(vec![
            comparison("m:slow", QualityVerdict::Meets, 2.0),
            comparison("m:fast", QualityVerdict::Meets, 3.0),
            comparison("m:open", QualityVerdict::NotEnoughData, 9.0),
        ]));
        assert_eq!(
            said,
            "Use m:fast: it keeps 98 % of what the base solves (n = 60 problems), \
             writes 3.0 times as fast and is 3.0 times smaller."
        );
    }

    #[test]
    fn says_how_many_problems_are_missing() {
        let said = advice(&tradeoff(vec![comparison(
            "m:open",
            QualityVerdict::NotEnoughData,
            2.5,
        )]));
        assert!(
            said.starts_with("Stay with m:f16 for now: m:open keeps 98 %"),
            "{said}"
        );
        assert!(
            said.ends_with("evaluate about 90 more problems to know."),
            "{said}"
        );
    }

    #[test]
    fn stays_with_the_base_when_all_fail_or_none_was_compared() {
        let failed = comparison("m:int8", QualityVerdict::Fails, 1.2);
        let said = advice(&tradeoff(vec![failed.clone(), failed]));
        assert!(
            said.starts_with("Stay with m:f16: none of the 2 variants keeps"),
            "{said}"
        );
        assert_eq!(
            advice(&tradeoff(vec![])),
            "No variant has been compared with m:f16 yet."
        );
    }

    #[test]
    fn says_that_a_running_run_is_not_the_last_word() {
        let mut running = tradeoff(vec![comparison("m:a", QualityVerdict::Meets, 2.0)]);
        running.is_complete = false;
        assert!(advice(&running).starts_with("So far: Use m:a"));
    }
}
