//! A low-rank adapter gives the same scores merged into the weights and attached beside them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::Device;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;
use std::path::{Path, PathBuf};
use trimtab_compress::{CompressError, compress};
use trimtab_domain::{Recipe, Step};
use trimtab_kernels::KvFormat;
use trimtab_models::{
    Artifact, Checkpoint,
    decoder::SequenceStep,
    load_decoder,
    peft::{PeftAdapter, adaptable_linears},
};

const RANK: usize = 3;

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../trimtab-models/tests/fixtures/architectures")
        .join(name)
}

/// An adapter of arbitrary factors for the layers whose names end in one of `targets`.
fn write_adapter(folder: &Path, model: &Path, targets: &[&str], fan_in_fan_out: bool) {
    let settings = json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 6,
        "target_modules": targets, "bias": "none", "fan_in_fan_out": fan_in_fan_out,
    });
    std::fs::write(folder.join("adapter_config.json"), settings.to_string()).unwrap();
    let checkpoint = Checkpoint::open(model).unwrap();
    let mut tensors = Vec::new();
    for linear in adaptable_linears(checkpoint.config()) {
        if !targets.iter().any(|target| linear.name.ends_with(target)) {
            continue;
        }
        let sizes = [
            ("lora_A", [RANK, linear.d_in]),
            ("lora_B", [linear.d_out, RANK]),
        ];
        for (factor, shape) in sizes {
            let bytes: Vec<u8> = (0..shape[0] * shape[1])
                .flat_map(|i| ((i as f32 * 0.7 + shape[0] as f32).sin() * 0.3).to_le_bytes())
                .collect();
            let name = format!("base_model.model.{}.{factor}.weight", linear.name);
            tensors.push((name, shape.to_vec(), bytes));
        }
    }
    assert!(!tensors.is_empty());
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    safetensors::serialize_to_file(views, None, &folder.join("adapter_model.safetensors")).unwrap();
}

fn logits(artifact: &Path, adapter: Option<&PeftAdapter>) -> Vec<f32> {
    let artifact = Artifact::open(artifact).unwrap();
    let model = load_decoder(&artifact, adapter, 32, &Device::flex()).unwrap();
    let mut cache = model.new_cache(1, 8, KvFormat::F32);
    let ids = [3, 17, 40, 0, 5];
    let hidden = model.hidden(&[SequenceStep { slot: 0, ids: &ids }], &mut cache);
    model.logits(hidden).into_data().try_into_vec().unwrap()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[track_caller]
fn check(name: &str, targets: &[&str], fan_in_fan_out: bool) {
    let dir = tempfile::tempdir().unwrap();
    let model = model(name);
    write_adapter(dir.path(), &model, targets, fan_in_fan_out);
    let plain = Recipe::preset("f32").unwrap();
    let mut merging = plain.clone();
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let adapter = digest.parse().unwrap();
    merging.steps.insert(0, Step::MergeAdapter { adapter });
    let (base, merged) = (dir.path().join("base"), dir.path().join("merged"));
    compress(&model, None, &plain, &base, &mut |_, _, _| {}).unwrap();
    compress(
        &model,
        Some(dir.path()),
        &merging,
        &merged,
        &mut |_, _, _| {},
    )
    .unwrap();

    let linears = adaptable_linears(Checkpoint::open(&model).unwrap().config());
    let adapter = PeftAdapter::open(dir.path(), &linears).unwrap();
    let (without, with) = (logits(&base, None), logits(&merged, None));
    let attached = logits(&base, Some(&adapter));
    assert!(
        difference(&without, &with) > 0.1,
        "{name}: the adapter changes nothing"
    );
    let worst = difference(&with, &attached);
    assert!(worst < 1e-4, "{name}: {worst}");
}

#[test]
fn merged_and_attached_adapters_give_the_same_scores() {
    check("llama_tied", &["q_proj", "v_proj", "down_proj"], false);
    check("qwen2", &["k_proj", "o_proj", "gate_proj"], false);
    check("starcoder2", &["v_proj", "c_fc"], false);
    check("gpt2", &["c_attn", "mlp.c_proj"], true);
}

#[test]
fn a_recipe_whose_adapter_is_gone_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::preset("f32").unwrap();
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let adapter = digest.parse().unwrap();
    recipe.steps.insert(0, Step::MergeAdapter { adapter });
    let out = dir.path().join("out");
    let made = compress(&model("llama_tied"), None, &recipe, &out, &mut |_, _, _| {});
    assert!(matches!(made, Err(CompressError::AdapterMissing(_))));
}
