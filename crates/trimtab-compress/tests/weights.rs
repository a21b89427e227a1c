//! Training of whole weights: the numbers of PyTorch, the same numbers after a resume and with
//! activations computed again, and clear refusals.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(not(feature = "cuda"))]

use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use trimtab_compress::train::{
    Decay, Distillation, Divergence, Example, FloatModel, HiddenLoss, ModelSource, StepReport,
    StoredLessons, TeacherInputs, TrainError, TrainSettings, Trainer, WeightInputs,
};
use trimtab_models::{Checkpoint, ModelConfig, Part, WeightRole, WeightSpec, weight_specs};

/// Share of a number that sums in another order may cost.
const MAX_DIFFERENCE: f64 = 5e-5;

/// Share of a learning rate that rounding may move a weight: Adam divides by the size of a gradient,
/// so that one near zero decides little less than a large one.
const MAX_MOVE: f32 = 0.3;

const RATE: f64 = 2e-3;

fn fixture(name: &str) -> Checkpoint {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../trimtab-models/tests/fixtures/architectures")
        .join(name);
    Checkpoint::open(&folder).unwrap()
}

/// The examples of `scripts/golden/lora_training.py`.
fn examples() -> Vec<Example> {
    let example = |ids: Vec<u32>, first_learned| Example { ids, first_learned };
    vec![
        example((0..21).map(|i| (7 * i + 3) % 41).collect(), 5),
        example((0..9).map(|i| (5 * i * i + 1) % 41).collect(), 0),
        example(vec![11, 2, 40, 8], 3),
    ]
}

fn settings() -> TrainSettings {
    TrainSettings {
        n_steps: 6,
        n_warmup: 2,
        learning_rate: RATE,
        decay: Decay::Cosine,
        weight_decay: 0.1,
        max_gradient_norm: Some(1.0),
        batch_tokens: 64,
        max_len: 64,
        seed: 5,
        ..TrainSettings::default()
    }
}

/// Hands a model to `then`.
fn with<T>(checkpoint: &Checkpoint, then: impl FnOnce(FloatModel<'_>) -> T) -> T {
    let read = |spec: &WeightSpec| checkpoint.read(spec).map_err(|error| error.to_string());
    then(FloatModel {
        config: checkpoint.config(),
        read: &read,
        digest: "fixture",
    })
}

fn trainer(student: &Checkpoint, settings: TrainSettings) -> Result<Trainer, TrainError> {
    with(student, |student| {
        let inputs = WeightInputs {
            student: ModelSource::Floats(student),
            teacher: None,
        };
        Trainer::of_weights(inputs, settings, examples())
    })
}

/// The first `n_layers` of a model.
fn shallow<T>(
    checkpoint: &Checkpoint,
    n_layers: usize,
    then: impl FnOnce(FloatModel<'_>) -> T,
) -> T {
    with(checkpoint, |whole| {
        let config = ModelConfig {
            n_layers,
            ..whole.config.clone()
        };
        then(FloatModel {
            config: &config,
            ..whole
        })
    })
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let bytes = tensors.tensor(name).unwrap().data().as_chunks::<4>().0;
    bytes
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

#[track_caller]
fn assert_close(got: f64, want: f64, what: &str) {
    let difference = (got - want).abs();
    assert!(
        difference <= MAX_DIFFERENCE * want.abs().max(1e-2),
        "{what}: {want} {got}"
    );
}

/// Trains as PyTorch trained, and compares every step and the weights afterwards.
#[track_caller]
fn check(name: &str, settings: TrainSettings) {
    let checkpoint = fixture(name);
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/weights");
    let bytes = std::fs::read(golden.join(format!("{name}.safetensors"))).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let mut trainer = trainer(&checkpoint, settings).unwrap();
    let steps: Vec<StepReport> = (0..6).map(|_| trainer.step().unwrap()).collect();
    let compare = |key: &str, value: &dyn Fn(&StepReport) -> f64| {
        for (step, want) in steps.iter().zip(floats(&expected, key)) {
            let what = format!("{name} {key} of step {}", step.step);
            assert_close(value(step), f64::from(want), &what);
        }
    };
    compare("loss", &|step| step.loss);
    compare("gradient_norm", &|step| step.gradient_norm);
    compare("learning_rate", &|step| step.learning_rate);
    let mut weights = trainer.into_weights();
    let n_expected = expected
        .names()
        .iter()
        .filter(|name| name.starts_with("last."))
        .count();
    let mut n_compared = 0;
    for spec in weight_specs(checkpoint.config()) {
        let Some(got) = weights.remove(&spec.name) else {
            let is_frozen = matches!(
                spec.role,
                WeightRole::Embedding | WeightRole::Head | WeightRole::Kept
            );
            assert!(is_frozen, "{} was not trained", spec.name);
            continue;
        };
        // Transposed and stacked weights come in the order of the checkpoint.
        let want = floats(&expected, &format!("last.{}", spec.hf_name()));
        let want = in_engine_order(&spec, want);
        let start = checkpoint.read(&spec).unwrap();
        assert_ne!(got, start, "{} stayed", spec.name);
        for (got, want) in got.iter().zip(&want) {
            // Attention does not depend on what is added to all keys: only rounding moves it.
            let is_of_keys =
                spec.place.is_bias && matches!(spec.place.part, Part::Key | Part::QueryKeyValue);
            let max_move = if is_of_keys { 6.0 } else { MAX_MOVE };
            let is_close = (got - want).abs() < max_move * RATE as f32;
            assert!(is_close, "{name} {}: {want} {got}", spec.name);
        }
        n_compared += 1;
    }
    assert_eq!(n_compared, n_expected, "{name}: {weights:?}");
}

fn in_engine_order(spec: &WeightSpec, stored: Vec<f32>) -> Vec<f32> {
    // A vector follows the rows of its weight.
    match spec.place.is_bias {
        true => spec.layout.read(stored, spec.d_in, 1),
        false => spec.layout.read(stored, spec.d_out, spec.d_in),
    }
}

#[test]
fn every_step_comes_to_what_pytorch_makes_of_it() {
    for name in [
        "gpt2",
        "llama_tied",
        "llama_untied_biased",
        "qwen3_biased",
        "starcoder2",
    ] {
        check(name, settings());
    }
}

#[test]
fn batches_that_are_added_come_to_the_same_as_one() {
    let parted = TrainSettings {
        n_accumulated: 3,
        batch_tokens: 2,
        ..settings()
    };
    check("llama_untied_biased", parted);
}

#[test]
fn a_training_that_is_resumed_goes_on_with_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("last.safetensors");
    let checkpoint = fixture("qwen3_biased");
    let settings = TrainSettings {
        n_accumulated: 2,
        batch_tokens: 12,
        recomputes: true,
        ..settings()
    };
    let mut whole = trainer(&checkpoint, settings).unwrap();
    let want: Vec<StepReport> = (0..6).map(|_| whole.step().unwrap()).collect();
    for n_before in [1, 4] {
        let mut first = trainer(&checkpoint, settings).unwrap();
        for want in &want[..n_before] {
            assert_eq!(first.step().unwrap(), *want);
        }
        first.save(&path).unwrap();
        // What is done after the checkpoint is lost, as when a process is killed.
        first.step().unwrap();
        drop(first);
        let mut second = trainer(&checkpoint, settings).unwrap();
        assert!(second.resume(&path).unwrap());
        for want in &want[n_before..] {
            assert_eq!(second.step().unwrap(), *want);
        }
        assert!(second.is_done());
    }
    let mut other = trainer(
        &checkpoint,
        TrainSettings {
            seed: 6,
            ..settings
        },
    )
    .unwrap();
    assert!(matches!(
        other.resume(&path),
        Err(TrainError::OtherTraining { .. })
    ));
}

#[test]
fn activations_that_are_computed_again_give_the_same_gradients() {
    for name in ["llama_untied_biased", "starcoder2", "gpt2"] {
        let checkpoint = fixture(name);
        let steps = |recomputes| -> Vec<StepReport> {
            let settings = TrainSettings {
                recomputes,
                ..settings()
            };
            let mut trainer = trainer(&checkpoint, settings).unwrap();
            (0..6).map(|_| trainer.step().unwrap()).collect()
        };
        for (kept, again) in steps(false).iter().zip(&steps(true)) {
            assert_close(again.loss, kept.loss, name);
            assert_close(again.gradient_norm, kept.gradient_norm, name);
        }
    }
}

fn forward_kl(temperature: f32, label_share: f32) -> Distillation {
    Distillation {
        divergence: Divergence::ForwardKl,
        temperature,
        label_share,
    }
}

/// Steps of a student that has the first layer of its teacher.
fn taught(
    hidden: Option<&HiddenLoss>,
    stored: Option<StoredLessons<'_>>,
    n_steps: u64,
) -> Result<Vec<StepReport>, TrainError> {
    let checkpoint = fixture("qwen2");
    with(&checkpoint, |teacher| {
        shallow(&checkpoint, 1, |student| {
            let inputs = WeightInputs {
                student: ModelSource::Floats(student),
                teacher: Some(TeacherInputs {
                    model: ModelSource::Floats(teacher),
                    loss: forward_kl(1.0, 0.25),
                    hidden,
                    stored,
                }),
            };
            let settings = TrainSettings {
                n_steps,
                n_warmup: n_steps.min(2),
                learning_rate: 5e-3,
                weight_decay: 0.0,
                ..settings()
            };
            let mut trainer = Trainer::of_weights(inputs, settings, examples())?;
            (0..n_steps).map(|_| trainer.step()).collect()
        })
    })
}

#[test]
fn a_student_with_fewer_layers_learns_from_its_teacher() {
    let hidden = HiddenLoss {
        weight: 1.0,
        pairs: vec![(0, 1)],
    };
    for hidden in [None, Some(&hidden)] {
        let steps = taught(hidden, None, 60).unwrap();
        let (first, last) = (steps[0].loss, steps[59].loss);
        assert!(last < 0.7 * first, "{hidden:?}: {first} to {last}");
    }
}

#[test]
fn stored_scores_of_all_tokens_teach_as_the_teacher_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("teacher.safetensors");
    let stored = |n_top| StoredLessons { path: &path, n_top };
    let online = taught(None, None, 6).unwrap();
    for _ in 0..2 {
        let steps = taught(None, Some(stored(41)), 6).unwrap();
        for (got, want) in steps.iter().zip(&online) {
            assert_close(got.loss, want.loss, "loss");
            assert_close(got.gradient_norm, want.gradient_norm, "norm");
        }
    }
    let other = taught(None, Some(stored(5)), 6).unwrap_err();
    assert!(matches!(other, TrainError::OtherTraining { .. }), "{other}");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 4]).unwrap();
    let damaged = taught(None, Some(stored(41)), 6).unwrap_err();
    assert!(
        matches!(damaged, TrainError::Checkpoint { .. }),
        "{damaged}"
    );
    std::fs::remove_file(&path).unwrap();
    let some = taught(None, Some(stored(5)), 6).unwrap();
    assert!(some[0].loss < online[0].loss, "the rest is one token");
}

#[test]
fn teachers_and_settings_that_do_not_fit_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("teacher.safetensors");
    let hidden = |weight, pairs| HiddenLoss { weight, pairs };
    let refusal = |hidden: &HiddenLoss, n_top: Option<usize>| {
        let stored = n_top.map(|n_top| StoredLessons { path: &path, n_top });
        taught(Some(hidden), stored, 1).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(&hidden(1.0, vec![(0, 9)]), None),
        "pair of blocks = (0, 9) is not blocks of student and teacher"
    );
    assert_eq!(
        refusal(&hidden(0.0, vec![(0, 0)]), None),
        "weight of hidden states = 0 is not a number above 0"
    );
    assert_eq!(
        refusal(&hidden(1.0, vec![(0, 0)]), Some(3)),
        "hidden states are not stored: learn from them with the teacher at hand"
    );
    let none = taught(
        None,
        Some(StoredLessons {
            path: &path,
            n_top: 0,
        }),
        1,
    )
    .unwrap_err();
    assert!(
        none.to_string().starts_with("tokens that are kept = 0"),
        "{none}"
    );
    let experts = trainer(&fixture("deepseek_v2_lite"), settings()).unwrap_err();
    assert!(
        experts.to_string().contains("the choice of experts"),
        "{experts}"
    );
}
