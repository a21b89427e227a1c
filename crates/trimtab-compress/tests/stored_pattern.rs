//! Weights pruned by a pattern are stored without their zeros: the file is smaller, the model the
//! same.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::Device;
use safetensors::SafeTensors;
use std::path::Path;
use trimtab_compress::{compress, predicted_bytes, predicted_file_bytes};
use trimtab_domain::{FloatFormat, LayerReport, Prune, PruneBy, Recipe, Sparsity, Step};
use trimtab_kernels::{KvFormat, PackedFormat, pack_f16};
use trimtab_models::{
    Artifact, ArtifactError, Checkpoint,
    decoder::SequenceStep,
    load_decoder,
    quantized::{ExportFormat, write_artifact_folder},
    tiny::{TinyModel, hugging_face_config, write_tiny_gguf, write_uniform_artifact},
};

fn recipe(to: FloatFormat) -> Recipe {
    let prune = Prune {
        by: PruneBy::Magnitude,
        sparsity: Sparsity::Pattern { n: 2, m: 4 },
        damping: None,
        calibration: None,
    };
    Recipe {
        name: "2of4".into(),
        steps: vec![Step::Prune(prune), Step::Cast { to }],
    }
}

fn logits(artifact: &Artifact) -> Vec<f32> {
    let model = load_decoder(artifact, None, 32, &Device::flex()).unwrap();
    let mut cache = model.new_cache(1, 8, KvFormat::F32);
    let ids = [3, 17, 40, 0, 5];
    let hidden = model.hidden(&[SequenceStep { slot: 0, ids: &ids }], &mut cache);
    model.logits(hidden).into_data().try_into_vec().unwrap()
}

/// Makes the tiny model's variant; returns the reports of its layers.
fn make(dir: &Path, to: FloatFormat) -> (Artifact, Vec<LayerReport>) {
    let (model, out) = (dir.join("tiny.gguf"), dir.join("artifact"));
    write_tiny_gguf(&model, &TinyModel::default()).unwrap();
    let mut layers = Vec::new();
    compress(&model, None, &recipe(to), &out, &mut |report, _, _| {
        layers.push(report);
    })
    .unwrap();
    (Artifact::open(&out).unwrap(), layers)
}

/// Sets the two smallest of every four to 0, the first of equals.
fn without_smallest(values: &[f32]) -> Vec<f32> {
    let mut left = values.to_vec();
    for group in left.chunks_exact_mut(4) {
        for _ in 0..2 {
            let others = group.iter_mut().filter(|value| **value != 0.0);
            *others.min_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap() = 0.0;
        }
    }
    left
}

#[test]
fn the_file_is_smaller_and_the_model_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (artifact, layers) = make(dir.path(), FloatFormat::F16);
    for layer in layers.iter().filter(|layer| layer.name.ends_with("_proj")) {
        assert!((layer.bits_per_weight - 9.0).abs() < 1e-9, "{layer:?}");
        assert!((layer.sparsity - 0.5).abs() < 1e-3, "{layer:?}");
    }
    let (config, recipe) = (&artifact.header().config, recipe(FloatFormat::F16));
    assert_eq!(
        artifact.n_weight_bytes(),
        predicted_bytes(config, &recipe).unwrap()
    );
    let n_bytes = std::fs::metadata(dir.path().join("artifact"))
        .unwrap()
        .len();
    let n_header = n_bytes - predicted_file_bytes(config, &recipe).unwrap();
    assert!(n_header < 16_384, "{n_header} bytes of header");
    assert!(
        predicted_file_bytes(config, &recipe).unwrap() < predicted_bytes(config, &recipe).unwrap()
    );
    let checkpoint = Checkpoint::open(&dir.path().join("tiny.gguf")).unwrap();
    let dense = dir.path().join("dense");
    let dense =
        write_uniform_artifact(
            &dense,
            &checkpoint,
            PackedFormat::F16,
            &|shape, values| match shape.d_out == config.vocab_size {
                true => pack_f16(values),
                false => pack_f16(&without_smallest(values)),
            },
        );
    assert_eq!(logits(&artifact), logits(&dense.unwrap()));
}

#[test]
fn every_float_format_is_stored_without_zeros_and_read_again() {
    for (to, bits) in [
        (FloatFormat::F32, 17.0),
        (FloatFormat::F16, 9.0),
        (FloatFormat::Bf16, 9.0),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (artifact, layers) = make(dir.path(), to);
        let layer = layers.iter().find(|layer| layer.name.ends_with("q_proj"));
        let got = layer.unwrap().bits_per_weight;
        assert!((got - bits).abs() < 1e-9, "{to:?}: {got} bits");
        assert!(logits(&artifact).iter().all(|logit| logit.is_finite()));
    }
}

#[test]
fn a_folder_for_other_programs_has_the_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let (artifact, _) = make(dir.path(), FloatFormat::F16);
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let config = hugging_face_config(&artifact.header().config);
    write_artifact_folder(&folder, ExportFormat::Plain, &config, &artifact).unwrap();
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let weight = tensors
        .tensor("model.layers.1.mlp.down_proj.weight")
        .unwrap();
    assert_eq!(weight.shape(), [96, 160]);
    let n_zeros = weight.data().chunks_exact(2).filter(|f| **f == [0, 0]);
    assert_eq!(n_zeros.count(), 96 * 160 / 2);
}

#[test]
fn damaged_places_are_refused_by_the_name_of_the_weight() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), FloatFormat::F16);
    let path = dir.path().join("artifact");
    let mut bytes = std::fs::read(&path).unwrap();
    let name = "model.layers.0.self_attn.o_proj";
    let (n_header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let (_, end) = metadata.info(name).unwrap().data_offsets;
    // The last byte has the last places.
    bytes[8 + n_header + end - 1] = 0xff;
    std::fs::write(&path, bytes).unwrap();
    let artifact = Artifact::open(&path).unwrap();
    let refused = load_decoder(&artifact, None, 32, &Device::flex()).unwrap_err();
    assert!(matches!(refused, ArtifactError::Format { .. }));
    let refused = refused.to_string();
    assert!(
        refused.contains(name) && refused.contains("place"),
        "{refused}"
    );
}
