//! A 95 % interval must hold the truth in 95 of 100 experiments: here it is asked many times.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trimtab_metrics::{PairedCounts, paired_ratio};

/// Experiments per setting: the share of hits then has a standard error of 0.35 points.
const N_EXPERIMENTS: u32 = 4000;

/// The truth that experiments are drawn from: shares of problems.
struct Truth {
    both: f64,
    lost: f64,
    won: f64,
}

fn coverage(truth: &Truth, n_problems: u32, seed: u64) -> f64 {
    let ratio = (truth.both + truth.won) / (truth.both + truth.lost);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut n_hits = 0;
    for _ in 0..N_EXPERIMENTS {
        let mut counts = PairedCounts {
            n_both: 0.0,
            n_lost: 0.0,
            n_won: 0.0,
            n_neither: 0.0,
        };
        for _ in 0..n_problems {
            let draw: f64 = rng.random();
            if draw < truth.both {
                counts.n_both += 1.0;
            } else if draw < truth.both + truth.lost {
                counts.n_lost += 1.0;
            } else if draw < truth.both + truth.lost + truth.won {
                counts.n_won += 1.0;
            } else {
                counts.n_neither += 1.0;
            }
        }
        let interval = paired_ratio(counts).expect("half of the problems pass at the base");
        n_hits += u32::from((interval.low..=interval.high).contains(&ratio));
    }
    f64::from(n_hits) / f64::from(N_EXPERIMENTS)
}

#[track_caller]
fn check(n_problems: u32) {
    let truths = [
        Truth {
            both: 0.45,
            lost: 0.08,
            won: 0.05,
        },
        Truth {
            both: 0.40,
            lost: 0.12,
            won: 0.06,
        },
        Truth {
            both: 0.30,
            lost: 0.25,
            won: 0.05,
        },
        Truth {
            both: 0.55,
            lost: 0.06,
            won: 0.06,
        },
    ];
    for (idx, truth) in truths.iter().enumerate() {
        let share = coverage(truth, n_problems, 7 + idx as u64);
        assert!(
            (0.93..=0.97).contains(&share),
            "truth {idx}, n = {n_problems}: {share}"
        );
    }
}

#[test]
fn the_ratio_interval_covers_the_truth_with_60_problems() {
    check(60);
}

#[test]
fn the_ratio_interval_covers_the_truth_with_164_problems() {
    check(164);
}
