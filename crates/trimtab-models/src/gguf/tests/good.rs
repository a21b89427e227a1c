//! What is written is read: metadata, tables, elements; and what is asked for wrongly is named.

use crate::gguf::{
    GgmlType, GgufArray, GgufError, GgufFile, GgufValue, GgufWriteError, GgufWriter,
};

fn parsed(writer: &GgufWriter) -> GgufFile {
    GgufFile::parse(&writer.to_bytes()).unwrap()
}

#[test]
fn a_file_without_anything_is_read() {
    let file = parsed(&GgufWriter::new());
    assert_eq!(
        (file.version(), file.tensors().len(), file.metadata().len()),
        (3, 0, 0)
    );
}

#[test]
fn version_2_is_read_like_version_3() {
    let mut bytes = GgufWriter::new().metadata("key", 7_u32).to_bytes();
    bytes[4] = 2;
    let file = GgufFile::parse(&bytes).unwrap();
    assert_eq!((file.version(), file.get_u32("key").unwrap()), (2, 7));
}

#[test]
fn every_value_type_survives_writing_and_reading() {
    let values = [
        GgufValue::U8(200),
        GgufValue::I8(-3),
        GgufValue::U16(60_000),
        GgufValue::I16(-300),
        GgufValue::U32(4_000_000_000),
        GgufValue::I32(-70_000),
        GgufValue::U64(u64::MAX),
        GgufValue::I64(i64::MIN),
        GgufValue::F32(1.5),
        GgufValue::F64(-2.25),
        GgufValue::Bool(true),
        GgufValue::String("Ġtext 日".to_owned()),
        GgufValue::Array(GgufArray::U8(vec![1, 2])),
        GgufValue::Array(GgufArray::I8(vec![-1])),
        GgufValue::Array(GgufArray::U16(vec![1])),
        GgufValue::Array(GgufArray::I16(vec![-1])),
        GgufValue::Array(GgufArray::U32(vec![1])),
        GgufValue::Array(GgufArray::I32(vec![])),
        GgufValue::Array(GgufArray::U64(vec![1])),
        GgufValue::Array(GgufArray::I64(vec![-1])),
        GgufValue::Array(GgufArray::F32(vec![0.5])),
        GgufValue::Array(GgufArray::F64(vec![0.5])),
        GgufValue::Array(GgufArray::Bool(vec![true, false])),
        GgufValue::Array(GgufArray::String(["a", ""].into_iter().collect())),
    ];
    let mut writer = GgufWriter::new();
    for (idx, value) in values.iter().enumerate() {
        writer = writer.metadata(&format!("key.{idx}"), value.clone());
    }
    let file = parsed(&writer);
    for (idx, value) in values.iter().enumerate() {
        assert_eq!(&file.metadata()[&format!("key.{idx}")], value);
    }
}

#[test]
fn integers_are_taken_from_any_width_that_fits() {
    let writer = GgufWriter::new()
        .metadata("small", GgufValue::U8(5))
        .metadata("signed", GgufValue::I64(6))
        .metadata("negative", GgufValue::I32(-1))
        .metadata("wide", GgufValue::U64(1 << 40));
    let file = parsed(&writer);
    assert_eq!(file.get_u32("small").unwrap(), 5);
    assert_eq!(file.get_u32("signed").unwrap(), 6);
    assert_eq!(file.get_u64("wide").unwrap(), 1 << 40);
    for key in ["negative", "wide"] {
        assert!(matches!(
            file.get_u32(key),
            Err(GgufError::WrongType { .. })
        ));
    }
}

#[test]
fn missing_and_mistyped_keys_are_named() {
    let file = parsed(
        &GgufWriter::new()
            .metadata("text", "x")
            .metadata("nan", f32::NAN),
    );
    assert_eq!(
        file.get_u32("none").unwrap_err().to_string(),
        "metadata key `none` is missing"
    );
    assert_eq!(
        file.get_u32("text").unwrap_err().to_string(),
        "metadata key `text` holds a string, not an unsigned integer of 32 bits"
    );
    assert!(file.find::<u32>("none").unwrap().is_none());
    assert!(file.get_f32("nan").is_err());
    assert!(file.get_bool("text").is_err());
    assert!(file.get_strings("text").is_err());
    assert!(file.get_i32s("text").is_err());
}

#[test]
fn shapes_are_row_major_and_rows_are_read_alone() {
    let elements: Vec<f32> = (0_u8..12).map(f32::from).collect();
    let writer = GgufWriter::new()
        .tensor("t", &[3, 4], GgmlType::F32, &elements)
        .unwrap();
    let file = parsed(
        &writer
            .tensor("u", &[2], GgmlType::F16, &[0.5, -2.0])
            .unwrap(),
    );
    let tensor = file.tensor("t").unwrap();
    assert_eq!(
        (tensor.shape.as_slice(), tensor.n_rows(), tensor.d_in()),
        (&[3, 4][..], 3, 4)
    );
    assert_eq!(file.dequantize("t").unwrap(), elements);
    assert_eq!(file.dequantize_rows("t", 1..3).unwrap(), elements[4..]);
    assert!(file.dequantize_rows("t", 2..2).unwrap().is_empty());
    assert_eq!(file.dequantize("u").unwrap(), [0.5, -2.0]);
    assert_eq!(file.tensor_bytes("u").unwrap().len(), 4);
}

#[test]
fn rows_that_are_not_there_are_refused() {
    let writer = GgufWriter::new()
        .tensor("t", &[3, 4], GgmlType::F32, &[0.0; 12])
        .unwrap();
    let file = parsed(&writer);
    #[expect(
        clippy::reversed_empty_ranges,
        reason = "a caller's mistake is what is tested"
    )]
    for rows in [0..4, 4..4, 2..1, 0..usize::MAX] {
        let error = file.dequantize_rows("t", rows).unwrap_err();
        assert!(
            matches!(error, GgufError::RowsOutOfRange { n_rows: 3, .. }),
            "{error}"
        );
    }
    assert!(matches!(
        file.dequantize("none"),
        Err(GgufError::MissingTensor(_))
    ));
}

#[test]
fn a_tensor_longer_than_a_chunk_is_read_in_order() {
    let elements: Vec<f32> = (0..200_000_u32).map(|idx| idx as f32).collect();
    let writer = GgufWriter::new()
        .tensor("t", &[200, 1000], GgmlType::F32, &elements)
        .unwrap();
    assert_eq!(parsed(&writer).dequantize("t").unwrap(), elements);
}

#[test]
fn a_weight_that_is_not_finite_is_named_with_its_place() {
    let mut elements = vec![0.0; 8];
    elements[5] = f32::NAN;
    let writer = GgufWriter::new()
        .tensor("t", &[2, 4], GgmlType::F32, &elements)
        .unwrap();
    let file = parsed(&writer);
    let expected = "tensor `t` holds NaN at element 5";
    assert_eq!(file.dequantize("t").unwrap_err().to_string(), expected);
    assert_eq!(
        file.dequantize_rows("t", 1..2).unwrap_err().to_string(),
        expected
    );
    assert!(file.dequantize_rows("t", 0..1).is_ok());
}

#[test]
fn a_type_that_cannot_be_read_matters_only_when_asked_for() {
    let q8_1 = GgmlType::from_code(9);
    let writer = GgufWriter::new()
        .tensor("t", &[2], GgmlType::F32, &[1.0, 2.0])
        .unwrap();
    let file = parsed(&writer.stored_tensor("u", &[256], q8_1, vec![0; 288]));
    assert_eq!(file.dequantize("t").unwrap(), [1.0, 2.0]);
    let error = file.dequantize("u").unwrap_err();
    assert_eq!(
        error.to_string(),
        "tensor `u` has the type Q8_1, which cannot be read"
    );
    assert!(error.hint().is_some());
}

#[test]
fn the_same_file_is_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let writer = GgufWriter::new().metadata("key", "value");
    writer
        .tensor("t", &[2], GgmlType::F32, &[1.0, 2.0])
        .unwrap()
        .write(&path)
        .unwrap();
    let file = GgufFile::open(&path).unwrap();
    assert_eq!(file.get_str("key").unwrap(), "value");
    assert_eq!(file.dequantize("t").unwrap(), [1.0, 2.0]);

    std::fs::write(&path, []).unwrap();
    assert!(matches!(
        GgufFile::open(&path),
        Err(GgufError::BadMagic { .. })
    ));
    let missing = GgufFile::open(&folder.path().join("none.gguf")).unwrap_err();
    assert!(missing.to_string().contains("none.gguf"));
}

#[test]
fn the_writer_refuses_what_does_not_fit() {
    let tensor = |shape: &[usize], ggml_type, n| {
        GgufWriter::new()
            .tensor("t", shape, ggml_type, &vec![0.0; n])
            .unwrap_err()
    };
    assert!(matches!(
        tensor(&[2, 2], GgmlType::F32, 3),
        GgufWriteError::WrongLength { .. }
    ));
    assert!(matches!(
        tensor(&[0], GgmlType::F32, 0),
        GgufWriteError::WrongLength { .. }
    ));
    assert!(matches!(
        tensor(&[2, 16], GgmlType::Q8_0, 32),
        GgufWriteError::UnevenBlocks { .. }
    ));
    assert!(matches!(
        tensor(&[32], GgmlType::Q5_1, 32),
        GgufWriteError::UnsupportedType { .. }
    ));
}
