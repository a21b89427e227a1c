//! Safetensors files: every type of element, and malformed headers.

use super::safetensors_bytes;
use crate::{
    hf::{ElementType, WeightFileError, WeightFiles, WeightFormat},
    tensor_source::{StoredType, TensorError, TensorSource},
};
use std::borrow::Cow;

fn parsed(bytes: Vec<u8>) -> Result<WeightFiles, WeightFileError> {
    WeightFiles::from_bytes(bytes, WeightFormat::Safetensors)
}

/// A tensor `t` of one axis.
fn vector(dtype: &str, n_elements: usize, data: &[u8]) -> WeightFiles {
    let n_bytes = data.len();
    let header = format!(
        r#"{{"t":{{"dtype":"{dtype}","shape":[{n_elements}],"data_offsets":[0,{n_bytes}]}}}}"#
    );
    parsed(safetensors_bytes(&header, data)).unwrap()
}

#[test]
fn floats_of_every_width_are_read() {
    let doubles: Vec<u8> = [1.5_f64, -2.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    assert_eq!(vector("F64", 2, &doubles).floats("t").unwrap(), [1.5, -2.0]);
    let singles: Vec<u8> = [1.5_f32, -2.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    assert_eq!(vector("F32", 2, &singles).floats("t").unwrap(), [1.5, -2.0]);
    assert_eq!(
        vector("F16", 2, &[0, 0x3e, 0, 0xc0]).floats("t").unwrap(),
        [1.5, -2.0]
    );
    assert_eq!(
        vector("BF16", 2, &[0xc0, 0x3f, 0, 0xc0])
            .floats("t")
            .unwrap(),
        [1.5, -2.0]
    );
}

#[test]
fn integers_of_every_width_are_read() {
    let wide: Vec<u8> = [7_i64, -8].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(vector("I64", 2, &wide).integers("t").unwrap(), [7, -8]);
    let words: Vec<u8> = [7_i32, -8].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(vector("I32", 2, &words).integers("t").unwrap(), [7, -8]);
    assert_eq!(
        vector("I16", 2, &[7, 0, 0xf8, 0xff]).integers("t").unwrap(),
        [7, -8]
    );
    assert_eq!(vector("I8", 2, &[7, 0xf8]).integers("t").unwrap(), [7, -8]);
    assert_eq!(vector("U8", 2, &[7, 0xf8]).integers("t").unwrap(), [7, 248]);
    assert_eq!(vector("BOOL", 2, &[0, 1]).integers("t").unwrap(), [0, 1]);
}

#[test]
fn a_tensor_is_described_and_had_as_it_is_stored() {
    let weights = vector("I16", 2, &[7, 0, 8, 0]);
    assert_eq!(weights.shape("t"), Some(vec![2]));
    assert_eq!(weights.stored_type("t"), Some(StoredType::Integer));
    let raw = weights.raw("t").unwrap();
    assert_eq!((raw.element, raw.shape), (ElementType::I16, [2].as_slice()));
    assert!(matches!(raw.bytes, Cow::Borrowed([7, 0, 8, 0])));
    assert_eq!(weights.shape("u"), None);
    assert!(matches!(weights.raw("u"), Err(TensorError::Missing(name)) if name == "u"));
}

#[test]
fn numbers_that_are_none_are_refused_with_their_tensor() {
    for (bits, shown) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
    ] {
        let mut data = 1_f32.to_le_bytes().to_vec();
        data.extend(bits.to_le_bytes());
        let error = vector("F32", 2, &data).floats("t").unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("tensor `t` holds {shown} at element 1")),
            "{error}"
        );
    }
    let beyond = vector("F64", 1, &1e300_f64.to_le_bytes()).floats("t");
    assert!(matches!(
        beyond,
        Err(TensorError::NotFinite { index: 0, .. })
    ));
    let wide = vector("I64", 1, &i64::MAX.to_le_bytes())
        .integers("t")
        .unwrap_err();
    assert!(
        wide.to_string()
            .ends_with("element 0 is 9223372036854775807, beyond 32 bits")
    );
    let boolean = vector("BOOL", 1, &[2]).integers("t").unwrap_err();
    assert!(
        boolean
            .to_string()
            .ends_with("element 0 is 2, neither 0 nor 1")
    );
}

#[test]
fn the_wrong_kind_of_numbers_is_named() {
    let error = vector("I8", 1, &[0]).floats("t").unwrap_err().to_string();
    assert_eq!(error, "tensor `t` holds I8, not floats");
    let error = vector("BF16", 1, &[0, 0])
        .integers("t")
        .unwrap_err()
        .to_string();
    assert_eq!(error, "tensor `t` holds BF16, not integers");
}

#[test]
fn types_that_are_not_read_are_named() {
    for (dtype, shape) in [
        ("F8_E4M3", "4"),
        ("F8_E5M2", "4"),
        ("U16", "2"),
        ("F4", "8"),
        ("C64", ""),
    ] {
        let n_bytes = if dtype == "C64" { 8 } else { 4 };
        let header = format!(
            r#"{{"t":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[0,{n_bytes}]}}}}"#
        );
        let error = parsed(safetensors_bytes(&header, &vec![0; n_bytes]))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(&format!("tensor `t` has elements of type {dtype},")),
            "{error}"
        );
    }
}

#[test]
fn malformed_headers_are_named() {
    let entry = |dtype: &str, shape: &str, start: u64, end: u64| {
        let header = format!(
            r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}}}"#
        );
        safetensors_bytes(&header, &[0; 4])
    };
    let huge = u64::MAX.to_le_bytes().to_vec();
    let long = [9_u64.to_le_bytes().as_slice(), b"{}"].concat();
    for (bytes, expected) in [
        (vec![], "header too small"),
        (vec![0; 7], "header too small"),
        (huge, "header too large"),
        (long, "invalid header length"),
        (safetensors_bytes("{", &[]), "invalid JSON"),
        (safetensors_bytes("[]", &[]), "invalid JSON"),
        (safetensors_bytes("\u{7f}", &[]), "invalid JSON"),
        (
            [2_u64.to_le_bytes().as_slice(), &[0xff, 0xfe]].concat(),
            "invalid UTF-8",
        ),
        (entry("F31", "[1]", 0, 4), "unknown variant `F31`"),
        (
            entry("F32", "[2]", 0, 4),
            "invalid shape, data type, or offset",
        ),
        (entry("F32", "[-1]", 0, 4), "invalid JSON"),
        (entry("F32", "[1]", 4, 8), "invalid offset for tensor `t`"),
        (entry("F32", "[1]", 4, 0), "invalid offset for tensor `t`"),
        (entry("F32", "[2]", 0, 8), "incomplete metadata"),
        (entry("U8", "[1]", 0, 1), "incomplete metadata"),
        (entry("F32", "[18446744073709551615, 3]", 0, 4), "overflow"),
        (
            entry("F32", "[4611686018427387904]", 0, u64::MAX),
            "overflow",
        ),
    ] {
        let error = parsed(bytes).unwrap_err().to_string();
        assert!(
            error.starts_with("not a valid safetensors file: "),
            "{error}"
        );
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
