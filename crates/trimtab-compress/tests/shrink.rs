//! Shrinking tiny models: what is left computes what it should, goes on after a kill, and is read
//! by the steps after it and by other programs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::Device;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};
use trimtab_compress::{
    Base, Calibrated, CalibrationSet, CompressError, CompressEvent, Compression, ShrinkError,
    StageFolder, compress, compress_calibrated, predicted_bytes, predicted_config, shrink,
};
use trimtab_domain::{Recipe, StageReport, Step};
use trimtab_kernels::KvFormat;
use trimtab_models::{
    Architecture, Artifact, Checkpoint, ModelConfig, Part, WeightSpec,
    decoder::SequenceStep,
    load_decoder,
    quantized::{
        ExportFormat, ExportTensor, ExportWeight, FolderFloats, QuantizedFolder,
        write_artifact_folder, write_quantized_folder,
    },
    tiny::{TinyModel, hugging_face_config, write_tiny_folder, write_tiny_gguf},
    weight_specs,
};

fn recipe(json: &str) -> Recipe {
    let steps: Vec<Step> = serde_json::from_str(json).unwrap();
    let recipe = Recipe {
        name: "x".into(),
        steps,
    };
    recipe.validate().unwrap();
    recipe
}

/// Shrinks and stores in 32-bit floats.
fn shrinking(step: &str) -> Recipe {
    recipe(&format!(
        r#"[{{"method":"shrink",{step}}},{{"method":"cast","to":"f32"}}]"#
    ))
}

/// Arbitrary tokens of a model.
fn set(model: &Path) -> CalibrationSet {
    let vocab = Checkpoint::open(model).unwrap().config().vocab_size as u32;
    let id = |seq: u32, at: u32| (seq * 7919 + at * at * 31 + at * 17) % vocab;
    let sequence = |seq| (0..24).map(|at| id(seq, at)).collect();
    CalibrationSet::new((0..3).map(sequence).collect())
}

/// A folder with a model of so many layers, whose weights `change` may set.
fn model(dir: &Path, n_layers: usize, change: &dyn Fn(&WeightSpec, &mut [f32])) -> PathBuf {
    let tiny = TinyModel {
        n_layers,
        ..TinyModel::default()
    };
    let plain = dir.join("plain");
    std::fs::create_dir(&plain).unwrap();
    write_tiny_folder(&plain, &tiny, FolderFloats::F16).unwrap();
    let source = Checkpoint::open(&plain).unwrap();
    let read = |spec: &WeightSpec| {
        let mut values = source.read(spec).unwrap();
        change(spec, &mut values);
        values
    };
    let path = dir.join("model");
    write_model(&path, &tiny.config(), &read);
    path
}

fn write_model(path: &Path, config: &ModelConfig, read: &dyn Fn(&WeightSpec) -> Vec<f32>) {
    std::fs::create_dir(path).unwrap();
    let specs = weight_specs(config);
    let tensors: Vec<ExportTensor> = specs
        .iter()
        .map(|spec| ExportTensor {
            name: spec.hf_name(),
            shape: spec.hf_shape(),
            grid: None,
        })
        .collect();
    let folder = QuantizedFolder {
        format: ExportFormat::Plain,
        floats: FolderFloats::F16,
        config: &hugging_face_config(config),
        tensors: &tensors,
    };
    let mut specs = specs.iter();
    write_quantized_folder(path, &folder, &mut |_| {
        Ok(ExportWeight::Floats(read(specs.next().unwrap())))
    })
    .unwrap();
}

/// Carries out all links of a recipe; the artifact and what the first link did.
fn make(
    model: &Path,
    recipe: &Recipe,
    dir: &Path,
    on_event: &mut dyn FnMut(CompressEvent),
) -> Result<(PathBuf, StageReport), CompressError> {
    let links = recipe.links();
    let (last, stages) = links.split_last().unwrap();
    let (set, mut file, mut report) = (set(model), model.to_owned(), None);
    for (idx, link) in stages.iter().enumerate() {
        let state = dir.join(format!("stage-{idx}"));
        let calibrated = Calibrated {
            set: &set,
            state: &state,
            device: &Device::flex(),
            n_side_by_side: 2,
        };
        let base = Base::open(&file, None, link)?;
        let done = shrink(&base, link, calibrated, on_event)?;
        report.get_or_insert(done);
        file = StageFolder::open(&state)?.model_file();
    }
    let out = dir.join("artifact");
    if last.calibration().is_none() {
        compress(&file, None, last, &out, &mut |_, _, _| ())?;
    } else {
        let request = Compression {
            model_file: &file,
            adapter: None,
            recipe: last,
            out_file: &out,
        };
        let calibrated = Calibrated {
            set: &set,
            state: &dir.join("layers"),
            device: &Device::flex(),
            n_side_by_side: 2,
        };
        compress_calibrated(request, calibrated, &mut |_| ())?;
    }
    Ok((out, report.unwrap()))
}

fn plain(model: &Path, dir: &Path) -> PathBuf {
    let out = dir.join("plain.trimtab");
    let f32 = Recipe::preset("f32").unwrap();
    compress(model, None, &f32, &out, &mut |_, _, _| ()).unwrap();
    out
}

fn logits(artifact: &Path) -> Vec<f32> {
    let artifact = Artifact::open(artifact).unwrap();
    let model = load_decoder(&artifact, None, 32, &Device::flex()).unwrap();
    let mut cache = model.new_cache(1, 8, KvFormat::F32);
    let ids = [3, 17, 40, 0, 5];
    let hidden = model.hidden(&[SequenceStep { slot: 0, ids: &ids }], &mut cache);
    model.logits(hidden).into_data().try_into_vec().unwrap()
}

/// The largest difference, as a share of the largest value.
fn difference(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    let pairs = got.iter().zip(want);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

/// Sums of up to 160 products in another order.
const TOLERANCE: f32 = 1e-5;

#[test]
fn fewer_layers_compute_what_a_model_built_of_them_does() {
    let dir = tempfile::tempdir().unwrap();
    // The third layer adds next to nothing.
    let quiet = |spec: &WeightSpec, values: &mut [f32]| {
        if spec.place.layer == Some(2) && matches!(spec.place.part, Part::Output | Part::Down) {
            for value in values.iter_mut() {
                *value *= 0.001;
            }
        }
    };
    let model = model(dir.path(), 4, &quiet);
    let (artifact, report) =
        make(&model, &shrinking(r#""layers":1"#), dir.path(), &mut |_| ()).unwrap();
    let [removed] = &report.removed[..] else {
        panic!("one layer: {report:?}");
    };
    assert_eq!(removed.name, "model.layers.2");
    assert!(removed.score < 1e-4, "{removed:?}");
    assert!(
        report.summary.starts_with("3 of 4 layers left"),
        "{report:?}"
    );

    let source = Checkpoint::open(&model).unwrap();
    let config = ModelConfig {
        n_layers: 3,
        ..source.config().clone()
    };
    let specs = weight_specs(source.config());
    let by_hand = dir.path().join("by-hand");
    write_model(&by_hand, &config, &|spec| {
        let layer = spec.place.layer.map(|idx| [0, 1, 3][idx]);
        let same = |of: &&WeightSpec| (of.place.part, of.place.layer) == (spec.place.part, layer);
        source.read(specs.iter().find(same).unwrap()).unwrap()
    });
    let by_hand = plain(&by_hand, dir.path());
    assert_eq!(logits(&artifact), logits(&by_hand));
    assert_eq!(report.n_parameters, config.n_parameters());
}

/// A model in which the second key and value head of each layer, and all neurons from the 100th on,
/// add nothing.
fn with_idle_parts(dir: &Path) -> PathBuf {
    model(dir, 2, &|spec, values| {
        let first_idle = match spec.place.part {
            Part::Output => 48,
            Part::Down => 100,
            _ => return,
        };
        for row in values.chunks_exact_mut(spec.d_in) {
            row[first_idle..].fill(0.0);
        }
    })
}

const NARROWER: &str = r#""heads":0.5,"neurons":0.375"#;

#[test]
fn what_adds_nothing_goes_without_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let model = with_idle_parts(dir.path());
    let recipe = shrinking(NARROWER);
    let (artifact, report) = make(&model, &recipe, dir.path(), &mut |_| ()).unwrap();
    assert_eq!(report.removed.len(), 4);
    assert!(
        report.removed.iter().all(|part| part.score == 0.0),
        "{report:?}"
    );
    assert_eq!(
        report.removed[0].name,
        "model.layers.0.self_attn, key and value head 1"
    );
    let smaller = Artifact::open(&artifact).unwrap();
    let config = &smaller.header().config;
    assert_eq!(
        (config.n_heads, config.n_kv_heads, config.d_ff),
        (3, 1, 100)
    );
    let difference = difference(&logits(&artifact), &logits(&plain(&model, dir.path())));
    assert!(difference < TOLERANCE, "{difference}");

    // The file says what was done, and is as large as was predicted.
    assert_eq!(smaller.header().recipe, recipe);
    let source = Checkpoint::open(&model).unwrap();
    let predicted = predicted_config(source.config(), &recipe).unwrap();
    assert_eq!(&predicted, config);
    let n_bytes = predicted_bytes(source.config(), &recipe).unwrap();
    assert_eq!(smaller.n_weight_bytes(), n_bytes);
}

#[test]
fn the_others_do_the_part_of_what_goes() {
    let dir = tempfile::tempdir().unwrap();
    // Every other neuron does what the one before it does, and adds a hundredth of it: what pairs
    // add differs by less, so that these go.
    let model = model(dir.path(), 2, &|spec, values| {
        let row = |idx: usize| idx * spec.d_in..(idx + 1) * spec.d_in;
        match spec.place.part {
            Part::Gate | Part::Up => {
                for idx in (1..spec.d_out).step_by(2) {
                    values.copy_within(row(idx - 1), row(idx).start);
                }
            }
            Part::Down => {
                let (pairs, []) = values.as_chunks_mut::<2>() else {
                    panic!("an even number of neurons");
                };
                for pair in pairs.iter_mut() {
                    pair[1] = 0.01 * pair[0];
                }
            }
            _ => {}
        }
    });
    let recipe = shrinking(r#""neurons":0.5"#);
    let (artifact, _) = make(&model, &recipe, dir.path(), &mut |_| ()).unwrap();
    let want = logits(&plain(&model, dir.path()));
    let made = difference(&logits(&artifact), &want);

    let without = dir.path().join("without");
    let source = Checkpoint::open(&model).unwrap();
    write_model(&without, source.config(), &|spec| {
        let mut values = source.read(spec).unwrap();
        if spec.place.part == Part::Down {
            values.iter_mut().skip(1).step_by(2).for_each(|v| *v = 0.0);
        }
        values
    });
    let without = difference(&logits(&plain(&without, dir.path())), &want);
    // Damping keeps the others from taking over all of it.
    assert!(made < 0.5 * without, "{made}, {without} without");
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../trimtab-models/tests/fixtures/architectures")
        .join(name)
}

#[test]
fn layers_and_neurons_go_on_other_architectures() {
    for name in ["llama_tied", "qwen2", "starcoder2", "gpt2"] {
        let dir = tempfile::tempdir().unwrap();
        let model = fixture(name);
        let whole = Checkpoint::open(&model).unwrap().config().clone();
        let recipe = shrinking(r#""layers":1,"neurons":0.5"#);
        let (artifact, _) = make(&model, &recipe, dir.path(), &mut |_| ()).unwrap();
        assert!(logits(&artifact).iter().all(|x| x.is_finite()), "{name}");
        let artifact = Artifact::open(&artifact).unwrap();
        let config = &artifact.header().config;
        assert_eq!(config.n_layers + 1, whole.n_layers, "{name}");
        assert_eq!(config.d_ff * 2, whole.d_ff, "{name}");
        let again = exported(&artifact, &model, dir.path());
        assert_eq!(again.config(), config, "{name}");
    }
}

#[test]
fn heads_go_with_their_biases_and_norms() {
    for architecture in [Architecture::Qwen2, Architecture::Qwen3] {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("tiny.gguf");
        let tiny = TinyModel {
            architecture,
            ..TinyModel::default()
        };
        write_tiny_gguf(&model, &tiny).unwrap();
        let recipe = shrinking(r#""heads":0.5"#);
        let (artifact, report) = make(&model, &recipe, dir.path(), &mut |_| ()).unwrap();
        assert!(
            report.summary.contains("3 of 6 heads a layer"),
            "{report:?}"
        );
        let source = Checkpoint::open(&model).unwrap();
        let smaller = Artifact::open(&artifact).unwrap();
        for (layer_idx, removed) in report.removed.iter().enumerate() {
            let kept = usize::from(removed.name.ends_with("head 0"));
            let read = |part: Part, is_bias: bool| {
                let is_it = |spec: &&WeightSpec| {
                    let place = spec.place;
                    (place.part, place.layer, place.is_bias) == (part, Some(layer_idx), is_bias)
                };
                let whole = weight_specs(source.config());
                let cut = weight_specs(&smaller.header().config);
                let whole = whole.iter().find(is_it)?;
                let cut = cut.iter().find(is_it)?;
                Some((source.read(whole).unwrap(), smaller.read(cut).unwrap()))
            };
            let has_bias = architecture == Architecture::Qwen2;
            for part in [Part::Query, Part::Key, Part::Value] {
                assert_eq!(read(part, true).is_some(), has_bias);
                for (whole, cut) in [read(part, false), read(part, true)].into_iter().flatten() {
                    assert_eq!(cut, whole[kept * cut.len()..][..cut.len()], "{part:?}");
                }
            }
            for part in [Part::QueryNorm, Part::KeyNorm] {
                assert_eq!(read(part, false).is_none(), has_bias);
                assert!(read(part, false).is_none_or(|(whole, cut)| whole == cut));
            }
        }
        assert!(logits(&artifact).iter().all(|x| x.is_finite()));
    }
}

#[test]
fn a_shrinking_that_was_killed_goes_on_with_the_same_result() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path(), 4, &|_, _| ());
    let recipe = shrinking(r#""layers":1,"heads":0.5,"neurons":0.3"#);
    let whole = dir.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    let mut n_ticks = 0;
    let (want, want_report) = make(&model, &recipe, &whole, &mut |event| {
        let CompressEvent::Progress { n_done, n_total } = event else {
            panic!("{event:?}");
        };
        n_ticks += 1;
        assert_eq!((n_done, n_total), (n_ticks, 32));
    })
    .unwrap();
    assert_eq!(n_ticks, 32);
    // Killed while layers are measured, and in the second of three blocks.
    for victim in [5, 22] {
        let killed = catch_unwind(AssertUnwindSafe(|| {
            make(&model, &recipe, dir.path(), &mut |event| {
                let is_it =
                    matches!(event, CompressEvent::Progress { n_done, .. } if n_done == victim);
                assert!(!is_it, "killed");
            })
        }));
        assert!(killed.is_err(), "{victim}");
    }
    let mut first = None;
    let (got, report) = make(&model, &recipe, dir.path(), &mut |event| {
        if let CompressEvent::Progress { n_done, .. } = event {
            first.get_or_insert(n_done);
        }
    })
    .unwrap();
    assert_eq!(
        first,
        Some(17),
        "layers are not measured again, nor the first block"
    );
    assert!(std::fs::read(got).unwrap() == std::fs::read(want).unwrap());
    assert_eq!(report.removed, want_report.removed);
    // Once more, and nothing is left to do.
    let (_, again) = make(&model, &recipe, dir.path(), &mut |event| {
        panic!("{event:?}")
    })
    .unwrap();
    assert_eq!(again, report);
}

#[test]
fn a_damaged_stage_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path(), 3, &|_, _| ());
    let recipe = shrinking(r#""layers":1"#);
    let (artifact, _) = make(&model, &recipe, dir.path(), &mut |_| ()).unwrap();
    let want = std::fs::read(&artifact).unwrap();
    let stage = dir.path().join("stage-0");
    let file = StageFolder::open(&stage).unwrap().model_file();
    std::fs::write(file, "damaged").unwrap();
    let (artifact, _) = make(&model, &recipe, dir.path(), &mut |_| ()).unwrap();
    assert!(std::fs::read(&artifact).unwrap() == want);
}

#[test]
fn steps_after_it_read_the_smaller_model() {
    let dir = tempfile::tempdir().unwrap();
    let model = with_idle_parts(dir.path());
    let gptq = r#"{"method":"gptq","bits":8,"group_size":64,"symmetric":true,"embedding_bits":16,"activations":"float"}"#;
    let chain = recipe(&format!(
        r#"[{{"method":"shrink",{NARROWER}}},{{"method":"shrink","layers":1}},{gptq}]"#
    ));
    let (artifact, _) = make(&model, &chain, dir.path(), &mut |_| ()).unwrap();
    let opened = Artifact::open(&artifact).unwrap();
    let header = opened.header();
    assert_eq!(header.recipe, chain);
    assert_eq!((header.config.n_layers, header.config.d_ff), (1, 100));

    let floats = dir.path().join("floats");
    std::fs::create_dir(&floats).unwrap();
    let same = recipe(&format!(
        r#"[{{"method":"shrink",{NARROWER}}},{{"method":"shrink","layers":1}},{{"method":"cast","to":"f32"}}]"#
    ));
    let (floats, _) = make(&model, &same, &floats, &mut |_| ()).unwrap();
    let difference = difference(&logits(&artifact), &logits(&floats));
    assert!(difference > 0.0 && difference < 0.02, "{difference}");
}

/// A folder with the artifact's weights as 16-bit floats.
fn exported(artifact: &Artifact, model: &Path, dir: &Path) -> Checkpoint {
    let folder = dir.join("folder");
    std::fs::create_dir(&folder).unwrap();
    let config = std::fs::read(model.join("config.json")).unwrap();
    let config = serde_json::from_slice(&config).unwrap();
    write_artifact_folder(&folder, ExportFormat::Plain, &config, artifact).unwrap();
    Checkpoint::open(&folder).unwrap()
}

#[test]
fn it_is_exported_as_an_ordinary_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path(), 3, &|_, _| ());
    let chain = recipe(
        r#"[{"method":"shrink","layers":1,"heads":0.5,"neurons":0.375},{"method":"cast","to":"f16"}]"#,
    );
    let (artifact, _) = make(&model, &chain, dir.path(), &mut |_| ()).unwrap();
    let artifact = Artifact::open(&artifact).unwrap();
    let again = exported(&artifact, &model, dir.path());
    assert_eq!(again.config(), &artifact.header().config);
    for spec in weight_specs(again.config()) {
        assert_eq!(
            again.read(&spec).unwrap(),
            artifact.read(&spec).unwrap(),
            "{}",
            spec.name
        );
    }
}

#[test]
fn what_cannot_be_shrunk_is_refused_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path(), 2, &|_, _| ());
    let refused_of = |model: &Path, step: &str| {
        let made = make(model, &shrinking(step), dir.path(), &mut |event| {
            panic!("{event:?}")
        });
        match made {
            Err(CompressError::Shrink(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let refused = |step: &str| refused_of(&model, step);
    assert!(matches!(
        refused(r#""layers":2"#),
        ShrinkError::All { key: "layers", .. }
    ));
    assert!(matches!(
        refused(r#""heads":0.01"#),
        ShrinkError::Nothing { key: "heads", .. }
    ));
    let one = refused_of(&fixture("qwen2"), r#""heads":0.5"#);
    assert_eq!(one, ShrinkError::OneGroup);
    let latent = refused_of(&fixture("deepseek_v2_lite"), r#""layers":1"#);
    assert!(matches!(latent, ShrinkError::Unsupported(_)), "{latent}");

    // Not without its stages.
    let whole = shrinking(r#""layers":1"#);
    let out = dir.path().join("out");
    let unmade = compress(&model, None, &whole, &out, &mut |_, _, _| ()).unwrap_err();
    assert!(
        matches!(unmade, CompressError::UnmadeStage("shrink")),
        "{unmade}"
    );
}
