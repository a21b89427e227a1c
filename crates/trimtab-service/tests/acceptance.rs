//! The engine against values of other implementations, on the real SmolLM2-135M.
//!
//! Needs `TRIMTAB_ACCEPTANCE_DIR` (a folder with `golden/`) and `TRIMTAB_TEST_MODEL_SMOLLM2` (the
//! model file); `make test` sets both where it can, and leaves these tests out elsewhere.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};
use trimtab_domain::{DeviceName, KvCacheFormat, Recipe};
use trimtab_runtime::{Batch, BatchOptions, Engine, GenerationRequest, Sampling};
use trimtab_service::{CapacityRequest, Service, ServiceConfig};

/// A step whose two best scores are closer may go either way by rounding alone.
const TIE: f64 = 0.05;

fn from_env(name: &str) -> PathBuf {
    let value = std::env::var_os(name).unwrap_or_else(|| {
        panic!("`{name}` is not set: run `make test`, or leave out the tests named `acceptance`")
    });
    PathBuf::from(value)
}

fn golden(file: &str) -> String {
    let path = from_env("TRIMTAB_ACCEPTANCE_DIR").join("golden").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn items(file: &str) -> Vec<Value> {
    let json: Value = serde_json::from_str(&golden(file)).unwrap();
    json["items"].as_array().unwrap().clone()
}

fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap() as u32)
        .collect()
}

/// Makes a variant of the test model and loads it.
fn engine(dir: &Path, preset: &str) -> Engine {
    let model = from_env("TRIMTAB_TEST_MODEL_SMOLLM2");
    let artifact = dir.join(format!("{preset}.trimtab"));
    let recipe = Recipe::preset(preset).unwrap();
    trimtab_compress::compress(&model, None, &recipe, &artifact, &mut |_, _, _| {}).unwrap();
    Engine::load(&artifact, &model, DeviceName::Cpu).unwrap()
}

static F32: LazyLock<(tempfile::TempDir, Engine)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path(), "f32");
    (dir, engine)
});

#[test]
fn f32_logits_agree_with_transformers() {
    let engine = &F32.1;
    for item in items("logits.json") {
        let logits = engine.next_token_logits(&ids(&item["ids"])).unwrap();
        for pair in item["top20"].as_array().unwrap() {
            let (id, want) = (pair[0].as_u64().unwrap(), pair[1].as_f64().unwrap());
            let got = f64::from(logits[id as usize]);
            let is_close = (got - want).abs() <= 1e-3 * want.abs();
            assert!(
                is_close,
                "{}: token {id}: {got}, not {want}",
                item["prompt"]
            );
        }
    }
}

/// A prompt with the greedy tokens that follow it, of which the first `n_sure` are no ties.
struct Greedy {
    prompt: String,
    prompt_ids: Vec<u32>,
    want: Vec<u32>,
    n_sure: usize,
}

impl Greedy {
    fn all() -> Vec<Self> {
        let item = |item: &Value| {
            let gaps = item["top1_top2_gap"].as_array().unwrap().iter();
            let is_sure = |gap: &&Value| gap.as_f64().unwrap() >= TIE;
            Self {
                prompt: item["prompt"].to_string(),
                prompt_ids: ids(&item["ids"]),
                want: ids(&item["greedy_ids"]),
                n_sure: gaps.take_while(is_sure).count(),
            }
        };
        let all: Vec<Self> = items("greedy.json").iter().map(item).collect();
        let n_sure: usize = all.iter().map(|item| item.n_sure).sum();
        assert!(n_sure > 100, "only {n_sure} tokens before a tie");
        all
    }

    fn request(&self) -> GenerationRequest<'_> {
        GenerationRequest {
            prompt_ids: &self.prompt_ids,
            sampling: Sampling::greedy(),
            max_tokens: self.want.len(),
            stop: Vec::new(),
            stops_at_end_of_text: false,
        }
    }

    #[track_caller]
    fn check(&self, got: &[u32]) {
        let n = self.n_sure;
        assert_eq!(got[..n], self.want[..n], "{}", self.prompt);
    }
}

#[test]
fn greedy_tokens_are_those_of_transformers_up_to_the_first_tie() {
    for item in Greedy::all() {
        let got = F32.1.generate(&item.request(), &mut |_| true).unwrap();
        item.check(&got.token_ids);
    }
}

#[test]
fn greedy_tokens_of_prompts_answered_side_by_side_are_those_of_transformers() {
    let all = Greedy::all();
    // Small steps, so that prompts are run in pieces beside others that decode.
    let options = BatchOptions {
        step_tokens: 16,
        ..BatchOptions::new(4, 512)
    };
    let mut batch = Batch::new(&F32.1, options).unwrap();
    for item in &all {
        batch.submit(&item.request(), Box::new(|_| true)).unwrap();
    }
    let mut ended = batch.run();
    ended.sort_by_key(|ended| ended.sequence);
    for (ended, item) in ended.into_iter().zip(&all) {
        item.check(&ended.outcome.unwrap().token_ids);
    }
}

/// Perplexity of the text that all implementations scored, and over how many tokens.
fn perplexity(engine: &Engine) -> (f64, u64) {
    let text = engine.encode_text(&golden("text_ppl_shared.txt")).unwrap();
    let scores = engine.score(&text, 512, &mut |_, _| {}).unwrap();
    let perplexity = trimtab_metrics::perplexity(&scores.log_probs).unwrap();
    (perplexity.value, u64::from(perplexity.n))
}

#[track_caller]
fn check_perplexity(engine: &Engine, golden_name: &str, largest_ratio: f64) {
    let results: Value = serde_json::from_str(&golden("ppl_compressed.json")).unwrap();
    let expected = &results["results"][golden_name];
    let (value, n) = perplexity(engine);
    assert_eq!(n, expected["n_scored"].as_u64().unwrap());
    let ratio = value / expected["ppl"].as_f64().unwrap();
    assert!(
        ratio <= largest_ratio,
        "{golden_name}: {value} is {ratio} of the reference"
    );
    if golden_name == "f32" {
        assert!(
            ratio >= 2.0 - largest_ratio,
            "f32 is {ratio} of the reference"
        );
    }
}

#[test]
fn f32_perplexity_is_that_of_torch() {
    check_perplexity(&F32.1, "f32", 1.005);
}

#[test]
fn compressed_perplexities_are_no_worse_than_the_reference_methods() {
    let dir = tempfile::tempdir().unwrap();
    check_perplexity(&engine(dir.path(), "f16"), "f32", 1.005);
    check_perplexity(&engine(dir.path(), "int8"), "rtn_int8_g128_sym", 1.01);
    check_perplexity(&engine(dir.path(), "int4"), "rtn_int4_g64_asym", 1.01);
}

#[tokio::test]
async fn the_recorded_sizes_of_a_catalog_model_are_those_of_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let config = ServiceConfig {
        device: DeviceName::Cpu,
        data_dir: dir.path().to_owned(),
        worker_exe: PathBuf::from("no-worker-is-needed"),
    };
    let service = Service::open(config).await.unwrap();
    let needs = |model: String| {
        let request = CapacityRequest {
            model,
            ..CapacityRequest::default()
        };
        service.capacity(request)
    };
    let model = from_env("TRIMTAB_TEST_MODEL_SMOLLM2");
    let from_file = needs(model.display().to_string()).await.unwrap();
    let recorded = needs("smollm2-135m-instruct".to_owned()).await.unwrap();
    assert_eq!(from_file.n_parameters, recorded.n_parameters);
    assert_eq!(from_file.texts, recorded.texts);
    for (read, recorded) in from_file.presets.iter().zip(&recorded.presets) {
        assert_eq!(read.need, recorded.need);
    }
}

#[test]
fn shorter_numbers_in_the_cache_cost_little() {
    let dir = tempfile::tempdir().unwrap();
    let exact = engine(dir.path(), "f16").with_kv_cache(KvCacheFormat::F32);
    let (want, _) = perplexity(&exact);
    let mut engine = exact;
    // Measured 1.00003 and 1.0016.
    for (format, largest_ratio) in [(KvCacheFormat::F16, 1.001), (KvCacheFormat::Int8, 1.01)] {
        engine = engine.with_kv_cache(format);
        let (got, _) = perplexity(&engine);
        let ratio = got / want;
        let range = 2.0 - largest_ratio..=largest_ratio;
        assert!(range.contains(&ratio), "{format}: {ratio} of f32");
    }
}
