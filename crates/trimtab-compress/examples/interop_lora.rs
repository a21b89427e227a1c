//! Trains adapters on tiny models and writes them as PEFT folders with our logits, for
//! `scripts/interop/lora.py` to compare with what PEFT computes.
//!
//! `cargo run --release -p trimtab-compress --example interop_lora -- OUT`
//!
//! Every folder `OUT/lora/MODEL` gets the adapter, `base/` and `logits.json`.

#![expect(clippy::print_stderr, reason = "a program speaks on standard error")]

use burn::tensor::Device;
use serde_json::json;
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};
use trimtab_compress::{
    compress,
    train::{Example, LoraTraining, TrainSettings, train_lora},
};
use trimtab_domain::Recipe;
use trimtab_kernels::KvFormat;
use trimtab_models::{
    Artifact,
    decoder::SequenceStep,
    load_decoder,
    peft::{LoraSettings, LoraTargets, PeftAdapter, adaptable_linears},
};

/// Models of `trimtab-models/tests/fixtures/architectures`, layers, and whether scaling is
/// rank-stabilised.
const CASES: [(&str, &[&str], bool); 4] = [
    ("llama_tied", &["q_proj", "v_proj"], true),
    (
        "llama_untied_biased",
        &["o_proj", "down_proj", "lm_head"],
        false,
    ),
    ("qwen2", &["k_proj", "gate_proj"], false),
    ("gpt2", &["c_attn", "c_fc"], false),
];

fn main() -> ExitCode {
    let Some(out) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("error: no folder was named\nhint: interop_lora OUT");
        return ExitCode::from(2);
    };
    for (name, targets, is_rank_stabilised) in CASES {
        let lora = LoraSettings {
            rank: 4,
            alpha: 8.0,
            is_rank_stabilised,
            dropout: 0.1,
            targets: LoraTargets::Ends(targets.iter().map(|t| (*t).to_owned()).collect()),
        };
        if let Err(error) = write_adapter(&out.join("lora").join(name), name, &lora) {
            eprintln!("error: {name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn write_adapter(dir: &Path, name: &str, lora: &LoraSettings) -> Result<(), Box<dyn Error>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../trimtab-models/tests/fixtures/architectures")
        .join(name);
    let base = dir.join("base");
    std::fs::create_dir_all(&base)?;
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(source.join(file), base.join(file))?;
    }
    let path = dir.join("base.artifact");
    compress(
        &base,
        None,
        &Recipe::preset("f32").ok_or("no preset `f32`")?,
        &path,
        &mut |_, _, _| {},
    )?;
    let training = LoraTraining {
        artifact: &path,
        base_model: name,
        lora,
        teacher: None,
        settings: TrainSettings {
            n_steps: 20,
            n_warmup: 2,
            learning_rate: 2e-2,
            ..TrainSettings::default()
        },
        folder: dir,
        checkpoint_every: 100,
    };
    let text = Example::text((0..30).map(|i| (7 * i + 3) % 41).collect());
    train_lora(training, vec![text], &mut |_| {})?;

    let artifact = Artifact::open(&path)?;
    let linears = adaptable_linears(&artifact.header().config);
    let adapter = PeftAdapter::open(dir, &linears)?;
    let model = load_decoder(&artifact, Some(&adapter), 32, &Device::flex())?;
    let ids = [3, 17, 40, 0, 5];
    let mut cache = model.new_cache(1, ids.len(), KvFormat::F32);
    let hidden = model.hidden(&[SequenceStep { slot: 0, ids: &ids }], &mut cache);
    let logits = model.logits(hidden);
    let [_, n_tokens, vocab_size] = logits.dims();
    let values: Vec<f32> = logits.into_data().try_into_vec()?;
    let rows: Vec<&[f32]> = values.chunks(vocab_size).collect();
    assert_eq!(rows.len(), n_tokens);
    let recorded = json!({ "ids": ids, "logits": rows });
    std::fs::write(dir.join("logits.json"), recorded.to_string())?;
    std::fs::remove_file(&path)?;
    Ok(())
}
