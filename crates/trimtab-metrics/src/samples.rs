//! Several answers to each problem: the share that passes, and pass@k, over problems.
//!
//! Answers to one problem are not independent, so that problems are counted and drawn, never
//! answers.

use crate::{
    Bootstrap, BootstrapMethod, PairedValues, ResampledQuality, bootstrap, normal::Z_95, pass_at_k,
    resampled_quality, wilson::wilson_ends,
};
use std::collections::{BTreeMap, HashMap};
use trimtab_domain::{CompletionScore, Estimate, PassAtK, QualityMeasure};

/// The numbers of draws that are told, as far as there are answers.
const DRAWS: [u32; 6] = [1, 2, 5, 10, 25, 100];

/// Enough for two figures of an interval, and quick enough to be drawn for each look at a page.
const N_RESAMPLES: u32 = 2000;

/// Answers to one problem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProblemSamples {
    /// Answers.
    pub n: u32,
    /// Those that passed.
    pub n_passed: u32,
}

impl ProblemSamples {
    /// The share that passed.
    pub fn share(self) -> f64 {
        f64::from(self.n_passed) / f64::from(self.n)
    }
}

/// Answers by suite and problem; those that no test decided are left out.
pub fn problem_samples(scores: &[CompletionScore]) -> BTreeMap<(&str, &str), ProblemSamples> {
    let mut problems: BTreeMap<(&str, &str), ProblemSamples> = BTreeMap::new();
    for score in scores.iter().filter(|score| score.verdict.is_of_tests()) {
        let problem = problems
            .entry((&score.suite, &score.problem_id))
            .or_default();
        problem.n += 1;
        problem.n_passed += u32::from(score.verdict.has_passed());
    }
    problems
}

/// Whether some problem was answered more than once.
pub fn has_several_samples(scores: &[CompletionScore]) -> bool {
    let mut seen: HashMap<(&str, &str), u32> = HashMap::new();
    scores.iter().any(|score| {
        let first = *seen
            .entry((&score.suite, &score.problem_id))
            .or_insert(score.sample_idx);
        first != score.sample_idx
    })
}

/// pass@k for every k that all problems have answers for, k = 1 first; the mean over problems with
/// its bootstrap interval over problems.
///
/// Where problems do not vary the interval is Wilson's for as many problems, which is wider than it
/// need be: a share that passes varies at most as a problem that is solved or not.
pub fn sampled_pass_at_k(problems: &[ProblemSamples], seed: u64) -> Vec<PassAtK> {
    let n_least = problems.iter().map(|problem| problem.n).min().unwrap_or(0);
    let told = DRAWS.into_iter().filter(|k| *k <= n_least);
    told.filter_map(|k| {
        let values: Option<Vec<f64>> = problems
            .iter()
            .map(|problem| pass_at_k(problem.n, problem.n_passed, k))
            .collect();
        let estimate = mean_with_interval(&values?, seed);
        Some(PassAtK { k, estimate })
    })
    .collect()
}

/// The mean share that passes of variant and base on the problems that both answered.
pub fn sampled_quality(
    base: &[CompletionScore],
    variant: &[CompletionScore],
    min_retention: f64,
    seed: u64,
) -> Option<ResampledQuality> {
    let of_base = problem_samples(base);
    let pairs: Vec<PairedValues> = problem_samples(variant)
        .into_iter()
        .filter_map(|(key, variant)| {
            Some(PairedValues {
                base: of_base.get(&key)?.share(),
                variant: variant.share(),
            })
        })
        .collect();
    let means = |pairs: &[PairedValues]| {
        let mean =
            |of: fn(&PairedValues) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
        (!pairs.is_empty()).then(|| (mean(|pair| pair.base), mean(|pair| pair.variant)))
    };
    let measure = QualityMeasure::MeanPassAt1;
    resampled_quality(measure, &pairs, means, min_retention, seed)
}

fn mean_with_interval(values: &[f64], seed: u64) -> Estimate {
    let n = values.len() as u32;
    let mean = |values: &mut [f64]| Some(values.iter().sum::<f64>() / values.len() as f64);
    let settings = |method| Bootstrap {
        n_resamples: N_RESAMPLES,
        method,
        ..Bootstrap::new(seed)
    };
    let drawn = bootstrap(values, mean, settings(BootstrapMethod::Bca))
        .or_else(|_| bootstrap(values, mean, settings(BootstrapMethod::Percentile)));
    drawn.unwrap_or_else(|_| {
        let value = values.iter().sum::<f64>() / f64::from(n);
        let [low, high] = wilson_ends(value, f64::from(n), Z_95);
        Estimate {
            value,
            low,
            high,
            n,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flips::tests::score;

    fn samples(n_passed: &[u32], n: u32) -> Vec<ProblemSamples> {
        let problem = |&n_passed: &u32| ProblemSamples { n, n_passed };
        n_passed.iter().map(problem).collect()
    }

    #[test]
    fn problems_count_and_not_answers() {
        let problems = samples(&[0, 2, 5, 1, 0, 4, 3, 0, 5, 2], 5);
        let got = sampled_pass_at_k(&problems, 3);
        let ks: Vec<u32> = got.iter().map(|at| at.k).collect();
        assert_eq!(ks, [1, 2, 5]);
        assert!((got[0].estimate.value - 22.0 / 50.0).abs() < 1e-12);
        assert!(
            (got[2].estimate.value - 0.7).abs() < 1e-12,
            "7 of 10 have a right one"
        );
        assert!(got.iter().all(|at| at.estimate.n == 10));
        assert!(got[0].estimate.low < 0.3 && 0.6 < got[0].estimate.high);
    }

    #[test]
    fn problems_that_do_not_vary_are_not_certain() {
        let got = sampled_pass_at_k(&samples(&[0; 8], 4), 3);
        assert!(got[0].estimate.value.abs() < 1e-12);
        assert!(got[0].estimate.high > 0.3, "{:?}", got[0]);
        assert!(sampled_pass_at_k(&[], 3).is_empty());
    }

    #[test]
    fn both_sides_are_compared_on_the_problems_they_share() {
        let answers = |variant: &str, n_problems: usize, passes: fn(usize, u32) -> bool| {
            let mut scores = Vec::new();
            for problem in 0..n_problems {
                for sample_idx in 0..3 {
                    let id = problem.to_string();
                    let passed = passes(problem, sample_idx);
                    let mut answer = score(variant, &id, passed, "x");
                    answer.sample_idx = sample_idx;
                    scores.push(answer);
                }
            }
            scores
        };
        let base = answers("m:f16", 40, |problem, _| problem % 2 == 0);
        let variant = answers("m:int4", 50, |problem, idx| problem % 2 == 0 && idx != 1);
        let got = sampled_quality(&base, &variant, 0.95, 1).unwrap();
        assert_eq!(got.n, 40);
        assert!((got.base - 0.5).abs() < 1e-12 && (got.variant - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn answers_are_gathered_by_problem() {
        let mut second = score("m:f16", "1", false, "b");
        second.sample_idx = 1;
        let mut compared = score("m:f16", "2", false, "c");
        compared.verdict = trimtab_domain::Verdict::Compared;
        let scores = [score("m:f16", "1", true, "a"), second, compared];
        let problems: Vec<ProblemSamples> = problem_samples(&scores).into_values().collect();
        assert_eq!(problems, [ProblemSamples { n: 2, n_passed: 1 }]);
        assert!((problems[0].share() - 0.5).abs() < 1e-12);
        assert!(has_several_samples(&scores) && !has_several_samples(&scores[1..]));
    }
}
