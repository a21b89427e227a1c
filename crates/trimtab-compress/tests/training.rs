//! Training of adapters: the numbers of PEFT, the same numbers after a resume, and clear refusals.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(not(feature = "cuda"))]

use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use trimtab_compress::{
    compress,
    train::{
        Decay, Distillation, Divergence, Example, LoraTraining, ModelSource, StepReport,
        TeacherInputs, TrainError, TrainInputs, TrainSettings, Trainer, new_adapter, train_lora,
    },
};
use trimtab_domain::Recipe;
use trimtab_models::{
    Artifact,
    peft::{LoraSettings, LoraTargets, PeftAdapter, adaptable_linears},
    tiny::{TinyModel, write_tiny_gguf},
};

/// Share of a number that sums in another order may cost.
const MAX_DIFFERENCE: f64 = 5e-5;

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../trimtab-models/tests/fixtures/architectures")
        .join(name)
}

/// The fixture `name`, made by the preset `recipe`.
fn artifact(dir: &Path, name: &str, recipe: &str) -> PathBuf {
    let path = dir.join(format!("{name}-{recipe}"));
    let recipe = Recipe::preset(recipe).unwrap();
    compress(&model(name), None, &recipe, &path, &mut |_, _, _| {}).unwrap();
    path
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

fn lora(targets: &[&str]) -> LoraSettings {
    LoraSettings {
        rank: 3,
        alpha: 6.0,
        is_rank_stabilised: false,
        dropout: 0.0,
        targets: LoraTargets::Ends(targets.iter().map(|t| (*t).to_owned()).collect()),
    }
}

fn settings() -> TrainSettings {
    TrainSettings {
        n_steps: 6,
        n_warmup: 2,
        learning_rate: 1e-2,
        decay: Decay::Cosine,
        weight_decay: 0.1,
        max_gradient_norm: Some(1.0),
        batch_tokens: 64,
        n_accumulated: 1,
        max_len: 64,
        recomputes: false,
        seed: 5,
    }
}

fn taught_by(artifact: &Artifact, loss: Distillation) -> TeacherInputs<'_> {
    TeacherInputs {
        model: ModelSource::Artifact(artifact),
        loss,
        hidden: None,
        stored: None,
    }
}

#[track_caller]
fn assert_close(got: f64, want: f64, what: &str) {
    let difference = (got - want).abs();
    assert!(
        difference <= MAX_DIFFERENCE * want.abs().max(1e-2),
        "{what}: {want} {got}"
    );
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let tensor = tensors.tensor(name).unwrap();
    let bytes = tensor.data().as_chunks::<4>().0;
    bytes
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

/// Trains as PEFT trained, and compares every step and the factors afterwards.
#[track_caller]
fn check(name: &str, lora: &LoraSettings, n_batches: usize) {
    let dir = tempfile::tempdir().unwrap();
    let artifact = Artifact::open(&artifact(dir.path(), name, "f32")).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/lora")
        .join(name);
    let linears = adaptable_linears(&artifact.header().config);
    let adapter = PeftAdapter::open(&golden, &linears).unwrap();
    let bytes = std::fs::read(golden.join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let inputs = TrainInputs {
        artifact: &artifact,
        adapter: &adapter,
        lora,
        teacher: None,
    };
    // A step of three batches of one example each comes to the same as one batch of three.
    let settings = TrainSettings {
        n_accumulated: n_batches,
        batch_tokens: if n_batches == 1 { 64 } else { 2 },
        ..settings()
    };
    let mut trainer = Trainer::new(inputs, settings, examples()).unwrap();
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
    let trained = trainer.adapter();
    for layer in trained.layers() {
        let part = trained.part(layer).unwrap();
        for (factor, got) in [("lora_A", part.a), ("lora_B", part.b)] {
            let want = floats(&expected, &format!("last.{layer}.{factor}"));
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(&want) {
                let difference = (got - want).abs();
                assert!(difference < 1e-4, "{name} {layer} {factor}: {want} {got}");
            }
        }
    }
}

#[test]
fn every_step_comes_to_what_peft_makes_of_it() {
    let stabilised = LoraSettings {
        is_rank_stabilised: true,
        ..lora(&["q_proj", "v_proj"])
    };
    check("llama_tied", &stabilised, 1);
    check(
        "llama_untied_biased",
        &lora(&["o_proj", "gate_proj", "lm_head"]),
        1,
    );
    check("qwen2", &lora(&["k_proj", "down_proj"]), 1);
    check("qwen3_biased", &lora(&["q_proj", "k_proj"]), 1);
    check("mistral_window", &lora(&["v_proj", "up_proj"]), 1);
    check("starcoder2", &lora(&["q_proj", "c_fc"]), 1);
    check("gpt2", &lora(&["c_attn", "c_proj"]), 1);
}

#[test]
fn batches_that_are_added_come_to_the_same_as_one() {
    let stabilised = LoraSettings {
        is_rank_stabilised: true,
        ..lora(&["q_proj", "v_proj"])
    };
    check("llama_tied", &stabilised, 3);
    check(
        "llama_untied_biased",
        &lora(&["o_proj", "gate_proj", "lm_head"]),
        3,
    );
}

/// A trainer on a fixture, with dropout and several batches a step.
fn trainer(artifact: &Path) -> Trainer {
    let artifact = Artifact::open(artifact).unwrap();
    let lora = LoraSettings {
        dropout: 0.2,
        ..lora(&["q_proj", "v_proj", "down_proj"])
    };
    let adapter = new_adapter(&artifact, &lora, 9).unwrap();
    let inputs = TrainInputs {
        artifact: &artifact,
        adapter: &adapter,
        lora: &lora,
        teacher: None,
    };
    let settings = TrainSettings {
        n_steps: 12,
        n_accumulated: 2,
        batch_tokens: 12,
        ..settings()
    };
    Trainer::new(inputs, settings, examples()).unwrap()
}

#[test]
#[expect(clippy::float_cmp, reason = "bit for bit is what is promised")]
fn a_training_that_is_resumed_goes_on_with_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    for recipe in ["f32", "int8", "int4"] {
        let artifact = artifact(dir.path(), "llama_tied", recipe);
        let checkpoint = dir.path().join(format!("{recipe}.safetensors"));
        let mut whole = trainer(&artifact);
        let want: Vec<StepReport> = (0..12).map(|_| whole.step().unwrap()).collect();
        assert_ne!(want[4].loss, want[5].loss);
        for n_before in [1, 5, 8] {
            let mut first = trainer(&artifact);
            for want in &want[..n_before] {
                assert_eq!(first.step().unwrap(), *want);
            }
            first.save(&checkpoint).unwrap();
            // What is done after the checkpoint is lost, as when a process is killed.
            first.step().unwrap();
            drop(first);
            let mut second = trainer(&artifact);
            assert!(second.resume(&checkpoint).unwrap());
            for want in &want[n_before..] {
                assert_eq!(second.step().unwrap(), *want);
            }
            assert!(second.is_done());
            for layer in whole.adapter().layers() {
                assert_eq!(second.adapter().part(layer), whole.adapter().part(layer));
            }
        }
    }
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = dir.path().join("last.safetensors");
    let mut first = trainer(&artifact(dir.path(), "llama_tied", "f32"));
    assert!(!first.resume(&checkpoint).unwrap());
    first.save(&checkpoint).unwrap();
    let mut other = trainer(&artifact(dir.path(), "llama_tied", "int8"));
    assert!(matches!(
        other.resume(&checkpoint),
        Err(TrainError::OtherTraining { .. })
    ));
}

#[test]
fn weights_of_every_format_can_be_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    for recipe in ["f32", "f16", "int8", "int4"] {
        let artifact = Artifact::open(&artifact(dir.path(), "qwen2", recipe)).unwrap();
        let lora = lora(&["q_proj", "o_proj", "up_proj"]);
        let adapter = new_adapter(&artifact, &lora, 1).unwrap();
        let inputs = TrainInputs {
            artifact: &artifact,
            adapter: &adapter,
            lora: &lora,
            teacher: None,
        };
        let settings = TrainSettings {
            n_steps: 30,
            ..settings()
        };
        let mut trainer = Trainer::new(inputs, settings, examples()).unwrap();
        let before = trainer.mean_loss(usize::MAX);
        assert_close(trainer.step().unwrap().loss, before, recipe);
        while !trainer.is_done() {
            trainer.step().unwrap();
        }
        let after = trainer.mean_loss(usize::MAX);
        assert!(after < 0.8 * before, "{recipe}: {before} to {after}");
    }
}

#[test]
fn an_adapter_that_was_written_reads_back_as_it_was_trained() {
    let dir = tempfile::tempdir().unwrap();
    for (name, targets) in [
        ("llama_tied", &["q_proj", "v_proj"][..]),
        ("gpt2", &["c_attn"]),
        ("gpt_bigcode_heads", &["c_attn", "c_fc"]),
    ] {
        let artifact = artifact(dir.path(), name, "f32");
        let (lora, folder) = (lora(targets), dir.path().join(format!("{name}-adapter")));
        let training = LoraTraining {
            artifact: &artifact,
            base_model: name,
            lora: &lora,
            teacher: None,
            settings: settings(),
            folder: &folder,
            checkpoint_every: 2,
        };
        let mut n_steps = 0;
        let report = train_lora(training, examples(), &mut |_| n_steps += 1).unwrap();
        assert_eq!((n_steps, report.counts.n_examples), (6, 3));
        let mut files: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, ["adapter_config.json", "adapter_model.safetensors"]);

        let artifact = Artifact::open(&artifact).unwrap();
        let linears = adaptable_linears(&artifact.header().config);
        let read = PeftAdapter::open(&folder, &linears).unwrap();
        let start = new_adapter(&artifact, &lora, settings().seed).unwrap();
        let inputs = TrainInputs {
            artifact: &artifact,
            adapter: &start,
            lora: &lora,
            teacher: None,
        };
        let mut trainer = Trainer::new(inputs, settings(), examples()).unwrap();
        while !trainer.is_done() {
            trainer.step().unwrap();
        }
        assert_eq!(report.n_trained, trainer.n_trained());
        assert_eq!(read.layers().count(), trainer.adapter().layers().count());
        for layer in read.layers() {
            assert_eq!(read.part(layer), trainer.adapter().part(layer), "{layer}");
        }
    }
}

#[test]
fn a_loss_that_is_no_number_stops_and_names_the_step() {
    let dir = tempfile::tempdir().unwrap();
    let artifact = artifact(dir.path(), "llama_tied", "f32");
    let (lora, folder) = (lora(&["q_proj", "v_proj"]), dir.path().join("adapter"));
    let training = LoraTraining {
        artifact: &artifact,
        base_model: "llama_tied",
        lora: &lora,
        teacher: None,
        settings: TrainSettings {
            n_warmup: 5,
            learning_rate: 1e38,
            weight_decay: 0.0,
            max_gradient_norm: None,
            ..settings()
        },
        folder: &folder,
        checkpoint_every: 1,
    };
    let mut last = 0;
    let error = train_lora(training, examples(), &mut |step| last = step.step).unwrap_err();
    let TrainError::NotANumber {
        step,
        last_checkpoint,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((step, last_checkpoint), (last + 1, Some(last)));
    let message = error.to_string();
    let end = format!("of step {step} is not a number; the checkpoint after step {last} is kept");
    assert!(message.ends_with(&end), "{message}");
    assert!(folder.join("training.safetensors").is_file());
    assert!(!folder.join("adapter_config.json").exists());
}

#[test]
fn what_cannot_be_trained_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let start = |name: &str, targets: &[&str], examples| {
        let artifact = Artifact::open(&artifact(dir.path(), name, "f32")).unwrap();
        let lora = lora(targets);
        let adapter = new_adapter(&artifact, &lora, 1)?;
        let inputs = TrainInputs {
            artifact: &artifact,
            adapter: &adapter,
            lora: &lora,
            teacher: None,
        };
        Trainer::new(inputs, settings(), examples)
    };
    let refusal = |name: &str, targets: &[&str], examples: Vec<Example>| {
        start(name, targets, examples).unwrap_err().to_string()
    };
    let missing = refusal("llama_tied", &["q_proj", "wq"], examples());
    assert!(missing.contains("`wq` matches nothing"), "{missing}");
    assert!(missing.contains("`down_proj`, `gate_proj`"), "{missing}");
    let experts = refusal("deepseek_v2_lite", &["o_proj"], examples());
    assert_eq!(
        experts,
        "`deepseek_v2` cannot be trained: gradients do not go through the choice of experts"
    );
    let foreign = refusal("llama_tied", &["q_proj"], vec![Example::text(vec![1, 41])]);
    assert_eq!(foreign, "example 0 has token 41, and the model only 41");
    let empty = refusal("llama_tied", &["q_proj"], vec![Example::text(vec![1])]);
    assert_eq!(empty, "no example has a token to learn");
}

#[test]
fn a_rounded_model_learns_to_answer_as_it_did_before() {
    let dir = tempfile::tempdir().unwrap();
    let teacher = Artifact::open(&artifact(dir.path(), "qwen2", "f32")).unwrap();
    for divergence in [
        Divergence::ForwardKl,
        Divergence::ReverseKl,
        Divergence::JensenShannon { teacher_share: 0.5 },
    ] {
        let loss = Distillation {
            divergence,
            temperature: 2.0,
            label_share: 0.0,
        };
        let first_and_last = |recipe: &str| {
            let artifact = Artifact::open(&artifact(dir.path(), "qwen2", recipe)).unwrap();
            let lora = lora(&["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"]);
            let adapter = new_adapter(&artifact, &lora, 3).unwrap();
            let inputs = TrainInputs {
                artifact: &artifact,
                adapter: &adapter,
                lora: &lora,
                teacher: Some(taught_by(&teacher, loss)),
            };
            let settings = TrainSettings {
                n_steps: 60,
                weight_decay: 0.0,
                ..settings()
            };
            let mut trainer = Trainer::new(inputs, settings, examples()).unwrap();
            let losses: Vec<f64> = (0..60).map(|_| trainer.step().unwrap().loss).collect();
            (losses[0], losses[59])
        };
        let (first, _) = first_and_last("f32");
        assert!(first.abs() < 1e-6, "{divergence:?}: {first}");
        let (first, last) = first_and_last("int4");
        assert!(
            first > 1e-4 && last < 0.5 * first,
            "{divergence:?}: {first} to {last}"
        );
    }
}

#[test]
fn a_teacher_that_cannot_teach_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let student = Artifact::open(&artifact(dir.path(), "llama_tied", "f32")).unwrap();
    let tiny = dir.path().join("tiny.gguf");
    write_tiny_gguf(&tiny, &TinyModel::default()).unwrap();
    let path = dir.path().join("tiny");
    let recipe = Recipe::preset("f32").unwrap();
    compress(&tiny, None, &recipe, &path, &mut |_, _, _| {}).unwrap();
    let other = Artifact::open(&path).unwrap();
    let lora = lora(&["q_proj"]);
    let adapter = new_adapter(&student, &lora, 1).unwrap();
    let refusal = |artifact: &Artifact, temperature| {
        let loss = Distillation {
            divergence: Divergence::ForwardKl,
            temperature,
            label_share: 0.0,
        };
        let inputs = TrainInputs {
            artifact: &student,
            adapter: &adapter,
            lora: &lora,
            teacher: Some(taught_by(artifact, loss)),
        };
        let trainer = Trainer::new(inputs, settings(), examples());
        trainer.unwrap_err().to_string()
    };
    assert_eq!(
        refusal(&other, 1.0),
        "the teacher has 259 tokens, and the student 41"
    );
    assert_eq!(
        refusal(&student, 0.0),
        "temperature = 0 is not a number above 0"
    );
}
