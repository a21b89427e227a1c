//! Every architecture against Hugging Face transformers: tiny random models with recorded logits
//! (`scripts/golden/architectures.py`).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::Device;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use trimtab_domain::{FloatFormat, Recipe, Step};
use trimtab_kernels::{KvFormat, PackedFormat, pack_f32};
use trimtab_models::{
    Artifact, ArtifactHeader, Checkpoint, WeightRole,
    decoder::{Decoder, KvCache, SequenceStep},
    load_decoder, weight_specs, write_artifact,
};

/// Largest difference of two logits over the largest logit; measured at most 2e-6.
const MAX_DIFFERENCE: f32 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/architectures")
        .join(name)
}

/// The model with f32 weights, as the runtime loads it.
fn load(folder: &Path, dir: &Path) -> Decoder {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let formats = weight_specs(checkpoint.config())
        .into_iter()
        .filter(|spec| spec.role != WeightRole::Vector)
        .map(|spec| (spec.name, PackedFormat::F32.into()))
        .collect();
    let header = ArtifactHeader {
        format_version: ArtifactHeader::FORMAT_VERSION,
        config: checkpoint.config().clone(),
        recipe: Recipe {
            name: "f32".into(),
            steps: vec![Step::Cast {
                to: FloatFormat::F32,
            }],
        },
        formats,
    };
    let path = dir.join("model.trimtab");
    write_artifact(&path, &header, &mut |spec| {
        let weight = checkpoint.read(spec).map_err(|error| error.to_string())?;
        Ok(pack_f32(&weight))
    })
    .unwrap();
    load_decoder(&Artifact::open(&path).unwrap(), None, 64, &Device::flex()).unwrap()
}

/// Prompts and their logits `[n_tokens, vocab]`.
fn expected(folder: &Path) -> Vec<(Vec<u32>, Vec<f32>)> {
    let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let words = |name: String| -> Vec<[u8; 4]> {
        tensors
            .tensor(&name)
            .unwrap()
            .data()
            .as_chunks::<4>()
            .0
            .to_vec()
    };
    (0..3)
        .map(|idx| {
            let ids = words(format!("ids.{idx}"))
                .into_iter()
                .map(u32::from_le_bytes);
            let logits = words(format!("logits.{idx}"))
                .into_iter()
                .map(f32::from_le_bytes);
            (ids.collect(), logits.collect())
        })
        .collect()
}

fn logits(model: &Decoder, steps: &[SequenceStep<'_>], cache: &mut KvCache) -> Vec<f32> {
    let hidden = model.hidden(steps, cache);
    model.logits(hidden).into_data().try_into_vec().unwrap()
}

#[track_caller]
fn assert_close(case: &str, want: &[f32], got: &[f32], bound: f32) {
    assert_eq!(want.len(), got.len(), "{case}");
    let largest = want.iter().fold(0.0_f32, |a, v| a.max(v.abs()));
    let worst = want
        .iter()
        .zip(got)
        .map(|(w, g)| (w - g).abs())
        .fold(0.0_f32, f32::max);
    assert!(worst <= bound * largest, "{case}: {worst} of {largest}");
}

#[track_caller]
fn check(name: &str) {
    let folder = fixture(name);
    let dir = tempfile::tempdir().unwrap();
    let model = load(&folder, dir.path());
    let prompts = expected(&folder);
    for (ids, want) in &prompts {
        let mut cache = model.new_cache(1, ids.len(), KvFormat::F32);
        let got = logits(&model, &[SequenceStep { slot: 0, ids }], &mut cache);
        assert_close(name, want, &got, MAX_DIFFERENCE);
    }
    check_token_by_token(name, &model, &prompts[2]);
    check_together(name, &model, &prompts);
}

/// Five tokens at once, then one at a time.
fn check_token_by_token(name: &str, model: &Decoder, (ids, want): &(Vec<u32>, Vec<f32>)) {
    let mut cache = model.new_cache(1, ids.len(), KvFormat::F32);
    let (head, tail) = ids.split_at(5);
    let mut got = logits(model, &[SequenceStep { slot: 0, ids: head }], &mut cache);
    for id in tail {
        let step = SequenceStep {
            slot: 0,
            ids: std::slice::from_ref(id),
        };
        got.extend(logits(model, &[step], &mut cache));
    }
    assert_close(
        &format!("{name}, token by token"),
        want,
        &got,
        MAX_DIFFERENCE,
    );
}

/// All prompts in one step, in slots of their own.
fn check_together(name: &str, model: &Decoder, prompts: &[(Vec<u32>, Vec<f32>)]) {
    let mut cache = model.new_cache(4, 32, KvFormat::F32);
    let steps: Vec<SequenceStep<'_>> = prompts
        .iter()
        .zip([2, 0, 3])
        .map(|((ids, _), slot)| SequenceStep { slot, ids })
        .collect();
    let got = logits(model, &steps, &mut cache);
    let want: Vec<f32> = prompts
        .iter()
        .flat_map(|(_, logits)| logits.clone())
        .collect();
    assert_close(&format!("{name}, together"), &want, &got, MAX_DIFFERENCE);
}

macro_rules! architectures {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })+

        #[test]
        fn every_fixture_has_its_test() {
            let tested = [$(stringify!($name)),+];
            let folders = std::fs::read_dir(fixture("")).unwrap();
            let names = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let forgotten: Vec<String> = names.filter(|name| !tested.contains(&name.as_str())).collect();
            assert!(forgotten.is_empty(), "{forgotten:?}");
        }
    };
}

architectures!(
    deepseek_v2_groups,
    deepseek_v2_lite,
    deepseek_v2_yarn,
    gpt2,
    gpt2_codeparrot,
    gpt2_unscaled,
    gpt_bigcode,
    gpt_bigcode_heads,
    llama_head_dim,
    llama_linear,
    llama_llama3,
    llama_tied,
    llama_untied_biased,
    llama_yarn,
    llama_yarn_unrounded,
    mistral_full,
    mistral_window,
    qwen2,
    qwen2_window,
    qwen3,
    qwen3_biased,
    starcoder2,
    starcoder2_plain,
);
