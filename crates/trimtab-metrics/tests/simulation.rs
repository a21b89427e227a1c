//! What the statistics promise, asked many times of a truth that is known: intervals hold it in
//! 95 of 100 experiments, claims are false in at most as many as they say, power is what it says.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trimtab_domain::QualityMeasure;
use trimtab_metrics::{
    Bootstrap, BootstrapMethod, ONE_SIDED_LEVEL, PairedCounts, PairedDesign, PairedOutcome,
    PairedValues, RetentionTest, TokenComparison, bootstrap, clopper_pearson_interval,
    compare_likelihoods, decision_chances, holm, mcnemar, mean_difference, paired_difference,
    ratio_of_means, resampled_quality, retention_test, wilson_interval,
};

/// Experiments per setting: a share of 95 % then has a standard error of 0.35 points.
const N_EXPERIMENTS: u32 = 4000;

/// Shares of problems that both, the base alone and the variant alone solve.
#[derive(Clone, Copy)]
struct Truth {
    both: f64,
    lost: f64,
    won: f64,
}

impl Truth {
    fn draw(self, rng: &mut ChaCha8Rng) -> PairedOutcome {
        let draw: f64 = rng.random();
        let is_both = draw < self.both;
        let is_lost = !is_both && draw < self.both + self.lost;
        let is_won = !is_both && !is_lost && draw < self.both + self.lost + self.won;
        PairedOutcome {
            base_passed: is_both || is_lost,
            variant_passed: is_both || is_won,
        }
    }

    fn experiment(self, n_problems: u32, rng: &mut ChaCha8Rng) -> Vec<PairedOutcome> {
        (0..n_problems).map(|_| self.draw(rng)).collect()
    }
}

/// The share of experiments in which `holds`.
fn share_of(n_experiments: u32, mut holds: impl FnMut() -> bool) -> f64 {
    let n_held = (0..n_experiments).filter(|_| holds()).count();
    n_held as f64 / f64::from(n_experiments)
}

/// A standard normal draw by the polar form of Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (a, b): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

#[track_caller]
fn check_coverage(what: &str, share: f64) {
    assert!((0.93..=0.97).contains(&share), "{what}: {share}");
}

#[test]
fn the_difference_interval_covers_the_truth() {
    let truths = [(0.45, 0.08, 0.05), (0.30, 0.25, 0.05), (0.55, 0.06, 0.06)];
    for (idx, (both, lost, won)) in truths.into_iter().enumerate() {
        for n_problems in [60, 164] {
            let mut rng = ChaCha8Rng::seed_from_u64(31 + idx as u64);
            let truth = Truth { both, lost, won };
            let share = share_of(N_EXPERIMENTS, || {
                let counts = PairedCounts::of(&truth.experiment(n_problems, &mut rng));
                let e = paired_difference(counts).expect("there are problems");
                (e.low..=e.high).contains(&(won - lost))
            });
            check_coverage(&format!("truth {idx}, n = {n_problems}"), share);
        }
    }
}

#[test]
fn intervals_of_a_share_cover_the_truth() {
    for (truth, n) in [(0.5, 60_u32), (0.67, 164), (0.85, 164)] {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let draws: Vec<u32> = (0..N_EXPERIMENTS)
            .map(|_| (0..n).filter(|_| rng.random::<f64>() < truth).count() as u32)
            .collect();
        let share = |interval: fn(u32, u32) -> trimtab_domain::Estimate| {
            let covers = |passed: &&u32| {
                let e = interval(**passed, n);
                (e.low..=e.high).contains(&truth)
            };
            draws.iter().filter(covers).count() as f64 / f64::from(N_EXPERIMENTS)
        };
        check_coverage(&format!("Wilson {truth} {n}"), share(wilson_interval));
        // Exact means never too seldom, so it may cover more often than asked.
        let exact = share(clopper_pearson_interval);
        assert!(
            (0.945..=0.985).contains(&exact),
            "Clopper–Pearson {truth} {n}: {exact}"
        );
    }
}

#[test]
fn bootstrap_intervals_cover_the_truth() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for method in [BootstrapMethod::Percentile, BootstrapMethod::Bca] {
        let (mut n_difference, mut n_ratio) = (0, 0);
        let n_experiments = 1500;
        for seed in 0..n_experiments {
            let pairs: Vec<PairedValues> = (0..100)
                .map(|_| {
                    // Latencies: skewed, and alike on the same problem.
                    let base = 20.0 * (0.4 * normal(&mut rng)).exp();
                    let variant = 0.5 * base + 2.0 * normal(&mut rng);
                    PairedValues { base, variant }
                })
                .collect();
            let settings = Bootstrap {
                n_resamples: 600,
                seed,
                method,
            };
            // The mean of exp(0.4 z) is exp(0.08).
            let true_difference = -0.5 * 20.0 * 0.08_f64.exp();
            let e = bootstrap(&pairs, mean_difference, settings).unwrap();
            n_difference += u32::from((e.low..=e.high).contains(&true_difference));
            let e = bootstrap(&pairs, ratio_of_means, settings).unwrap();
            n_ratio += u32::from((e.low..=e.high).contains(&0.5));
        }
        for (what, n_held) in [("difference", n_difference), ("ratio", n_ratio)] {
            let share = f64::from(n_held) / n_experiments as f64;
            check_coverage(&format!("{method:?} {what}"), share);
        }
    }
}

#[test]
fn clustered_intervals_cover_the_truth() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let share = share_of(N_EXPERIMENTS, || {
        // Tokens of a window share half of their variance.
        let tokens: Vec<TokenComparison> = (0..20)
            .flat_map(|_| {
                let level = normal(&mut rng);
                let token = |_| TokenComparison {
                    kl_divergence: (10.0 + level + normal(&mut rng)).max(0.0),
                    has_same_top: true,
                    base_log_prob: -1.0,
                    variant_log_prob: -1.0,
                };
                (0..10).map(token).collect::<Vec<_>>()
            })
            .collect();
        let e = compare_likelihoods(&tokens, &[10; 20]).unwrap().kl_mean;
        (e.low..=e.high).contains(&10.0)
    });
    check_coverage("clustered mean", share);
}

#[test]
fn a_variant_on_the_border_is_seldom_called_proven() {
    // Retention is exactly 95 %: both claims would be false.
    let truths = [
        (0.60, 0.08, 0.046),
        (0.52, 0.06, 0.031),
        (0.80, 0.06, 0.017),
    ];
    for (idx, (both, lost, won)) in truths.into_iter().enumerate() {
        assert!(
            ((both + won) / (both + lost) - 0.95_f64).abs() < 1e-9,
            "{idx}"
        );
        for n_problems in [164, 974] {
            let mut rng = ChaCha8Rng::seed_from_u64(17 + idx as u64);
            let truth = Truth { both, lost, won };
            let (mut n_meets, mut n_fails) = (0, 0);
            for _ in 0..N_EXPERIMENTS {
                let counts = PairedCounts::of(&truth.experiment(n_problems, &mut rng));
                let test = retention_test(counts, 0.95).expect("the base solves some");
                n_meets += u32::from(test.p_meets <= ONE_SIDED_LEVEL);
                n_fails += u32::from(test.p_fails <= ONE_SIDED_LEVEL);
            }
            // 2.5 % are promised; the normal approximation and chance may add a little.
            for n_false in [n_meets, n_fails] {
                let share = f64::from(n_false) / f64::from(N_EXPERIMENTS);
                assert!(share <= 0.035, "truth {idx}, n = {n_problems}: {share}");
            }
        }
    }
}

#[test]
fn drawn_quality_on_the_border_is_seldom_called_proven() {
    for n_problems in [40, 120] {
        let mut rng = ChaCha8Rng::seed_from_u64(23);
        let (mut n_meets, mut n_fails, mut n_covered) = (0_u32, 0_u32, 0_u32);
        let n_experiments = 1000;
        for seed in 0..n_experiments {
            // Five answers a problem; problems are easy or hard, and the variant passes 95 % as often.
            let pairs: Vec<PairedValues> = (0..n_problems)
                .map(|_| {
                    let chance: f64 = 0.2 + 0.7 * rng.random::<f64>();
                    let mut share = |chance: f64| {
                        f64::from((0..5).filter(|_| rng.random_bool(chance)).count() as u32) / 5.0
                    };
                    PairedValues {
                        base: share(chance),
                        variant: share(0.95 * chance),
                    }
                })
                .collect();
            let means = |pairs: &[PairedValues]| {
                let mean = |of: fn(&PairedValues) -> f64| {
                    pairs.iter().map(of).sum::<f64>() / pairs.len() as f64
                };
                Some((mean(|pair| pair.base), mean(|pair| pair.variant)))
            };
            let measure = QualityMeasure::MeanPassAt1;
            let quality = resampled_quality(measure, &pairs, means, 0.95, seed).unwrap();
            let (test, retention) = (quality.test.unwrap(), quality.retention.unwrap());
            n_meets += u32::from(test.p_meets <= ONE_SIDED_LEVEL);
            n_fails += u32::from(test.p_fails <= ONE_SIDED_LEVEL);
            n_covered += u32::from((retention.low..=retention.high).contains(&0.95));
        }
        let share = |n: u32| f64::from(n) / n_experiments as f64;
        for n_false in [n_meets, n_fails] {
            assert!(
                share(n_false) <= 0.05,
                "n = {n_problems}: {}",
                share(n_false)
            );
        }
        check_coverage(&format!("retention of {n_problems}"), share(n_covered));
    }
}

#[test]
fn of_several_variants_on_the_border_seldom_any_is_called_proven() {
    let truth = Truth {
        both: 0.60,
        lost: 0.08,
        won: 0.046,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(23);
    let (mut n_corrected, mut n_uncorrected) = (0, 0);
    for _ in 0..N_EXPERIMENTS {
        let tests: Vec<RetentionTest> = (0..4)
            .map(|_| {
                let counts = PairedCounts::of(&truth.experiment(300, &mut rng));
                retention_test(counts, 0.95).expect("the base solves some")
            })
            .collect();
        let meets: Vec<f64> = tests.iter().map(|test| test.p_meets).collect();
        let fails: Vec<f64> = tests.iter().map(|test| test.p_fails).collect();
        let claims_any = |p: &[f64]| p.iter().any(|p| *p <= ONE_SIDED_LEVEL);
        n_uncorrected += u32::from(claims_any(&meets) || claims_any(&fails));
        let (meets, fails) = (holm(&meets).unwrap(), holm(&fails).unwrap());
        n_corrected += u32::from(claims_any(&meets) || claims_any(&fails));
    }
    // 5 % are promised for both kinds of claim together, however many variants there are.
    let share = |n: u32| f64::from(n) / f64::from(N_EXPERIMENTS);
    assert!(share(n_corrected) <= 0.055, "{}", share(n_corrected));
    assert!(share(n_uncorrected) > 0.12, "{}", share(n_uncorrected));
}

#[test]
fn mcnemar_seldom_finds_a_difference_where_none_is() {
    let truth = Truth {
        both: 0.5,
        lost: 0.07,
        won: 0.07,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(29);
    let found = share_of(N_EXPERIMENTS, || {
        let counts = PairedCounts::of(&truth.experiment(164, &mut rng));
        mcnemar(counts.n_lost as u32, counts.n_won as u32).p_exact <= 0.05
    });
    assert!(found <= 0.05, "{found}");
}

#[test]
fn power_is_the_share_of_experiments_that_prove_it() {
    for (base_rate, disagreement, retention, n) in [
        (0.67, 0.1, 1.0, 164),
        (0.67, 0.1, 1.0, 542),
        (0.5, 0.2, 0.8, 120),
    ] {
        let design = PairedDesign::new(base_rate, disagreement, retention).unwrap();
        let gain = (retention - 1.0) * base_rate;
        let truth = Truth {
            both: base_rate - 0.5 * (disagreement - gain),
            lost: 0.5 * (disagreement - gain),
            won: 0.5 * (disagreement + gain),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(37);
        let (mut n_meets, mut n_fails) = (0, 0);
        for _ in 0..N_EXPERIMENTS {
            let counts = PairedCounts::of(&truth.experiment(n, &mut rng));
            let test = retention_test(counts, 0.95).expect("the base solves some");
            n_meets += u32::from(test.p_meets <= ONE_SIDED_LEVEL);
            n_fails += u32::from(test.p_fails <= ONE_SIDED_LEVEL);
        }
        let want = decision_chances(design, n, 0.95, ONE_SIDED_LEVEL).unwrap();
        for (n_claimed, want) in [(n_meets, want.to_prove), (n_fails, want.to_detect)] {
            let got = f64::from(n_claimed) / f64::from(N_EXPERIMENTS);
            // Three standard errors of a share from 4,000 experiments.
            assert!(
                (got - want).abs() < 0.024,
                "n = {n}: {got} instead of {want}"
            );
        }
    }
}
