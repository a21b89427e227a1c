//! Writes variants of a model as GGUF files, each with what our engine answers to some prompts, for
//! `scripts/interop/gguf.py` to compare with llama.cpp.
//!
//! `cargo run --release -p trimtab-service --example interop_gguf -- OUT [MODEL.gguf]`
//!
//! Every folder `OUT/gguf/CASE` gets `model.gguf` and `expected.json`.

#![expect(clippy::print_stderr, reason = "a program speaks on standard error")]

use serde_json::{Value, json};
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};
use trimtab_compress::compress;
use trimtab_domain::{FloatFormat, Recipe, Rtn, Step};
use trimtab_models::{
    Artifact,
    gguf::{GgmlType, GgufFile},
    gguf_export::{
        BlockTypes, ExportReport, Fidelity, GgufExport, TokenizerMetadata, Transfer,
        general_metadata, weights_of_artifact,
    },
};
use trimtab_runtime::{Engine, GenerationRequest, Sampling};

const PROMPTS: [&str; 3] = [
    "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
    "The capital of France is",
    "Write a function that reverses a string.",
];
const N_TOKENS: usize = 32;

/// How many scores are written down.
const N_BEST: usize = 16;

struct Case {
    name: &'static str,
    step: Step,
    linear: GgmlType,
    embedding: GgmlType,
    /// For rows that do not divide into blocks of 256.
    uneven: Option<GgmlType>,
    transfer: Transfer,
}

fn int4(group_size: u32, symmetric: bool) -> Step {
    Step::Rtn(Rtn::new(4, group_size, symmetric))
}

fn cases() -> Vec<Case> {
    let cast = |to| Step::Cast { to };
    let int8 = Step::Rtn(Rtn::new(8, 64, true));
    let case = |name, step, linear, embedding| Case {
        name,
        step,
        linear,
        embedding,
        uneven: None,
        transfer: Transfer::Exact,
    };
    let q8_0 = GgmlType::Q8_0;
    vec![
        case("f32", cast(FloatFormat::F32), GgmlType::F32, GgmlType::F32),
        case("f16", cast(FloatFormat::F16), GgmlType::F16, GgmlType::F16),
        case(
            "bf16",
            cast(FloatFormat::Bf16),
            GgmlType::Bf16,
            GgmlType::Bf16,
        ),
        // The codes as floats: what is left of a difference is not in the codes.
        case("int8-f32", int8.clone(), GgmlType::F32, GgmlType::F32),
        case("int4-f32", int4(64, false), GgmlType::F32, GgmlType::F32),
        case("int8-q8_0", int8, q8_0, q8_0),
        case("int4-q8_0", int4(64, false), q8_0, q8_0),
        case("int4-symmetric-q4_0", int4(64, true), GgmlType::Q4_0, q8_0),
        Case {
            transfer: Transfer::Nearest,
            ..case("int4-q4_1", int4(64, false), GgmlType::Q4_1, q8_0)
        },
        Case {
            uneven: Some(q8_0),
            ..case("int4-group-256-q4_k", int4(256, false), GgmlType::Q4K, q8_0)
        },
    ]
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(out) = arguments.next() else {
        eprintln!("error: no folder was named\nhint: interop_gguf OUT [MODEL.gguf]");
        return ExitCode::from(2);
    };
    let model = arguments.next().or_else(default_model);
    let Some(model) = model else {
        eprintln!("error: no model was named, and SmolLM2 is not in the cache");
        return ExitCode::from(2);
    };
    match write_cases(&out.join("gguf"), &model) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The model that the tests use, where `scripts/fetch-test-model.sh` puts it.
fn default_model() -> Option<PathBuf> {
    let cache = std::env::home_dir()?.join(".cache/trimtab/models");
    let path = cache.join("SmolLM2-135M-Instruct.Q4_1.gguf");
    path.is_file().then_some(path)
}

fn write_cases(out: &Path, model: &Path) -> Result<(), Box<dyn Error>> {
    for case in cases() {
        write_case(&out.join(case.name), model, &case)?;
    }
    Ok(())
}

fn write_case(folder: &Path, model: &Path, case: &Case) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let recipe = Recipe {
        name: case.name.to_owned(),
        steps: vec![case.step.clone()],
    };
    let artifact_path = folder.join("variant.trimtab");
    compress(model, None, &recipe, &artifact_path, &mut |_, _, _| {})?;
    let artifact = Artifact::open(&artifact_path)?;
    let source = GgufFile::open(model)?;
    let tokenizer = TokenizerMetadata::from_gguf(&source)?;
    let export = GgufExport {
        config: &artifact.header().config,
        tokenizer: &tokenizer,
        general: &general_metadata(&source),
        types: BlockTypes {
            linear: case.linear,
            embedding: case.embedding,
            head: case.embedding,
            uneven: case.uneven,
        }
        .into(),
        transfer: case.transfer,
    };
    let report = export.write(
        &folder.join("model.gguf"),
        &mut weights_of_artifact(&artifact)?,
    )?;
    let engine = Engine::load(&artifact_path, model, trimtab_domain::DeviceName::Cpu)?;
    let answers = PROMPTS
        .iter()
        .map(|prompt| answer(&engine, prompt))
        .collect::<Result<Vec<_>, _>>()?;
    let expected = json!({
        "answers": answers,
        "fidelity": fidelity(&report),
        // llama.cpp rounds the activations of a product with bf16, too, to 8 bits.
        "is_quantised": !matches!(case.linear, GgmlType::F32 | GgmlType::F16),
    });
    std::fs::write(folder.join("expected.json"), expected.to_string())?;
    std::fs::remove_file(artifact_path)?;
    Ok(())
}

/// Weights by how near they are to the artifact's.
fn fidelity(report: &ExportReport) -> Value {
    let count = |fidelity| {
        let weights = report.weights.iter();
        weights.filter(|weight| weight.fidelity == fidelity).count()
    };
    json!({
        "exact": count(Fidelity::Exact),
        "rounded": count(Fidelity::Rounded),
        "requantised": count(Fidelity::Requantised),
    })
}

/// Greedy tokens, and the scores from which the first was chosen.
fn answer(engine: &Engine, prompt: &str) -> Result<Value, Box<dyn Error>> {
    let prompt_ids = engine.encode_raw(prompt)?;
    let request = GenerationRequest {
        prompt_ids: &prompt_ids,
        sampling: Sampling::greedy(),
        max_tokens: N_TOKENS,
        stop: vec![],
        stops_at_end_of_text: false,
    };
    let generation = engine.generate(&request, &mut |_| true)?;
    Ok(json!({
        "prompt": prompt,
        "prompt_ids": prompt_ids,
        "answer_ids": generation.token_ids,
        "text": generation.text,
        "first_scores": best_scores(&engine.next_token_logits(&prompt_ids)?),
    }))
}

/// The best tokens with their scores, the best first.
fn best_scores(logits: &[f32]) -> Vec<(usize, f32)> {
    let mut scores: Vec<(usize, f32)> = logits.iter().copied().enumerate().collect();
    scores.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    scores.truncate(N_BEST);
    scores
}
