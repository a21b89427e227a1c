//! Every architecture against Hugging Face transformers: tiny random models with recorded logits
//! (`scripts/golden/architectures.py`).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::Device;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use trimtab_domain::{FloatFormat, Recipe, Step};
use trimtab_kernels::{KvFormat, PackedFormat, pack_f32};
use trimtab_models::{
    Artifact, ArtifactHeader, Checkpoint, ModelConfig, WeightRole,
    decoder::{Decoder, KvCache, SequenceStep},
    gguf::GgmlType,
    gguf_export::{
        BlockTypes, ExportWeight, Fidelity, GgufExport, GgufExportError, HfTokenizerFiles,
        TokenizerMetadata, Transfer,
    },
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
    load_as(&checkpoint, checkpoint.config(), dir)
}

/// The weights of `checkpoint` run as `config` says.
fn load_as(checkpoint: &Checkpoint, config: &ModelConfig, dir: &Path) -> Decoder {
    let formats = weight_specs(checkpoint.config())
        .into_iter()
        .filter(|spec| spec.role != WeightRole::Vector)
        .map(|spec| (spec.name, PackedFormat::F32.into()))
        .collect();
    let header = ArtifactHeader {
        format_version: ArtifactHeader::FORMAT_VERSION,
        config: config.clone(),
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

/// Writes the model as GGUF in f32, as `config` describes it.
fn export(
    checkpoint: &Checkpoint,
    config: &ModelConfig,
    path: &Path,
) -> Result<(), GgufExportError> {
    let tokenizer = serde_json::json!({
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
    });
    let tokenizer = TokenizerMetadata::from_hugging_face(&HfTokenizerFiles {
        tokenizer: &tokenizer,
        tokenizer_config: &serde_json::Value::Null,
        chat_template: None,
        n_rows: config.vocab_size,
    });
    let export = GgufExport {
        config,
        tokenizer: &tokenizer.unwrap(),
        general: &[],
        types: BlockTypes::all(GgmlType::F32).into(),
        transfer: Transfer::Exact,
    };
    let report = export.write(path, &mut |spec| {
        let weight = checkpoint.read(spec).map_err(|error| error.to_string())?;
        Ok(ExportWeight::Floats(weight.into()))
    })?;
    let mut weights = report.weights.into_iter();
    assert!(weights.all(|weight| weight.fidelity == Fidelity::Exact));
    Ok(())
}

/// The model through a GGUF file gives the logits that it gives from its folder.
#[track_caller]
fn check_through_gguf(name: &str, change: impl FnOnce(&mut ModelConfig)) {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::open(&fixture(name)).unwrap();
    let mut config = checkpoint.config().clone();
    change(&mut config);
    let path = dir.path().join("model.gguf");
    export(&checkpoint, &config, &path).unwrap();
    let direct = load_as(&checkpoint, &config, dir.path());
    let ids: Vec<u32> = (0..24).map(|idx| idx * 7 % 41).collect();
    let run = |model: &Decoder| {
        let mut cache = model.new_cache(1, ids.len(), KvFormat::F32);
        logits(model, &[SequenceStep { slot: 0, ids: &ids }], &mut cache)
    };
    let want = run(&direct);
    let again = load(&path, dir.path());
    assert_close(name, &want, &run(&again), 1e-5);
}

#[test]
fn what_gguf_can_say_of_a_model_is_read_again() {
    for name in [
        "gpt2",
        "llama_head_dim",
        "llama_linear",
        "llama_llama3",
        "llama_tied",
        "llama_untied_biased",
        "llama_yarn",
        "mistral_full",
        "qwen2",
        "qwen3",
    ] {
        check_through_gguf(name, |_| ());
    }
    check_through_gguf("starcoder2", |config| config.window = None);
    let as_wide = |config: &mut ModelConfig| {
        let max_len = config.max_len;
        config.window.as_mut().unwrap().n_tokens = max_len;
    };
    check_through_gguf("mistral_window", as_wide);
}

#[test]
fn what_gguf_cannot_say_of_a_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, reason) in [
        ("deepseek_v2_lite", "`deepseek_v2` is not exported to GGUF"),
        ("gpt_bigcode", "`gpt_bigcode` is not exported to GGUF"),
        ("gpt2_codeparrot", "another scale of attention scores"),
        ("gpt2_unscaled", "another scale of attention scores"),
        ("llama_yarn_unrounded", "ramp that is not rounded"),
        (
            "mistral_window",
            "a sliding window shorter than the context",
        ),
        ("qwen2_window", "a sliding window shorter than the context"),
        ("qwen3_biased", "a bias on the output of attention"),
        ("starcoder2", "a sliding window shorter than the context"),
        ("starcoder2_plain", "a linear layer without bias"),
    ] {
        let checkpoint = Checkpoint::open(&fixture(name)).unwrap();
        let path = dir.path().join("model.gguf");
        let refused = export(&checkpoint, checkpoint.config(), &path).unwrap_err();
        let message = refused.to_string();
        assert!(message.contains(reason), "{name}: {message}");
        assert!(!path.exists(), "{name}");
    }
}
