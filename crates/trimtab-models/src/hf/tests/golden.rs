//! PyTorch files made by PyTorch: every kind of tensor, wrapped, in shards, and refused ones.

use super::TestFolder;
use crate::{
    hf::{WeightFileError, WeightFiles, WeightFormat},
    tensor_source::TensorSource,
};
use serde_json::Value;
use std::{borrow::Cow, fs, path::PathBuf};

fn golden(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/golden/hf_weights").join(name)
}

/// Compares all tensors with those recorded under `key`.
fn check(weights: &dyn TensorSource, key: &str) {
    let expected = fs::read(golden("expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let expected = expected[key].as_object().unwrap();
    let names: Vec<&String> = expected.keys().collect();
    assert_eq!(weights.names().iter().collect::<Vec<_>>(), names);
    for (name, tensor) in expected {
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
        assert_eq!(weights.shape(name), Some(shape), "{name}");
        if let Some(floats) = tensor["floats"].as_str() {
            let found = weights.floats(name).unwrap();
            let found: Vec<u8> = found.iter().flat_map(|x| x.to_le_bytes()).collect();
            assert_eq!(hex::encode(found), floats, "{name}");
        } else {
            let integers: Vec<i32> = serde_json::from_value(tensor["integers"].clone()).unwrap();
            assert_eq!(weights.integers(name).unwrap(), integers, "{name}");
        }
    }
}

#[test]
fn every_kind_of_tensor_is_read_as_pytorch_reads_it() {
    let weights = WeightFiles::from_file(&golden("every_kind.bin")).unwrap();
    check(&weights, "every_kind");
    assert!(matches!(
        weights.raw("f32").unwrap().bytes,
        Cow::Borrowed(_)
    ));
    assert!(matches!(
        weights.raw("one_row").unwrap().bytes,
        Cow::Borrowed(_)
    ));
    assert!(matches!(
        weights.raw("transposed").unwrap().bytes,
        Cow::Owned(_)
    ));
}

#[test]
fn a_model_saved_beside_its_optimizer_is_found() {
    check(
        &WeightFiles::from_file(&golden("wrapped.pt")).unwrap(),
        "wrapped",
    );
}

#[test]
fn shards_of_pytorch_files_are_joined() {
    let folder = TestFolder::empty();
    for name in [
        "pytorch_model.bin.index.json",
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
    ] {
        folder.write(name, fs::read(golden(name)).unwrap());
    }
    check(folder.open().tensors(), "sharded");
}

#[test]
fn the_old_format_is_refused_with_a_hint() {
    let error = WeightFiles::from_file(&golden("legacy.bin"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("save it again with `torch.save`"), "{error}");
}

#[test]
fn eight_bit_floats_are_refused_by_name() {
    let error = WeightFiles::from_file(&golden("f8.bin"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`torch._utils._rebuild_tensor_v3`") || error.contains("torch.storage"),
        "{error}"
    );
}

#[test]
fn every_cut_of_a_file_is_an_error() {
    let bytes = fs::read(golden("every_kind.bin")).unwrap();
    for end in 0..bytes.len() {
        let cut = WeightFiles::from_bytes(bytes[..end].to_vec(), WeightFormat::Torch);
        assert!(matches!(cut, Err(WeightFileError::Torch(_))), "{end}");
    }
}
