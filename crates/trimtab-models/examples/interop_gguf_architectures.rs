//! Writes the tiny models that transformers computed logits of as GGUF files, for
//! `scripts/interop/gguf_architectures.py` to compare with what llama.cpp computes.
//!
//! `cargo run --release -p trimtab-models --example interop_gguf_architectures -- OUT`
//!
//! Every folder `OUT/gguf_architectures/MODEL` gets `model.gguf`, `expected.safetensors` and
//! `settings.json`.

#![expect(clippy::print_stderr, reason = "a program speaks on standard error")]

use serde_json::{Value, json};
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};
use trimtab_models::{
    Checkpoint,
    gguf::GgmlType,
    gguf_export::{
        BlockTypes, ExportWeight, GgufExport, HfTokenizerFiles, TokenizerMetadata, Transfer,
    },
};

/// Models of `tests/fixtures/architectures` that GGUF can say everything of, or everything up to
/// the width of a window.
const MODELS: [&str; 12] = [
    "gpt2",
    "llama_head_dim",
    "llama_linear",
    "llama_llama3",
    "llama_tied",
    "llama_untied_biased",
    "llama_yarn",
    "mistral_full",
    "mistral_window",
    "qwen2",
    "qwen3",
    "starcoder2",
];

fn main() -> ExitCode {
    let Some(out) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("error: no folder was named\nhint: interop_gguf_architectures OUT");
        return ExitCode::from(2);
    };
    for name in MODELS {
        if let Err(error) = write_model(&out.join("gguf_architectures").join(name), name) {
            eprintln!("error: {name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn write_model(dir: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(dir)?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/architectures")
        .join(name);
    let checkpoint = Checkpoint::open(&source)?;
    let mut config = checkpoint.config().clone();
    // Texts that fit the window see everything.
    let n_tokens = config.window.take().map(|window| window.n_tokens);
    let export = GgufExport {
        config: &config,
        tokenizer: &tokenizer(config.vocab_size)?,
        general: &[],
        types: BlockTypes::all(GgmlType::F32).into(),
        transfer: Transfer::Exact,
    };
    export.write(&dir.join("model.gguf"), &mut |spec| {
        let weight = checkpoint.read(spec).map_err(|error| error.to_string())?;
        Ok(ExportWeight::Floats(weight.into()))
    })?;
    let expected = "expected.safetensors";
    std::fs::copy(source.join(expected), dir.join(expected))?;
    let settings = json!({ "n_tokens": n_tokens.unwrap_or(config.max_len) });
    std::fs::write(dir.join("settings.json"), settings.to_string())?;
    Ok(())
}

/// Tokens without a meaning, for models that are asked by ids.
fn tokenizer(n_rows: usize) -> Result<TokenizerMetadata, Box<dyn Error>> {
    let tokenizer = json!({
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
    });
    let files = HfTokenizerFiles {
        tokenizer: &tokenizer,
        tokenizer_config: &Value::Null,
        chat_template: None,
        n_rows,
    };
    Ok(TokenizerMetadata::from_hugging_face(&files)?)
}
