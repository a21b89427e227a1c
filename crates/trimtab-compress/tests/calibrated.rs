//! Calibrated compression of tiny models: every method, every shape of block, and going on after a
//! kill.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::Device;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};
use trimtab_compress::{
    Calibrated, CalibrationSet, CompressError, CompressEvent, Compression, compress,
    compress_calibrated,
};
use trimtab_domain::{
    FloatFormat, Gptq, LayerReport, Override, Prune, PruneBy, Recipe, Rtn, Sparsity, Step,
};
use trimtab_kernels::KvFormat;
use trimtab_models::{
    Artifact,
    decoder::SequenceStep,
    load_decoder,
    tiny::{TinyModel, write_tiny_gguf},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../trimtab-models/tests/fixtures/architectures")
        .join(name)
}

/// Arbitrary tokens below `vocab`.
fn set(n_sequences: u32, length: u32, vocab: u32) -> CalibrationSet {
    let id = |seq: u32, at: u32| (seq * 7919 + at * at * 31 + at * 17) % vocab;
    let sequence = |seq| (0..length).map(|at| id(seq, at)).collect();
    CalibrationSet::new((0..n_sequences).map(sequence).collect())
}

fn gptq(bits: u8) -> Gptq {
    Gptq::new(bits, 64, bits == 8)
}

fn prune(by: PruneBy, sparsity: Sparsity) -> Step {
    Step::Prune(Prune {
        by,
        sparsity,
        damping: None,
        calibration: None,
    })
}

fn recipe(steps: Vec<Step>) -> Recipe {
    Recipe {
        name: "x".into(),
        steps,
    }
}

/// Makes a variant; returns its bytes and what was said of its layers.
fn make(
    model: &Path,
    recipe: &Recipe,
    set: &CalibrationSet,
    state: &Path,
    on_layer: &mut dyn FnMut(&LayerReport),
) -> Result<(Vec<u8>, Vec<LayerReport>), CompressError> {
    let out = tempfile::NamedTempFile::new().unwrap();
    let request = Compression {
        model_file: model,
        adapter: None,
        recipe,
        out_file: out.path(),
    };
    let calibrated = Calibrated {
        set,
        state,
        device: &Device::flex(),
        n_side_by_side: 2,
    };
    let mut layers = Vec::new();
    let mut last = 0;
    compress_calibrated(request, calibrated, &mut |event| match event {
        CompressEvent::Layer(report) => {
            on_layer(&report);
            layers.push(report);
        }
        CompressEvent::Measuring { .. } => panic!("no recipe here has anything to choose"),
        CompressEvent::Progress { n_done, n_total } => {
            assert!(
                last < n_done && n_done <= n_total,
                "{last} {n_done} {n_total}"
            );
            last = n_done;
        }
    })?;
    Ok((std::fs::read(out.path()).unwrap(), layers))
}

fn logits(artifact: &[u8]) -> Vec<f32> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), artifact).unwrap();
    let artifact = Artifact::open(file.path()).unwrap();
    let model = load_decoder(&artifact, None, 32, &Device::flex()).unwrap();
    let mut cache = model.new_cache(1, 8, KvFormat::F32);
    let ids = [3, 17, 40, 0, 5];
    let hidden = model.hidden(&[SequenceStep { slot: 0, ids: &ids }], &mut cache);
    model.logits(hidden).into_data().try_into_vec().unwrap()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    let square = |(a, b): (&f32, &f32)| (a - b).powi(2);
    a.iter().zip(b).map(square).sum::<f32>().sqrt()
}

#[test]
fn every_architecture_is_calibrated_block_by_block() {
    for (name, is_sequential) in [
        ("llama_tied", true),
        ("qwen2", false),
        ("starcoder2", true),
        ("gpt2", false),
        ("deepseek_v2_lite", true),
        ("deepseek_v2_lite", false),
        ("deepseek_v2_groups", true),
        ("deepseek_v2_groups", false),
    ] {
        let model = fixture(name);
        let step = Gptq {
            true_sequential: is_sequential,
            embedding_bits: 16,
            ..gptq(8)
        };
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let set = set(3, 16, 41);
        let recipe = recipe(vec![Step::Gptq(step)]);
        let (made, layers) = make(&model, &recipe, &set, &state, &mut |_| ()).unwrap();
        assert!(!state.exists(), "{name}: finished work is not kept");
        assert!(layers.iter().any(|layer| layer.output_error.is_some()));
        let plain = |step: Step| {
            let out = dir.path().join("out");
            let recipe = self::recipe(vec![step]);
            compress(&model, None, &recipe, &out, &mut |_, _, _| {}).unwrap();
            logits(&std::fs::read(&out).unwrap())
        };
        let want = plain(Step::Cast {
            to: FloatFormat::F32,
        });
        let rounded = plain(Step::Rtn(Rtn {
            embedding_bits: 16,
            ..Rtn::new(8, 64, true)
        }));
        let got = logits(&made);
        let (gptq, rtn) = (distance(&want, &got), distance(&want, &rounded));
        assert!(
            gptq < 1.3 * rtn,
            "{name}: {gptq}, {rtn} by rounding to nearest"
        );
    }
}

#[test]
fn a_compression_that_was_killed_goes_on_with_the_same_result() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("tiny.gguf");
    let tiny = TinyModel {
        n_layers: 4,
        ..TinyModel::default()
    };
    write_tiny_gguf(&model, &tiny).unwrap();
    let set = set(3, 24, 256);
    let recipe = recipe(vec![Step::Gptq(gptq(4))]);
    let whole_state = dir.path().join("whole");
    let (want, want_layers) = make(&model, &recipe, &set, &whole_state, &mut |_| ()).unwrap();
    let state = dir.path().join("state");
    // Killed in the middle of the third block, and then in that of the fourth.
    for victim in [
        "model.layers.2.mlp.down_proj",
        "model.layers.3.self_attn.o_proj",
    ] {
        let killed = catch_unwind(AssertUnwindSafe(|| {
            make(&model, &recipe, &set, &state, &mut |report| {
                assert_ne!(report.name, victim, "killed");
            })
        }));
        assert!(killed.is_err());
    }
    let left: Vec<String> = std::fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(left.contains(&"block-0002".to_owned()), "{left:?}");
    assert!(!left.contains(&"block-0003".to_owned()), "{left:?}");
    let (got, got_layers) = make(&model, &recipe, &set, &state, &mut |_| ()).unwrap();
    assert!(got == want, "the artifact differs");
    let names = |layers: &[LayerReport]| -> Vec<String> {
        layers.iter().map(|layer| layer.name.clone()).collect()
    };
    assert_eq!(names(&got_layers), names(&want_layers));
}

#[test]
fn a_damaged_block_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("tiny.gguf");
    write_tiny_gguf(&model, &TinyModel::default()).unwrap();
    let set = set(2, 24, 256);
    let recipe = recipe(vec![Step::Gptq(gptq(4))]);
    let state = dir.path().join("state");
    let (want, _) = make(&model, &recipe, &set, &state, &mut |_| ()).unwrap();
    let killed = catch_unwind(AssertUnwindSafe(|| {
        make(&model, &recipe, &set, &state, &mut |report| {
            assert_ne!(report.name, "model.layers.1.mlp.up_proj", "killed");
        })
    }));
    assert!(killed.is_err());
    std::fs::write(state.join("block-0000"), "damaged").unwrap();
    let (got, _) = make(&model, &recipe, &set, &state, &mut |_| ()).unwrap();
    assert!(got == want, "the artifact differs");
}

#[test]
fn gptq_changes_the_outputs_less_than_rounding_to_nearest() {
    let model = fixture("llama_tied");
    let dir = tempfile::tempdir().unwrap();
    let set = set(16, 32, 41);
    let state = dir.path().join("state");
    let steps = vec![Step::Gptq(Gptq {
        embedding_bits: 16,
        ..gptq(4)
    })];
    let (made, _) = make(&model, &recipe(steps), &set, &state, &mut |_| ()).unwrap();
    let plain = |recipe: &Recipe| {
        let out = dir.path().join("out");
        compress(&model, None, recipe, &out, &mut |_, _, _| {}).unwrap();
        logits(&std::fs::read(&out).unwrap())
    };
    let want = plain(&Recipe::preset("f32").unwrap());
    let rounded = plain(&recipe(vec![Step::Rtn(Rtn {
        embedding_bits: 16,
        ..Rtn::new(4, 64, false)
    })]));
    let (gptq, rtn) = (distance(&want, &logits(&made)), distance(&want, &rounded));
    assert!(gptq < rtn, "{gptq} is not below {rtn}");
}

#[test]
fn pruned_layers_have_the_zeros_that_were_asked_for() {
    let model = fixture("llama_tied");
    let dir = tempfile::tempdir().unwrap();
    let set = set(4, 32, 41);
    let half = Sparsity::Share(0.5);
    let pattern = Sparsity::Pattern { n: 2, m: 4 };
    let f16 = Step::Cast {
        to: FloatFormat::F16,
    };
    let int8 = Step::Rtn(Rtn::new(8, 64, true));
    for (by, sparsity, store) in [
        (PruneBy::Wanda, half, &f16),
        (PruneBy::Wanda, pattern, &int8),
        (PruneBy::SparseGpt, half, &f16),
        (PruneBy::SparseGpt, pattern, &f16),
    ] {
        let state = dir.path().join("state");
        let recipe = recipe(vec![prune(by, sparsity), store.clone()]);
        let (_, layers) = make(&model, &recipe, &set, &state, &mut |_| ()).unwrap();
        let is_linear = |layer: &&LayerReport| layer.name.ends_with("_proj");
        for layer in layers.iter().filter(is_linear) {
            let range = 0.49..=0.56;
            assert!(
                range.contains(&layer.sparsity),
                "{by:?} {sparsity}: {layer:?}"
            );
        }
    }
}

#[test]
fn overrides_store_some_weights_in_another_way() {
    let model = fixture("llama_tied");
    let dir = tempfile::tempdir().unwrap();
    let set = set(2, 16, 41);
    let state = dir.path().join("state");
    let with = |pattern: &str| {
        let mut step = Gptq {
            symmetric: true,
            ..gptq(4)
        };
        step.overrides.push(Override {
            pattern: pattern.into(),
            bits: 8,
            group_size: None,
        });
        make(
            &model,
            &recipe(vec![Step::Gptq(step)]),
            &set,
            &state,
            &mut |_| (),
        )
    };
    let (_, layers) = with("down_proj").unwrap();
    let bits = |end: &str| {
        let layer = layers.iter().find(|layer| layer.name.ends_with(end));
        layer.unwrap().bits_per_weight
    };
    assert!(bits("down_proj") > 1.5 * bits("o_proj"));
    let joint = with("v_proj").unwrap_err().to_string();
    assert!(joint.contains("multiplied as one"), "{joint}");
    let nothing = with("w_pack").unwrap_err().to_string();
    assert!(nothing.contains("`w_pack` matches no weight"), "{nothing}");
    assert!(nothing.contains("`down_proj`"), "{nothing}");
}

#[test]
fn a_recipe_and_its_calibration_belong_together() {
    let model = fixture("llama_tied");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let calibrated = Recipe::preset("int4-gptq").unwrap();
    let refused = compress(&model, None, &calibrated, &out, &mut |_, _, _| {});
    assert!(matches!(refused, Err(CompressError::NoCalibration(_))));
    let plain = Recipe::preset("int4").unwrap();
    let state = dir.path().join("state");
    let refused = make(&model, &plain, &set(1, 8, 41), &state, &mut |_| ());
    assert!(matches!(refused, Err(CompressError::UnusedCalibration(_))));
}

#[test]
fn narrow_codes_are_stored_in_as_many_bits_and_run() {
    let model = fixture("llama_tied");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let mut stored = Vec::new();
    for bits in [2, 3, 4] {
        let recipe = recipe(vec![Step::Rtn(Rtn {
            embedding_bits: 16,
            ..Rtn::new(bits, 64, false)
        })]);
        let mut bits_per_weight = 0.0;
        let listener = &mut |report: LayerReport, _, _| {
            if report.name.ends_with("o_proj") {
                bits_per_weight = report.bits_per_weight;
            }
        };
        compress(&model, None, &recipe, &out, listener).unwrap();
        assert!(
            logits(&std::fs::read(&out).unwrap())
                .iter()
                .all(|x| x.is_finite())
        );
        stored.push(bits_per_weight);
    }
    assert!(stored[0] < stored[1] && stored[1] < stored[2], "{stored:?}");
}
