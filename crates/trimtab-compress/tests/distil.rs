//! Distillation from beginning to end: it agrees more afterwards, goes on after a kill with the same
//! weights, and leaves nothing half-written where it fails.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(not(feature = "cuda"))]

use std::path::Path;
use trimtab_compress::train::{
    Decay, DistilEvent, DistilPlan, Distillation, Distilled, Divergence, FloatModel, TrainError,
    TrainSettings, distil,
};
use trimtab_domain::{Agreement, Failure, FailureKind};
use trimtab_models::{
    Checkpoint, ModelConfig, WeightSpec,
    tiny::{TinyModel, write_tiny_gguf},
};

const LENGTH: usize = 24;

fn sequences(n: usize) -> Vec<Vec<u32>> {
    let ids = |n: usize| (0..LENGTH).map(move |i| ((n * 31 + i * i * 7 + i) % 250) as u32);
    // Few texts again and again: what is held out is like what is learned.
    (0..n).map(|n| ids(n % 4).collect()).collect()
}

fn settings() -> TrainSettings {
    TrainSettings {
        n_steps: 40,
        n_warmup: 4,
        learning_rate: 3e-3,
        decay: Decay::Cosine,
        batch_tokens: 4 * LENGTH,
        max_len: LENGTH,
        recomputes: true,
        ..TrainSettings::default()
    }
}

/// A model of four layers, and one that has the first three of them.
struct Models {
    _dir: tempfile::TempDir,
    checkpoint: Checkpoint,
    small: ModelConfig,
}

fn models() -> Models {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.gguf");
    let tiny = TinyModel {
        n_layers: 4,
        ..TinyModel::default()
    };
    write_tiny_gguf(&path, &tiny).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let small = ModelConfig {
        n_layers: 3,
        ..checkpoint.config().clone()
    };
    Models {
        _dir: dir,
        checkpoint,
        small,
    }
}

type OnEvent<'a> = dyn FnMut(DistilEvent) + 'a;

/// What is asked for beside the models.
#[derive(Clone, Copy)]
struct Asked<'a> {
    settings: TrainSettings,
    n_top: Option<usize>,
    n_sequences: usize,
    folder: &'a Path,
}

fn run(
    models: &Models,
    asked: Asked<'_>,
    on_event: &mut OnEvent<'_>,
) -> Result<Distilled, TrainError> {
    let read = |spec: &WeightSpec| {
        let weight = models.checkpoint.read(spec);
        weight.map_err(|error| error.to_string())
    };
    let sequences = sequences(asked.n_sequences);
    let model = |config| FloatModel {
        config,
        read: &read,
        digest: "tiny",
    };
    let plan = DistilPlan {
        student: model(&models.small),
        teacher: model(models.checkpoint.config()),
        loss: Distillation {
            divergence: Divergence::ForwardKl,
            temperature: 1.0,
            label_share: 0.0,
        },
        hidden: None,
        n_top: asked.n_top,
        settings: asked.settings,
        sequences: &sequences,
        n_held_out: 4,
        folder: asked.folder,
        checkpoint_every: 7,
    };
    distil(plan, on_event)
}

fn asked(folder: &Path) -> Asked<'_> {
    Asked {
        settings: settings(),
        n_top: None,
        n_sequences: 24,
        folder,
    }
}

#[test]
fn a_student_agrees_more_with_its_teacher_afterwards() {
    let (models, dir) = (models(), tempfile::tempdir().unwrap());
    for n_top in [None, Some(50)] {
        let folder = dir.path().join(format!("{n_top:?}"));
        let mut heard = None;
        let asked = Asked {
            n_top,
            ..asked(&folder)
        };
        let made = run(&models, asked, &mut |event| {
            if let DistilEvent::Before(before) = event {
                heard = Some(before);
            }
        });
        let made = made.unwrap();
        let Distilled { before, after, .. } = &made;
        assert_eq!(heard, Some(*before));
        assert_eq!((after.n_tokens, after.n_sequences), (4 * 23, 4));
        let is_better = after.kl.value < 0.8 * before.kl.value;
        assert!(is_better, "{before:?} {after:?}");
        assert_eq!(after.teacher_perplexity, before.teacher_perplexity);
        assert!(after.kl.standard_error > 0.0, "{after:?}");
        assert_eq!(made.n_sequences, 20);
        let n_weights: usize = made.weights.values().map(Vec::len).sum();
        assert_eq!(n_weights, made.n_trained);
        let is_trained = |name: &str| made.weights.contains_key(name);
        assert!(
            is_trained("model.layers.2.mlp.down_proj"),
            "{:?}",
            made.weights.keys()
        );
        assert!(!is_trained("model.embed_tokens"));
    }
}

#[test]
fn a_distillation_that_was_killed_makes_the_same_weights() {
    let (models, dir) = (models(), tempfile::tempdir().unwrap());
    let whole = run(&models, asked(&dir.path().join("whole")), &mut |_| {}).unwrap();
    let folder = dir.path().join("killed");
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run(&models, asked(&folder), &mut |event| {
            let is_late = matches!(event, DistilEvent::Step(step) if step.step == 17);
            assert!(!is_late, "killed");
        })
    }));
    assert!(killed.is_err());
    let mut resumed = None;
    let again = run(&models, asked(&folder), &mut |event| {
        if let DistilEvent::Resumed(step) = event {
            resumed = Some(step);
        }
    });
    let again = again.unwrap();
    assert_eq!(resumed, Some(14));
    assert_eq!(again.weights, whole.weights);
    assert_eq!(again.after, whole.after);
    assert_eq!(again.last, whole.last);
}

#[test]
fn a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint() {
    let (models, dir) = (models(), tempfile::tempdir().unwrap());
    let settings = TrainSettings {
        n_warmup: 20,
        learning_rate: 1e38,
        max_gradient_norm: None,
        ..settings()
    };
    let asked = Asked {
        settings,
        ..asked(dir.path())
    };
    let mut last = 0;
    let error = run(&models, asked, &mut |event| {
        if let DistilEvent::Step(step) = event {
            last = step.step;
        }
    });
    let error = error.unwrap_err();
    let message = error.to_string();
    assert!(
        matches!(error, TrainError::NotANumber { step, .. } if step == last + 1),
        "{message}"
    );
    assert!(
        message.contains(&format!("of step {} is not a number", last + 1)),
        "{message}"
    );
    let failure = Failure::from(error);
    assert_eq!(failure.kind, FailureKind::Failed);
    assert!(failure.hint.unwrap().contains("smaller learning rate"));
}

#[test]
fn a_text_that_is_too_short_says_what_is_needed() {
    let (models, dir) = (models(), tempfile::tempdir().unwrap());
    let asked = Asked {
        n_sequences: 6,
        ..asked(dir.path())
    };
    let error = run(&models, asked, &mut |_| {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the text gives 6 sequences of 24 tokens: at least 8 are needed, 4 of them to measure \
         agreement on"
    );
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_named_and_leaves_no_half_written_file() {
    let (models, dir) = (models(), tempfile::tempdir().unwrap());
    // A folder stands where the file is to be put before it is renamed.
    let draft = dir.path().join("training.draft");
    std::fs::create_dir(&draft).unwrap();
    let Err(error) = run(&models, asked(dir.path()), &mut |_| {}) else {
        panic!("the checkpoint was written");
    };
    let TrainError::Io { path, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(path, &dir.path().join("training.safetensors"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let full = TrainError::Io {
        path: path.clone(),
        source: std::io::ErrorKind::StorageFull.into(),
    };
    let hint = Failure::from(full).hint.unwrap();
    assert!(hint.contains("free some space"), "{hint}");
}

#[test]
fn a_model_agrees_with_itself() {
    let (models, dir) = (models(), tempfile::tempdir().unwrap());
    let models = Models {
        small: models.checkpoint.config().clone(),
        ..models
    };
    let mut before: Option<Agreement> = None;
    let asked = Asked {
        settings: TrainSettings {
            n_steps: 1,
            n_warmup: 1,
            ..settings()
        },
        ..asked(dir.path())
    };
    run(&models, asked, &mut |event| {
        if let DistilEvent::Before(agreement) = event {
            before = Some(agreement);
        }
    })
    .unwrap();
    let before = before.unwrap();
    assert_eq!((before.top1.value, before.top5.value), (1.0, 1.0));
    assert!(before.kl.value.abs() < 1e-6, "{before:?}");
    let difference = before.teacher_perplexity.value - before.student_perplexity.value;
    assert!(difference.abs() < 1e-3, "{before:?}");
}
