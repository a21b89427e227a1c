//! Steps that prepare for rounding: channels that are scaled, and bits that are chosen.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::Device;
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};
use trimtab_compress::{
    Calibrated, CalibrationSet, CompressError, CompressEvent, Compression, compress,
    compress_calibrated, predicted_bytes, predicted_file_bytes,
};
use trimtab_domain::{
    Awq, Bytes, ChooseBits, FloatFormat, Gptq, LayerReport, Override, Recipe, Rtn, Step,
};
use trimtab_kernels::KvFormat;
use trimtab_models::{
    Artifact, WeightRole,
    decoder::SequenceStep,
    load_decoder,
    tiny::{TinyModel, write_tiny_gguf},
    weight_specs,
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

fn recipe(steps: Vec<Step>) -> Recipe {
    Recipe {
        name: "x".into(),
        steps,
    }
}

fn awq() -> Step {
    Step::Awq(Awq::default())
}

fn rtn(bits: u8) -> Rtn {
    Rtn {
        embedding_bits: 16,
        ..Rtn::new(bits, 64, bits == 8)
    }
}

/// Makes a variant in `dir`; returns its artifact and what was said of its layers.
fn make(
    model: &Path,
    recipe: &Recipe,
    set: &CalibrationSet,
    dir: &Path,
    on_event: &mut dyn FnMut(&CompressEvent),
) -> Result<(PathBuf, Vec<LayerReport>), CompressError> {
    let out_file = dir.join("made");
    let request = Compression {
        model_file: model,
        adapter: None,
        recipe,
        out_file: &out_file,
    };
    let calibrated = Calibrated {
        set,
        state: &dir.join("state"),
        device: &Device::flex(),
        n_side_by_side: 2,
    };
    let mut layers = Vec::new();
    compress_calibrated(request, calibrated, &mut |event| {
        on_event(&event);
        if let CompressEvent::Layer(report) = event {
            layers.push(report);
        }
    })?;
    Ok((out_file, layers))
}

fn plain(model: &Path, recipe: &Recipe, out_file: &Path) {
    compress(model, None, recipe, out_file, &mut |_, _, _| {}).unwrap();
}

/// Logits after each of some tokens.
fn logits(artifact: &Path, ids: &[u32]) -> Vec<f32> {
    let artifact = Artifact::open(artifact).unwrap();
    let model = load_decoder(&artifact, None, 64, &Device::flex()).unwrap();
    let mut cache = model.new_cache(1, ids.len(), KvFormat::F32);
    let hidden = model.hidden(&[SequenceStep { slot: 0, ids }], &mut cache);
    model.logits(hidden).into_data().try_into_vec().unwrap()
}

const IDS: [u32; 5] = [3, 17, 40, 0, 5];

fn distance(a: &[f32], b: &[f32]) -> f32 {
    let square = |(a, b): (&f32, &f32)| (a - b).powi(2);
    a.iter().zip(b).map(square).sum::<f32>().sqrt()
}

#[test]
fn every_architecture_is_scaled_and_rounded() {
    for name in [
        "llama_tied",
        "qwen2",
        "starcoder2",
        "gpt2",
        "deepseek_v2_lite",
        "deepseek_v2_groups",
    ] {
        let (model, dir) = (fixture(name), tempfile::tempdir().unwrap());
        let set = set(3, 16, 41);
        let steps = vec![awq(), Step::Rtn(rtn(8))];
        let (made, layers) = make(&model, &recipe(steps), &set, dir.path(), &mut |_| ()).unwrap();
        assert!(!dir.path().join("state").exists(), "{name}");
        let scaled: Vec<_> = layers
            .iter()
            .filter_map(|layer| layer.channel_scales)
            .collect();
        assert!(!scaled.is_empty(), "{name}");
        for scales in scaled {
            assert!(0.0 < scales.min && scales.min <= scales.max, "{scales:?}");
            assert!(scales.error_ratio <= 1.0, "{name}: {scales:?}");
        }
        let out = dir.path().join("plain");
        let to = FloatFormat::F32;
        plain(&model, &recipe(vec![Step::Cast { to }]), &out);
        let want = logits(&out, &IDS);
        plain(&model, &recipe(vec![Step::Rtn(rtn(8))]), &out);
        let rounded = distance(&want, &logits(&out, &IDS));
        let got = distance(&want, &logits(&made, &IDS));
        // In a mixture, rounding sends some token to another expert, which no method of one layer
        // sees.
        let most = if name.starts_with("deepseek") {
            3.0
        } else {
            1.3
        };
        assert!(
            got < most * rounded,
            "{name}: {got}, {rounded} without scales"
        );
    }
}

#[test]
fn loud_channels_are_scaled_and_the_norm_makes_up_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("tiny.gguf");
    write_tiny_gguf(&model, &TinyModel::default()).unwrap();
    let set = set(4, 32, 256);
    let steps = vec![awq(), Step::Rtn(rtn(3))];
    let (made, layers) = make(&model, &recipe(steps), &set, dir.path(), &mut |_| ()).unwrap();
    let of = |end: &str| {
        let layer = layers.iter().find(|layer| layer.name.ends_with(end));
        layer.unwrap().channel_scales
    };
    // What reads one input is scaled as one; two key heads do not make what six query heads read.
    assert_eq!(of("0.self_attn.q_proj"), of("0.self_attn.v_proj"));
    assert_eq!(of("0.mlp.gate_proj"), of("0.mlp.up_proj"));
    assert_eq!(of("0.self_attn.o_proj"), None);
    let found: Vec<_> = layers
        .iter()
        .filter_map(|layer| layer.channel_scales)
        .collect();
    let is_scaled = |end: &str| of(end).unwrap().exponent > 0.0;
    assert!(
        found
            .iter()
            .any(|scales| scales.exponent > 0.0 && scales.error_ratio < 1.0)
    );
    let vector = |path: &Path, name: &str| -> Vec<u8> {
        let bytes = std::fs::read(path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        tensors.tensor(name).unwrap().data().to_vec()
    };
    let out = dir.path().join("plain");
    plain(&model, &recipe(vec![Step::Rtn(rtn(3))]), &out);
    for (norm, reader) in [
        ("input_layernorm", "self_attn.q_proj"),
        ("post_attention_layernorm", "mlp.up_proj"),
    ] {
        for layer_idx in 0..2 {
            let name = format!("model.layers.{layer_idx}.{norm}");
            let has_changed = vector(&made, &name) != vector(&out, &name);
            assert_eq!(
                has_changed,
                is_scaled(&format!("{layer_idx}.{reader}")),
                "{name}"
            );
        }
    }
}

/// Makes a variant with kills at some reports and events on the way.
#[track_caller]
fn check_resumes(recipe: &Recipe, kills: &[&dyn Fn(&CompressEvent) -> bool]) {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("tiny.gguf");
    let tiny = TinyModel {
        n_layers: 6,
        ..TinyModel::default()
    };
    write_tiny_gguf(&model, &tiny).unwrap();
    let set = set(3, 24, 256);
    let whole = tempfile::tempdir().unwrap();
    let (want, want_layers) = make(&model, recipe, &set, whole.path(), &mut |_| ()).unwrap();
    for kill in kills {
        let killed = catch_unwind(AssertUnwindSafe(|| {
            make(&model, recipe, &set, dir.path(), &mut |event| {
                assert!(!kill(event), "killed");
            })
        }));
        assert!(killed.is_err());
    }
    let mut first = None;
    let (got, got_layers) = make(&model, recipe, &set, dir.path(), &mut |event| {
        first.get_or_insert_with(|| event.clone());
    })
    .unwrap();
    // The last kill was after the first block.
    assert!(matches!(first, Some(CompressEvent::Layer(_))), "{first:?}");
    let is_same = std::fs::read(&got).unwrap() == std::fs::read(&want).unwrap();
    assert!(is_same, "the artifact differs");
    assert_eq!(said(&got_layers), said(&want_layers));
}

/// Names, with the chosen widths.
fn said(layers: &[LayerReport]) -> Vec<(String, Option<u8>, bool)> {
    let of_layer = |layer: &LayerReport| {
        let chosen = layer.bit_losses.iter().find(|loss| loss.is_chosen);
        let is_scaled = layer.channel_scales.is_some();
        (layer.name.clone(), chosen.map(|loss| loss.bits), is_scaled)
    };
    layers.iter().map(of_layer).collect()
}

fn is_layer(event: &CompressEvent, name: &str) -> bool {
    matches!(event, CompressEvent::Layer(report) if report.name == name)
}

#[test]
fn scaling_and_rounding_goes_on_after_a_kill() {
    let gptq = Gptq {
        embedding_bits: 16,
        ..Gptq::new(4, 64, false)
    };
    check_resumes(
        &recipe(vec![awq(), Step::Gptq(gptq)]),
        &[
            &|event| is_layer(event, "model.layers.1.mlp.down_proj"),
            &|event| is_layer(event, "model.layers.4.self_attn.o_proj"),
        ],
    );
}

#[test]
fn choosing_scaling_and_rounding_goes_on_after_a_kill() {
    let choose = Step::ChooseBits(ChooseBits::within_bits(7.0));
    let measured = |part: f64| {
        move |event: &CompressEvent| match event {
            CompressEvent::Measuring { n_done, n_total } => *n_done as f64 > part * *n_total as f64,
            _ => false,
        }
    };
    let (early, late) = (measured(0.4), measured(0.9));
    check_resumes(
        &recipe(vec![choose, awq(), Step::Rtn(rtn(4))]),
        &[&early, &late, &|event| {
            is_layer(event, "model.layers.3.self_attn.o_proj")
        }],
    );
}

/// Stored bits per weight of the blocks' linear layers.
fn average_bits(layers: &[LayerReport], model: &Artifact) -> f64 {
    let by_name: BTreeMap<&str, f64> = layers
        .iter()
        .map(|layer| (layer.name.as_str(), layer.bits_per_weight))
        .collect();
    let specs = weight_specs(&model.header().config);
    let linear = specs.iter().filter(|spec| spec.role == WeightRole::Linear);
    let (mut n_bits, mut n_weights) = (0.0, 0.0);
    for spec in linear {
        let n = (spec.d_out * spec.d_in) as f64;
        n_bits += n * by_name[spec.name.as_str()];
        n_weights += n;
    }
    n_bits / n_weights
}

#[test]
fn bits_are_chosen_within_an_average_and_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("tiny.gguf");
    write_tiny_gguf(&model, &TinyModel::default()).unwrap();
    let set = set(3, 24, 256);
    let budget = 7.0;
    let kept = Override {
        pattern: "model.layers.1.mlp.down_proj".into(),
        bits: 3,
        group_size: None,
    };
    let steps = vec![
        Step::ChooseBits(ChooseBits::within_bits(budget)),
        Step::Rtn(Rtn {
            overrides: vec![kept.clone()],
            ..rtn(4)
        }),
    ];
    let recipe = recipe(steps);
    let (made, layers) = make(&model, &recipe, &set, dir.path(), &mut |_| ()).unwrap();
    let artifact = Artifact::open(&made).unwrap();
    let average = average_bits(&layers, &artifact);
    assert!(
        0.85 * budget < average && average <= budget,
        "{average} bits"
    );
    let Some(Step::Rtn(applied)) = artifact.header().recipe.steps.last() else {
        panic!("the recipe ends as it did");
    };
    assert_eq!(applied.overrides[0], kept);
    let mut widths = BTreeMap::new();
    for layer in layers.iter().filter(|layer| !layer.bit_losses.is_empty()) {
        let losses: Vec<f64> = layer
            .bit_losses
            .iter()
            .map(|loss| loss.divergence)
            .collect();
        assert!(losses.is_sorted_by(|a, b| a > b), "{layer:?}");
        let chosen = layer.bit_losses.iter().find(|loss| loss.is_chosen);
        let bits = chosen.unwrap().bits;
        *widths.entry(bits).or_insert(0) += 1;
        let written = applied
            .overrides
            .iter()
            .find(|one| one.pattern == layer.name);
        assert_eq!(written.map_or(4, |one| one.bits), bits, "{}", layer.name);
    }
    assert!(widths.len() > 1, "{widths:?}");
    assert_eq!(
        widths.values().sum::<i32>(),
        2 * 7 - 1,
        "all but what was said"
    );
    let config = &artifact.header().config;
    assert!(artifact.n_weight_bytes() <= predicted_bytes(config, &recipe).unwrap());
}

#[test]
fn bits_are_chosen_within_the_size_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("tiny.gguf");
    write_tiny_gguf(&model, &TinyModel::default()).unwrap();
    let set = set(3, 24, 256);
    let of_size = |n_bytes: u64| {
        let choose = ChooseBits {
            budget_bits: None,
            budget_bytes: Some(Bytes(n_bytes)),
            ..ChooseBits::within_bits(4.0)
        };
        recipe(vec![Step::ChooseBits(choose), Step::Rtn(rtn(4))])
    };
    let budget = 195_000;
    let recipe = of_size(budget);
    let (made, _) = make(&model, &recipe, &set, dir.path(), &mut |_| ()).unwrap();
    let n_bytes = std::fs::metadata(&made).unwrap().len();
    assert!(
        0.8 * budget as f64 <= n_bytes as f64 && n_bytes <= budget,
        "{n_bytes}"
    );
    let artifact = Artifact::open(&made).unwrap();
    assert!(predicted_file_bytes(&artifact.header().config, &recipe).unwrap() <= budget);
    let mut is_measured = false;
    let refused = make(&model, &of_size(80_000), &set, dir.path(), &mut |_| {
        is_measured = true;
    });
    let refused = refused.unwrap_err();
    assert!(matches!(refused, CompressError::Choice(_)), "{refused}");
    assert!(refused.to_string().contains("80000 bytes"), "{refused}");
    assert!(
        !is_measured,
        "a budget is compared before anything is measured"
    );
}

/// Mean of Σ p·(ln p − ln q) over tokens, from logits.
fn divergence(p: &[f32], q: &[f32], vocab_size: usize) -> f64 {
    let log_probs = |logits: &[f32]| -> Vec<f64> {
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        logits
            .iter()
            .map(|logit| f64::from(*logit) - sum.ln())
            .collect()
    };
    let rows = p.chunks(vocab_size).zip(q.chunks(vocab_size));
    let of_row = |(p, q): (&[f32], &[f32])| -> f64 {
        let (p, q) = (log_probs(p), log_probs(q));
        p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum()
    };
    let of_rows: Vec<f64> = rows.map(of_row).collect();
    of_rows.iter().sum::<f64>() / of_rows.len() as f64
}

/// 16-bit floats beside the rounded module, and codes multiplied with activations in 16 bits.
const DIVERGENCE_TOLERANCE: f64 = 0.03;

#[test]
fn the_divergence_of_a_module_is_that_of_a_model_with_it_alone_rounded() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("tiny.gguf");
    write_tiny_gguf(&model, &TinyModel::default()).unwrap();
    let set = set(1, 24, 256);
    let choose = Step::ChooseBits(ChooseBits::within_bits(7.0));
    let steps = vec![choose, Step::Rtn(rtn(4))];
    let (_, layers) = make(&model, &recipe(steps), &set, dir.path(), &mut |_| ()).unwrap();
    let out = dir.path().join("plain");
    let to = FloatFormat::F16;
    plain(&model, &recipe(vec![Step::Cast { to }]), &out);
    let ids = &set.sequences()[0];
    let base = logits(&out, ids);
    let one = |pattern: &str, bits| Override {
        pattern: pattern.into(),
        bits,
        group_size: None,
    };
    let (output, mlp) = ("model.layers.0.self_attn.o_proj", "model.layers.1.mlp.*");
    for (name, first) in [
        (output, vec![one(output, 3)]),
        // Gate and up are one module, and down is not in it.
        (
            "model.layers.1.mlp.up_proj",
            vec![one("down_proj", 16), one(mlp, 3)],
        ),
    ] {
        let overrides = first.into_iter().chain([one("*", 16)]).collect();
        let only = Rtn {
            overrides,
            ..rtn(4)
        };
        plain(&model, &recipe(vec![Step::Rtn(only)]), &out);
        let want = divergence(&base, &logits(&out, ids), base.len() / ids.len());
        let layer = layers.iter().find(|layer| layer.name == name).unwrap();
        let got = layer.bit_losses[0].divergence;
        let is_close = (got - want).abs() < DIVERGENCE_TOLERANCE * want;
        assert!(is_close, "{name}: {got}, not {want}");
    }
}
