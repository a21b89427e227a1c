//! The recipe `keep`: codes stay as the checkpoint stores them, and a model without any is refused.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use safetensors::SafeTensors;
use serde_json::Value;
use std::path::{Path, PathBuf};
use trimtab_compress::{CompressError, compress};
use trimtab_domain::{Failure, FailureKind, LayerReport, Recipe, Step};
use trimtab_models::{
    Artifact, Checkpoint, WeightRole, WeightSpec,
    quantized::{
        ExportFormat, ExportGrid, ExportTensor, ExportWeight, FolderFloats, GridParts, GridWeight,
        QuantizedFolder, write_artifact_folder, write_quantized_folder,
    },
    tiny::{TinyModel, hugging_face_config, write_tiny_folder, write_tiny_gguf},
    weight_specs,
};

/// A tiny model in 16-bit floats.
fn floats(dir: &Path) -> PathBuf {
    let folder = dir.join("floats");
    std::fs::create_dir(&folder).unwrap();
    write_tiny_folder(&folder, &TinyModel::default(), FolderFloats::F16).unwrap();
    folder
}

fn config() -> Value {
    hugging_face_config(&TinyModel::default().config())
}

fn made(model: &Path, recipe: &Recipe, out: &Path) -> Result<Vec<LayerReport>, CompressError> {
    let mut layers = Vec::new();
    compress(model, None, recipe, out, &mut |layer, _, _| {
        layers.push(layer);
    })?;
    Ok(layers)
}

fn keep() -> Recipe {
    Recipe::preset("keep").unwrap()
}

#[track_caller]
fn check_refused(model: &Path, message: &str) {
    let dir = tempfile::tempdir().unwrap();
    let refused = made(model, &keep(), &dir.path().join("out")).unwrap_err();
    let failure = Failure::from(refused);
    assert!(failure.message.contains(message), "{failure}");
    assert_eq!(failure.kind, FailureKind::BadInput);
    assert!(failure.hint.unwrap().contains("`int4`"));
    assert!(!dir.path().join("out").exists(), "nothing is written");
}

#[test]
fn a_model_without_codes_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let gguf = dir.path().join("tiny.gguf");
    write_tiny_gguf(&gguf, &TinyModel::default()).unwrap();
    check_refused(&gguf, "the model stores no codes to keep");
    check_refused(&floats(dir.path()), "the model stores no codes to keep");
}

#[test]
fn codes_stay_as_the_checkpoint_stores_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut int4 = Recipe::preset("int4").unwrap();
    if let Step::Rtn(rtn) = &mut int4.steps[0] {
        rtn.embedding_bits = 16;
    }
    made(&floats(dir.path()), &int4, &path("int4")).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    let artifact = Artifact::open(&path("int4")).unwrap();
    let format = ExportFormat::GptqV2;
    write_artifact_folder(&path("folder"), format, &config(), &artifact).unwrap();

    let layers = made(&path("folder"), &keep(), &path("kept")).unwrap();
    let (linears, others): (Vec<_>, Vec<_>) = layers
        .iter()
        .partition(|layer| layer.name.ends_with("_proj"));
    assert_eq!((linears.len(), others.len()), (14, 1));
    for layer in linears {
        assert!(layer.error.abs() < f64::EPSILON, "{}", layer.name);
        assert!(layer.bits_per_weight < 16.0, "{}", layer.name);
    }
    let [before, after] = ["int4", "kept"].map(|name| std::fs::read(path(name)).unwrap());
    let [before, after] = [&before, &after].map(|file| SafeTensors::deserialize(file).unwrap());
    for (name, tensor) in before.tensors() {
        assert_eq!(after.tensor(&name).unwrap().data(), tensor.data(), "{name}");
    }
}

/// Arbitrary codes in groups of 32 channels, each with its own scale.
fn small_groups(spec: &WeightSpec) -> ExportWeight {
    const GROUP: usize = 32;
    let n_weights = spec.d_out * spec.d_in;
    let n_groups = spec.d_out * spec.d_in.div_ceil(GROUP);
    let parts = GridParts {
        d_out: spec.d_out,
        d_in: spec.d_in,
        bits: 4,
        group_size: GROUP,
        codes: (0..n_weights).map(|idx| (idx % 16) as u8).collect(),
        scales: (0..n_groups)
            .map(|idx| 0.25 * (1 + idx % 3) as f32)
            .collect(),
        zero_points: vec![8; n_groups],
        group_idx: None,
    };
    ExportWeight::Grid(GridWeight::new(parts).unwrap())
}

#[test]
fn codes_that_no_kernel_reads_exactly_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::open(&floats(dir.path())).unwrap();
    let specs = weight_specs(checkpoint.config());
    let tensors: Vec<ExportTensor> = specs
        .iter()
        .map(|spec| ExportTensor {
            name: spec.hf_name(),
            shape: spec.hf_shape(),
            grid: (spec.role == WeightRole::Linear).then_some(ExportGrid {
                bits: 4,
                group_size: 32,
                is_symmetric: true,
            }),
        })
        .collect();
    let folder = QuantizedFolder {
        format: ExportFormat::CompressedTensors,
        floats: FolderFloats::F16,
        config: &config(),
        tensors: &tensors,
    };
    let mut rest = specs.iter();
    let path = dir.path().join("codes");
    std::fs::create_dir(&path).unwrap();
    write_quantized_folder(&path, &folder, &mut |_| {
        let spec = rest.next().unwrap();
        Ok(match spec.role {
            WeightRole::Linear => small_groups(spec),
            _ => ExportWeight::Floats(checkpoint.read(spec).unwrap()),
        })
    })
    .unwrap();
    check_refused(&path, "do not share a scale and zero point");
}
