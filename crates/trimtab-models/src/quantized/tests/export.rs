//! What is written is read back as it was.

use super::{memory::MemorySource, packed::some_weight};
use crate::{
    TensorSource,
    quantized::{
        ExportError, ExportFormat, ExportGrid, ExportTensor, ExportWeight, FolderFloats,
        GridWeight, QuantizedFolder, QuantizedSource, write_quantized_folder,
    },
};
use std::path::Path;

fn quantized_tensor(name: &str, shape: [usize; 2], bits: u32, group_size: usize) -> ExportTensor {
    ExportTensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        grid: Some(ExportGrid {
            bits,
            group_size,
            is_symmetric: false,
        }),
    }
}

/// Zero points from 1 on, which every format can store, and some group of each range.
fn storable(shape: [usize; 2], bits: u32, group_size: usize, seed: u64) -> GridWeight {
    let mut parts = some_weight(shape, bits, group_size, seed).into_parts();
    for zero_point in &mut parts.zero_points {
        *zero_point = (*zero_point).max(1);
    }
    GridWeight::new(parts).unwrap()
}

fn write(
    dir: &Path,
    format: ExportFormat,
    tensors: &[ExportTensor],
    weights: &[ExportWeight],
) -> Result<serde_json::Value, ExportError> {
    let config =
        serde_json::json!({ "model_type": "llama", "dtype": "float32", "quantization_config": 1 });
    let folder = QuantizedFolder {
        format,
        floats: FolderFloats::F16,
        config: &config,
        tensors,
    };
    let mut weights = weights.iter().cloned();
    write_quantized_folder(dir, &folder, &mut |_| Ok(weights.next().unwrap()))?;
    let config = std::fs::read_to_string(dir.join("config.json")).unwrap();
    Ok(serde_json::from_str(&config).unwrap())
}

#[track_caller]
fn check_round_trip(format: ExportFormat, weights: [GridWeight; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = &weights;
    let tensor = |name: &str, weight: &GridWeight| {
        let parts = weight.parts();
        quantized_tensor(
            name,
            [parts.d_out, parts.d_in],
            parts.bits,
            parts.group_size,
        )
    };
    let norm = ExportTensor {
        name: "norm.weight".to_owned(),
        shape: vec![3],
        grid: None,
    };
    let tensors = [tensor("a.weight", first), norm, tensor("b.weight", second)];
    let made = [
        ExportWeight::Grid(first.clone()),
        ExportWeight::Floats(vec![0.5, -2.0, 0.0]),
        ExportWeight::Grid(second.clone()),
    ];
    let config = write(dir.path(), format, &tensors, &made).unwrap();
    assert_eq!(
        (config["torch_dtype"].as_str(), config.get("dtype")),
        (Some("float16"), None)
    );
    let source = MemorySource::read(&dir.path().join("model.safetensors"));
    let quantized = QuantizedSource::open(&source, &config["quantization_config"]).unwrap();
    assert_eq!(quantized.names(), ["a.weight", "b.weight", "norm.weight"]);
    assert_eq!(quantized.floats("norm.weight").unwrap(), [0.5, -2.0, 0.0]);
    for (name, weight) in [("a.weight", first), ("b.weight", second)] {
        let read = quantized.grid(name).unwrap().unwrap();
        assert_eq!(read.parts().codes, weight.parts().codes, "{name}");
        assert_eq!(read.dequantize(), weight.dequantize(), "{name}");
        assert_eq!(read.parts().group_idx, weight.parts().group_idx, "{name}");
    }
}

#[test]
fn every_format_and_width_is_read_back() {
    for bits in [2, 3, 4, 8] {
        for format in [
            ExportFormat::Gptq,
            ExportFormat::GptqV2,
            ExportFormat::CompressedTensors,
        ] {
            let two = |group| {
                [
                    storable([32, 96], bits, group, 1),
                    storable([64, 128], bits, group, 2),
                ]
            };
            check_round_trip(format, two(32));
            check_round_trip(
                format,
                [
                    storable([32, 96], bits, 96, 1),
                    storable([64, 128], bits, 128, 2),
                ],
            );
        }
        // Groups that differ, or do not fill a row, are divided.
        let uneven = [
            storable([32, 96], bits, 64, 1),
            storable([64, 64], bits, 64, 2),
        ];
        check_round_trip(ExportFormat::Gptq, uneven.clone());
        check_round_trip(ExportFormat::CompressedTensors, uneven);
        let mixed = [
            storable([32, 128], bits, 128, 1),
            storable([64, 64], bits, 32, 2),
        ];
        check_round_trip(ExportFormat::GptqV2, mixed);
    }
}

#[test]
fn symmetric_weights_carry_no_zero_points_in_compressed_tensors() {
    let dir = tempfile::tempdir().unwrap();
    let mut tensor = quantized_tensor("m.weight", [32, 64], 8, 64);
    tensor.grid.as_mut().unwrap().is_symmetric = true;
    let weight = some_weight([32, 64], 8, 64, 3);
    let config = write(
        dir.path(),
        ExportFormat::CompressedTensors,
        &[tensor],
        &[ExportWeight::Grid(weight)],
    )
    .unwrap();
    assert_eq!(
        config["quantization_config"]["config_groups"]["group_0"]["weights"]["symmetric"],
        true
    );
    let source = MemorySource::read(&dir.path().join("model.safetensors"));
    assert_eq!(
        source.names(),
        ["m.weight_packed", "m.weight_scale", "m.weight_shape"]
    );
}

#[test]
fn activation_order_is_kept_by_gptq_and_refused_by_compressed_tensors() {
    let mut parts = storable([32, 64], 4, 32, 9).into_parts();
    parts.group_idx = Some((0..64).map(|channel| u32::from(channel % 3 == 0)).collect());
    let weight = GridWeight::new(parts).unwrap();
    check_round_trip(ExportFormat::Gptq, [weight.clone(), weight.clone()]);
    let dir = tempfile::tempdir().unwrap();
    let tensor = quantized_tensor("m.weight", [32, 64], 4, 32);
    let error = write(
        dir.path(),
        ExportFormat::CompressedTensors,
        &[tensor],
        &[ExportWeight::Grid(weight)],
    );
    assert!(error.unwrap_err().to_string().contains("activation order"));
}

#[test]
fn a_plain_folder_holds_floats() {
    let dir = tempfile::tempdir().unwrap();
    let weight = some_weight([3, 64], 4, 64, 11);
    let tensor = quantized_tensor("m.weight", [3, 64], 4, 64);
    let config = write(
        dir.path(),
        ExportFormat::Plain,
        &[tensor],
        &[ExportWeight::Grid(weight.clone())],
    )
    .unwrap();
    assert!(config.get("quantization_config").is_none());
    let floats = MemorySource::read(&dir.path().join("model.safetensors"))
        .floats("m.weight")
        .unwrap();
    let rounded: Vec<f32> = weight
        .dequantize()
        .iter()
        .map(|w| half::f16::from_f32(*w).to_f32())
        .collect();
    assert_eq!(floats, rounded);
}

#[track_caller]
fn check_refused(
    format: ExportFormat,
    tensors: &[ExportTensor],
    weights: &[GridWeight],
    message: &str,
) {
    let dir = tempfile::tempdir().unwrap();
    let weights: Vec<ExportWeight> = weights.iter().cloned().map(ExportWeight::Grid).collect();
    let error = write(dir.path(), format, tensors, &weights)
        .unwrap_err()
        .to_string();
    assert!(error.contains(message), "{error}");
    assert!(!dir.path().join("config.json").exists());
}

#[test]
fn what_a_format_cannot_hold_is_refused_by_name() {
    let gptq = ExportFormat::Gptq;
    let tensor = |shape, bits, group| quantized_tensor("m.weight", shape, bits, group);
    let mut parts = storable([32, 64], 4, 32, 1).into_parts();
    parts.zero_points[5] = 0;
    let zero = GridWeight::new(parts.clone()).unwrap();
    check_refused(gptq, &[tensor([32, 64], 4, 32)], &[zero], "write `gptq_v2`");
    parts.zero_points[5] = 16;
    let beyond = GridWeight::new(parts.clone()).unwrap();
    check_refused(
        ExportFormat::GptqV2,
        &[tensor([32, 64], 4, 32)],
        &[beyond],
        "zero point 16",
    );
    parts.zero_points[5] = 3;
    parts.scales[0] = 0.1;
    let scale = GridWeight::new(parts).unwrap();
    check_refused(
        gptq,
        &[tensor([32, 64], 4, 32)],
        &[scale],
        "scale 0.1 is not a 16-bit float",
    );
    check_refused(gptq, &[tensor([32, 64], 5, 32)], &[], "5 bits");
    check_refused(gptq, &[tensor([20, 64], 4, 32)], &[], "20 × 64");
    check_refused(gptq, &[tensor([32, 64], 4, 0)], &[], "groups of 0");
    check_refused(gptq, &[], &[], "no weight is quantised");
    check_refused(
        ExportFormat::CompressedTensors,
        &[tensor([32, 72], 4, 64)],
        &[],
        "no common group larger than 8 channels",
    );
    let other = quantized_tensor("n.weight", [32, 64], 8, 32);
    check_refused(
        gptq,
        &[tensor([32, 64], 4, 32), other],
        &[],
        "`n.weight` has 8 bits",
    );
    let twice = [tensor([32, 64], 4, 32), tensor([32, 64], 4, 32)];
    check_refused(gptq, &twice, &[], "twice");
    check_refused(
        gptq,
        &[quantized_tensor("m", [32, 64], 4, 32)],
        &[],
        "does not end with `.weight`",
    );
    check_refused(
        gptq,
        &[tensor([32, 64], 4, 32)],
        &[storable([32, 128], 4, 32, 1)],
        "as planned",
    );
}
