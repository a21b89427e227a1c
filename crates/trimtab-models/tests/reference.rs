//! The fused model against the plain one, for every format, architecture and way of feeding tokens.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::Device;
use std::path::Path;
use trimtab_kernels::{
    KvFormat, PackedFormat, PackedShape, pack_bf16, pack_f16, pack_f32, pack_int4, pack_int8,
};
use trimtab_models::{
    Architecture, Artifact, Checkpoint, WeightRole,
    decoder::SequenceStep,
    load_decoder, logits_reference,
    tiny::{TinyModel, write_tiny_gguf, write_uniform_artifact},
    write_artifact,
};

/// Largest difference of two logits over the largest logit; measured 2e-6.
const MAX_FLOAT_DIFFERENCE: f32 = 1e-5;

/// The same where products with codes round activations to 16 bits; measured 5e-5.
const MAX_INT16_DIFFERENCE: f32 = 2e-4;

/// The same with 8-bit activations, which the plain model does not have; measured 0.012.
const MAX_INT8_DIFFERENCE: f32 = 0.03;

const IDS: [u32; 9] = [72, 101, 108, 108, 111, 257, 10, 0, 258];

fn make_artifact(dir: &Path, model: TinyModel, format: PackedFormat) -> Artifact {
    let (gguf, path) = (dir.join("tiny.gguf"), dir.join("tiny.trimtab"));
    write_tiny_gguf(&gguf, &model).unwrap();
    let checkpoint = Checkpoint::open(&gguf).unwrap();
    assert_eq!(checkpoint.config(), &model.config());
    write_uniform_artifact(&path, &checkpoint, format, &pack).unwrap()
}

/// Packs with one scale for all: how well it fits does not matter here.
fn pack(shape: PackedShape, weight: &[f32]) -> Vec<u8> {
    let n_scales = shape.d_out * shape.n_groups();
    match shape.format {
        PackedFormat::F32 => pack_f32(weight),
        PackedFormat::F16 => pack_f16(weight),
        PackedFormat::Bf16 => pack_bf16(weight),
        PackedFormat::Int8 { .. } => {
            let codes: Vec<i8> = weight.iter().map(|w| (w * 256.0) as i8).collect();
            pack_int8(
                shape,
                &codes,
                &vec![half::f16::from_f32(1.0 / 256.0); n_scales],
            )
        }
        PackedFormat::Int4 { .. } => {
            let codes: Vec<u8> = weight
                .iter()
                .map(|w| (w * 32.0 + 7.0).clamp(0.0, 15.0) as u8)
                .collect();
            let scales = vec![half::f16::from_f32(1.0 / 32.0); n_scales];
            pack_int4(shape, &codes, &scales, &vec![7; n_scales])
        }
    }
}

#[track_caller]
fn check(model: TinyModel, format: PackedFormat, chunks: &[usize]) {
    let dir = tempfile::tempdir().unwrap();
    let artifact = make_artifact(dir.path(), model, format);
    let device = Device::flex();
    let want = logits_reference(&artifact, &IDS, &device).unwrap();
    let model = load_decoder(&artifact, None, 64, &device).unwrap();
    let mut cache = model.new_cache(1, IDS.len(), KvFormat::F32);
    let (mut got, mut start) = (Vec::new(), 0);
    for n in chunks {
        let ids = &IDS[start..start + n];
        let hidden = model.hidden(&[SequenceStep { slot: 0, ids }], &mut cache);
        got.extend(
            model
                .logits(hidden)
                .into_data()
                .try_into_vec::<f32>()
                .unwrap(),
        );
        start += n;
    }
    assert_eq!((start, got.len()), (IDS.len(), want.len()));
    let largest = want.iter().fold(0.0_f32, |a, v| a.max(v.abs()));
    let worst = want
        .iter()
        .zip(&got)
        .map(|(w, g)| (w - g).abs())
        .fold(0.0_f32, f32::max);
    let bound = match format {
        PackedFormat::F32 | PackedFormat::F16 | PackedFormat::Bf16 => MAX_FLOAT_DIFFERENCE,
        _ if format.has_int8_activations() => MAX_INT8_DIFFERENCE,
        _ => MAX_INT16_DIFFERENCE,
    };
    assert!(
        worst <= bound * largest,
        "{format:?} {chunks:?}: {worst} of {largest}"
    );
}

fn formats() -> Vec<PackedFormat> {
    let mut formats = vec![PackedFormat::F32, PackedFormat::F16, PackedFormat::Bf16];
    for int8_activations in [false, true] {
        formats.push(PackedFormat::Int8 {
            group_size: 64,
            int8_activations,
        });
        formats.push(PackedFormat::Int4 {
            group_size: 64,
            int8_activations,
        });
    }
    formats
}

#[test]
fn fused_and_plain_models_agree_in_every_format() {
    for format in formats() {
        for chunks in [&[9][..], &[1; 9], &[4, 1, 3, 1]] {
            check(TinyModel::default(), format, chunks);
        }
    }
}

#[test]
fn biases_and_an_untied_head_agree() {
    let qwen2 = TinyModel {
        architecture: Architecture::Qwen2,
        has_tied_head: false,
        ..TinyModel::default()
    };
    for format in formats() {
        check(qwen2, format, &[5, 1, 1, 2]);
    }
}

#[test]
fn a_truncated_artifact_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(make_artifact(
        dir.path(),
        TinyModel::default(),
        PackedFormat::F16,
    ));
    let path = dir.path().join("tiny.trimtab");
    let bytes = std::fs::read(&path).unwrap();
    for n_bytes in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..n_bytes]).unwrap();
        let message = Artifact::open(&path).unwrap_err().to_string();
        assert!(message.contains("tiny.trimtab"), "{message}");
    }
}

#[test]
fn an_artifact_of_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let artifact = make_artifact(dir.path(), TinyModel::default(), PackedFormat::F16);
    let mut header = artifact.header().clone();
    header.format_version = 99;
    let path = dir.path().join("newer.trimtab");
    write_artifact(&path, &header, &mut |spec| {
        let bytes = if spec.role == WeightRole::Vector {
            4
        } else {
            2
        };
        Ok(vec![0; bytes * spec.d_out * spec.d_in])
    })
    .unwrap();
    assert!(
        Artifact::open(&path)
            .unwrap_err()
            .to_string()
            .contains("version 99")
    );
}
