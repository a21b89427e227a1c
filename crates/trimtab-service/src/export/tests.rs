//! A tiny model, compressed, exported in every format, imported again and compared.

use super::*;
use std::path::Path;
use trimtab_compress::{Base, Calibrated, CalibrationSet, StageFolder, compress, shrink};
use trimtab_domain::{DeviceName, FloatFormat, Recipe, Rtn, Step};
use trimtab_models::gguf_export::ExportWeight;
use trimtab_models::{
    quantized::FolderFloats,
    tiny::{TinyModel, write_tiny_folder, write_tiny_gguf},
};
use trimtab_runtime::{Engine, open_device};

const IDS: [u32; 9] = [72, 101, 108, 108, 111, 256, 10, 0, 258];

fn rtn(bits: u8, symmetric: bool) -> Step {
    Step::Rtn(Rtn {
        embedding_bits: 16,
        ..Rtn::new(bits, 64, symmetric)
    })
}

/// A tiny model as a file and as a folder, and a place for what is made of it.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fixture = Self { dir };
        let model = TinyModel {
            has_tied_head: false,
            ..TinyModel::default()
        };
        write_tiny_gguf(&fixture.path("tiny.gguf"), &model).unwrap();
        for (name, floats) in [("tiny", FolderFloats::F16), ("brain", FolderFloats::Bf16)] {
            fs::create_dir(fixture.path(name)).unwrap();
            write_tiny_folder(&fixture.path(name), &model, floats).unwrap();
        }
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The files of a variant of the file or the folder.
    fn variant(&self, model: &str, step: Step) -> VariantFiles {
        let files = VariantFiles {
            artifact: self.path("variant.trimtab"),
            model: self.path(model),
        };
        make(&files.model, step, &files.artifact);
        files
    }

    fn export(
        &self,
        files: &VariantFiles,
        format: ExportFormat,
        gguf_type: Option<&str>,
    ) -> Result<Exported, Failure> {
        let request = ExportRequest::new(format, gguf_type, &self.path("out"))?;
        Export::open(files, "tiny:test", &request)?.run()
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        assert!(!self.path("out").exists());
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name());
        assert!(!names.any(|name| name.to_string_lossy().starts_with('.')));
    }
}

fn make(model: &Path, step: Step, artifact: &Path) {
    let recipe = Recipe {
        name: "test".into(),
        steps: vec![step],
    };
    compress(model, None, &recipe, artifact, &mut |_, _, _| ()).unwrap();
}

fn logits(artifact: &Path, model: &Path) -> Vec<f32> {
    let engine = Engine::load(artifact, model, DeviceName::Cpu).unwrap();
    engine.next_token_logits(&IDS).unwrap()
}

/// All weights of an artifact as floats.
fn weights_of(artifact: &Path) -> Vec<Vec<f32>> {
    let artifact = Artifact::open(artifact).unwrap();
    let mut read = weights_of_artifact(&artifact).unwrap();
    let specs = weight_specs(&artifact.header().config);
    let values = specs.iter().map(|spec| match read(spec).unwrap() {
        ExportWeight::Floats(values) => values.to_vec(),
        ExportWeight::Packed(packed) => {
            let mut values = vec![0.0; spec.d_out * spec.d_in];
            for (row, values) in values.chunks_exact_mut(spec.d_in).enumerate() {
                packed.dequantize_row_reference(row, values);
            }
            values
        }
    });
    values.collect()
}

/// Exports, and reads what was written as 32-bit floats: the same numbers, so the same answers but for
/// activations, which products with codes round to 16 bits.
#[track_caller]
fn check_exact(model: &str, step: Step, format: ExportFormat) {
    let fixture = Fixture::new();
    let files = fixture.variant(model, step);
    let exported = fixture.export(&files, format, None).unwrap();
    let FidelityCounts {
        rounded,
        requantised,
        ..
    } = exported.weights;
    assert_eq!((rounded, requantised), (0, 0), "{exported:?}");
    let artifact = fixture.path("again.trimtab");
    let to = FloatFormat::F32;
    make(&exported.path, Step::Cast { to }, &artifact);
    assert_eq!(weights_of(&artifact), weights_of(&files.artifact));
    let want = logits(&files.artifact, &files.model);
    let got = logits(&artifact, &exported.path);
    let largest = want.iter().fold(0.0_f32, |a, v| a.max(v.abs()));
    let pairs = want.iter().zip(&got);
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 5e-4 * largest, "{worst} of {largest}");
}

#[test]
fn folders_are_read_again_with_the_same_numbers() {
    let to = FloatFormat::F16;
    check_exact("tiny", Step::Cast { to }, ExportFormat::Hf);
    let to = FloatFormat::Bf16;
    check_exact("brain", Step::Cast { to }, ExportFormat::Hf);
    check_exact("tiny", rtn(4, true), ExportFormat::Gptq);
    check_exact("tiny", rtn(8, true), ExportFormat::Gptq);
    check_exact("tiny", rtn(4, false), ExportFormat::GptqV2);
    check_exact("tiny", rtn(8, true), ExportFormat::GptqV2);
    for symmetric in [true, false] {
        check_exact("tiny", rtn(4, symmetric), ExportFormat::CompressedTensors);
    }
    check_exact("tiny", rtn(8, true), ExportFormat::CompressedTensors);
}

#[test]
fn gguf_files_are_read_again_with_the_same_numbers() {
    for model in ["tiny", "tiny.gguf"] {
        for to in [FloatFormat::F32, FloatFormat::F16, FloatFormat::Bf16] {
            check_exact(model, Step::Cast { to }, ExportFormat::Gguf);
        }
        check_exact(model, rtn(8, true), ExportFormat::Gguf);
        check_exact(model, rtn(4, true), ExportFormat::Gguf);
    }
}

#[test]
fn a_shrunk_model_is_exported_as_an_ordinary_one() {
    let steps = r#"[{"method":"shrink","layers":1,"heads":0.5,"neurons":0.375},
        {"method":"cast","to":"f16"}]"#;
    let recipe = Recipe {
        name: "test".into(),
        steps: serde_json::from_str(steps).unwrap(),
    };
    let links = recipe.links();
    for (model, format) in [
        ("tiny", ExportFormat::Hf),
        ("tiny", ExportFormat::Gguf),
        ("tiny.gguf", ExportFormat::Gguf),
    ] {
        let fixture = Fixture::new();
        let files = VariantFiles {
            artifact: fixture.path("variant.trimtab"),
            model: fixture.path(model),
        };
        let stage = fixture.path("stage");
        let calibrated = Calibrated {
            set: &CalibrationSet::new(vec![IDS.to_vec(); 2]),
            state: &stage,
            device: &open_device(DeviceName::Cpu).unwrap(),
            n_side_by_side: 1,
        };
        let base = Base::open(&files.model, None, &links[0]).unwrap();
        shrink(&base, &links[0], calibrated, &mut |_| ()).unwrap();
        let made = StageFolder::open(&stage).unwrap().model_file();
        compress(&made, None, &links[1], &files.artifact, &mut |_, _, _| ()).unwrap();
        let exported = fixture.export(&files, format, None).unwrap();
        let again = fixture.path("again.trimtab");
        let to = FloatFormat::F16;
        make(&exported.path, Step::Cast { to }, &again);
        assert_eq!(weights_of(&again), weights_of(&files.artifact));
        let want = logits(&files.artifact, &files.model);
        assert_eq!(logits(&again, &exported.path), want, "{model}");
        let config = Artifact::open(&again).unwrap().header().config.clone();
        let sizes = (
            config.n_layers,
            config.n_heads,
            config.n_kv_heads,
            config.d_ff,
        );
        assert_eq!(sizes, (1, 3, 1, 100));
    }
}

#[test]
fn what_changes_is_counted() {
    let fixture = Fixture::new();
    let files = fixture.variant("tiny.gguf", rtn(4, false));
    let exported = fixture.export(&files, ExportFormat::Gguf, None).unwrap();
    assert_eq!(exported.weights.requantised, 0);
    assert!(exported.weights.rounded > 0, "minima of Q4_1: {exported:?}");
    assert_eq!(exported.types["Q4_1"], 14);
    let size = fs::metadata(&exported.path).unwrap().len();
    assert_eq!(exported.size_bytes.0, size);
    fs::remove_dir_all(fixture.path("out")).unwrap();

    // Rows of 96 and 160 are no blocks of 256.
    let exported = fixture.export(&files, ExportFormat::Gguf, Some("Q4_K"));
    let types = exported.unwrap().types;
    assert_eq!((types.get("Q4_K"), types["Q8_0"]), (None, 16));
    fs::remove_dir_all(fixture.path("out")).unwrap();

    let exported = fixture.export(&files, ExportFormat::Gguf, Some("Q4_0"));
    let exported = exported.unwrap();
    assert!(exported.weights.requantised > 0, "{exported:?}");
    assert_eq!((exported.types["Q4_0"], exported.types["Q8_0"]), (14, 2));
}

#[test]
fn a_folder_has_settings_and_tokenizer_and_its_usual_permissions() {
    let fixture = Fixture::new();
    let files = fixture.variant("tiny", rtn(8, true));
    fs::create_dir(fixture.path("out")).unwrap();
    let exported = fixture.export(&files, ExportFormat::Gptq, None).unwrap();
    assert_eq!(exported.path, fixture.path("out"));
    let read = |name: &str| fs::read(exported.path.join(name)).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        assert_eq!(read(name), fs::read(files.model.join(name)).unwrap());
    }
    let config: serde_json::Value = serde_json::from_slice(&read("config.json")).unwrap();
    assert_eq!(config["quantization_config"]["quant_method"], "gptq");
    assert_eq!(config["hidden_size"], 96);
    let usual = fs::metadata(fixture.path("tiny")).unwrap().permissions();
    let got = fs::metadata(&exported.path).unwrap().permissions();
    assert_eq!(got.mode(), usual.mode());
}

#[test]
fn a_folder_names_the_kind_of_its_floats() {
    let fixture = Fixture::new();
    for (to, name) in [
        (FloatFormat::F16, "float16"),
        (FloatFormat::Bf16, "bfloat16"),
    ] {
        let files = fixture.variant("brain", Step::Cast { to });
        let exported = fixture.export(&files, ExportFormat::Hf, None).unwrap();
        let config = fs::read(exported.path.join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["torch_dtype"], name);
        fs::remove_dir_all(exported.path).unwrap();
    }
}

#[test]
fn activations_of_8_bits_are_noted() {
    let fixture = Fixture::new();
    let Some(step) = Recipe::preset("int4").unwrap().steps.pop() else {
        panic!("the preset has a step");
    };
    let files = fixture.variant("tiny", step);
    let exported = fixture.export(&files, ExportFormat::Hf, None).unwrap();
    assert!(exported.weights.rounded > 0, "{exported:?}");
    assert!(exported.notes[0].contains("activations"), "{exported:?}");
}

#[track_caller]
fn check_refused(model: &str, step: Step, format: ExportFormat, message: &str) {
    let fixture = Fixture::new();
    let files = fixture.variant(model, step);
    let refused = fixture.export(&files, format, None).unwrap_err();
    assert!(refused.message.contains(message), "{refused}");
    assert!(refused.hint.is_some(), "{refused}");
    assert_eq!(refused.exit_code(), 2);
    fixture.assert_nothing_left();
}

#[test]
fn what_a_format_has_no_place_for_is_refused_by_name() {
    let to = FloatFormat::F16;
    for format in [ExportFormat::Hf, ExportFormat::Gptq] {
        check_refused("tiny.gguf", rtn(8, true), format, "came from a GGUF file");
    }
    let floats = Step::Cast { to };
    check_refused(
        "tiny",
        floats.clone(),
        ExportFormat::GptqV2,
        "`model.layers.0.self_attn.q_proj` cannot be written as GPTQ (v2): it is stored as floats",
    );
    let nothing = "no weight is quantised";
    check_refused("tiny", floats, ExportFormat::CompressedTensors, nothing);
}

#[test]
fn a_folder_without_a_tokenizer_is_no_gguf_file() {
    let fixture = Fixture::new();
    let files = fixture.variant("tiny", rtn(8, true));
    fs::remove_file(files.model.join("tokenizer.json")).unwrap();
    let refused = fixture.export(&files, ExportFormat::Gguf, None);
    let refused = refused.unwrap_err();
    assert!(refused.message.contains("tokenizer.json"), "{refused}");
    fixture.assert_nothing_left();
}

#[test]
fn a_request_that_cannot_be_met_is_refused_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let request = |format, ty, out: &str| ExportRequest::new(format, ty, &dir.path().join(out));
    assert!(request(ExportFormat::Gguf, Some("Q4_K"), "out").is_ok());
    let refused = request(ExportFormat::Gguf, Some("Q5_K"), "out").unwrap_err();
    assert!(refused.hint.unwrap().contains("Q8_0"));
    let refused = request(ExportFormat::Hf, Some("Q8_0"), "out").unwrap_err();
    assert!(refused.message.contains("GGUF files only"));
    let refused = request(ExportFormat::Hf, None, "none/out").unwrap_err();
    assert!(refused.message.contains("is no folder"), "{refused}");
    fs::write(dir.path().join("file"), "x").unwrap();
    assert!(request(ExportFormat::Hf, None, "file").is_err());
    let refused = ExportRequest::new(ExportFormat::Hf, None, dir.path()).unwrap_err();
    assert!(refused.message.contains("not empty"), "{refused}");
    assert!(
        "onnx"
            .parse::<ExportFormat>()
            .unwrap_err()
            .contains("gptq-v2")
    );
}
