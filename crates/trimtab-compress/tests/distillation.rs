//! Distillation losses and their gradients, as PyTorch has them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use trimtab_compress::train::{Distillation, Divergence};

/// Rounding of logarithms in f32, relative to the loss, or to the largest gradient.
const MAX_DIFFERENCE: f64 = 2e-6;

const N_SCORES: usize = 3 * 23;

/// The scores of `scripts/golden/distillation.py`.
fn scores(speed: f64, height: f64) -> Vec<f32> {
    (0..N_SCORES)
        .map(|i| (height * (speed * i as f64).sin()) as f32)
        .collect()
}

fn divergence(value: &Value) -> Divergence {
    match value.as_str() {
        Some("forward_kl") => Divergence::ForwardKl,
        Some("reverse_kl") => Divergence::ReverseKl,
        _ => Divergence::JensenShannon {
            teacher_share: value["jensen_shannon"].as_f64().unwrap() as f32,
        },
    }
}

#[test]
fn losses_and_gradients_are_those_of_pytorch() {
    let golden: Value = serde_json::from_str(include_str!("golden/distillation.json")).unwrap();
    let labels: Vec<u32> = serde_json::from_value(golden["labels"].clone()).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 16);
    for case in cases {
        let number = |key: &str| case[key].as_f64().unwrap();
        let distillation = Distillation {
            divergence: divergence(&case["divergence"]),
            temperature: number("temperature") as f32,
            label_share: number("label_share") as f32,
        };
        let mut gradient = scores(0.37, 3.0);
        let loss = distillation.loss(&mut gradient, &scores(0.61, 4.0), &labels, 0.5);
        let difference = (loss - number("loss")).abs();
        assert!(
            difference <= MAX_DIFFERENCE * number("loss"),
            "{distillation:?}: {loss} {}",
            number("loss")
        );
        let want: Vec<f64> = serde_json::from_value(case["gradient"].clone()).unwrap();
        let largest = want.iter().fold(0.0_f64, |a, g| a.max(g.abs()));
        for (got, want) in gradient.iter().zip(&want) {
            let got = f64::from(*got) / 0.5;
            assert!(
                (got - want).abs() <= MAX_DIFFERENCE * largest,
                "{distillation:?}: {want} {got}"
            );
        }
    }
}

#[test]
fn a_student_that_is_its_teacher_has_nothing_to_learn_from_it() {
    for divergence in [
        Divergence::ForwardKl,
        Divergence::ReverseKl,
        Divergence::JensenShannon { teacher_share: 0.5 },
    ] {
        let distillation = Distillation {
            divergence,
            temperature: 2.0,
            label_share: 0.0,
        };
        let (mut student, teacher) = (scores(0.37, 30.0), scores(0.37, 30.0));
        let loss = distillation.loss(&mut student, &teacher, &[0, 1, 2], 1.0);
        assert!(loss.abs() < 1e-5, "{divergence:?}: {loss}");
        assert!(student.iter().all(|g| g.abs() < 1e-5), "{divergence:?}");
    }
}

#[test]
fn distributions_that_exclude_each_other_stay_finite() {
    for divergence in [
        Divergence::ForwardKl,
        Divergence::ReverseKl,
        Divergence::JensenShannon { teacher_share: 0.5 },
    ] {
        let distillation = Distillation {
            divergence,
            temperature: 1.0,
            label_share: 0.0,
        };
        let mut student = vec![500.0, -500.0, 0.0];
        let loss = distillation.loss(&mut student, &[-500.0, 500.0, 0.0], &[0], 1.0);
        assert!(loss.is_finite(), "{divergence:?}: {loss}");
        assert!(
            student.iter().all(|g| g.is_finite()),
            "{divergence:?}: {student:?}"
        );
        if divergence == Divergence::ForwardKl {
            assert_eq!(student, [1.0, -1.0, 0.0]);
        }
    }
}
