//! A checkpoint that is published in bfloat16 keeps its numbers under the preset of that name.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::path::Path;
use trimtab_compress::compress;
use trimtab_domain::{LayerReport, Recipe};
use trimtab_kernels::{PackedFormat, PackedView};
use trimtab_models::{
    Artifact, Checkpoint, WeightRole, gguf_export::ExportWeight, gguf_export::weights_of_artifact,
    weight_specs,
};

/// A value of the checkpoint that bfloat16 has and halves have not.
const BEYOND_HALVES: f32 = 98_304.0;

/// A tiny model with its weights cut to their upper halves, and one weight beyond f16.
fn write_model(folder: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../trimtab-models/tests/fixtures/architectures/qwen2");
    for entry in std::fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let stored = std::fs::read(source.join("model.safetensors")).unwrap();
    let stored = SafeTensors::deserialize(&stored).unwrap();
    let mut has_large = false;
    let tensors: Vec<_> = stored
        .iter()
        .map(|(name, view)| {
            assert_eq!(view.dtype(), Dtype::F32, "{name}");
            let mut halves: Vec<u8> = view
                .data()
                .chunks_exact(4)
                .flat_map(|b| [b[2], b[3]])
                .collect();
            if name.ends_with("up_proj.weight") && !has_large {
                has_large = true;
                halves[..2].copy_from_slice(&BEYOND_HALVES.to_le_bytes()[2..]);
            }
            (name.to_owned(), view.shape().to_vec(), halves)
        })
        .collect();
    assert!(has_large);
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (
            name,
            TensorView::new(Dtype::BF16, shape.clone(), bytes).unwrap(),
        )
    });
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

#[test]
#[expect(clippy::float_cmp, reason = "the numbers are the same to the bit")]
fn a_bf16_checkpoint_keeps_its_numbers_exactly() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path());
    let artifact = dir.path().join("bf16.trimtab");
    let mut reports: Vec<LayerReport> = Vec::new();
    let recipe = Recipe::preset("bf16").unwrap();
    compress(dir.path(), None, &recipe, &artifact, &mut |report, _, _| {
        reports.push(report);
    })
    .unwrap();
    assert!(!reports.is_empty());
    for report in &reports {
        assert_eq!((report.error, report.bits_per_weight), (0.0, 16.0));
    }

    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let artifact = Artifact::open(&artifact).unwrap();
    let mut read = weights_of_artifact(&artifact).unwrap();
    let mut largest = 0.0_f32;
    for spec in weight_specs(checkpoint.config()) {
        let want = checkpoint.read(&spec).unwrap();
        let got = match read(&spec).unwrap() {
            ExportWeight::Floats(values) => {
                assert_eq!(spec.role, WeightRole::Vector);
                values.to_vec()
            }
            ExportWeight::Packed(packed) => dequantized(&packed),
        };
        assert_eq!(want, got, "{}", spec.name);
        largest = got.iter().fold(largest, |a, v| a.max(v.abs()));
    }
    assert_eq!(largest, BEYOND_HALVES);
}

fn dequantized(packed: &PackedView<'_>) -> Vec<f32> {
    let shape = packed.shape();
    assert_eq!(shape.format, PackedFormat::Bf16);
    let mut values = vec![0.0; shape.d_out * shape.d_in];
    for (row_idx, row) in values.chunks_exact_mut(shape.d_in).enumerate() {
        packed.dequantize_row_reference(row_idx, row);
    }
    values
}

#[test]
fn what_halves_cannot_hold_is_refused_there_by_name() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path());
    let out = dir.path().join("f16.trimtab");
    let recipe = Recipe::preset("f16").unwrap();
    let refused = compress(dir.path(), None, &recipe, &out, &mut |_, _, _| {}).unwrap_err();
    let message = refused.to_string();
    assert!(
        message.contains("up_proj") && message.contains("98304"),
        "{message}"
    );
}
