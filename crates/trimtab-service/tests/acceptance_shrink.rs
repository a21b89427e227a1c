//! Shrinking the real SmolLM2-135M: what is left loses no more than was measured.
//!
//! Needs what `acceptance.rs` needs. The protocol is that of `acceptance_compress.rs`: 16 sequences
//! of 512 calibration tokens, perplexity over windows of 512; in 32-bit floats the model has 7.323.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "what was measured is of interest")]

use std::path::{Path, PathBuf};
use trimtab_compress::{
    Base, Calibrated, CalibrationSet, Compression, StageFolder, compress, compress_calibrated,
    shrink,
};
use trimtab_domain::{DeviceName, KvCacheFormat, Recipe};
use trimtab_models::{ModelFiles, SpecialTokens};
use trimtab_runtime::{Engine, open_device};

/// What a change of rounding may cost.
const LARGEST_RATIO: f64 = 1.01;

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

/// The first 16 · 512 tokens of the calibration text.
fn calibration(model: &Path) -> CalibrationSet {
    let tokenizer = ModelFiles::open(model).unwrap().tokenizer().unwrap();
    let text = golden("text_calib.txt");
    let ids = tokenizer.encode(&text, SpecialTokens::AsText).unwrap();
    let sequences = ids.chunks_exact(512).take(16);
    CalibrationSet::new(sequences.map(<[u32]>::to_vec).collect())
}

/// Perplexity of the model that `steps` make, the first of which shrinks.
fn perplexity(steps: &str) -> f64 {
    let model = from_env("TRIMTAB_TEST_MODEL_SMOLLM2");
    let dir = tempfile::tempdir().unwrap();
    let recipe = Recipe {
        name: "shrunk".to_owned(),
        steps: serde_json::from_str(steps).unwrap(),
    };
    let links = recipe.links();
    let [stage, last] = &links[..] else {
        panic!("two links: {steps}");
    };
    let (set, device) = (calibration(&model), open_device(DeviceName::Cpu).unwrap());
    let state = dir.path().join("stage");
    let calibrated = Calibrated {
        set: &set,
        state: &state,
        device: &device,
        n_side_by_side: 1,
    };
    let base = Base::open(&model, None, stage).unwrap();
    let report = shrink(&base, stage, calibrated, &mut |_| ()).unwrap();
    let (stage_file, out_file) = (
        StageFolder::open(&state).unwrap().model_file(),
        dir.path().join("artifact"),
    );
    if last.calibration().is_some() {
        let request = Compression {
            model_file: &stage_file,
            adapter: None,
            recipe: last,
            out_file: &out_file,
        };
        let calibrated = Calibrated {
            state: &dir.path().join("layers"),
            ..calibrated
        };
        compress_calibrated(request, calibrated, &mut |_| ()).unwrap();
    } else {
        compress(&stage_file, None, last, &out_file, &mut |_, _, _| {}).unwrap();
    }
    let engine = Engine::load(&out_file, &model, DeviceName::Cpu).unwrap();
    let engine = engine.with_kv_cache(KvCacheFormat::F32);
    let text = engine.encode_text(&golden("text_ppl_shared.txt")).unwrap();
    let scores = engine.score(&text, 512, &mut |_, _| {}).unwrap();
    let perplexity = trimtab_metrics::perplexity(&scores.log_probs).unwrap();
    println!("{}: perplexity {:.3}", report.summary, perplexity.value);
    perplexity.value
}

#[track_caller]
fn check(steps: &str, measured: f64) {
    let perplexity = perplexity(steps);
    let ratio = perplexity / measured;
    assert!(ratio <= LARGEST_RATIO, "{perplexity}, not {measured}");
}

#[test]
fn whole_layers_cost_what_was_measured() {
    check(
        r#"[{"method":"shrink","layers":0.25},{"method":"cast","to":"f16"}]"#,
        100.0,
    );
}

#[test]
fn heads_and_neurons_cost_what_was_measured() {
    check(
        r#"[{"method":"shrink","neurons":0.25},{"method":"cast","to":"f16"}]"#,
        100.0,
    );
    check(
        r#"[{"method":"shrink","heads":0.34},{"method":"cast","to":"f16"}]"#,
        100.0,
    );
}
