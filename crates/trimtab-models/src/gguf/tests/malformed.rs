//! One test for each way a header can be malformed: the error has its name, and nothing is
//! allocated for a claim that the file cannot back.

use super::raw_header::RawHeader;
use crate::gguf::{GgmlType, GgufError, GgufFile, GgufWriter};

const F32: u32 = 0;
const HUGE: u64 = 1 << 60;

fn error(bytes: &[u8]) -> GgufError {
    GgufFile::parse(bytes).expect_err("the file is malformed")
}

macro_rules! assert_refused {
    ($bytes:expr, $pattern:pat) => {
        let error = error(&$bytes);
        assert!(matches!(error, $pattern), "{error}");
    };
}

#[test]
fn an_empty_file_has_no_magic() {
    assert_refused!([], GgufError::BadMagic { .. });
}

#[test]
fn another_magic_is_refused() {
    assert_refused!(*b"PK\x03\x04 something else", GgufError::BadMagic { .. });
}

#[test]
fn a_file_of_only_the_magic_is_truncated() {
    assert_refused!(*b"GGUF", GgufError::Truncated { .. });
}

#[test]
fn version_1_and_future_versions_are_refused() {
    for version in [0, 1, 4, 1_000] {
        let bytes = RawHeader(b"GGUF".to_vec()).u32(version).u64(0).u64(0).0;
        assert!(matches!(error(&bytes), GgufError::UnsupportedVersion(found) if found == version));
    }
}

#[test]
fn a_big_endian_file_is_named_as_such() {
    let bytes = RawHeader(b"GGUF".to_vec())
        .u32(3_u32.swap_bytes())
        .u64(0)
        .u64(0)
        .0;
    assert_refused!(bytes, GgufError::BigEndian);
}

#[test]
fn a_claim_of_2_to_the_60_tensors_is_refused_before_allocating() {
    let bytes = RawHeader::new(HUGE, 0).data(4096);
    assert_refused!(
        bytes,
        GgufError::ImpossibleCount {
            what: "tensors",
            claimed: HUGE,
            ..
        }
    );
}

#[test]
fn a_claim_of_2_to_the_60_metadata_entries_is_refused_before_allocating() {
    let bytes = RawHeader::new(0, HUGE).data(4096);
    assert_refused!(
        bytes,
        GgufError::ImpossibleCount {
            what: "metadata entries",
            ..
        }
    );
}

#[test]
fn the_largest_counts_of_all_are_refused() {
    let bytes = RawHeader::new(u64::MAX, u64::MAX).data(64);
    assert_refused!(bytes, GgufError::ImpossibleCount { .. });
}

#[test]
fn a_key_that_runs_past_the_end_is_truncated() {
    let bytes = RawHeader::new(0, 1).u64(5_000).u32(0).u32(0).u32(0).0;
    assert_refused!(
        bytes,
        GgufError::Truncated {
            what: "a metadata key",
            ..
        }
    );
}

#[test]
fn a_key_longer_than_the_format_allows_is_refused() {
    let bytes = RawHeader::new(0, 1).u64(HUGE).data(64);
    assert_refused!(
        bytes,
        GgufError::NameTooLong {
            what: "a metadata key",
            ..
        }
    );
}

#[test]
fn a_string_that_runs_past_the_end_is_truncated() {
    for length in [100, HUGE, u64::MAX] {
        let bytes = RawHeader::new(0, 1).text("key").u32(8).u64(length).data(8);
        assert_refused!(
            bytes,
            GgufError::Truncated {
                what: "a metadata value",
                ..
            }
        );
    }
}

#[test]
fn a_key_or_a_string_that_is_not_utf8_is_refused() {
    let key = RawHeader::new(0, 1).u64(1).u8(0xff).u32(0).u8(0).data(32);
    assert_refused!(
        key,
        GgufError::InvalidUtf8 {
            what: "a metadata key",
            ..
        }
    );
    let value = RawHeader::new(0, 1)
        .text("key")
        .u32(8)
        .u64(1)
        .u8(0xff)
        .data(32);
    assert_refused!(
        value,
        GgufError::InvalidUtf8 {
            what: "a metadata value",
            ..
        }
    );
}

#[test]
fn a_key_that_occurs_twice_is_refused() {
    let bytes = RawHeader::new(0, 2)
        .text("key")
        .u32(0)
        .u8(1)
        .text("key")
        .u32(0)
        .u8(2)
        .0;
    assert!(matches!(error(&bytes), GgufError::DuplicateKey(key) if key == "key"));
}

#[test]
fn an_unknown_value_type_is_refused() {
    let scalar = RawHeader::new(0, 1).text("key").u32(13).data(32);
    assert_refused!(scalar, GgufError::UnknownValueType { code: 13, .. });
    let element = RawHeader::new(0, 1).text("key").u32(9).u32(99).data(32);
    assert_refused!(element, GgufError::UnknownValueType { code: 99, .. });
}

#[test]
fn an_array_of_arrays_is_refused() {
    let bytes = RawHeader::new(0, 1)
        .text("key")
        .u32(9)
        .u32(9)
        .u64(1)
        .u32(9)
        .data(32);
    assert!(matches!(error(&bytes), GgufError::NestedArray(key) if key == "key"));
}

#[test]
fn an_array_longer_than_the_file_is_refused_before_allocating() {
    for element_code in [0, 3, 4, 6, 7, 8, 10, 12] {
        let array = RawHeader::new(0, 1).text("key").u32(9).u32(element_code);
        assert_refused!(
            array.clone().u64(HUGE).data(64),
            GgufError::ImpossibleCount { .. }
        );
        assert_refused!(
            array.u64(u64::MAX).data(64),
            GgufError::ImpossibleCount { .. }
        );
    }
}

#[test]
fn an_array_of_strings_that_runs_past_the_end_is_truncated() {
    let bytes = RawHeader::new(0, 1)
        .text("key")
        .u32(9)
        .u32(8)
        .u64(2)
        .text("a")
        .u64(HUGE)
        .data(64);
    assert_refused!(
        bytes,
        GgufError::Truncated {
            what: "a string of an array",
            ..
        }
    );
}

#[test]
fn a_boolean_of_2_is_refused() {
    let scalar = RawHeader::new(0, 1).text("key").u32(7).u8(2).data(32);
    assert_refused!(scalar, GgufError::InvalidBool { found: 2, .. });
    let element = RawHeader::new(0, 1)
        .text("key")
        .u32(9)
        .u32(7)
        .u64(1)
        .u8(2)
        .data(32);
    assert_refused!(element, GgufError::InvalidBool { found: 2, .. });
}

#[test]
fn an_alignment_that_is_no_power_of_two_or_beyond_the_file_is_refused() {
    for alignment in [0, 3, 48, 1 << 31] {
        let bytes = RawHeader::new(0, 1)
            .text("general.alignment")
            .u32(4)
            .u32(alignment)
            .data(64);
        assert_refused!(bytes, GgufError::InvalidAlignment(_));
    }
    let text = RawHeader::new(0, 1)
        .text("general.alignment")
        .u32(8)
        .text("32")
        .data(64);
    assert_refused!(text, GgufError::WrongType { .. });
}

#[test]
fn a_tensor_name_longer_than_the_format_allows_is_refused() {
    let bytes = RawHeader::new(1, 0)
        .tensor(&"n".repeat(65), &[1], F32, 0)
        .data(64);
    assert_refused!(
        bytes,
        GgufError::NameTooLong {
            what: "a tensor name",
            length: 65,
            ..
        }
    );
}

#[test]
fn a_tensor_that_occurs_twice_is_refused() {
    let header = RawHeader::new(2, 0)
        .tensor("t", &[8], F32, 0)
        .tensor("t", &[8], F32, 32);
    assert!(matches!(error(&header.data(64)), GgufError::DuplicateTensor(name) if name == "t"));
}

#[test]
fn a_tensor_without_axes_or_with_too_many_is_refused() {
    for dims in [&[][..], &[1; 5]] {
        let bytes = RawHeader::new(1, 0).tensor("t", dims, F32, 0).data(64);
        assert_refused!(bytes, GgufError::InvalidShape { .. });
    }
    let bytes = RawHeader::new(1, 0).text("t").u32(u32::MAX).data(64);
    assert_refused!(bytes, GgufError::InvalidShape { .. });
}

#[test]
fn an_empty_axis_is_refused() {
    let bytes = RawHeader::new(1, 0).tensor("t", &[4, 0], F32, 0).data(64);
    assert_refused!(bytes, GgufError::InvalidShape { .. });
}

#[test]
fn a_shape_whose_product_overflows_is_refused() {
    for dims in [
        &[HUGE, HUGE][..],
        &[u64::MAX],
        &[1 << 31, 1 << 31],
        &[1 << 16; 4],
    ] {
        let bytes = RawHeader::new(1, 0).tensor("t", dims, F32, 0).data(64);
        assert_refused!(bytes, GgufError::InvalidShape { .. });
    }
}

#[test]
fn rows_that_do_not_divide_into_blocks_are_refused() {
    let q8_0 = GgmlType::Q8_0.code();
    let bytes = RawHeader::new(1, 0)
        .tensor("t", &[33, 2], q8_0, 0)
        .data(256);
    assert_refused!(
        bytes,
        GgufError::UnevenBlocks {
            d_in: 33,
            block: 32,
            ..
        }
    );
}

#[test]
fn an_offset_out_of_step_is_refused() {
    let bytes = RawHeader::new(1, 0).tensor("t", &[1], F32, 4).data(64);
    assert_refused!(
        bytes,
        GgufError::MisalignedTensor {
            offset: 4,
            alignment: 32,
            ..
        }
    );
}

#[test]
fn an_offset_that_overflows_is_refused() {
    let offset = u64::MAX - 31;
    let bytes = RawHeader::new(1, 0)
        .tensor("t", &[16], F32, offset)
        .data(64);
    assert_refused!(bytes, GgufError::TensorOutOfFile { .. });
}

#[test]
fn data_that_ends_before_the_tensor_does_is_refused() {
    let header = RawHeader::new(1, 0).tensor("t", &[16], F32, 32);
    GgufFile::parse(&header.clone().data(96)).unwrap();
    assert_refused!(
        header.clone().data(95),
        GgufError::TensorOutOfFile { needed: 64, .. }
    );
    assert_refused!(header.0, GgufError::TensorOutOfFile { available: 0, .. });
}

#[test]
fn a_tensor_of_an_unknown_type_beyond_the_data_is_refused() {
    let bytes = RawHeader::new(1, 0)
        .tensor("t", &[16], 999, 1 << 20)
        .data(64);
    assert_refused!(bytes, GgufError::TensorOutOfFile { .. });
}

#[test]
fn tensors_that_share_bytes_are_refused() {
    let header = RawHeader::new(2, 0)
        .tensor("b", &[8], F32, 32)
        .tensor("a", &[16], F32, 0);
    let error = error(&header.data(64));
    assert!(
        matches!(&error, GgufError::OverlappingTensors { first, second } if first == "a" && second == "b"),
        "{error}"
    );
}

#[test]
fn every_truncation_of_a_good_file_is_refused() {
    let file = GgufWriter::new()
        .metadata("text", "some")
        .metadata("list", vec!["a".to_owned()]);
    let file = file.tensor("t", &[1, 8], GgmlType::F32, &[1.0; 8]).unwrap();
    let bytes = file.to_bytes();
    GgufFile::parse(&bytes).unwrap();
    for length in 0..bytes.len() {
        assert!(
            GgufFile::parse(&bytes[..length]).is_err(),
            "cut to {length} bytes"
        );
    }
}
